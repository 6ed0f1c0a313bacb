//! The connection as it is told: moved by inputs alone, so that a recording of them gives the same `state` records.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::link_state::{Change, LinkSettings, LinkState};
use crate::decode::Control;
use crate::feed::LinkChange;
use crate::feed::ShardId;
use crate::pipeline::{Event, Pipeline};
use crate::report::{LinkStatus, Reporter, ShardScope, StateRecord, covered};
use crate::silence::Finding;
use crate::snapshot::{Coverage, Stamp, TradeSource};
use crate::source::{Input, Note, Surroundings};
use crate::units::Symbol;

/// The connection of a shard as it is told, and when it is told again.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Watch {
    shard: ShardId,
    /// What it is called; `None` as long as it is the only one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    place: Option<ShardScope>,
    pub(super) link: LinkState,
    /// What others know about the connection.
    pub(super) around: Surroundings,
    /// The last moment that an input told.
    now: Stamp,
    remind_at: u64,
    reminder: Duration,
    /// What the numbers covered when that was last looked at.
    pub(super) coverage: Coverage,
    /// The changes of holes and doubts that were looked at.
    changes: u64,
    /// Trades that had arrived when that was last looked at.
    arrived: u64,
    /// When the last frame arrived.
    arrived_at: u64,
    /// What is being digested has just come over the connection.
    from_stream: bool,
}

/// What an input let the watch know that is said besides records.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum News {
    /// A symbol is not delivered while others are.
    NotDelivered(usize, Symbol, Finding),
    /// Nobody can trade a symbol now; the exchange's word for it.
    NotTrading(Symbol, String),
    /// A symbol traded, but is not listed.
    Unlisted(Symbol),
}

const FIRST_REMINDER: Duration = Duration::from_secs(3);
const LAST_REMINDER: Duration = Duration::from_secs(60);

impl Watch {
    /// Before the first input.
    pub(super) fn new(shard: ShardId, settings: LinkSettings, now: Stamp) -> Self {
        Self {
            shard,
            place: None,
            link: LinkState::new(settings, now.mono_ns),
            around: Surroundings { shard, ..Surroundings::default() },
            now,
            remind_at: later(now, FIRST_REMINDER),
            reminder: FIRST_REMINDER,
            coverage: Coverage::default(),
            changes: 0,
            arrived: 0,
            arrived_at: now.mono_ns,
            from_stream: false,
        }
    }

    /// Other symbols come over the connection from here on.
    pub(super) fn seat(&mut self, pipeline: &Pipeline) {
        let (shard, market) = (self.shard, pipeline.market_of(self.shard));
        self.link.carries(pipeline.coverages_of(shard).count());
        self.link.forget(|symbol| pipeline.shard_of(market, symbol) != Some(shard));
    }

    /// It is one of several.
    pub(super) fn is_one_of_several(&mut self, pipeline: &Pipeline) {
        let symbols = self.link.settings().symbols;
        self.place = Some(ShardScope { shard: self.shard, market: pipeline.market_of(self.shard), symbols });
    }

    pub(super) fn settings(&self) -> &LinkSettings {
        self.link.settings()
    }

    /// When the last frame arrived; `None` before the first trade.
    pub(super) fn last_frame(&self) -> Option<u64> {
        (self.arrived > 0).then_some(self.arrived_at)
    }

    /// Whether trades are known to arrive, so that another one changes nothing.
    #[inline]
    pub(super) fn is_streaming(&self) -> bool {
        self.link.status == LinkStatus::Streaming
    }

    /// An input is about to be digested.
    #[inline]
    pub(super) fn before(&mut self, input: &Input, pipeline: &Pipeline) {
        self.from_stream = false;
        match input {
            Input::Frame(frame) => {
                self.from_stream = true;
                if let Some(received) = frame.received {
                    self.now = received;
                    self.arrived_at = received.mono_ns;
                }
            }
            Input::Link(event) => {
                self.absorb(pipeline);
                self.now = event.at;
                self.coverage = covered(pipeline.coverages_of(self.shard));
            }
            Input::Reply(reply) => self.now = reply.at,
            Input::Roster(change) => self.now = change.at,
            Input::Tick(now) | Input::Note(Note::Second(now) | Note::Silence { at: now, .. }) => {
                self.now = *now
            }
            Input::Note(_)
            | Input::Evicted { .. }
            | Input::Rows(_)
            | Input::Damaged(_)
            | Input::Lost(_)
            | Input::Begin(_) => {}
        }
    }

