//! The state of the connection as it is told, and its cause: pure, time is an argument, in nanoseconds of the monotonic
//! clock.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::feed::SessionId;
use crate::report::LinkStatus;
use crate::silence::{Cause, Finding, Newest, Rate, Route, UNKNOWN_PATIENCE};
use crate::snapshot::Stamp;
use crate::source::Surroundings;
use crate::units::Symbol;

/// A pause of what is lively is no state of its own before.
const SHORTEST_QUIET: Duration = Duration::from_secs(5);
/// No silence counts as streaming for longer; half the heartbeat timeout, if that is shorter.
const LONGEST_STREAMING: Duration = Duration::from_secs(30);
/// A trade within this time shows that only some of the symbols are silent.
const OTHERS_STREAM: Duration = Duration::from_secs(2);
/// An address that carries no trades is named after so long without one.
const WRONG_ROUTE_AFTER: Duration = Duration::from_secs(5);
/// An acknowledgement takes a round trip.
const ACKNOWLEDGED_WITHIN: Duration = Duration::from_secs(10);
/// A symbol that is silent while others stream is told of again after so long.
const SYMBOL_AGAIN: Duration = Duration::from_secs(600);

/// What is told of the connection.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct LinkState {
    pub(super) status: LinkStatus,
    pub(super) since: u64,
    pub(super) cause: Option<Cause>,
    settings: LinkSettings,
    sessions: BTreeSet<SessionId>,
    ever_up: bool,
    acknowledged: bool,
    /// When the connection opened or closed.
    turned_at: u64,
    /// The last trade that this connection brought.
    last_trade: Option<u64>,
    rate: Rate,
    /// The trades that had arrived at the last look, and when it saw some.
    counted: u64,
    counted_at: Option<u64>,
    /// What REST said about lanes since the last trade.
    findings: BTreeMap<usize, (Symbol, Finding)>,
    /// Symbols that nobody can trade now, and the exchange's word for it.
    not_trading: BTreeMap<Symbol, String>,
    /// Symbols that traded, but that the exchange does not list.
    unlisted: BTreeSet<Symbol>,
    /// When a silent symbol was told of last.
    told: BTreeMap<usize, u64>,
}

/// What the state depends on besides what happens.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct LinkSettings {
    /// Whether a subscription has to be acknowledged.
    pub(super) awaits_ack: bool,
    pub(super) route: Route,
    /// How many symbols are followed.
    pub(super) symbols: usize,
    /// How long a silence may be before the feed ends the session.
    pub(super) heartbeat_timeout: Duration,
}

/// What a look changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Change {
    Nothing,
    /// The state is what it was, its cause another.
    Cause,
    State,
}

impl LinkState {
    pub(super) fn new(settings: LinkSettings, now: u64) -> Self {
        Self {
            status: LinkStatus::Connecting,
            since: now,
            cause: None,
            settings,
            sessions: BTreeSet::new(),
            ever_up: false,
            acknowledged: false,
            turned_at: now,
            last_trade: None,
            rate: Rate::default(),
            counted: 0,
            counted_at: None,
            findings: BTreeMap::new(),
            not_trading: BTreeMap::new(),
            unlisted: BTreeSet::new(),
            told: BTreeMap::new(),
        }
    }

    /// What it depends on besides what happens.
    pub(super) fn settings(&self) -> &LinkSettings {
        &self.settings
    }

    /// So many symbols are followed from here on.
    pub(super) fn carries(&mut self, symbols: usize) {
        self.settings.symbols = symbols;
    }

    /// A session opened. Of several only the first changes anything.
    pub(super) fn opened(&mut self, session: SessionId, now: u64) {
        if self.sessions.is_empty() {
            self.ever_up = true;
            self.acknowledged = !self.settings.awaits_ack;
            self.turn(now);
        }
        self.sessions.insert(session);
    }

    /// A session closed. Of several only the last changes anything.
    pub(super) fn closed(&mut self, session: SessionId, now: u64) {
        if self.sessions.remove(&session) && self.sessions.is_empty() {
            self.turn(now);
        }
    }

