//! What is refused, and what it costs: nothing that the numbers would notice.

use std::io::Write;
use std::net::TcpStream;

use cvd_stream::exchange::{Act, AtEnd, Script};

use super::client::*;
use crate::support::*;

/// A request of which only the head matters.
fn raw(line: &str, headers: &[&str]) -> Vec<u8> {
    let headers: String = headers.iter().map(|header| format!("{header}\r\n")).collect();
    format!("{line}\r\n{headers}Connection: close\r\n\r\n").into_bytes()
}

/// Requests, and the statuses that are right for them; 0 for no answer at all.
fn requests() -> Vec<(Vec<u8>, &'static [u16])> {
    let host = "Host: 127.0.0.1:9464";
    let long = "a".repeat(3_000);
    let huge = format!("X-Huge: {}", "a".repeat(64 * 1024));
    let many: Vec<String> = (0..500).map(|n| format!("X-{n}: {n}")).collect();
    let mut all_of_many = vec![host];
    all_of_many.extend(many.iter().map(String::as_str));
    vec![
        // Names that point here, and pages from elsewhere.
        (raw("GET /metrics HTTP/1.1", &["Host: evil.example"]), &[403]),
        (raw("GET /metrics HTTP/1.1", &["Host: evil.example:9464"]), &[403]),
        (raw("GET /metrics HTTP/1.1", &["Host: 127.0.0.1.evil.example"]), &[403]),
        (raw("GET /metrics HTTP/1.1", &["Host: localhost@evil.example"]), &[403]),
        (raw("GET /metrics HTTP/1.1", &["Host: "]), &[400, 403]),
        (raw("GET /metrics HTTP/1.1", &[]), &[400]),
        (raw("GET /metrics HTTP/1.1", &[host, "Host: evil.example"]), &[400]),
        (raw("GET /metrics HTTP/1.1", &[host, "Origin: http://evil.example"]), &[403]),
        (raw("GET /metrics HTTP/1.1", &[host, "Origin: null"]), &[403]),
        (raw("GET /api/v1/stream HTTP/1.1", &[host, "Origin: https://127.0.0.1"]), &[403]),
        (raw("GET /metrics HTTP/1.1", &[host, "Sec-Fetch-Site: cross-site"]), &[403]),
        // Other methods.
        (raw("POST /metrics HTTP/1.1", &[host, "Content-Length: 0"]), &[405]),
        (raw("PUT /api/v1/symbols HTTP/1.1", &[host, "Content-Length: 0"]), &[405]),
        (raw("DELETE /api/v1/symbols HTTP/1.1", &[host]), &[405]),
        (raw("OPTIONS * HTTP/1.1", &[host, "Origin: http://evil.example"]), &[405]),
        (raw("HEAD /metrics HTTP/1.1", &[host]), &[405]),
        (raw("TRACE /metrics HTTP/1.1", &[host]), &[405]),
        (raw("CONNECT evil.example:443 HTTP/1.1", &[host]), &[405, 400]),
        // Bodies, and two opinions about where they end.
        (raw("GET /metrics HTTP/1.1", &[host, "Content-Length: 5"]), &[400]),
        (raw("GET /metrics HTTP/1.1", &[host, "Transfer-Encoding: chunked"]), &[400]),
        (raw("GET /metrics HTTP/1.1", &[host, "Content-Length: 5", "Transfer-Encoding: chunked"]), &[400]),
        (raw("GET /metrics HTTP/1.1", &[host, "Content-Length: 5", "Content-Length: 6"]), &[400]),
        // Paths that would be elsewhere.
        (raw("GET /../../etc/passwd HTTP/1.1", &[host]), &[404]),
        (raw("GET /api/v1/%2e%2e/%2e%2e/etc/passwd HTTP/1.1", &[host]), &[404]),
        (raw("GET /metrics%00.html HTTP/1.1", &[host]), &[404]),
        (raw("GET /metrics;jsessionid=1 HTTP/1.1", &[host]), &[404]),
        (raw("GET http://evil.example/metrics HTTP/1.1", &[host]), &[400]),
        (raw(&format!("GET /{long} HTTP/1.1"), &[host]), &[400]),
        (raw("GET /api/v1/snapshot?symbol=%1b%5b31m HTTP/1.1", &[host]), &[400]),
        (raw("GET /api/v1/snapshot?symbol=<script>alert(1)</script> HTTP/1.1", &[host]), &[400]),
        // Too much of it.
        (raw("GET /metrics HTTP/1.1", &[host, &huge]), &[431, 400, 0]),
        (raw("GET /metrics HTTP/1.1", &all_of_many), &[431, 400, 0]),
        // What is no HTTP.
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".to_vec(), &[400, 0]),
        (b"GET /metrics\r\n\r\n".to_vec(), &[400, 0]),
        (b"GET /metrics HTTP/9.9\r\nHost: localhost\r\n\r\n".to_vec(), &[400, 0]),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(), &[400, 405, 0]),
        (b"GET /metrics HTTP/1.1\r\nHost: local\x00host\r\nConnection: close\r\n\r\n".to_vec(), &[400, 0]),
        (
            b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n folded: x\r\nConnection: close\r\n\r\n".to_vec(),
            &[400, 0],
        ),
        (vec![0; 70_000], &[400, 0]),
    ]
}

