//! The sequence of a lane's ids: in goes whatever arrives, out comes every id once and in order, or the news that
//! some will not come. Pure: no clock, no I/O.
//!
//! Only the aggregate id `a` counts; jumps from a trade's `l` to the next one's `f` are normal. While nothing is out
//! of order a trade costs one comparison and one copy ([`Sequence::in_order`]). Everything else goes through
//! [`Sequence::offer`], whose consequences are taken out one by one with [`Sequence::next_step`].

mod holes;
mod recent;
mod state;
mod step;
mod suspects;

use std::collections::{BTreeMap, VecDeque};

use holes::{Filled, Holes, OpenHole};
use recent::{Recent, same_content};
pub(crate) use state::MOST_COUNTED;
pub use state::{SequenceState, SequenceStateError};
pub use step::{Arrival, Change, SequenceCounts, Step};
use suspects::Suspects;

use serde::{Deserialize, Serialize};

use crate::repair::Hole;
use crate::snapshot::{GapCause, Quality, Stamp};
use crate::trade::AggTrade;
use crate::units::{AggTradeId, IdRange, UnixMillis};

/// An id farther than this ahead of all others is suspicious: believed when REST or its neighbours confirm it.
pub const FAR: i64 = 100_000;
/// A confirmed jump farther than this is no hole but a new numbering.
pub const MAX_GAP: i64 = 1_000_000_000;
/// Ranges of ids that were given up and are remembered, in case they come late.
const GIVEN_UP_REMEMBERED: usize = 64;
/// No id is larger: what claims to be is never believed.
const MAX_ID: i64 = i64::MAX / 2;

/// A trade that waits for its turn.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
struct Held {
    arrival: Arrival,
    /// It belonged to a hole.
    repaired: bool,
}

/// The ids of one lane.
///
/// What the next trade in order touches stands together at the front.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[repr(C)]
pub struct Sequence {
    /// The id that comes next.
    next: i64,
    /// The newest time of a trade that was delivered or is held: what is older cannot belong to a newer numbering.
    newest: UnixMillis,
    recent: Recent,
    /// No id is known beyond the last one delivered, and none is suspicious.
    plain: bool,
    started: bool,
    /// The largest id that is known to exist.
    known: i64,
    first: i64,
    /// Given up in this epoch.
    missing: u64,
    /// The last ids of the epoch that were given up: late, they are no new numbering.
    given_up: VecDeque<IdRange>,
    holes: Holes,
    /// Holes that are filled, but behind one that is not: news only when that is.
    filled: VecDeque<OpenHole>,
    /// Trades behind a hole, by id.
    held: BTreeMap<i64, Held>,
    suspects: Suspects,
    /// A confirmed new numbering, which begins when everything before is delivered or given up.
    restart: VecDeque<Arrival>,
    notices: VecDeque<Step>,
    holes_changed: bool,
    counts: SequenceCounts,
    /// Whether anybody can be asked for missing trades.
    repairs: bool,
    /// Several connections bring these trades: what one has passed over another may be about to bring.
    grace: bool,
    hold_limit: usize,
}

impl Sequence {
    /// A sequence before its first trade. `repairs` tells whether holes can be repaired; without that they are given
    /// up as they are found. At most `hold_limit` trades (at least 1) wait behind a hole.
    pub fn new(repairs: bool, hold_limit: usize) -> Self {
        Self {
            next: 0,
            plain: false,
            started: false,
            known: -1,
            first: 0,
            missing: 0,
            given_up: VecDeque::new(),
            newest: UnixMillis(i64::MIN),
            recent: Recent::default(),
            holes: Holes::default(),
            filled: VecDeque::new(),
            held: BTreeMap::new(),
            suspects: Suspects::default(),
            restart: VecDeque::new(),
            notices: VecDeque::new(),
            holes_changed: false,
            counts: SequenceCounts::default(),
            repairs,
            grace: false,
            hold_limit: hold_limit.max(1),
        }
    }

    /// Whether several connections bring these trades. Then a hole is a doubt at first, told to nobody, until
    /// [`Sequence::believe_holes`].
    pub fn set_grace(&mut self, grace: bool) {
        self.grace = grace;
    }

    /// When the oldest hole that is only a doubt was found.
    pub fn tentative_since(&self) -> Option<Stamp> {
        self.holes.tentative_since()
    }

