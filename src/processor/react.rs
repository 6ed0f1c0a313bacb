//! What the pipeline's events mean outside of it: records, occurrences, statistics.

use super::OnTrade;
use super::run_state::RunState;
use super::watch::News;
use crate::decode::Control;
use crate::pipeline::Event;
use crate::report::events::Events;
use crate::report::{Reporter, SymbolRecord};
use crate::silence::Finding;
use crate::snapshot::Snapshot;

/// What an event of the pipeline means outside of it.
#[inline(always)]
pub(super) fn react(
    event: Event<'_>,
    reporter: &mut Reporter,
    events: &Events,
    on_trade: &mut Option<OnTrade>,
    state: &mut RunState,
) {
    if let Some(watches) = &mut state.watches {
        watches.heed(&event, reporter);
    }
    match event {
        Event::Trade(snapshot) => {
            if let Some(observer) = &mut state.observer {
                observer.heed(&snapshot);
            }
            if let (Some(latency_ns), Some(event_at)) = (snapshot.latency_ns(), snapshot.trade.event_at) {
                let at_exchange_ms = event_at.0.saturating_sub(snapshot.trade.traded_at.0);
                state.interval.arrived(at_exchange_ms, latency_ns / 1_000);
                if latency_ns < 0 {
                    events.negative_latency(latency_ns, || state.clock_offset());
                }
            }
            if on_trade.is_some() || reporter.keeps_or_shows(snapshot.lane, snapshot.ordinal) {
                show(&snapshot, reporter, on_trade);
            }
        }
        event => react_to_what_is_rare(event, reporter, events, state),
    }
}

/// Not inlined: a trade that nobody looks at need not even be put together.
#[inline(never)]
fn show(snapshot: &Snapshot<'_>, reporter: &mut Reporter, on_trade: &mut Option<OnTrade>) {
    if let Some(on_trade) = on_trade
        && !reporter.is_silent()
    {
        on_trade(snapshot);
    }
    reporter.keep(snapshot);
    if reporter.shows(snapshot.lane, snapshot.ordinal) {
        reporter.trade(snapshot);
    }
}

#[cold]
fn react_to_what_is_rare(event: Event<'_>, reporter: &mut Reporter, events: &Events, state: &mut RunState) {
    match event {
        Event::Trade(_) => {}
        Event::BadPoint { symbol, trade, bad } => events.bad_point(symbol, trade.id, bad.reason),
        Event::Malformed { session, reason, text } => {
            events.parse_error(reason, text);
            if state.unreadable.last() != Some(&session) {
                state.unreadable.push(session);
            }
        }
        Event::Damaged(line) => events.damaged(line),
        Event::Control(Control::Ack { .. }) | Event::Link { .. } | Event::Other => {}
        Event::LaneOpened { lane, instrument, why } => {
            let at_ms = state.watches.as_ref().map(|watches| watches.now().wall_ms());
            reporter.symbol(&SymbolRecord::Joined { instrument, why, at_ms });
            state.opened.push((lane, instrument.clone()));
            events.joined(instrument, why);
        }
        Event::LaneEnded { summary, why, .. } => {
            events.ended(summary, why);
            let at_ms = state.watches.as_ref().map(|watches| watches.now().wall_ms());
            reporter.symbol(&SymbolRecord::Ended { summary, why, at_ms });
        }
        Event::Control(Control::Error { code, msg, .. }) => events.control_error(code, &msg),
        Event::Unrequested { symbol } => events.unrequested(symbol),
        Event::Gap(gap) => reporter.gap(&gap),
        Event::Bar(bar) => reporter.bar(&bar),
        Event::EmptyBarsLeftOut { symbol, spec, bars, from, to } => {
            events.empty_bars_left_out(symbol, spec, bars, from, to);
        }
        Event::Discarded { symbol, trades, missing } => events.falling_behind(symbol, missing, trades),
        Event::Suspicious { symbol, id, newest } => events.suspicious(symbol, id, newest),
        Event::Shutdown { session } => state.announced.push(session),
    }
}

/// What an input let know about symbols.
#[cold]
pub(super) fn tell_news(events: &Events, state: &mut RunState) {
    for news in state.news.drain(..) {
        match news {
            News::NotDelivered(lane, symbol, finding) => {
                events.symbol_not_delivered(&symbol, finding);
                if let (Some(observer), Finding::NotDelivered { ours, .. }) = (&mut state.observer, finding) {
                    observer.not_delivered(lane, ours);
                }
            }
            News::NotTrading(symbol, status) => events.not_trading(&symbol, &status),
            News::Unlisted(symbol) => events.not_listed(&symbol),
        }
    }
}
