//! Word to the service manager (systemd): ready, alive, stopping.

use std::fmt;
use std::time::Duration;

use sd_notify::NotifyState;
use tokio::time::Instant;

use crate::overview::{Health, Overview};
use crate::snapshot::Quality;

/// How far apart the words about the state are, at least.
const STATUS_APART: Duration = Duration::from_secs(5);

/// Tells the service manager how the run does.
#[derive(Debug)]
pub struct Service {
    /// The service manager kills what it has not heard of for so long.
    watchdog: Option<Duration>,
    is_ready: bool,
    /// When it was told last that we are alive.
    alive_at: Option<Instant>,
    /// When it was told last how we do, and how many trades there were then.
    told: Option<(Instant, u64)>,
}

/// What is to be told.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Word {
    Ready,
    Alive,
    Status(String),
    Stopping,
}

impl Service {
    /// The service manager that the environment names; `None` where there is none.
    pub fn from_environment() -> Option<Self> {
        std::env::var_os("NOTIFY_SOCKET").filter(|socket| !socket.is_empty())?;
        Some(Self::with_watchdog(sd_notify::watchdog_enabled()))
    }

    fn with_watchdog(watchdog: Option<Duration>) -> Self {
        Self { watchdog, is_ready: false, alive_at: None, told: None }
    }

    /// What the run looks like now.
    pub(super) fn heed(&mut self, overview: &Overview, now: Instant) {
        let words = self.words(overview, now);
        tell(&words);
    }

    /// The run has been asked to end.
    pub(super) fn stopping(&self) {
        tell(&[Word::Stopping]);
    }

    /// Ready with the first trade. Alive as long as trades come in, or are known not to happen: a run whose connections
    /// bring nothing is none that is kept alive, however well its timers work.
    fn words(&mut self, overview: &Overview, now: Instant) -> Vec<Word> {
        let mut words = Vec::new();
        let trades = overview.metrics.applied_trades;
        if !self.is_ready && trades > 0 {
            self.is_ready = true;
            words.push(Word::Ready);
        }
        let is_fed = overview.links.iter().any(|link| link.symbols > 0 && link.is_well());
        if let Some(watchdog) = self.watchdog
            && is_fed
            && self.alive_at.is_none_or(|at| now.saturating_duration_since(at) >= watchdog / 4)
        {
            self.alive_at = Some(now);
            words.push(Word::Alive);
        }
        if self.told.is_none_or(|(at, _)| now.saturating_duration_since(at) >= STATUS_APART) {
            let rate = self.told.map(|(at, before)| {
                trades.saturating_sub(before) as f64 / now.saturating_duration_since(at).as_secs_f64()
            });
            self.told = Some((now, trades));
            words.push(Word::Status(status(overview, rate)));
        }
        words
    }
}

/// One line for `systemctl status`.
fn status(overview: &Overview, rate: Option<f64>) -> String {
    let health = Health::of(Some(overview), 0.0);
    let complete = overview.lanes.iter().filter(|lane| lane.summary.coverage.quality == Quality::Complete);
    let (complete, all) = (complete.count(), overview.lanes.len());
    let word = health.verdict().as_str();
    let why = health.reasons.first().map(|reason| format!(" ({})", reason.as_str())).unwrap_or_default();
    let rate = rate.map(|rate| format!(", {rate:.1} trades/s")).unwrap_or_default();
    format!("{word}{why}: {complete} of {all} symbols complete{rate}")
}

fn tell(words: &[Word]) {
    let states: Vec<NotifyState<'_>> = words.iter().map(Word::state).collect();
    if states.is_empty() {
        return;
    }
    if let Err(error) = sd_notify::notify(&states) {
        tracing::debug!(event = "service_untold", "the service manager cannot be told: {error}");
    }
}

impl Word {
    fn state(&self) -> NotifyState<'_> {
        match self {
            Self::Ready => NotifyState::Ready,
            Self::Alive => NotifyState::Watchdog,
            Self::Status(status) => NotifyState::Status(status),
            Self::Stopping => NotifyState::Stopping,
        }
    }
}

impl fmt::Display for Word {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.state())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::feed::ShardId;
    use crate::overview::LinkOverview;
    use crate::report::LinkStatus;
    use crate::silence::Cause;
    use crate::snapshot::Market;

    fn at(status: LinkStatus, cause: Option<Cause>, trades: u64) -> Overview {
        let mut overview = Overview::default();
        overview.metrics.applied_trades = trades;
        overview.links.push(LinkOverview {
            shard: ShardId(0),
            market: Market::UsdM,
            symbols: 1,
            status,
            seconds: 1.0,
            cause,
            connected_s: None,
            last_frame_s: None,
            reconnects: Default::default(),
        });
        overview
    }

    /// What is told second by second, without the states.
    fn told(watchdog_s: Option<u64>, seconds: &[Overview]) -> Vec<String> {
        let mut service = Service::with_watchdog(watchdog_s.map(Duration::from_secs));
        let begun = Instant::now();
        let each = (0..).zip(seconds).map(|(second, overview)| {
            let words = service.words(overview, begun + Duration::from_secs(second));
            let words = words.iter().filter(|word| !matches!(word, Word::Status(_)));
            words.map(ToString::to_string).collect::<Vec<_>>().join(" ")
        });
        each.collect()
    }

    #[test]
    fn ready_comes_with_the_first_trade_and_once() {
        let run = [
            (LinkStatus::Connecting, 0),
            (LinkStatus::Subscribed, 0),
            (LinkStatus::Streaming, 1),
            (LinkStatus::Stale, 2),
        ];
        let run = run.map(|(status, trades)| at(status, None, trades));
        assert_eq!(told(None, &run), ["", "", "READY=1", ""]);
    }

    #[test]
    fn the_watchdog_is_fed_by_trades_and_not_by_the_clock() {
        let streaming = || at(LinkStatus::Streaming, None, 1);
        let dead = |status| at(status, None, 1);
        let quiet = || {
            let symbol = crate::units::Symbol::new("BTCUSDT").unwrap();
            at(LinkStatus::Quiet, Some(Cause::QuietMarket { symbol, newest: None, ago: None }), 1)
        };
        let run = [
            streaming(),
            streaming(),
            dead(LinkStatus::Stale),
            dead(LinkStatus::Disconnected),
            dead(LinkStatus::Connected),
            dead(LinkStatus::Quiet),
            quiet(),
            streaming(),
        ];
        let told = told(Some(4), &run);
        assert_eq!(told, ["READY=1 WATCHDOG=1", "WATCHDOG=1", "", "", "", "", "WATCHDOG=1", "WATCHDOG=1"]);
    }

    #[test]
    fn a_long_watchdog_is_not_fed_every_second() {
        let run = vec![at(LinkStatus::Streaming, None, 1); 9];
        let fed: Vec<_> = told(Some(16), &run).iter().map(|words| words.contains("WATCHDOG")).collect();
        assert_eq!(fed, [true, false, false, false, true, false, false, false, true]);
    }

    #[test]
    fn the_state_says_how_it_does_and_why_not() {
        assert_eq!(
            status(&at(LinkStatus::Streaming, None, 1), Some(2.0)),
            "not_ready (nothing_followed): 0 of 0 symbols complete, 2.0 trades/s"
        );
    }
}