    /// Turns doubts into holes: those of which `is_lost` says so, by what is missing and when that was found.
    pub fn believe_holes(&mut self, is_lost: impl Fn(IdRange, Stamp) -> bool) {
        for hole in self.holes.tentative() {
            if hole.opened_at.is_none_or(|at| is_lost(hole.missing(), at)) {
                // What came in between was never missing.
                hole.begin_account();
                hole.tentative = false;
                hole.given_up = !self.repairs;
                self.counts.gaps += 1;
                self.notices.push_back(Step::Opened(hole.change(hole.found.count())));
                self.holes_changed = true;
            }
        }
    }

    /// Whether this trade was delivered or waits for its turn, with the same content as far as that is remembered.
    pub fn has(&self, trade: &AggTrade) -> bool {
        let id = trade.id.0;
        let known = self.held.get(&id).map(|held| &held.arrival.trade).or_else(|| self.recent.find(id));
        known.map_or(self.started && id >= self.first && id < self.next, |known| same_content(known, trade))
    }

    /// Whether a trade is the next one and nothing else is the matter; then it counts as delivered. Otherwise it is
    /// to be offered.
    #[inline]
    pub fn in_order(&mut self, trade: &AggTrade) -> bool {
        if trade.id.0 != self.next || !self.plain {
            return false;
        }
        self.deliver(trade);
        true
    }

    /// How many of these trades, from the first on, are the next ones while nothing else is the matter; they count as
    /// delivered.
    #[inline]
    pub fn in_order_run(&mut self, trades: &[AggTrade]) -> usize {
        if !self.plain {
            return 0;
        }
        let mut newest = self.newest;
        let ids = self.next..;
        let is_next = |(id, trade): &(i64, &AggTrade)| *id == trade.id.0;
        let run = ids
            .zip(trades)
            .take_while(is_next)
            .inspect(|(_, trade)| newest = newest.max(trade.traded_at))
            .count();
        if let [.., last] = &trades[..run] {
            self.next = last.id.0 + 1;
            self.newest = newest;
            self.recent.remember_all(&trades[..run]);
        }
        run
    }

    /// Takes a trade from the stream or a file. `cause` is where trades before it were lost if it shows that some
    /// were; `at` is now.
    pub fn offer(&mut self, arrival: Arrival, cause: GapCause, at: Option<Stamp>) {
        self.catch_up();
        let id = arrival.trade.id.0;
        if id > MAX_ID {
            self.counts.implausible += 1;
        } else if !self.started {
            self.begin(id);
            self.hold(arrival, false);
        } else if id < self.next {
            self.behind(arrival);
        } else if id - self.known > FAR {
            self.suspect(arrival, cause, at);
        } else {
            self.drop_suspects();
            self.ahead(arrival, cause, at);
        }
    }

    /// REST has brought trades from one id to another; their [`Sequence::offer_repair`] follows.
    pub fn begin_page(&mut self, ids: IdRange) {
        self.holes.count_page(ids.from.0, ids.to.0);
    }

    /// Takes a trade from REST: a missing one is filled in, any other is only compared with what is known of it.
    pub fn offer_repair(&mut self, arrival: Arrival) {
        self.catch_up();
        let id = arrival.trade.id.0;
        if !self.started || id > self.known {
            return;
        }
        if let Some(known) =
            self.held.get(&id).map(|held| held.arrival.trade).or_else(|| self.recent.find(id).copied())
        {
            if !same_content(&known, &arrival.trade) {
                self.contradict(known, arrival.trade);
            }
        } else if id == self.next || id > self.next && self.held.len() < self.hold_limit {
            self.fill(arrival);
        }
    }

    /// REST has trades up to this id, which have not come: they are lost.
    pub fn exists(&mut self, id: AggTradeId, cause: GapCause, at: Option<Stamp>) {
        self.catch_up();
        let id = id.0;
        if self.started && id > self.known && id - self.known <= MAX_GAP && id <= MAX_ID {
            // REST has them already: no connection is about to bring them.
            let grace = std::mem::replace(&mut self.grace, false);
            self.open(IdRange::new(self.known + 1, id), cause, at);
            self.grace = grace;
            self.known = id;
        }
    }