#[tokio::test]
async fn hostile_requests_are_refused_and_no_trade_is_dropped_for_them() {
    story(async {
        let script = Script::default().at_end(AtEnd::Market { per_second: 500 });
        let exchange = exchange(script).await;
        let (monitor, address) = served(&exchange, |_| {}).await;
        monitor.trades.reach(100).await;
        // Clients that begin and never go on.
        let slow: Vec<TcpStream> = (0..200)
            .map(|_| {
                let mut stream = TcpStream::connect(address).unwrap();
                stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: local").unwrap();
                stream
            })
            .collect();
        let requests = requests();
        assert!(requests.len() >= 20);
        for (request, right) in requests {
            let answer = send(address, request.clone()).await;
            let status = answer.as_ref().map_or(0, |answer| answer.status);
            let shown = String::from_utf8_lossy(&request[..request.len().min(120)]).into_owned();
            assert!(right.contains(&status), "{status} for {shown:?}");
            if let Some(answer) = answer {
                let body = answer.body.to_ascii_lowercase();
                assert!(
                    !body.contains("cvd_stream_") && !body.contains("script") && !body.contains("evil"),
                    "{body}"
                );
            }
        }
        // A good client is answered in between.
        let metrics = get(address, "/metrics").await;
        assert_eq!(metrics.status, 200);
        let refused: u64 = metrics
            .body
            .lines()
            .filter(|line| line.starts_with("cvd_stream_http_refused_total{"))
            .map(|line| line.rsplit(' ').next().unwrap().parse::<u64>().unwrap())
            .sum();
        assert!(refused >= 20, "{refused} in {}", metrics.body);
        drop(slow);
        let begun = monitor.trades.now().len();
        monitor.trades.reach(begun + 100).await;
        let ended = monitor.stop().await.unwrap();
        assert_eq!((ended.summary.metrics.queue_dropped, ended.summary.metrics.gaps), (0, 0));
        ended.assert_whole(&exchange, "BTCUSDT");
        stopped_in_peace(exchange).await;
    })
    .await;
}

#[tokio::test]
async fn more_connections_than_may_be_are_turned_away_and_the_others_go_on() {
    story(async {
        let exchange = exchange([Act::Trades(10)]).await;
        let (monitor, address) = served(&exchange, |_| {}).await;
        monitor.trades.reach(10).await;
        let many: Vec<TcpStream> = (0..400).filter_map(|_| TcpStream::connect(address).ok()).collect();
        // Somebody of them is let go, so that there is room again.
        drop(many);
        let metrics = until_answered(address).await;
        let turned_away = metrics
            .lines()
            .find_map(|line| line.strip_prefix("cvd_stream_http_refused_total{reason=\"too_many\"} "));
        assert!(turned_away.unwrap().parse::<u64>().unwrap() > 0, "{metrics}");
        monitor.stop().await.unwrap();
        stopped_in_peace(exchange).await;
    })
    .await;
}

async fn until_answered(address: std::net::SocketAddr) -> String {
    let request = raw("GET /metrics HTTP/1.1", &["Host: localhost"]);
    loop {
        if let Some(answer) = send(address, request.clone()).await {
            return answer.body;
        }
    }
}

#[tokio::test]
async fn with_a_token_nobody_is_answered_who_does_not_bring_it() {
    story(async {
        let exchange = exchange([Act::Trades(10)]).await;
        let file =
            std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("token-{}", std::process::id()));
        std::fs::write(&file, "correct-horse-battery-staple\n").unwrap();
        let (monitor, address) =
            served(&exchange, |config| config.http.token_file = Some(file.clone())).await;
        monitor.trades.reach(10).await;
        for target in ["/healthz", "/readyz", "/metrics", "/api/v1/symbols", "/api/v1/stream", "/nowhere"] {
            for headers in [
                "",
                "Authorization: Bearer wrong-horse-battery-staple\r\n",
                "Authorization: Basic correct-horse-battery-staple\r\n",
                "Authorization: Bearer correct-horse-battery-stapl\r\n",
                "Authorization: Bearer\r\n",
            ] {
                let answer = get_with(address, target, headers).await;
                assert_eq!(answer.status, 401, "{target} {headers}");
                assert!(answer.head.contains("www-authenticate: bearer"), "{}", answer.head);
            }
        }
        let right = "authorization: bearer correct-horse-battery-staple\r\n";
        assert_eq!(get_with(address, "/metrics", right).await.status, 200);
        std::fs::remove_file(&file).unwrap();
        monitor.stop().await.unwrap();
        stopped_in_peace(exchange).await;
    })
    .await;
}
