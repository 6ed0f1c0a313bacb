//! What follows from answers that are none: bans, refusals, weight that is used up.

use std::time::Duration;

use super::super::RestError;
use super::super::hole::{Outcome, after, nanos};
use super::super::lane::{Flight, Refusal};
use super::super::notice::{Notice, remedy};
use super::Planner;
use crate::snapshot::Stamp;
use crate::units::UnixMillis;

/// A refused lane is not asked again before.
const LANE_REFUSED: Duration = Duration::from_secs(60);
/// After 451 nobody is asked again before.
const ALL_REFUSED: Duration = Duration::from_secs(600);
/// After 403 everybody waits so long, and the time counts.
const FORBIDDEN: Duration = Duration::from_secs(60);
/// After so many bans without one answer between, everything is given up: else it would wait for ever.
const BANS: u32 = 100;
/// Weight that runs out again within this time is still the same shortage.
const SHORTAGE: Duration = Duration::from_secs(60);
/// Notices that nobody took; later ones are lost.
const NOTICES: usize = 64;

impl Planner {
    pub(super) fn failed(&mut self, flight: &Flight, error: RestError, now: Stamp) {
        let there = self.there(now);
        let outcome = match error {
            RestError::TooManyRequests { status, retry_after, banned_until, used_weight, message } => {
                self.banned(status, retry_after, banned_until, used_weight, message, now);
                return;
            }
            RestError::Refused { status, code, message } => {
                self.budget.answered(self.there(now), None);
                self.refused(flight, status, code, message, now);
                return;
            }
            RestError::TooOldForIds => {
                self.budget.answered(self.there(now), None);
                Outcome::TooOldForIds
            }
            RestError::Passing(_) => Outcome::Passing,
        };
        if let Some(lane) = self.lanes.get_mut(&flight.lane) {
            lane.brought(flight, outcome, there);
        }
    }

    pub(super) fn banned(
        &mut self,
        status: u16,
        retry_after: Option<Duration>,
        banned_until: Option<UnixMillis>,
        used_weight: Option<u64>,
        message: String,
        now: Stamp,
    ) {
        let wait = self.budget.banned(self.there(now), status, used_weight, retry_after, banned_until);
        self.bans = self.bans.saturating_add(1);
        if self.bans >= BANS {
            self.everybody = Some(Refusal { status, code: None, until: after(now, wait) });
        }
        self.notice(Notice::Banned { status, wait, message });
    }

    pub(super) fn refused(
        &mut self,
        flight: &Flight,
        status: u16,
        code: Option<i64>,
        message: String,
        now: Stamp,
    ) {
        let for_all = matches!(status, 451 | 403);
        let until = match status {
            451 => after(now, ALL_REFUSED),
            403 => after(flight.at, FORBIDDEN).max(now.mono_ns),
            _ => after(now, LANE_REFUSED),
        };
        let refusal = Refusal { status, code, until };
        let mut symbol = None;
        let before = if for_all {
            // A 403 is an answer to everybody, so that everybody's time runs.
            for lane in self.lanes.values_mut().filter(|_| status == 403) {
                lane.holes.iter_mut().for_each(|tracked| tracked.state.hold(until));
            }
            self.everybody.replace(refusal)
        } else {
            let Some(lane) = self.lanes.get_mut(&flight.lane) else { return };
            lane.probe = None;
            symbol = Some(lane.symbol.clone());
            lane.refusal.replace(refusal)
        };
        if status == 451 {
            self.lanes.values_mut().for_each(|lane| lane.probe = None);
        }
        if before.is_none_or(|b| (b.status, b.code) != (status, code)) {
            self.notice(Notice::Refused { symbol, status, code, message, remedy: remedy(status, code) });
        }
    }

    pub(super) fn short(&mut self, until: u64, now: Stamp) {
        let before = self.short_at.replace(now.mono_ns);
        if before.is_none_or(|at| now.mono_ns.saturating_sub(at) >= nanos(SHORTAGE)) {
            self.notice(Notice::BudgetExhausted {
                used: self.budget.used_weight(self.there(now)),
                ceiling: self.budget.ceiling(),
                wait: Duration::from_nanos(until.saturating_sub(now.mono_ns)),
            });
        }
    }

    pub(super) fn notice(&mut self, notice: Notice) {
        if self.notices.len() < NOTICES {
            self.notices.push_back(notice);
        }
    }
}
