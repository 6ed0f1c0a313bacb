//! From a notice to those who are told: diagnostics at once, the others behind a bounded queue each.

use std::sync::Arc;

use super::command::Command;
use super::config::AlertsConfig;
use super::counts::{AlertCounts, Outcome};
use super::json::json;
use super::mailbox::Mailbox;
use super::notice::Notice;
use super::rule::Sink;
use super::shown::Shown;
use super::webhook::Courier;
use crate::feed::Network;

/// Where notices are handed in. Handing in never waits.
#[derive(Debug)]
pub struct Deliveries {
    counts: Arc<AlertCounts>,
    shown: Shown,
    webhook: Option<Mailbox>,
    command: Option<Mailbox>,
}

/// Who carries notices to the webhook and to the command: one at a time each, and neither waits for the other.
#[derive(Debug)]
pub struct Couriers {
    counts: Arc<AlertCounts>,
    webhook: Option<(Mailbox, Courier)>,
    command: Option<(Mailbox, Command)>,
}

impl Deliveries {
    /// Both ends: one to hand in, one to be run.
    pub fn new(
        config: &AlertsConfig,
        network: Arc<dyn Network>,
        counts: Arc<AlertCounts>,
    ) -> (Self, Couriers) {
        let webhook =
            config.webhook.clone().map(|webhook| (Mailbox::default(), Courier::new(webhook, network)));
        let command =
            config.command.as_deref().and_then(Command::new).map(|command| (Mailbox::default(), command));
        let deliveries = Self {
            counts: Arc::clone(&counts),
            shown: Shown::default(),
            webhook: webhook.as_ref().map(|(mailbox, _)| mailbox.clone()),
            command: command.as_ref().map(|(mailbox, _)| mailbox.clone()),
        };
        (deliveries, Couriers { counts, webhook, command })
    }

    /// Tells whom the notice is for. Where 64 wait already, the oldest goes for it and counts as dropped.
    pub fn push(&mut self, notice: Notice) {
        let sinks = notice.sinks;
        let notice = Arc::new(notice);
        if sinks.has(Sink::Stderr) {
            self.counts.delivery(Sink::Stderr, self.shown.show(&notice));
        }
        for (sink, mailbox) in [(Sink::Webhook, &self.webhook), (Sink::Command, &self.command)] {
            if let Some(mailbox) = mailbox
                && sinks.has(sink)
                && mailbox.push(Arc::clone(&notice))
            {
                self.counts.delivery(sink, Outcome::Dropped);
                self.shown.leave_out(sink);
            }
        }
    }

    /// To be called once a second: tells of what was dropped in the seconds before.
    pub fn tick(&mut self) {
        self.shown.tick();
    }
}

impl Drop for Deliveries {
    /// Nothing more comes: the couriers end with what waits.
    fn drop(&mut self) {
        self.shown.tick();
        for mailbox in [&self.webhook, &self.command].into_iter().flatten() {
            mailbox.close();
        }
    }
}

impl Couriers {
    /// Delivers until the other end is gone and nothing waits.
    ///
    /// # Cancel safety
    /// Dropped, it leaves neither a connection nor a process behind; what was under way is lost.
    pub async fn run(&mut self) {
        let counts = &*self.counts;
        let posting = async {
            let Some((mailbox, courier)) = &mut self.webhook else { return };
            while let Some(notice) = mailbox.next().await {
                let delivered = courier.deliver(json(&notice).into()).await;
                delivered_or_told(counts, Sink::Webhook, &notice, &courier.to(), delivered);
            }
        };
        let running = async {
            let Some((mailbox, command)) = &mut self.command else { return };
            while let Some(notice) = mailbox.next().await {
                let delivered = command.run(&notice).await;
                delivered_or_told(counts, Sink::Command, &notice, &command.to(), delivered);
            }
        };
        tokio::join!(posting, running);
    }

    /// What is not delivered is not delivered any more, and counts as dropped.
    pub fn give_up(&mut self) {
        let mailboxes = [
            (Sink::Webhook, self.webhook.as_ref().map(|(mailbox, _)| mailbox)),
            (Sink::Command, self.command.as_ref().map(|(mailbox, _)| mailbox)),
        ];
        for (sink, mailbox) in mailboxes {
            for _ in 0..mailbox.map_or(0, Mailbox::clear) {
                self.counts.delivery(sink, Outcome::Dropped);
            }
        }
        tracing::warn!(event = "alerts_unfinished", "the run is over before all alerts were delivered");
    }
}

fn delivered_or_told(
    counts: &AlertCounts,
    sink: Sink,
    notice: &Notice,
    to: &str,
    delivered: Result<(), String>,
) {
    let Err(why) = delivered else { return counts.delivery(sink, Outcome::Ok) };
    counts.delivery(sink, Outcome::Failed);
    tracing::error!(
        event = "alert_failed",
        sink = sink.as_str(),
        rule = notice.rule,
        "the alert {} was not delivered to {to}: {why}",
        notice.rule
    );
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::alerts::kind::Kind;
    use crate::alerts::measure::Measure;
    use crate::alerts::notice::{Subject, What};
    use crate::alerts::rule::{Severity, Sinks};
    use crate::feed::SystemNetwork;

    fn notice(at_ms: i64) -> Notice {
        Notice {
            rule: "z".into(),
            on: Kind::Z,
            severity: Severity::Warning,
            what: What::Fired,
            subject: Subject::Run,
            value: Some(Measure::Number(4.0)),
            threshold: Measure::Number(3.0),
            at_ms,
            text: "z".into(),
            sinks: Sinks::default().with(Sink::Command),
        }
    }

    #[tokio::test]
    async fn where_too_many_wait_the_oldest_goes_and_is_counted() {
        let config = AlertsConfig { command: Some(vec!["true".into()]), ..AlertsConfig::default() };
        let counts = Arc::new(AlertCounts::new(&config));
        let network = Arc::new(SystemNetwork::default());
        let (mut deliveries, couriers) = Deliveries::new(&config, network, Arc::clone(&counts));
        (0..70).for_each(|at| deliveries.push(notice(at)));
        assert_eq!(counts.deliveries(Sink::Command, Outcome::Dropped), 6);
        drop(deliveries);
        let (mailbox, _) = couriers.command.as_ref().unwrap();
        let mut told = Vec::new();
        while let Some(notice) = mailbox.next().await {
            told.push(notice.at_ms);
        }
        assert_eq!(told, (6..70).collect::<Vec<_>>());
    }
}