    /// What the pipeline says while it digests an input.
    #[inline]
    pub(super) fn heed(&mut self, event: &Event<'_>, reporter: &mut Reporter) {
        match event {
            // A trade that REST brought, or that waited behind a hole, says nothing of the connection.
            Event::Trade(snapshot)
                if !self.is_streaming() && self.from_stream && snapshot.source == TradeSource::Stream =>
            {
                if self.link.settings().symbols == 1 {
                    self.coverage = *snapshot.coverage;
                }
                self.link.traded(self.arrived_at);
                self.look(reporter);
            }
            Event::Control(Control::Ack { .. }) => {
                self.link.acknowledged();
                self.look(reporter);
            }
            Event::Link { event, .. } => {
                match event.change {
                    LinkChange::Opened => self.link.opened(event.session, event.at.mono_ns),
                    LinkChange::Closed => self.link.closed(event.session, event.at.mono_ns),
                }
                self.look(reporter);
            }
            _ => {}
        }
    }

    /// An input is digested. What it lets know besides goes into `news`.
    #[inline]
    pub(super) fn after(
        &mut self,
        input: &Input,
        pipeline: &Pipeline,
        reporter: &mut Reporter,
        news: &mut Vec<News>,
    ) {
        if self.from_stream && !self.is_streaming() && self.absorb(pipeline) {
            self.look(reporter);
        }
        if pipeline.changes(self.shard) != self.changes {
            self.changes = pipeline.changes(self.shard);
            self.cover(pipeline, reporter);
        }
        if let Input::Note(note) = input {
            self.note(note, pipeline, reporter, news);
        }
    }

    /// Records the state.
    fn tell(&self, reporter: &mut Reporter) {
        if self.link.settings().symbols == 0 {
            // All have left; nobody waits for anything here.
            return;
        }
        reporter.state(&StateRecord {
            status: self.link.status,
            seconds: self.now.mono_ns.saturating_sub(self.link.since) as f64 / 1e9,
            cause: self.link.cause.as_ref(),
            at_ms: Some(self.now.wall_ms()),
            coverage: self.coverage,
            shard: self.place,
        });
    }

    fn note(&mut self, note: &Note, pipeline: &Pipeline, reporter: &mut Reporter, news: &mut Vec<News>) {
        self.absorb(pipeline);
        match note {
            Note::Second(_) => {
                self.coverage = covered(pipeline.coverages_of(self.shard));
                self.link.count(self.arrived, self.now.mono_ns);
                self.look(reporter);
                self.remind(reporter);
            }
            Note::Around(around) => {
                if around.shard == self.shard {
                    self.around = around.clone();
                }
            }
            Note::Silence { lane, symbol, finding, .. } => {
                if self.link.found(*lane, symbol, *finding, self.now.mono_ns) {
                    news.push(News::NotDelivered(*lane, symbol.clone(), *finding));
                }
                self.look(reporter);
            }
            Note::Listed { market, not_trading, unlisted } => {
                let is_here = |symbol: &Symbol| pipeline.shard_of(*market, symbol) == Some(self.shard);
                let halted = not_trading.iter().filter(|(symbol, _)| is_here(symbol));
                let halted = halted.map(|(symbol, status)| (symbol.clone(), status.clone())).collect();
                let gone = unlisted.iter().filter(|symbol| is_here(symbol)).cloned().collect();
                let halted = self.link.not_trading(halted).into_iter();
                news.extend(halted.map(|(symbol, status)| News::NotTrading(symbol, status)));
                news.extend(self.link.unlisted(gone).into_iter().map(News::Unlisted));
            }
        }
    }

    /// Takes in that trades have arrived since the last look; whether any have.
    fn absorb(&mut self, pipeline: &Pipeline) -> bool {
        let arrived = pipeline.arrived(self.shard);
        let any = arrived > self.arrived;
        if any {
            self.arrived = arrived;
            self.link.traded(self.arrived_at);
        }
        any
    }

    /// Tells the world what new holes make of the numbers.
    #[cold]
    fn cover(&mut self, pipeline: &Pipeline, reporter: &mut Reporter) {
        let coverage = covered(pipeline.coverages_of(self.shard));
        let has_changed = coverage.quality != self.coverage.quality;
        self.coverage = coverage;
        if has_changed {
            self.tell(reporter);
        }
    }

    /// Tells the state if it has changed.
    fn look(&mut self, reporter: &mut Reporter) {
        match self.link.look(&self.around, self.now) {
            Change::Nothing => {}
            Change::Cause => self.tell(reporter),
            Change::State => {
                self.reminder = FIRST_REMINDER;
                self.remind_at = later(self.now, FIRST_REMINDER);
                self.tell(reporter);
            }
        }
    }

    /// Tells a state that lasts: after 3 s, then ever more rarely, down to once a minute.
    fn remind(&mut self, reporter: &mut Reporter) {
        if self.is_streaming() || self.now.mono_ns < self.remind_at {
            return;
        }
        self.reminder = self.reminder.saturating_mul(2).min(LAST_REMINDER);
        self.remind_at = self.remind_at.saturating_add(self.reminder.as_nanos() as u64);
        self.tell(reporter);
    }
}

fn later(now: Stamp, wait: Duration) -> u64 {
    now.mono_ns.saturating_add(wait.as_nanos() as u64)
}
