//! The stream: whether it opens, and whether trades come over it. The feed itself makes the connection.

use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until};

use super::address::millis;
use super::finding::{Check, Finding};
use super::refusal::remedy;
use super::rest::{Rest, newest};
use super::route::{Witness, silence};
use super::wanted::Probe;
use super::{DoctorLimits, Subject};
use crate::decode::{Control, Message, decode};
use crate::feed::endpoint::Endpoint;
use crate::feed::liveness::LivenessLimits;
use crate::feed::{FeedError, FeedEvent, LinkChange, Live, LiveSettings, Network};
use crate::queue::{Receiver, drop_oldest};
use crate::repair::rest::RestClient;
use crate::report::events::chain;
use crate::source::{Burst, Input, Source};
use crate::text::escaped;

/// Opens the stream, listens, and says what it heard about both.
pub(super) async fn check(
    subject: &Subject,
    network: &Arc<dyn Network>,
    probe: &Probe,
    rest: &mut Rest,
) -> Vec<Finding> {
    let Probe { endpoint, sample } = probe;
    let Subject { config, limits, clock, .. } = subject;
    let (sender, receiver) = drop_oldest(config.queue);
    let (stop, stopped) = watch::channel(false);
    let story = Story { end: Mutex::default(), stop: &stop };
    let observer = |event: FeedEvent<'_>| story.hear(event);
    let settings = LiveSettings {
        liveness: LivenessLimits::with_heartbeat(config.heartbeat_timeout),
        backoff_max: config.backoff_max,
        jitter_seed: None,
        ..LiveSettings::of(endpoint.clone())
    };
    let live = match Live::new(settings, sender, &observer, *clock) {
        Ok(live) => live.with_network(Arc::clone(network)),
        Err(error) => return unopened(Finding::fail(Check::Stream, chain(&error), "check --url")),
    };
    let mut ears = Ears {
        endpoint,
        sample,
        limits: *limits,
        expecting: rest.no_trades.is_none(),
        began: Instant::now(),
        heard: Heard::default(),
    };
    let listening = async {
        let witness = ears.listen(receiver, rest.client.as_mut()).await;
        stop.send_replace(true);
        witness
    };
    let (run, witness) = tokio::join!(live.run(stopped), listening);
    let end = story.end().take();
    match (run, end) {
        (Err(FeedError::Refused { remedy, cause, .. }), _) => {
            unopened(Finding::fail(Check::Stream, chain(&*cause), remedy))
        }
        (Err(error), _) => unopened(Finding::fail(Check::Stream, chain(&error), "check --url")),
        (Ok(()), Some(End::Failed(finding))) => unopened(finding),
        (Ok(()), Some(End::Ended(how))) => ears.cut(how),
        (Ok(()), None) => ears.verdict(rest.no_trades.as_deref(), witness),
    }
}

fn unopened(stream: Finding) -> Vec<Finding> {
    vec![stream, Finding::skipped(Check::Route, "the stream does not open")]
}

/// How the connection came to its end, if it did so by itself; then the feed is to stop.
struct Story<'a> {
    end: Mutex<Option<End>>,
    stop: &'a watch::Sender<bool>,
}

enum End {
    /// It never stood.
    Failed(Finding),
    /// It stood.
    Ended(String),
}

impl Story<'_> {
    fn hear(&self, event: FeedEvent<'_>) {
        let end = match event {
            FeedEvent::Failed { error, .. } => {
                End::Failed(Finding::fail(Check::Stream, chain(error), remedy(error)))
            }
            FeedEvent::Ended { end, .. } => End::Ended(escaped(end.to_string().as_bytes())),
            _ => return,
        };
        self.end().get_or_insert(end);
        self.stop.send_replace(true);
    }

    fn end(&self) -> MutexGuard<'_, Option<End>> {
        self.end.lock().expect("no thread panics with it in hand, because nothing in it can")
    }
}

/// What came.
#[derive(Debug, Default)]
struct Heard {
    opened: Option<Duration>,
    acknowledged: bool,
    /// The exchange's refusal of what was subscribed to.
    refusal: Option<String>,
    trades: u64,
    first_trade: Option<Instant>,
    last_trade: Option<Instant>,
    malformed: u64,
    others: u64,
}

struct Ears<'a> {
    endpoint: &'a Endpoint,
    /// Of how many symbols this is a sample; empty if it is all of them.
    sample: &'a str,
    limits: DoctorLimits,
    /// Whether a trade is worth waiting for.
    expecting: bool,
    began: Instant,
    heard: Heard,
}

