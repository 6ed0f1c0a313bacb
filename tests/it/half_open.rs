//! A link that swallows bytes: nothing arrives and nothing says so. On a paused clock, with the default settings.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use cvd_stream::app::App;
use cvd_stream::exchange::{AtEnd, Script};
use cvd_stream::feed::{ByteStream, ConnectError, Destination, Dialing, Network};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};

use crate::support::*;

/// A network that swallows everything for a while. A connection that was open then never works again; a new one takes
/// its time to fail, as TCP does.
#[derive(Clone)]
struct Swallowing {
    behind: Arc<dyn Network>,
    swallows: watch::Sender<u64>,
}

/// Odd while it swallows.
fn is_bad(weather: u64) -> bool {
    weather % 2 == 1
}

impl Network for Swallowing {
    fn dial<'a>(&'a self, to: Destination<'a>) -> Dialing<'a> {
        Box::pin(async move {
            let begun = *self.swallows.borrow();
            if is_bad(begun) {
                let limit = Duration::from_secs(5);
                sleep(limit).await;
                return Err(ConnectError::Deadline { stage: "TCP", limit });
            }
            let stream = self.behind.dial(to).await?;
            Ok(Box::new(Victim { stream, begun, weather: self.swallows.subscribe() }) as Box<dyn ByteStream>)
        })
    }
}

struct Victim {
    stream: Box<dyn ByteStream>,
    begun: u64,
    weather: watch::Receiver<u64>,
}

impl Victim {
    fn is_lost(&self) -> bool {
        *self.weather.borrow() != self.begun
    }
}

impl AsyncRead for Victim {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.is_lost() {
            return Poll::Pending;
        }
        Pin::new(&mut self.stream).poll_read(cx, into)
    }
}

impl AsyncWrite for Victim {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if self.is_lost() {
            return Poll::Ready(Ok(bytes.len()));
        }
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.is_lost() {
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[tokio::test(start_paused = true)]
async fn a_dead_link_is_found_within_15_seconds_and_everything_is_whole_30_seconds_after_healing() {
    let day = timeout(Duration::from_secs(86_400), async {
        let script = Script::new([]).at_end(AtEnd::Market { per_second: 50 });
        let exchange = btcusdt().in_memory().script(script).start().await.expect("memory has ports");
        let network = Swallowing { behind: exchange.network(), swallows: watch::Sender::new(0) };
        let weather = network.swallows.clone();
        let with = |app: App| app.network(Arc::new(network));
        let monitor = Monitor::simulated_with(&exchange, |_| {}, with);
        for _ in 0..5 {
            let seen = monitor.trades.now().len();
            // A minute of data begins the backoff anew.
            monitor.trades.reach(seen + 4_000).await;
            let known = monitor.records.now().len();
            let since = |text: Vec<u8>| String::from_utf8(text[known..].to_vec()).unwrap();

            weather.send_modify(|weather| *weather += 1);
            let swallowed = Instant::now();
            let is_down = |text: &Vec<u8>| since(text.clone()).contains(r#""state":"disconnected""#);
            monitor.records.until(is_down).await;
            assert!(swallowed.elapsed() <= Duration::from_secs(15), "{:?}", swallowed.elapsed());

            sleep(Duration::from_secs(45)).await;
            weather.send_modify(|weather| *weather += 1);
            let healed = Instant::now();
            let is_whole = |text: &Vec<u8>| since(text.clone()).contains(r#""event":"repaired""#);
            let text = monitor.records.until(is_whole).await;
            assert!(healed.elapsed() <= Duration::from_secs(30), "{:?}", healed.elapsed());
            assert!(since(text).contains(r#""cause":"dead_link""#), "the state names the cause");
        }
        let ended = monitor.stop().await.unwrap();
        ended.assert_whole(&exchange, "BTCUSDT");
        stopped_in_peace(exchange).await;
    });
    day.await.expect("the story must not hang");
}
