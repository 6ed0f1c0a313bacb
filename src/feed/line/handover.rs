//! Make before break: a connection that is to end is replaced by another one while it still runs.

use std::pin::pin;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::{SemaphorePermit, watch};
use tokio::time::{Instant, sleep_until, timeout};

use super::super::backoff::patient;
use super::super::connect::Socket;
use super::super::failure::{ConnectError, HandOverFailure, SessionEnd};
use super::super::pace::ahead_of_age;
use super::super::session::SessionReport;
use super::super::steering::{Orders, Renewal};
use super::super::{FeedEvent, LinkChange};
use super::{After, Attempt, Line, Up};
use crate::doorbell::Doorbell;

/// A new connection whose streams the exchange has not confirmed by then does not take over: two minutes are more than
/// requests can take that are answered, repeated and put right again and again.
const SUBSCRIBE_LIMIT: Duration = Duration::from_secs(120);
/// A new connection that has not shown that it brings everything so long after it has all its streams does not take over.
const OVERLAP_LIMIT: Duration = Duration::from_secs(30);
/// After a hand-over that failed the next is tried so much later, twice as long each time …
const HANDOVER_AGAIN: Duration = Duration::from_secs(60);
/// … up to this.
const HANDOVER_AGAIN_MAX: Duration = Duration::from_secs(900);
/// A connection that is of no use may take so long to say good-bye.
const LEAVE_LIMIT: Duration = Duration::from_secs(2);
/// How often a line looks whether another line's hand-over is over.
const TURN_AGAIN: Duration = Duration::from_secs(1);

/// The connection that is to take over.
enum Next<'a> {
    None,
    Attempt {
        attempt: Attempt<'a>,
        began: Began<'a>,
    },
    Up {
        up: Up<'a>,
        began: Began<'a>,
        phase: Phase,
    },
    /// It had taken over and ended before the old one had taken its leave.
    Lost(SessionReport),
}

/// How a hand-over began.
struct Began<'a> {
    at: Instant,
    why: Renewal,
    /// Held for as long as it lasts, if it is because of the age.
    _turn: Option<SemaphorePermit<'a>>,
}

/// How far a new connection has come.
#[derive(Debug, Clone, Copy)]
enum Phase {
    /// It has not got all its streams yet.
    Subscribing { until: Instant },
    /// It has to show until then that it brings everything.
    Proving { until: Instant },
    /// It has; the old one takes its leave.
    Carrying,
    /// It has not, and takes its leave itself.
    Leaving { until: Instant },
}

/// What happens next to a line that has a session.
enum Turn {
    OldEnded(SessionReport),
    NewEnded(SessionReport),
    Attempted(Box<Result<Socket, ConnectError>>),
    OldTold,
    NewTold,
    Due,
}