    fn turn(&mut self, now: u64) {
        self.turned_at = now;
        self.last_trade = None;
        self.counted_at = None;
        self.findings.clear();
    }

    /// A subscription was acknowledged.
    pub(super) fn acknowledged(&mut self) {
        self.acknowledged = true;
    }

    /// Trades of the stream arrived.
    pub(super) fn traded(&mut self, now: u64) {
        if !self.sessions.is_empty() {
            self.last_trade = Some(now);
            self.findings.clear();
        }
    }

    /// REST answered about a lane. Whether its silence is to be told by itself, because others stream.
    pub(super) fn found(&mut self, lane: usize, symbol: &Symbol, finding: Finding, now: u64) -> bool {
        if self.sessions.is_empty() {
            return false;
        }
        self.findings.insert(lane, (symbol.clone(), finding));
        if self.last_trade.is_none_or(|at| since(now, at) >= OTHERS_STREAM) {
            return false;
        }
        let is_due = self.told.get(&lane).is_none_or(|at| since(now, *at) >= SYMBOL_AGAIN);
        let tells = matches!(finding, Finding::NotDelivered { .. }) && is_due;
        if tells {
            self.told.insert(lane, now);
        }
        tells
    }

    /// The symbols that nobody can trade now. Gives those that were not among them before.
    pub(super) fn not_trading(&mut self, symbols: BTreeMap<Symbol, String>) -> Vec<(Symbol, String)> {
        let before = std::mem::replace(&mut self.not_trading, symbols);
        let is_new = |(symbol, status): &(&Symbol, &String)| before.get(*symbol) != Some(*status);
        let fresh = self.not_trading.iter().filter(is_new);
        fresh.map(|(symbol, status)| (symbol.clone(), status.clone())).collect()
    }

    /// The symbols that traded, but that the exchange does not list. Gives those that were not among them before.
    pub(super) fn unlisted(&mut self, symbols: BTreeSet<Symbol>) -> Vec<Symbol> {
        let before = std::mem::replace(&mut self.unlisted, symbols);
        self.unlisted.difference(&before).cloned().collect()
    }

    /// What is known of symbols is forgotten of those that come over another connection now, or over none.
    pub(super) fn forget(&mut self, is_gone: impl Fn(&Symbol) -> bool) {
        self.not_trading.retain(|symbol, _| !is_gone(symbol));
        self.unlisted.retain(|symbol| !is_gone(symbol));
        self.findings.retain(|_, (symbol, _)| !is_gone(symbol));
    }

    /// Once a second: how often trades come, of which so many have arrived by now.
    pub(super) fn count(&mut self, arrived: u64, now: u64) {
        let trades = arrived.saturating_sub(self.counted);
        self.counted = arrived;
        if trades == 0 {
            return;
        }
        if let Some(before) = self.counted_at.replace(now) {
            self.rate.moved(since(now, before), trades);
        }
    }

    /// What the state is now.
    pub(super) fn look(&mut self, around: &Surroundings, now: Stamp) -> Change {
        let (status, since, cause) = self.judge(around, now);
        let word = |cause: &Option<Cause>| cause.as_ref().map(Cause::as_str);
        let change = match (status == self.status, word(&cause) == word(&self.cause)) {
            (false, _) => Change::State,
            (true, false) => Change::Cause,
            (true, true) => Change::Nothing,
        };
        self.cause = cause;
        if change == Change::State {
            (self.status, self.since) = (status, since);
        }
        change
    }

