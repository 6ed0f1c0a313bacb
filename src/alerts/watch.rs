//! The loop: from what the run posts to those who are told.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::sleep;

use super::config::AlertsConfig;
use super::counts::AlertCounts;
use super::deliveries::Deliveries;
use super::engine::Engine;
use crate::feed::Network;
use crate::overview::Posted;

/// How long deliveries go on after the run is over.
pub const AT_THE_END: Duration = Duration::from_millis(900);

/// Watches until the run is over, and [`AT_THE_END`] longer at most. `counts` are those of the same configuration.
///
/// It wants a runtime of its own (current-thread, with time and I/O), so that it takes nothing from the run's.
///
/// # Cancel safety
/// Dropped, it leaves neither a connection nor a process behind.
pub async fn watch(
    config: AlertsConfig,
    mut posted: Posted,
    network: Arc<dyn Network>,
    counts: Arc<AlertCounts>,
) {
    let mut engine = Engine::new(&config);
    let (mut deliveries, mut couriers) = Deliveries::new(&config, network, Arc::clone(&counts));
    let (over, is_over) = oneshot::channel::<()>();
    let looking = async {
        while let Some(overview) = posted.next().await {
            let notices = engine.look(&overview);
            counts.look(&engine, &notices);
            notices.into_iter().for_each(|notice| deliveries.push(notice));
            deliveries.tick();
        }
        // The couriers end with what waits, or with the time they have left.
        drop(deliveries);
        drop(over);
    };
    let deadline = async {
        drop(is_over.await);
        sleep(AT_THE_END).await;
    };
    let all_told = tokio::select! {
        biased;
        _ = async { tokio::join!(looking, couriers.run()) } => true,
        () = deadline => false,
    };
    if !all_told {
        couriers.give_up();
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::DuplexStream;
    use tokio::sync::mpsc;
    use tokio::time::Instant;

    use super::*;
    use crate::alerts::counts::Outcome;
    use crate::alerts::defaults;
    use crate::alerts::kind::Kind;
    use crate::alerts::rule::{Severity, Sink};
    use crate::alerts::webhook::{Webhook, WebhookUrl};
    use crate::feed::{ByteStream, Destination, Dialing};
    use crate::overview::{Overview, posted};

    /// A network whose other end says nothing.
    struct Mute(mpsc::Sender<DuplexStream>);

    impl Network for Mute {
        fn dial<'a>(&'a self, _to: Destination<'a>) -> Dialing<'a> {
            let (ours, theirs) = tokio::io::duplex(64 * 1024);
            self.0.try_send(theirs).expect("one connection at a time");
            Box::pin(std::future::ready(Ok(Box::new(ours) as Box<dyn ByteStream>)))
        }
    }

    fn config() -> AlertsConfig {
        let url = WebhookUrl::parse("http://localhost/").unwrap();
        let webhook = Webhook { url, secret: None, allow_private: true };
        let rules = vec![defaults::rule("parse-errors", Kind::ParseErrors, Severity::Warning)];
        AlertsConfig { rules, webhook: Some(webhook), command: None }
    }

    #[tokio::test(start_paused = true)]
    async fn a_receiver_that_hangs_holds_up_the_end_for_less_than_a_second() {
        let config = config();
        let counts = Arc::new(AlertCounts::new(&config));
        let (poster, board) = posted(false);
        let (network, mut dialed) = mpsc::channel(1);
        let watching = tokio::spawn(watch(config, board, Arc::new(Mute(network)), Arc::clone(&counts)));
        let mut overview = Overview::default();
        overview.metrics.parse_errors = 1;
        poster.post(overview);
        let _held = dialed.recv().await.expect("it posts");
        drop(poster);
        let begun = Instant::now();
        watching.await.unwrap();
        assert_eq!(begun.elapsed(), AT_THE_END);
        assert_eq!(counts.deliveries(Sink::Webhook, Outcome::Dropped), 1);
        assert_eq!(counts.deliveries(Sink::Stderr, Outcome::Ok), 1);
        assert_eq!(counts.rules().map(|rule| (rule.fired, rule.firing)).collect::<Vec<_>>(), [(1, 1)]);
    }

    #[tokio::test(start_paused = true)]
    async fn where_nobody_else_is_told_it_goes_on_until_the_run_is_over_and_ends_at_once() {
        let config = AlertsConfig { webhook: None, ..config() };
        let counts = Arc::new(AlertCounts::new(&config));
        let (poster, board) = posted(false);
        let (network, _dialed) = mpsc::channel(1);
        let watching = tokio::spawn(watch(config, board, Arc::new(Mute(network)), Arc::clone(&counts)));
        let mut overview = Overview::default();
        overview.metrics.parse_errors = 1;
        // The last word is heard, too.
        poster.post(overview);
        drop(poster);
        let begun = Instant::now();
        watching.await.unwrap();
        assert_eq!(begun.elapsed(), Duration::ZERO);
        assert_eq!(counts.rules().map(|rule| rule.fired).collect::<Vec<_>>(), [1]);
    }
}