impl<'a> Line<'a> {
    /// A session until it is over, and what may take its place meanwhile.
    pub(super) async fn live_through(&mut self, mut old: Up<'a>, stop: &watch::Receiver<bool>) -> After<'a> {
        let mut plan = Plan::new(self.due_to_leave(old.since));
        let mut next = Next::None;
        loop {
            // What is asked for during a hand-over, of the old session or of the new one, is heeded after it.
            let asked = old.orders.borrow().renew;
            if let (Some(why), Next::None) = (asked, &next) {
                plan.ask(why, Instant::now());
            }
            match next_turn(&mut old, &mut next, plan.due.map(|(at, _)| at)).await {
                Turn::OldEnded(report) => return self.succeeded(report, next).await,
                Turn::NewEnded(report) => next = self.new_one_ended(report, next, &mut plan),
                Turn::Attempted(attempted) => {
                    let Next::Attempt { attempt, began } = std::mem::replace(&mut next, Next::None) else {
                        continue;
                    };
                    match *attempted {
                        Ok(socket) => {
                            let up = self.open(socket, &attempt.plan, stop);
                            let phase = Phase::Subscribing { until: Instant::now() + SUBSCRIBE_LIMIT };
                            next = Next::Up { up, began, phase };
                        }
                        Err(error) => {
                            self.another_address();
                            self.hand_over_failed(&mut plan, began.why, &HandOverFailure::Connect(error));
                        }
                    }
                }
                Turn::OldTold => {}
                Turn::NewTold => {
                    if let Next::Up { up, phase, .. } = &mut next {
                        *phase = phase.told(*up.orders.borrow(), Instant::now());
                        if matches!(phase, Phase::Carrying) {
                            self.common.steering.replaced(old.id);
                        }
                    }
                }
                Turn::Due => self.come_due(&old, &mut next, &mut plan),
            }
        }
    }

    /// A moment has come: a hand-over begins, or has taken too long.
    fn come_due(&mut self, old: &Up<'a>, next: &mut Next<'a>, plan: &mut Plan) {
        let now = Instant::now();
        match next {
            Next::Up { up, began, phase: phase @ (Phase::Subscribing { .. } | Phase::Proving { .. }) } => {
                let failure = match phase {
                    Phase::Subscribing { .. } => HandOverFailure::NotSubscribed(SUBSCRIBE_LIMIT),
                    _ => HandOverFailure::NoOverlap(OVERLAP_LIMIT),
                };
                let why = began.why;
                *phase = Phase::Leaving { until: now + LEAVE_LIMIT };
                self.common.steering.replaced(up.id);
                self.another_address();
                self.hand_over_failed(plan, why, &failure);
            }
            Next::Up { up, phase: Phase::Leaving { .. }, .. } => {
                // It did not even take its leave.
                self.link(up.id, LinkChange::Closed);
                *next = Next::None;
            }
            Next::Up { .. } | Next::Attempt { .. } | Next::Lost(_) => {}
            Next::None => {
                let Some((_, why)) = plan.due else { return };
                let turn = match why {
                    Renewal::Age => match self.common.turn.try_acquire() {
                        Ok(turn) => Some(turn),
                        Err(_) => return plan.due = Some((now + TURN_AGAIN, why)),
                    },
                    Renewal::Shutdown | Renewal::Lag => None,
                };
                plan.due = None;
                let age = now.saturating_duration_since(old.since);
                self.tell(FeedEvent::HandOverBegun { line: self.shown(), why, age });
                let attempt = self.attempt(self.common.budget.take(now).max(self.common.paced(now)));
                *next = Next::Attempt { attempt, began: Began { at: now, why, _turn: turn } };
            }
        }
    }

    /// The session that was to take over is over first.
    fn new_one_ended(&mut self, report: SessionReport, next: Next<'a>, plan: &mut Plan) -> Next<'a> {
        match next {
            Next::Up { phase: Phase::Carrying, .. } => return Next::Lost(report),
            Next::Up { began, phase: Phase::Subscribing { .. } | Phase::Proving { .. }, .. }
                if !matches!(report.end, SessionEnd::Stopped) =>
            {
                self.hand_over_failed(plan, began.why, &HandOverFailure::Ended(report.end));
            }
            _ => {}
        }
        Next::None
    }

    /// A session is over: what takes its place?
    async fn succeeded(&mut self, report: SessionReport, next: Next<'a>) -> After<'a> {
        self.was_of_use(&report);
        match (report.end, next) {
            (SessionEnd::Stopped, Next::Up { up, .. }) => {
                // It was told too.
                drop(timeout(LEAVE_LIMIT, up.end).await);
                After::Stopped
            }
            (_, Next::Up { up, began, phase: Phase::Carrying }) => {
                self.tell(FeedEvent::HandedOver { line: self.shown(), took: began.at.elapsed() });
                After::Replaced(up)
            }
            (_, Next::Lost(report)) => {
                self.was_of_use(&report);
                self.ended(&report.end)
            }
            (end, Next::Up { up, phase: Phase::Subscribing { .. } | Phase::Proving { .. }, .. }) => {
                self.tell(FeedEvent::EndedEarly { end: &end, line: self.shown() });
                After::Replaced(up)
            }
            (end, Next::Attempt { attempt, .. }) if !matches!(end, SessionEnd::Stopped) => {
                self.tell(FeedEvent::EndedEarly { end: &end, line: self.shown() });
                After::Attempt(attempt)
            }
            (end, next) => {
                if let Next::Up { up, .. } = next {
                    self.link(up.id, LinkChange::Closed);
                }
                self.ended(&end)
            }
        }
    }

    fn hand_over_failed(&mut self, plan: &mut Plan, why: Renewal, what: &HandOverFailure) {
        let asked_for = what.patience().map(|patience| patient(patience, self.dice.f64()));
        let next_try = plan.fail(why, asked_for.unwrap_or_default(), Instant::now());
        self.tell(FeedEvent::HandOverFailed { line: self.shown(), what, next_try });
    }

    /// A little before its time, so that neither everybody nor every shard comes at once.
    fn due_to_leave(&mut self, since: Instant) -> Option<Instant> {
        let (after, common) = (self.common.settings.handover_after, self.common);
        let (copies, lines) = (usize::from(common.copies()), common.lines.load(Ordering::Relaxed));
        let line = usize::from(self.id.shard().0) * copies + usize::from(self.id.copy());
        let own_roll = self.dice.f64();
        let roll = if lines > 1 { common.age_roll } else { own_roll };
        let early = ahead_of_age(after, line, lines, roll);
        (!after.is_zero()).then(|| since + (after - early))
    }
}

impl Phase {
    /// What follows from what was said to the new connection, or by it.
    fn told(self, orders: Orders, now: Instant) -> Self {
        match self {
            Self::Subscribing { .. } | Self::Proving { .. } if orders.overlapped => Self::Carrying,
            Self::Subscribing { .. } if orders.subscribed => Self::Proving { until: now + OVERLAP_LIMIT },
            Self::Proving { .. } if !orders.subscribed => Self::Subscribing { until: now + SUBSCRIBE_LIMIT },
            phase => phase,
        }
    }
}

/// When a session is to be replaced, and after which pause again if that fails. Pure, time is an argument.
#[derive(Debug)]
struct Plan {
    due: Option<(Instant, Renewal)>,
    /// The pause after the next failure.
    pause: Duration,
    /// What was asked for and heeded.
    heeded: Option<Renewal>,
}

impl Plan {
    fn new(of_age: Option<Instant>) -> Self {
        Self { due: of_age.map(|at| (at, Renewal::Age)), pause: HANDOVER_AGAIN, heeded: None }
    }

    /// Somebody asks for a new connection. It is made at once, once for each reason; after a failure not before the
    /// pause is over, unless the exchange is about to end the old one.
    fn ask(&mut self, why: Renewal, now: Instant) {
        if self.heeded == Some(why) {
            return;
        }
        self.heeded = Some(why);
        let has_failed = self.pause > HANDOVER_AGAIN;
        let at = match self.due {
            Some((at, _)) if has_failed && why != Renewal::Shutdown => at,
            _ => now,
        };
        self.due = Some((at, why));
    }

    /// An attempt failed; gives the pause before the next, which is not shorter than `least`.
    fn fail(&mut self, why: Renewal, least: Duration, now: Instant) -> Duration {
        let pause = self.pause.max(least);
        self.due = Some((now + pause, why));
        self.pause = (self.pause * 2).min(HANDOVER_AGAIN_MAX);
        pause
    }
}

/// Keeps everything that is up or on its way going until something happens.
async fn next_turn(old: &mut Up<'_>, next: &mut Next<'_>, due: Option<Instant>) -> Turn {
    let (attempt, new, alarm) = match next {
        Next::None => (None, None, due),
        Next::Attempt { attempt, .. } => (Some(&mut attempt.socket), None, None),
        Next::Up { up, phase, .. } => {
            let alarm = match phase {
                Phase::Subscribing { until } | Phase::Proving { until } | Phase::Leaving { until } => {
                    Some(*until)
                }
                Phase::Carrying => None,
            };
            (None, Some(up), alarm)
        }
        Next::Lost(_) => (None, None, None),
    };
    let (new_end, new_orders) = new.map(|up| (&mut up.end, &mut up.orders)).unzip();
    // Frames that arrive wake nobody but their session.
    let (mut doorbell, aside) = (
        Doorbell::default(),
        pin!(async {
            tokio::select! {
                biased;
                attempted = maybe(attempt) => Turn::Attempted(Box::new(attempted)),
                () = told(Some(&mut old.orders)) => Turn::OldTold,
                () = told(new_orders) => Turn::NewTold,
                () = at(alarm) => Turn::Due,
            }
        }),
    );
    tokio::select! {
        biased;
        report = &mut old.end => Turn::OldEnded(report),
        report = maybe(new_end) => Turn::NewEnded(report),
        turn = doorbell.guard(aside) => turn,
    }
}

async fn maybe<F: Future + Unpin>(future: Option<&mut F>) -> F::Output {
    match future {
        Some(future) => future.await,
        None => std::future::pending().await,
    }
}

/// Ready when something new is said; never, once nobody is left to say it.
async fn told(orders: Option<&mut watch::Receiver<Orders>>) {
    if let Some(orders) = orders
        && orders.changed().await.is_ok()
    {
        return;
    }
    std::future::pending().await
}

async fn at(alarm: Option<Instant>) {
    match alarm {
        Some(alarm) => sleep_until(alarm).await,
        None => std::future::pending().await,
    }
}