impl Ears<'_> {
    /// Listens until there is nothing more to learn; for a silence it calls REST as a witness.
    async fn listen(&mut self, mut receiver: Receiver, client: Option<&mut RestClient>) -> Witness {
        let symbol = self.endpoint.symbols.first().cloned();
        let mut burst = Burst::default();
        let mut before = None;
        let Some(client) = client else {
            loop {
                tokio::select! {
                    biased;
                    more = receiver.next(&mut burst) => match more {
                        Ok(true) => self.take(&burst),
                        _ => return Witness::Absent,
                    },
                    () = sleep_until(self.deadline()) => return Witness::Absent,
                }
            }
        };
        {
            // Late enough that a trade has come by then where the route is good: the question costs weight.
            let pause = self.limits.data / 5;
            let mut early = Box::pin(async {
                sleep(pause).await;
                newest(client, symbol.clone()).await
            });
            loop {
                let silent = self.expecting && self.heard.opened.is_some() && self.heard.trades == 0;
                tokio::select! {
                    biased;
                    more = receiver.next(&mut burst) => match more {
                        Ok(true) => self.take(&burst),
                        _ => return Witness::Absent,
                    },
                    answer = &mut early, if silent && before.is_none() => before = Some(answer),
                    () = sleep_until(self.deadline()) => break,
                }
            }
        }
        match before {
            Some(Ok(before)) if self.heard.trades == 0 => match newest(client, symbol.clone()).await {
                Ok(after) => Witness::Saw(before, after),
                Err(_) => Witness::Absent,
            },
            _ => Witness::Absent,
        }
    }

    /// Until when there is something to learn.
    fn deadline(&self) -> Instant {
        let Self { limits, heard, .. } = self;
        let Some(opened) = heard.opened else { return self.began + limits.open };
        let opened = self.began + opened;
        match heard.first_trade {
            _ if heard.refusal.is_some() => opened,
            Some(first) => first + limits.sample,
            None if self.expecting => opened + limits.data,
            // The acknowledgement is all that can come.
            None if heard.acknowledged || self.endpoint.subscribe.is_empty() => opened,
            None => opened + limits.sample,
        }
    }

    fn take(&mut self, burst: &Burst) {
        let now = Instant::now();
        for input in &burst.inputs {
            match input {
                Input::Link(link) if link.change == LinkChange::Opened => {
                    self.heard.opened.get_or_insert(now.duration_since(self.began));
                }
                Input::Frame(frame) => self.read(frame.text.as_bytes(), now),
                _ => {}
            }
        }
    }

    fn read(&mut self, text: &[u8], now: Instant) {
        let heard = &mut self.heard;
        match decode(text) {
            Message::Trade { symbol, .. } => {
                if self.endpoint.symbols.iter().any(|wanted| wanted.as_str() == symbol) {
                    heard.trades += 1;
                    heard.first_trade.get_or_insert(now);
                    heard.last_trade = Some(now);
                }
            }
            Message::Control(Control::Ack { .. }) => heard.acknowledged = true,
            Message::Control(Control::Error { code, msg, .. }) => {
                heard.refusal.get_or_insert_with(|| format!("{code}: {}", escaped(msg.as_bytes())));
            }
            Message::Malformed(_) => heard.malformed += 1,
            Message::Other { .. } => heard.others += 1,
        }
    }

    /// It opened, and ended by itself.
    fn cut(&self, how: String) -> Vec<Finding> {
        let said = format!("{} opened and was ended: {how}", self.endpoint.display);
        let remedy = "try again; if it goes on, look for a firewall or a proxy that cuts connections";
        let route = match self.heard.trades {
            0 => Finding::skipped(Check::Route, "the stream ended before a trade came"),
            _ => self.route(),
        };
        vec![Finding::fail(Check::Stream, said, remedy), route]
    }

    fn verdict(&self, no_trades: Option<&str>, witness: Witness) -> Vec<Finding> {
        let Self { endpoint, sample, limits, heard, .. } = self;
        let Some(opened) = heard.opened else {
            let said = format!("{} did not open within {}", endpoint.display, millis(limits.open));
            let remedy =
                "somebody takes the connection and never answers: check for a firewall or a proxy in between";
            return unopened(Finding::fail(Check::Stream, said, remedy));
        };
        if let Some(refusal) = &heard.refusal {
            let said = format!("{} opened, but refused the subscription with {refusal}", endpoint.display);
            let stream = Finding::fail(Check::Stream, said, "check --url and --symbol");
            return vec![stream, Finding::skipped(Check::Route, "nothing is subscribed to")];
        }
        let acknowledged = if heard.acknowledged { " and acknowledged" } else { "" };
        let said = format!("{} opened{acknowledged} in {}{sample}", endpoint.display, millis(opened));
        let route = match (heard.trades, no_trades) {
            (1.., _) => self.route(),
            (0, Some(reason)) => {
                Finding::skipped(Check::Route, format!("no trade can be expected: {reason}"))
            }
            (0, None) if heard.malformed > 0 => Finding::fail(
                Check::Route,
                format!("{} messages came, and none can be read as the exchange's", heard.malformed),
                "check --url, and for something in between that changes messages",
            ),
            (0, None) => silence(endpoint, heard.acknowledged, limits.data, witness),
        };
        vec![Finding::ok(Check::Stream, said).took(opened), route]
    }

    /// Trades came.
    fn route(&self) -> Finding {
        let Heard { opened, first_trade, last_trade, trades, malformed, .. } = &self.heard;
        let opened = self.began + opened.unwrap_or_default();
        let since = |moment: &Option<Instant>| moment.map_or(Duration::ZERO, |at| at.duration_since(opened));
        let (first, all) = (since(first_trade), since(last_trade));
        let count = if *trades == 1 { "1 trade".to_owned() } else { format!("{trades} trades") };
        let said =
            format!("first trade after {:.1} s, {count} in {:.1} s", first.as_secs_f64(), all.as_secs_f64());
        match malformed {
            0 => Finding::ok(Check::Route, said).took(first),
            _ => Finding::warn(
                Check::Route,
                format!("{said}; {malformed} messages cannot be read"),
                "something in between changes messages, or the exchange changed its format; report it",
            ),
        }
    }
}