    fn judge(&self, around: &Surroundings, at: Stamp) -> (LinkStatus, u64, Option<Cause>) {
        let now = at.mono_ns;
        if self.sessions.is_empty() {
            let status = if self.ever_up { LinkStatus::Disconnected } else { LinkStatus::Connecting };
            return (status, self.turned_at, around.ended.clone());
        }
        let silent_since = self.last_trade.unwrap_or(self.turned_at);
        let silence = since(now, silent_since);
        let stale = self.stale(silence);
        if !self.acknowledged && self.last_trade.is_none() {
            let is_late = silence >= ACKNOWLEDGED_WITHIN || stale.is_some();
            let cause = is_late.then_some(Cause::NotAcknowledged { waited: silence });
            return (LinkStatus::Connected, silent_since, cause);
        }
        if let Some(cause) = stale {
            return (LinkStatus::Stale, silent_since, Some(cause));
        }
        let patience = self.patience();
        if self.last_trade.is_some() && silence < patience {
            return (LinkStatus::Streaming, now, None);
        }
        match self.quiet(around, at, silence >= patience) {
            Some(cause) => (LinkStatus::Quiet, silent_since, Some(cause)),
            None if self.last_trade.is_some() => (LinkStatus::Quiet, silent_since, None),
            None => (LinkStatus::Subscribed, silent_since, None),
        }
    }

    /// How long a connection that brought trades may bring none and still be streaming.
    fn patience(&self) -> Duration {
        match self.last_trade {
            None => UNKNOWN_PATIENCE,
            Some(_) => {
                let longest = LONGEST_STREAMING.min(self.settings.heartbeat_timeout / 2);
                self.rate.patience(longest).max(SHORTEST_QUIET)
            }
        }
    }

    /// The market trades, or nothing can come at all.
    fn stale(&self, silence: Duration) -> Option<Cause> {
        let never = self.last_trade.is_none();
        if let Route::Wrong(told) = &self.settings.route
            && never
            && silence >= WRONG_ROUTE_AFTER
        {
            return Some(Cause::WrongRoute { told: told.clone() });
        }
        if !never && silence < OTHERS_STREAM {
            return None;
        }
        let mut findings = self.findings.values();
        let (symbol, newest, ours) = findings.find_map(|(symbol, finding)| match finding {
            Finding::NotDelivered { newest, ours } => Some((symbol, newest, ours)),
            Finding::Quiet(_) => None,
        })?;
        let not_delivered = Cause::NotDelivered { symbol: symbol.clone(), newest: *newest, ours: *ours };
        match &self.settings.route {
            Route::Suspected(told) if never => {
                Some(Cause::WrongRoute { told: format!("{not_delivered}; {told}") })
            }
            _ => Some(not_delivered),
        }
    }

    /// Why nobody trades, or why that is not known.
    fn quiet(&self, around: &Surroundings, at: Stamp, is_long: bool) -> Option<Cause> {
        let idle = self.not_trading.len() + self.unlisted.len();
        if idle >= self.settings.symbols.max(1) {
            let halted = self.not_trading.first_key_value().map(|(symbol, status)| Cause::NotTrading {
                symbol: symbol.clone(),
                status: status.clone(),
                others: idle - 1,
            });
            let unknown =
                || self.unlisted.first().map(|symbol| Cause::UnknownSymbol { symbol: symbol.clone() });
            return halted.or_else(unknown);
        }
        let quiet = self.findings.values().filter_map(|(symbol, finding)| match finding {
            Finding::Quiet(newest) => Some((symbol, newest)),
            Finding::NotDelivered { .. } => None,
        });
        let last = quiet.max_by_key(|(_, newest)| newest.map(|newest: Newest| newest.traded_at));
        if let Some((symbol, newest)) = last {
            let exchange_now_ms = at.wall_ms().saturating_add(around.offset_ms);
            let ago = |newest: &Newest| {
                let ms = exchange_now_ms.saturating_sub(newest.traded_at.0);
                Duration::from_millis(u64::try_from(ms).unwrap_or(0))
            };
            let ago = newest.as_ref().map(ago);
            return Some(Cause::QuietMarket { symbol: symbol.clone(), newest: *newest, ago });
        }
        let why = around.trouble.as_ref().filter(|_| is_long)?;
        Some(Cause::NoAnswer { why: why.clone() })
    }
}

