//! Who is followed while a run goes on: symbols that are listed or asked for join, those that are delisted or not asked
//! for any more leave, and busy connections give some of theirs to idle ones.

use std::collections::HashMap;
use std::io;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::AsyncReadExt;
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

use super::Processor;
use super::run_state::RunState;
use crate::feed::ShardPlan;
use crate::pipeline::Pipeline;
use crate::roster::{LARGEST_FILE, Listings, Roster, Selection, SymbolsFile};
use crate::snapshot::{Instrument, Market, Stamp};
use crate::source::{Input, RosterChange};

/// How often it is looked whether some connections are busier than others.
const BALANCE_EVERY: Duration = Duration::from_secs(600);
/// So long both connections carry what moves from one to the other.
const MOVE_TAKES: Duration = Duration::from_secs(15);

/// Who is followed, and the ways in which that changes.
pub struct RosterDesk {
    roster: Roster,
    /// What the feed is to carry.
    plans: watch::Sender<Arc<[ShardPlan]>>,
    reload: Option<Reload>,
    /// The next time that loads are compared, or a move ends.
    due: Instant,
    /// Trades of each symbol when loads were compared last, and when that was.
    counted: (Instant, HashMap<Instrument, u64>),
    /// What is wanted is not what it was at the start.
    is_changed: bool,
}

/// A file of symbols that is read again when somebody asks for it.
pub struct Reload {
    /// The file.
    pub path: PathBuf,
    /// What is followed besides.
    pub base: Selection,
    /// The market of symbols that name none.
    pub market: Market,
    /// Somebody asks for it.
    pub asked: Arc<Notify>,
    reading: Option<Reading>,
}

type Reading = Pin<Box<dyn Future<Output = io::Result<Vec<u8>>> + Send>>;

impl Reload {
    /// Reads `path` again whenever `asked` is notified. It adds to `base`; `market` is that of symbols that name none.
    pub fn new(path: PathBuf, base: Selection, market: Market, asked: Arc<Notify>) -> Self {
        Self { path, base, market, asked, reading: None }
    }

    /// Waits until the file has been read.
    ///
    /// # Cancel safety
    /// Safe: a reading goes on when this is called again.
    async fn read(&mut self) -> io::Result<Vec<u8>> {
        loop {
            if let Some(reading) = &mut self.reading {
                let read = reading.await;
                self.reading = None;
                return read;
            }
            self.asked.notified().await;
            let path = self.path.clone();
            self.reading = Some(Box::pin(read_file(path)));
        }
    }
}

/// The bytes of a symbols file; a little more than it may have, if it has more.
pub(crate) async fn read_file(path: PathBuf) -> io::Result<Vec<u8>> {
    let file = tokio::fs::File::open(&path).await?;
    let mut bytes = Vec::new();
    file.take(LARGEST_FILE as u64 + 1).read_to_end(&mut bytes).await?;
    Ok(bytes)
}

impl RosterDesk {
    /// A desk that tells the feed what to carry through `plans`.
    pub fn new(roster: Roster, plans: watch::Sender<Arc<[ShardPlan]>>, reload: Option<Reload>) -> Self {
        let now = Instant::now();
        Self {
            roster,
            plans,
            reload,
            due: now + BALANCE_EVERY,
            counted: (now, HashMap::new()),
            is_changed: false,
        }
    }

    /// Waits until the symbols file has been read again; for ever, if there is none.
    ///
    /// # Cancel safety
    /// Safe.
    pub(super) async fn reloaded(&mut self) -> io::Result<Vec<u8>> {
        match &mut self.reload {
            Some(reload) => reload.read().await,
            None => std::future::pending().await,
        }
    }

    /// The contents of the file take the place of what it said before.
    fn take_file(&mut self, bytes: &[u8], at: Stamp) -> Result<Option<RosterChange>, String> {
        let Some(reload) = &self.reload else { return Ok(None) };
        let file = SymbolsFile::parse(bytes, reload.market).map_err(|error| error.to_string())?;
        let selection = reload.base.with_file(&file);
        if let Some(fault) = self.roster.fault(&selection) {
            return Err(fault);
        }
        self.is_changed = true;
        Ok(self.roster.reload(selection, at))
    }

