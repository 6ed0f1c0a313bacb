//! The courier against a server over pipes, with a clock that waits for nobody.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Mutex;

use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;

use super::*;
use crate::feed::{ByteStream, ConnectError, Dialing};

/// What the server does with a request.
#[derive(Debug, Clone, Copy)]
enum Act {
    Answer(u16, &'static str),
    Redirect,
    /// Nothing at all.
    Silence,
    /// A good status and a body without end.
    Endless,
    Refuse,
}

/// A network with a server behind it that does one thing after the other.
#[derive(Clone, Default)]
struct Pipes(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    acts: VecDeque<Act>,
    /// When each connection was dialed.
    dialed: Vec<Instant>,
    /// Stamp, signature and body of each request.
    requests: Vec<(String, Option<String>, Bytes)>,
    private: usize,
}

impl Pipes {
    fn of(acts: impl IntoIterator<Item = Act>) -> Self {
        let pipes = Self::default();
        pipes.0.lock().unwrap().acts.extend(acts);
        pipes
    }

    fn connect(&self) -> Result<Box<dyn ByteStream>, ConnectError> {
        let mut state = self.0.lock().unwrap();
        state.dialed.push(Instant::now());
        let act = state.acts.pop_front().expect("an act for each attempt");
        if matches!(act, Act::Refuse) {
            let cause = std::io::ErrorKind::ConnectionRefused.into();
            return Err(ConnectError::Tcp { address: "192.0.2.1:443".into(), cause });
        }
        let (ours, theirs) = tokio::io::duplex(64 * 1024);
        tokio::spawn(serve(self.clone(), theirs, act));
        Ok(Box::new(ours))
    }

    /// Seconds between the attempts.
    fn waits(&self) -> Vec<u64> {
        let state = self.0.lock().unwrap();
        state.dialed.windows(2).map(|pair| (pair[1] - pair[0]).as_secs()).collect()
    }

    fn dialed(&self) -> usize {
        self.0.lock().unwrap().dialed.len()
    }
}

impl Network for Pipes {
    fn dial<'a>(&'a self, _to: Destination<'a>) -> Dialing<'a> {
        self.0.lock().unwrap().private += 1;
        Box::pin(std::future::ready(self.connect()))
    }

    fn dial_public<'a>(&'a self, _to: Destination<'a>) -> Dialing<'a> {
        Box::pin(std::future::ready(self.connect()))
    }
}

async fn serve(pipes: Pipes, stream: tokio::io::DuplexStream, act: Act) {
    if matches!(act, Act::Endless) {
        return endless(stream).await;
    }
    let service = service_fn(|request: Request<Incoming>| {
        let pipes = pipes.clone();
        async move {
            let text = |name: &HeaderName| {
                request.headers().get(name).map(|value| value.to_str().unwrap().to_owned())
            };
            let (stamp, signature) = (text(&TIMESTAMP).unwrap(), text(&SIGNATURE));
            let body = request.into_body().collect().await.unwrap().to_bytes();
            pipes.0.lock().unwrap().requests.push((stamp, signature, body));
            let response = match act {
                Act::Answer(status, words) => {
                    Response::builder().status(status).body(Full::<Bytes>::from(words))
                }
                Act::Redirect => Response::builder()
                    .status(302)
                    .header("Location", "https://elsewhere/")
                    .body(Full::default()),
                Act::Silence | Act::Endless | Act::Refuse => std::future::pending().await,
            };
            Ok::<_, Infallible>(response.unwrap())
        }
    });
    // A client that has what it wants closes the pipe.
    drop(http1::Builder::new().serve_connection(TokioIo::new(stream), service).await);
}

/// As much as the client takes.
async fn endless(mut stream: tokio::io::DuplexStream) {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let mut head = [0; 4_096];
    drop(stream.read(&mut head).await);
    drop(stream.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n").await);
    let chunk = format!("1000\r\n{}\r\n", "x".repeat(0x1000));
    while stream.write_all(chunk.as_bytes()).await.is_ok() {}
}

fn courier(pipes: &Pipes) -> Courier {
    let url = WebhookUrl::parse("https://hooks.example/canary?key=canary").unwrap();
    Courier::new(Webhook { url, secret: None, allow_private: false }, Arc::new(pipes.clone()))
}

async fn delivered(pipes: &Pipes) -> Result<(), String> {
    courier(pipes).deliver(Bytes::from_static(b"{}")).await
}

#[tokio::test(start_paused = true)]
async fn what_passes_is_tried_again_after_one_and_four_seconds() {
    let pipes = Pipes::of([Act::Answer(500, "busy"), Act::Answer(429, ""), Act::Answer(204, "")]);
    assert_eq!(delivered(&pipes).await, Ok(()));
    assert_eq!(pipes.waits(), [1, 4]);
    let bodies: Vec<_> = pipes.0.lock().unwrap().requests.iter().map(|request| request.2.clone()).collect();
    assert_eq!(bodies, ["{}"; 3]);
}

#[tokio::test(start_paused = true)]
async fn after_three_attempts_it_has_failed_with_the_words_of_the_last() {
    let pipes = Pipes::of([Act::Refuse, Act::Silence, Act::Answer(503, "over\u{1b}[31mload\n")]);
    assert_eq!(delivered(&pipes).await, Err("it answered 503: over\\u{1b}[31mload\\n".to_owned()));
    assert_eq!(pipes.waits(), [1, 14], "10 s of silence and 4 s of patience");
    let pipes = Pipes::of([Act::Silence, Act::Answer(500, ""), Act::Silence]);
    assert_eq!(delivered(&pipes).await, Err("no answer within 10s".to_owned()));
}

#[tokio::test(start_paused = true)]
async fn a_redirect_and_what_stays_wrong_are_tried_once() {
    let pipes = Pipes::of([Act::Redirect]);
    let told = delivered(&pipes).await.unwrap_err();
    assert_eq!(told, "it answered 302 and redirects are not followed: give the address itself");
    let pipes = Pipes::of([Act::Answer(403, "no")]);
    assert_eq!(delivered(&pipes).await, Err("it answered 403: no".to_owned()));
    assert_eq!(pipes.dialed(), 1);
}

#[tokio::test(start_paused = true)]
async fn an_endless_answer_with_a_good_status_is_left_where_it_is() {
    let pipes = Pipes::of([Act::Endless]);
    let begun = Instant::now();
    assert_eq!(delivered(&pipes).await, Ok(()));
    assert!(begun.elapsed() <= WORDS_DEADLINE);
}

#[tokio::test(start_paused = true)]
async fn private_addresses_are_dialed_with_the_word_for_it_only() {
    let pipes = Pipes::of([Act::Answer(200, ""), Act::Answer(200, "")]);
    let mut courier = courier(&pipes);
    courier.deliver(Bytes::new()).await.unwrap();
    assert_eq!(pipes.0.lock().unwrap().private, 0);
    courier.webhook.allow_private = true;
    courier.deliver(Bytes::new()).await.unwrap();
    assert_eq!(pipes.0.lock().unwrap().private, 1);
}

#[test]
fn a_courier_shows_neither_path_nor_query() {
    let courier = courier(&Pipes::default());
    let shown = format!("{courier:?} {}", courier.to());
    assert!(!shown.contains("canary") && shown.contains("https://hooks.example"), "{shown}");
}