/// The time from one moment to another; none if they are the other way round.
fn since(now: u64, at: u64) -> Duration {
    Duration::from_nanos(now.saturating_sub(at))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::units::{AggTradeId, UnixMillis};

    const ONE: SessionId = SessionId(1);
    const TWO: SessionId = SessionId(2);

    /// A state that is looked at by the second.
    struct Story {
        state: LinkState,
        begun: u64,
        arrived: u64,
        around: Surroundings,
    }

    impl Story {
        fn of(settings: LinkSettings) -> Self {
            let begun = 0;
            let state = LinkState::new(settings, begun);
            Self { state, begun, arrived: 0, around: Surroundings::default() }
        }

        fn liquid() -> Self {
            Self::of(LinkSettings {
                symbols: 1,
                heartbeat_timeout: Duration::from_secs(60),
                ..LinkSettings::default()
            })
        }

        fn at(&self, second: u64) -> u64 {
            self.begun + second * 1_000_000_000
        }

        fn look(&mut self, second: u64) -> String {
            let now = self.at(second);
            self.state.count(self.arrived, now);
            let wall_ns = i64::try_from(now).unwrap();
            self.state.look(&self.around, Stamp { wall_ns, mono_ns: now });
            let cause = self.state.cause.as_ref().map_or("", Cause::as_str);
            format!("{} {cause}", self.state.status.as_str()).trim_end().to_owned()
        }

        fn trade(&mut self, second: u64, trades: u64) {
            self.arrived += trades;
            self.state.traded(self.at(second));
            assert_eq!(self.look(second), "streaming");
        }

        fn found(&mut self, second: u64, lane: usize, finding: Finding) -> bool {
            self.state.found(lane, &symbol(lane), finding, self.at(second))
        }
    }

    fn symbol(lane: usize) -> Symbol {
        Symbol::new(["BTCUSDT", "ETHUSDT", "SOLUSDT"][lane]).unwrap()
    }

    fn quiet() -> Finding {
        Finding::Quiet(Some(Newest { id: AggTradeId(7), traded_at: UnixMillis(0) }))
    }

    fn not_delivered() -> Finding {
        Finding::NotDelivered { newest: AggTradeId(9), ours: Some(AggTradeId(7)) }
    }

    #[test]
    fn the_states_of_a_day_from_the_start_to_a_lost_connection() {
        let mut story = Story::liquid();
        story.state.settings.awaits_ack = true;
        assert_eq!(story.look(0), "connecting");
        story.around.ended = Some(Cause::NotConnected { told: "refused".into() });
        assert_eq!(story.look(1), "connecting not_connected");
        story.state.opened(ONE, story.at(2));
        assert_eq!(story.look(2), "connected");
        assert_eq!(story.look(11), "connected");
        assert_eq!(story.look(12), "connected not_acknowledged");
        story.state.acknowledged();
        assert_eq!(story.look(13), "subscribed");
        (14..40).for_each(|second| story.trade(second, 50));
        assert_eq!(story.look(43), "streaming");
        assert_eq!(story.look(44), "quiet", "REST has not answered yet");
        assert!(!story.found(45, 0, quiet()));
        assert_eq!(story.look(45), "quiet quiet_market");
        story.found(50, 0, not_delivered());
        assert_eq!(story.look(50), "stale not_delivered");
        assert_eq!(story.state.since, story.at(39), "since the last trade");
        story.around.ended = Some(Cause::DeadLink { told: "dead".into() });
        story.state.closed(ONE, story.at(52));
        assert_eq!(story.look(52), "disconnected dead_link");
        // What was in flight of the session that is over.
        story.state.traded(story.at(53));
        assert_eq!(story.look(53), "disconnected dead_link");
        story.state.opened(TWO, story.at(54));
        assert_eq!(story.look(54), "connected");
    }

    #[test]
    fn what_trades_rarely_is_streaming_for_longer_than_what_is_lively() {
        for (every, trades, quiet_after) in [(1, 50, 5), (1, 1, 16), (20, 1, 30), (20, 500, 30)] {
            let mut story = Story::liquid();
            story.state.opened(ONE, story.at(0));
            let last = 40 * every;
            for second in 1..=last {
                match second % every {
                    0 => story.trade(second, trades),
                    _ => drop(story.look(second)),
                }
            }
            assert_eq!(story.look(last + quiet_after - 1), "streaming", "{trades} every {every} s");
            assert_eq!(story.look(last + quiet_after), "quiet", "{trades} every {every} s");
        }
    }

    #[test]
    fn what_the_market_is_known_to_do_is_stale_at_once_and_never_streaming() {
        let mut story = Story::liquid();
        story.state.opened(ONE, story.at(0));
        assert_eq!(story.look(1), "subscribed");
        story.found(6, 0, not_delivered());
        for second in 6..600 {
            assert_eq!(story.look(second), "stale not_delivered");
        }
        story.trade(600, 1);
    }

    #[test]
    fn a_wrong_route_is_named_after_five_seconds_without_asking_and_a_suspected_one_once_the_market_trades() {
        let mut story = Story::liquid();
        story.state.settings.route = Route::Wrong("use another".into());
        story.state.opened(ONE, story.at(0));
        assert_eq!((story.look(4), story.look(5)), ("subscribed".into(), "stale wrong_route".into()));
        let mut story = Story::liquid();
        story.state.settings.route = Route::Suspected("use another".into());
        story.state.opened(ONE, story.at(0));
        assert_eq!(story.look(60), "subscribed");
        story.found(61, 0, not_delivered());
        assert_eq!(story.look(61), "stale wrong_route");
        // It brings trades after all: then the route is not to blame.
        story.trade(70, 1);
        story.found(90, 0, not_delivered());
        assert_eq!(story.look(90), "stale not_delivered");
    }

    #[test]
    fn where_rest_cannot_be_asked_a_silence_is_quiet_and_says_why_it_is_not_known_more() {
        let mut story = Story::liquid();
        story.around.trouble = Some("no route to host".into());
        story.state.opened(ONE, story.at(0));
        assert_eq!((story.look(9), story.look(10)), ("subscribed".into(), "quiet no_answer".into()));
        story.trade(11, 1);
        assert_eq!((story.look(20), story.look(21)), ("streaming".into(), "quiet no_answer".into()));
    }

    #[test]
    fn a_halted_symbol_is_named_before_a_quiet_market_and_only_if_no_other_could_trade() {
        let mut story = Story::liquid();
        story.state.settings.symbols = 2;
        story.state.opened(ONE, story.at(0));
        let halted = |lanes: &[usize]| lanes.iter().map(|lane| (symbol(*lane), "HALT".to_owned())).collect();
        assert_eq!(story.state.not_trading(halted(&[0])), [(symbol(0), "HALT".to_owned())]);
        story.found(5, 1, quiet());
        assert_eq!(story.look(5), "quiet quiet_market");
        assert_eq!(story.state.not_trading(halted(&[0, 1])), [(symbol(1), "HALT".to_owned())], "once each");
        assert_eq!(story.look(6), "quiet not_trading");
        let unlisted = [symbol(0), symbol(1)];
        assert_eq!(story.state.unlisted(unlisted.clone().into()), unlisted);
        assert_eq!(story.state.unlisted(unlisted.into()), []);
        story.state.not_trading(halted(&[]));
        assert_eq!(story.look(7), "quiet unknown_symbol");
    }

    #[test]
    fn a_second_session_and_the_end_of_one_of_two_change_nothing() {
        let mut story = Story::liquid();
        story.state.opened(ONE, story.at(0));
        story.trade(1, 5);
        story.state.opened(TWO, story.at(2));
        story.state.closed(ONE, story.at(3));
        assert_eq!(story.look(3), "streaming");
        story.state.closed(TWO, story.at(4));
        assert_eq!(story.look(4), "disconnected");
    }

    #[test]
    fn a_symbol_that_is_not_delivered_while_others_stream_is_told_by_itself_every_ten_minutes() {
        let mut story = Story::liquid();
        story.state.settings.symbols = 3;
        story.state.opened(ONE, story.at(0));
        let mut told = Vec::new();
        for second in 1..1_500 {
            story.trade(second, 10);
            assert!(!story.found(second, 2, quiet()), "nobody trades it");
            if story.found(second, 1, not_delivered()) {
                told.push(second);
            }
            assert_eq!(story.look(second), "streaming");
        }
        assert_eq!(told, [1, 601, 1_201]);
    }
}