    /// Once a second: a move that takes its end, or loads that are compared.
    fn tend(&mut self, pipeline: &Pipeline, at: Stamp) -> Option<RosterChange> {
        let now = Instant::now();
        // What was applied before this run does not count.
        let is_first = self.counted.1.is_empty();
        if now < self.due && !is_first {
            return None;
        }
        let count = || pipeline.totals().map(|lane| (lane.instrument.clone(), lane.trades)).collect();
        if is_first {
            self.counted = (now, count());
            return None;
        }
        if self.roster.is_moving() {
            // What its new shard does not bring must not be taken from the old one.
            let has_moved = self.roster.moving().all(|one| pipeline.has_moved(one));
            self.due = now + if has_moved { BALANCE_EVERY } else { MOVE_TAKES };
            return has_moved.then(|| self.roster.finish_moves(at)).flatten();
        }
        if !self.roster.shards().all(|shard| pipeline.is_up(shard)) {
            // Where a connection is down, nothing moves to it or from it, and no loads are compared.
            self.due = now + MOVE_TAKES;
            self.counted = (now, count());
            return None;
        }
        self.due = now + BALANCE_EVERY;
        let trades: HashMap<_, _> = count();
        let (since, before) = std::mem::replace(&mut self.counted, (now, trades));
        let seconds = now.saturating_duration_since(since).as_secs_f64().max(1.0);
        let rate = |instrument: &Instrument| {
            let trades = self.counted.1.get(instrument)?.saturating_sub(*before.get(instrument)?);
            Some(trades as f64 / seconds)
        };
        let change = self.roster.rebalance(rate, at);
        if change.is_some() {
            self.due = now + MOVE_TAKES;
        }
        change
    }

    /// Whether a market's list is the first that comes after the start: a name that it lacks is misspelled. By a later
    /// one a symbol is gone, and what a file asks for while this runs must not end it.
    pub(super) fn is_first_list(&self, market: Market) -> bool {
        !self.is_changed && !self.roster.listings().knows(market)
    }

    fn publish(&self) {
        self.plans.send_replace(self.roster.plans().into());
    }
}

impl Processor<'_> {
    /// Once a second: what is due about who is followed.
    pub(super) fn tend_roster(&mut self, state: &mut RunState) {
        let Self { roster: Some(desk), live: Some(live), pipeline, .. } = self else { return };
        if let Some(change) = desk.tend(pipeline, live.clock.now()) {
            let moving = change.seats.iter().filter(|seat| seat.is_moving).count();
            self.events.moves(moving);
            self.follow(change, state);
        }
    }

    /// The symbols file has been read again.
    pub(super) fn reloaded(&mut self, read: &io::Result<Vec<u8>>, state: &mut RunState) {
        let Self { roster: Some(desk), live: Some(live), .. } = self else { return };
        let at = live.clock.now();
        let path = desk.reload.as_ref().map(|reload| reload.path.clone()).unwrap_or_default();
        let taken = match read {
            Ok(bytes) => desk.take_file(bytes, at),
            Err(error) => Err(error.to_string()),
        };
        match taken {
            Err(error) => self.events.symbols_file_refused(&path, &error),
            Ok(change) => {
                self.events.symbols_file_read(&path, change.as_ref());
                self.tell_roster_problems();
                if let Some(change) = change {
                    self.follow(change, state);
                }
            }
        }
    }

    /// A market's list has come.
    pub(super) fn listed(&mut self, listings: &Listings, state: &mut RunState) {
        let Self { roster: Some(desk), live: Some(live), .. } = self else { return };
        let change = desk.roster.listed(listings, live.clock.now());
        self.tell_roster_problems();
        if let Some(change) = change {
            self.follow(change, state);
        }
    }

    /// Other lanes are followed from here on.
    fn follow(&mut self, change: RosterChange, state: &mut RunState) {
        self.step(&Input::Roster(change), state);
        self.pass_on_changes();
        if let Some(desk) = &self.roster {
            desk.publish();
        }
    }

    fn tell_roster_problems(&mut self) {
        if let Some(desk) = &mut self.roster {
            desk.roster.take_problems().iter().for_each(|problem| self.events.roster_problem(problem));
        }
    }
}