    /// REST's newest id, asked for because of suspicious ones: confirms them or shows that they are nonsense.
    pub fn confirm(&mut self, newest: AggTradeId, cause: GapCause, at: Option<Stamp>) {
        self.catch_up();
        let (Some(first), newest) = (self.suspects.first_id(), newest.0) else { return };
        let ahead = first > self.known;
        if ahead && newest >= first {
            self.believe(cause, at);
        } else if !ahead && newest >= first && newest < self.known.saturating_sub(FAR) {
            self.begin_anew();
        } else if newest >= self.known.saturating_sub(FAR) {
            self.drop_suspects();
        }
    }

    /// What of these ids is missing will not come.
    pub fn give_up(&mut self, ids: IdRange) {
        self.holes.give_up(ids);
        self.holes_changed = true;
    }

    /// Discards what is held; it joins the hole. To be called when the room of all sequences together is used up.
    pub fn discard_held(&mut self) {
        let trades = self.held.len() as u64;
        if trades == 0 || !self.repairs || self.holes.is_empty() {
            return;
        }
        self.held.clear();
        self.filled.clear();
        self.counts.gaps += u64::from(self.holes.first().is_some_and(|hole| hole.tentative));
        if let Some(hole) = self.holes.merge(self.known) {
            let ids = hole.missing();
            self.notices.push_back(Step::Discarded { trades });
            self.notices.push_back(Step::Opened(Change { ids, ..hole.change(ids.count()) }));
            self.holes_changed = true;
        }
    }

    /// Nothing more will come: what was suspicious remains nonsense.
    pub fn finish(&mut self) {
        self.believe_holes(|_, _| true);
        self.drop_suspects();
    }

    /// The next consequence of what was offered; `None` when there is no more. To be asked until then.
    pub fn next_step(&mut self) -> Option<Step> {
        if let Some(notice) = self.notices.pop_front() {
            return Some(notice);
        }
        if let Some(repaired) = self.take_repaired() {
            return Some(repaired);
        }
        if let Some(hole) = self.holes.first()
            && hole.given_up
            && hole.missing().from.0 == self.next
        {
            let hole = self.holes.take_first()?;
            return Some(self.pass_over(&hole));
        }
        if let Some(entry) = self.held.first_entry()
            && *entry.key() == self.next
        {
            let Held { arrival, repaired } = entry.remove();
            self.counts.repaired += u64::from(repaired);
            self.deliver(&arrival.trade);
            return Some(Step::Trade(arrival));
        }
        if self.restart.is_empty() || !self.holes.is_empty() {
            self.plain = self.started && self.holes.is_empty() && self.suspects.is_empty();
            return None;
        }
        Some(self.restart())
    }

