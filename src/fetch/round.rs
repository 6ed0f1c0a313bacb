//! All the files of a run, a few at a time.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::time::{Instant, MissedTickBehavior, interval_at};

use super::client::Client;
use super::download::{Download, Shared};
use super::gate::Gate;
use super::plan::{ArchiveFile, Period, plan};
use super::progress::{Progress, Tally};
use super::summary::{Outcome, Summary};
use super::{DiskError, Fetch, FetchError, MOST_PARALLEL, blocking};
use crate::calendar::{Day, Month};
use crate::feed::Network;

/// Between two looks at how far it is.
const TICK: Duration = Duration::from_millis(500);
/// As many failed files in a row end the run: the others would fail too.
const FAILURES: u32 = 3;

/// Fetches everything; see [`Fetch::run`].
pub(super) async fn run(
    fetch: &Fetch,
    network: &dyn Network,
    mut told: impl FnMut(&Progress, Option<(&ArchiveFile, &Outcome)>),
) -> Result<Summary, FetchError> {
    let planned = plan(fetch.days, fetch.today)?;
    let directory = fetch.directory.clone();
    blocking(|| std::fs::create_dir_all(&directory).map_err(|cause| DiskError { path: directory, cause }))
        .await?;
    let shared = Shared { fetch, gate: Gate::default(), tally: Tally::default() };
    let mut waiting = Waiting::of(planned, &shared.tally);
    let mut account = Account::default();
    let parallel = usize::from(fetch.parallel.clamp(1, MOST_PARALLEL));
    let mut clients: Vec<_> =
        (0..parallel).map(|_| Client::new(network, &fetch.base, fetch.patience)).collect();
    let mut running = FuturesUnordered::new();
    let mut ticks = interval_at(Instant::now() + TICK, TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    told(&shared.tally.progress(), None);
    loop {
        let most = if shared.gate.was_shut() { 1 } else { parallel };
        while running.len() < most
            && account.failures_in_a_row < FAILURES
            && let Some(mut client) = clients.pop()
        {
            let Some(period) = waiting.next.pop_front() else {
                clients.push(client);
                break;
            };
            let (shared, file) = (&shared, fetch.file(period));
            running.push(async move {
                let outcome = Download::of(shared, &mut client, file).run().await;
                (client, period, outcome)
            });
        }
        tokio::select! {
            done = running.next() => {
                let Some((client, period, outcome)) = done else { break };
                clients.push(client);
                let outcome = outcome?;
                shared.tally.done(period, &outcome);
                waiting.add(account.follow(period, &outcome), &shared.tally);
                told(&shared.tally.progress(), Some((&fetch.file(period), &outcome)));
                account.enter(period, outcome);
            }
            _ = ticks.tick() => told(&shared.tally.progress(), None),
        }
    }
    let received = shared.tally.progress().received;
    account.closed(fetch, waiting.next.into(), received)
}

/// What is still to be asked for.
struct Waiting {
    next: VecDeque<Period>,
}

impl Waiting {
    fn of(planned: Vec<Period>, tally: &Tally) -> Self {
        planned.iter().for_each(|period| tally.expect(*period));
        Self { next: planned.into() }
    }

    /// These come first.
    fn add(&mut self, more: Vec<Period>, tally: &Tally) {
        more.iter().for_each(|period| tally.expect(*period));
        more.into_iter().rev().for_each(|period| self.next.push_front(period));
    }
}

/// What became of the files so far.
#[derive(Debug, Default)]
struct Account {
    summary: Summary,
    absent: BTreeSet<Period>,
    /// Months without a file of their own, and how many of the days that are looked for first are still out.
    sounded: BTreeMap<Month, u8>,
    failures_in_a_row: u32,
}

impl Account {
    /// What follows from the end of a file: the days of a month that has no file. Its first, middle and last day are
    /// looked for before the others, so that a symbol that was not traded then costs four questions a month and not
    /// thirty.
    fn follow(&mut self, period: Period, outcome: &Outcome) -> Vec<Period> {
        let is_absent = *outcome == Outcome::Absent;
        let day = match period {
            Period::Month(month) if is_absent => {
                let days = soundings(month).map(Period::Day);
                self.sounded.insert(month, days.len() as u8);
                return days.to_vec();
            }
            Period::Month(_) => return Vec::new(),
            Period::Day(day) => day,
        };
        if is_absent {
            self.absent.insert(period);
        }
        let month = day.month();
        let Some(left) = self.sounded.get_mut(&month) else { return Vec::new() };
        *left -= 1;
        if *left > 0 {
            return Vec::new();
        }
        self.sounded.remove(&month);
        let days = soundings(month);
        if days.iter().all(|day| self.absent.contains(&Period::Day(*day))) {
            self.absent.retain(|absent| !days.map(Period::Day).contains(absent));
            self.absent.insert(Period::Month(month));
            return Vec::new();
        }
        let all = (0..i64::from(month.days())).map(|n| month.first().plus(n));
        all.filter(|day| !days.contains(day)).map(Period::Day).collect()
    }

    fn enter(&mut self, period: Period, outcome: Outcome) {
        self.failures_in_a_row = match outcome {
            Outcome::Failed { .. } => self.failures_in_a_row + 1,
            _ => 0,
        };
        match outcome {
            Outcome::Fetched { length } => {
                self.summary.fetched += 1;
                self.summary.bytes += length;
            }
            Outcome::AlreadyThere { .. } => self.summary.already_there += 1,
            Outcome::Absent => {}
            Outcome::Failed { why } => self.summary.failed.push((period, why)),
        }
    }

    fn closed(self, fetch: &Fetch, not_tried: Vec<Period>, received: u64) -> Result<Summary, FetchError> {
        let Self { mut summary, absent, .. } = self;
        summary.received = received;
        summary.not_tried = not_tried;
        (summary.not_published, summary.missing) =
            absent.into_iter().partition(|period| period.may_be_late(fetch.today));
        summary.not_published.sort_by_key(|period| first(*period));
        summary.missing.sort_by_key(|period| first(*period));
        summary.failed.sort_by_key(|(period, _)| first(*period));
        let here = summary.fetched + summary.already_there;
        if here == 0 && summary.failed.is_empty() && !summary.missing.is_empty() {
            return Err(FetchError::NothingThere { market: fetch.market, symbol: fetch.symbol.clone() });
        }
        Ok(summary)
    }
}

fn soundings(month: Month) -> [Day; 3] {
    [month.first(), month.first().plus(14), month.last()]
}

fn first(period: Period) -> Day {
    match period {
        Period::Month(month) => month.first(),
        Period::Day(day) => day,
    }
}
