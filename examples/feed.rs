//! The feed alone: frames as text, kept coming through reconnects, without anything that reads them.
//!
//! `cargo run --example feed` reads the built-in practice exchange, which hangs up in the middle.

use std::time::Duration;

use cvd_stream::clock::Clock;
use cvd_stream::exchange::{Act, Exchange};
use cvd_stream::feed::endpoint::Endpoint;
use cvd_stream::feed::liveness::LivenessLimits;
use cvd_stream::feed::{FeedEvent, Live, LiveSettings};
use cvd_stream::queue::{QueueLimits, drop_oldest};
use cvd_stream::source::{Burst, Input, Source};
use tokio::sync::watch;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let script = [Act::Trades(3), Act::Drop, Act::Trades(3)];
    let exchange = Exchange::builder().symbol("BTCUSDT").seed(7).script(script).start().await?;

    let settings = LiveSettings {
        liveness: LivenessLimits::with_heartbeat(Duration::from_secs(60)),
        backoff_max: Duration::from_secs(30),
        jitter_seed: None,
        ..LiveSettings::of(Endpoint::from_url(&exchange.stream_url(), None, None, false)?)
    };
    let clock = Clock::system();
    let (sender, mut receiver) = drop_oldest(QueueLimits::default());
    let (stop, stopped) = watch::channel(false);
    let observer = |event: FeedEvent<'_>| println!("-- {event:?}");
    let feed = Live::new(settings, sender, &observer, clock)?;

    let reader = async move {
        let (mut burst, mut frames) = (Burst::default(), 0);
        while receiver.next(&mut burst).await? {
            for input in &burst.inputs {
                if let Input::Frame(frame) = input {
                    frames += 1;
                    println!("session {} frame {}: {}", frame.session.0, frame.ordinal, frame.text);
                }
            }
            if frames == 6 {
                stop.send_replace(true);
            }
        }
        Ok::<(), Box<dyn std::error::Error>>(())
    };
    let (fed, read) = tokio::join!(feed.run(stopped), reader);
    fed?;
    read?;
    exchange.stop().await?;
    Ok(())
}