    /// The holes that somebody waits for, ascending.
    pub fn holes(&self) -> impl Iterator<Item = Hole> + '_ {
        self.holes.wanted()
    }

    /// Whether the holes have changed since this was asked last.
    pub fn take_holes_changed(&mut self) -> bool {
        std::mem::take(&mut self.holes_changed)
    }

    /// Whether there are ids that REST should confirm or deny.
    pub fn is_in_doubt(&self) -> bool {
        !self.suspects.is_empty()
    }

    /// From the first missing id to the last, while a hole is open.
    pub fn open_range(&self) -> Option<IdRange> {
        let (first, last) = (self.holes.true_ones().next()?, self.holes.true_ones().next_back()?);
        Some(IdRange { from: first.missing().from, to: last.missing().to })
    }

    /// How many trades wait behind a hole.
    pub fn held(&self) -> usize {
        self.held.len()
    }

    /// The largest id that is known to exist.
    pub fn newest_known(&self) -> Option<AggTradeId> {
        self.started.then_some(AggTradeId(self.known.max(self.next - 1)))
    }

    /// The first id of the epoch.
    pub fn first_id(&self) -> Option<AggTradeId> {
        (self.started && self.next > self.first).then_some(AggTradeId(self.first))
    }

    /// The last id of the epoch that was delivered or given up.
    pub fn last_id(&self) -> Option<AggTradeId> {
        self.first_id().map(|_| AggTradeId(self.next - 1))
    }

    /// Trades of the epoch that were given up.
    pub fn missing(&self) -> u64 {
        self.missing
    }

    /// Whether everything from the first id to the last delivered one was delivered.
    pub fn quality(&self) -> Quality {
        if self.open_range().is_some() {
            Quality::Repairing
        } else if self.missing > 0 {
            Quality::Missing
        } else {
            Quality::Complete
        }
    }

    /// What was counted since the beginning.
    pub fn counts(&self) -> SequenceCounts {
        self.counts
    }

    /// Trades that came in order moved `next` alone.
    fn catch_up(&mut self) {
        self.known = self.known.max(self.next - 1);
    }

    fn begin(&mut self, first: i64) {
        self.started = true;
        (self.first, self.next, self.known) = (first, first, first - 1);
    }

    #[inline]
    fn deliver(&mut self, trade: &AggTrade) {
        self.next = trade.id.0 + 1;
        self.newest = self.newest.max(trade.traded_at);
        self.recent.remember(trade);
    }

    /// An id that has not been delivered, at a distance that is believable.
    fn ahead(&mut self, arrival: Arrival, cause: GapCause, at: Option<Stamp>) {
        let id = arrival.trade.id.0;
        if let Some(held) = self.held.get(&id).copied() {
            self.repeated(held.arrival.trade, arrival.trade);
        } else if id <= self.known {
            self.fill(arrival);
        } else {
            if id > self.known + 1 {
                self.open(IdRange::new(self.known + 1, id - 1), cause, at);
            }
            self.hold(arrival, false);
        }
    }

    /// An id below the next one: a repetition, a contradiction, or a new numbering.
    fn behind(&mut self, arrival: Arrival) {
        let trade = arrival.trade;
        let known = self.recent.find(trade.id.0).copied();
        if known.is_some_and(|known| same_content(&known, &trade)) {
            self.counts.duplicates += 1;
            return;
        }
        // A new numbering goes on in time where the old one ended; a repetition does not.
        let may_be_new = match known {
            Some(_) => trade.traded_at > self.newest,
            None => trade.traded_at >= self.newest,
        };
        let is_late = self.given_up.iter().any(|ids| (ids.from..=ids.to).contains(&trade.id));
        if may_be_new && !is_late {
            if !self.suspects.is_empty() && !self.suspects.continued_by(trade.id.0) {
                self.drop_suspects();
            }
            self.counts.duplicates += self.suspects.add(arrival);
            if self.suspects.confirm_each_other() && trade.traded_at > self.newest {
                self.begin_anew();
            }
        } else if let Some(known) = known {
            self.repeated(known, trade);
        } else {
            self.counts.duplicates += 1;
        }
    }

    /// An id far ahead of all others.
    fn suspect(&mut self, arrival: Arrival, cause: GapCause, at: Option<Stamp>) {
        if arrival.trade.traded_at < self.newest {
            // Of an older numbering, perhaps; never the continuation of this one.
            self.counts.implausible += 1;
            return;
        }
        if !self.suspects.is_empty() && !self.suspects.continued_by(arrival.trade.id.0) {
            self.drop_suspects();
        }
        self.counts.implausible += self.suspects.add(arrival);
        // A repetition of an older numbering is consecutive too, but not newer than what has come since.
        let is_hole = self.suspects.first_id().is_some_and(|first| first - self.known <= MAX_GAP);
        if self.suspects.confirm_each_other() && (is_hole || arrival.trade.traded_at > self.newest) {
            self.believe(cause, at);
        }
    }

    /// What is far ahead is true: a hole, or a new numbering if no hole can be so large.
    fn believe(&mut self, cause: GapCause, at: Option<Stamp>) {
        match self.suspects.first_id() {
            Some(first) if first - self.known <= MAX_GAP => {
                for arrival in self.suspects.take() {
                    self.ahead(arrival, cause, at);
                }
            }
            Some(_) => self.begin_anew(),
            None => {}
        }
    }

    /// The suspects begin a new numbering. What is missing of the old one cannot be had any more.
    fn begin_anew(&mut self) {
        self.restart = self.suspects.take();
        self.believe_holes(|_, _| true);
        if let Some(open) = self.open_range() {
            self.give_up(open);
        }
    }

    /// The suspects are nobody's: repetitions, or nonsense.
    fn drop_suspects(&mut self) {
        for arrival in self.suspects.take() {
            let trade = arrival.trade;
            match self.recent.find(trade.id.0).copied() {
                Some(known) => self.repeated(known, trade),
                None if trade.id.0 < self.next => self.counts.duplicates += 1,
                None => self.counts.implausible += 1,
            }
        }
    }

    fn open(&mut self, ids: IdRange, cause: GapCause, at: Option<Stamp>) {
        let after = self.held.last_key_value().map_or(self.newest, |(_, held)| held.arrival.trade.traded_at);
        let mut hole = OpenHole::new(ids, cause, at, after);
        if self.grace && at.is_some() {
            hole.tentative = true;
        } else {
            hole.given_up = !self.repairs;
            self.counts.gaps += 1;
            self.notices.push_back(Step::Opened(hole.change(ids.count())));
            self.holes_changed = true;
        }
        self.holes.open(hole);
    }

    /// A trade of a hole has come.
    fn fill(&mut self, arrival: Arrival) {
        let trade = &arrival.trade;
        match self.holes.fill(trade.id.0, trade.traded_at) {
            // Another connection brought it in time.
            Ok(Filled { tentative: true, .. }) => self.hold(arrival, false),
            Ok(Filled { whole, .. }) => {
                self.holes_changed = true;
                if let Some(hole) = whole {
                    let place = self.filled.partition_point(|other| other.found < hole.found);
                    self.filled.insert(place, hole);
                }
                self.hold(arrival, true);
            }
            // Known to exist and neither held nor missing: it is not below `next` either, so this cannot be.
            Err(()) => self.counts.duplicates += 1,
        }
    }

    fn hold(&mut self, arrival: Arrival, repaired: bool) {
        let id = arrival.trade.id.0;
        self.known = self.known.max(id);
        self.newest = self.newest.max(arrival.trade.traded_at);
        self.held.insert(id, Held { arrival, repaired });
        if self.held.len() > self.hold_limit && id != self.next {
            self.discard_held();
        }
    }

    fn repeated(&mut self, kept: AggTrade, again: AggTrade) {
        self.counts.duplicates += 1;
        if !same_content(&kept, &again) {
            self.contradict(kept, again);
        }
    }

    fn contradict(&mut self, kept: AggTrade, refused: AggTrade) {
        self.counts.conflicts += 1;
        self.notices.push_back(Step::Conflict { kept, refused });
    }

    /// The news of a hole that is filled, once nothing before it is missing; and of what has come of one that is given
    /// up otherwise.
    fn take_repaired(&mut self) -> Option<Step> {
        let first = self.holes.first().copied();
        if let Some(filled) = self.filled.front()
            && first.is_none_or(|hole| filled.found.from < hole.missing().from)
        {
            let filled = self.filled.pop_front()?;
            return Some(Step::Repaired(filled.change(filled.found.count())));
        }
        let hole =
            first.filter(|hole| hole.given_up && hole.missing().from.0 == self.next && hole.filled() > 0)?;
        self.holes.tell_filled();
        Some(Step::Repaired(hole.change(hole.filled())))
    }

    /// Goes on behind ids that were given up.
    fn pass_over(&mut self, hole: &OpenHole) -> Step {
        let missing = hole.missing();
        self.next = missing.to.0 + 1;
        self.missing += missing.count();
        if self.given_up.len() == GIVEN_UP_REMEMBERED {
            self.given_up.pop_front();
        }
        self.given_up.push_back(missing);
        self.counts.missing += missing.count();
        self.holes_changed = true;
        Step::Unrepaired(Change { ids: missing, ..hole.change(missing.count()) })
    }

    fn restart(&mut self) -> Step {
        let run = std::mem::take(&mut self.restart);
        self.recent.forget();
        self.given_up.clear();
        self.missing = 0;
        self.counts.resets += 1;
        let first = run.front().map_or(0, |arrival| arrival.trade.id.0);
        self.begin(first);
        for arrival in run {
            // All of them are due at once: no bound of what waits concerns them.
            self.known = arrival.trade.id.0;
            self.held.insert(self.known, Held { arrival, repaired: false });
        }
        Step::Reset
    }
}

impl OpenHole {
    /// Only what is missing now counts from here on.
    fn begin_account(&mut self) {
        self.found = self.missing();
        self.found_after = self.after();
    }

    fn change(&self, trades: u64) -> Change {
        let Self { found: ids, cause, opened_at, found_after: after, pages, .. } = *self;
        Change { ids, trades, cause, opened_at, after, pages }
    }
}

#[cfg(test)]
mod tests;
