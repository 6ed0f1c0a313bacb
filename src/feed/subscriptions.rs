//! Which streams a connection carries and which it should: what to ask the exchange for next, and what its answers
//! mean. Pure: time is an argument, messages are texts.
//!
//! What was asked for is believed at once, because the exchange works requests off in order; what it really carries is
//! known only from its own list, which is asked for at the end and compared. So whatever went wrong on the way (a
//! request lost, refused, or done by half) is put right by the list, or ends the connection by name.

use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

use tokio::time::Instant;

/// Most names in one request.
pub(super) const MOST_NAMES: usize = 150;
/// Most bytes of one request: above some 4,090 the exchange has been seen not to answer at all.
pub(super) const MOST_BYTES: usize = 3_500;
/// Requests are so far apart, because the exchange counts what it is sent: 5 messages a second on spot, pings and pongs
/// included.
pub(super) const SPACING: Duration = Duration::from_millis(400);
/// A request without an answer is repeated once after this long, and given up after as long again.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);
/// How often a list that differs is put right before the connection is given up.
const ROUNDS: u8 = 3;
/// The one kind of stream that is followed. Others may be named by the user's own address, and are let be.
const KIND: &str = "@aggTrade";

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Method {
    /// More streams.
    Subscribe,
    /// Fewer streams.
    Unsubscribe,
    /// Which streams there are.
    ListSubscriptions,
}

impl Method {
    /// As the exchange writes it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Subscribe => "SUBSCRIBE",
            Self::Unsubscribe => "UNSUBSCRIBE",
            Self::ListSubscriptions => "LIST_SUBSCRIPTIONS",
        }
    }
}

/// The exchange's answer to a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Answer {
    Done {
        id: Option<u64>,
    },
    List {
        id: Option<u64>,
        streams: Vec<String>,
    },
    Refused {
        /// Not every refusal says of what.
        id: Option<u64>,
        code: i64,
        msg: String,
    },
}

/// What is to be done now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Step {
    Send(String),
    /// Twice asked, never answered.
    GiveUp(Method),
    Nothing,
}

/// What an answer brought to light.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Finding {
    Nothing,
    /// The list is as it should be.
    Subscribed {
        streams: usize,
        took: Duration,
    },
    Refused {
        method: Method,
        code: i64,
        msg: String,
        /// It would not tell what it carries: what it acknowledged must do.
        is_believed: bool,
    },
    /// The list is not as it should be.
    Differs(Difference),
}

/// How the exchange's list differs from what was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// Streams asked for that are not in it.
    pub missing: usize,
    /// Streams in it that nobody asked for.
    pub excess: usize,
    /// One of them.
    pub example: String,
    /// Whether it was put right so often that the connection is given up.
    pub is_final: bool,
}

/// The streams of one connection.
#[derive(Debug)]
pub(super) struct Subscriptions {
    /// In the plan's order, which is that of asking.
    order: Vec<String>,
    wanted: BTreeSet<String>,
    /// What the exchange carries once it has done everything it was asked.
    believed: BTreeSet<String>,
    /// What is still to be asked for; always the difference of the two above.
    to_end: VecDeque<String>,
    to_begin: VecDeque<String>,
    unanswered: Vec<Request>,
    last_id: u64,
    /// No request before this.
    next_at: Instant,
    /// Since when what is wanted and what is there differ, and how often a list has been put right since.
    since: Instant,
    rounds: u8,
    /// How often it would not tell what it carries.
    untold: u8,
    is_verified: bool,
}

#[derive(Debug)]
struct Request {
    id: u64,
    method: Method,
    text: String,
    sent_at: Instant,
    is_repeated: bool,
    /// A list from before a change: it says nothing.
    is_stale: bool,
}

impl Subscriptions {
    /// Of a connection whose address names `by_url`, and that is to carry `wanted`.
    pub(super) fn new(by_url: &[String], wanted: &[String], now: Instant) -> Self {
        let mut subscriptions = Self {
            order: by_url.to_vec(),
            wanted: by_url.iter().cloned().collect(),
            believed: by_url.iter().cloned().collect(),
            to_end: VecDeque::new(),
            to_begin: VecDeque::new(),
            unanswered: Vec::new(),
            last_id: 0,
            next_at: now,
            since: now,
            rounds: 0,
            untold: 0,
            is_verified: true,
        };
        subscriptions.want(wanted, now);
        subscriptions
    }

    /// From now on it should carry these streams.
    pub(super) fn want(&mut self, streams: &[String], now: Instant) {
        let wanted: BTreeSet<String> = streams.iter().cloned().collect();
        if wanted == self.wanted {
            return;
        }
        if self.is_verified {
            self.since = now;
        }
        (self.order, self.wanted) = (streams.to_vec(), wanted);
        (self.is_verified, self.rounds, self.untold) = (false, 0, 0);
        self.outdate_lists();
        self.plan();
    }

    /// Whether the exchange's own list is as it should be, or nothing had to be asked for.
    pub(super) fn is_verified(&self) -> bool {
        self.is_verified
    }

    /// Whether an answer is on its way.
    pub(super) fn awaits_answer(&self) -> bool {
        !self.unanswered.is_empty()
    }

    /// When [`Subscriptions::step`] has something to do next, unless an answer comes first.
    pub(super) fn due(&self) -> Option<Instant> {
        let repeat = self.unanswered.iter().map(|request| request.sent_at + PATIENCE).min();
        let request = self.has_a_request().then_some(self.next_at);
        [repeat.map(|at| at.max(self.next_at)), request].into_iter().flatten().min()
    }

    /// Does what is due: one thing at a time.
    pub(super) fn step(&mut self, now: Instant) -> Step {
        if now < self.next_at {
            return Step::Nothing;
        }
        if let Some(late) = self.unanswered.iter_mut().find(|request| now >= request.sent_at + PATIENCE) {
            if late.is_repeated {
                return Step::GiveUp(late.method);
            }
            (late.sent_at, late.is_repeated) = (now, true);
            self.next_at = now + SPACING;
            return Step::Send(late.text.clone());
        }
        // First what makes room.
        let method = match (self.to_end.is_empty(), self.to_begin.is_empty()) {
            (false, _) => Method::Unsubscribe,
            (true, false) => Method::Subscribe,
            (true, true) if self.has_a_request() => Method::ListSubscriptions,
            (true, true) => return Step::Nothing,
        };
        self.last_id += 1;
        let text = self.request(method);
        if method != Method::ListSubscriptions {
            self.outdate_lists();
        }
        self.next_at = now + SPACING;
        self.unanswered.push(Request {
            id: self.last_id,
            method,
            text: text.clone(),
            sent_at: now,
            is_repeated: false,
            is_stale: false,
        });
        Step::Send(text)
    }

    /// Takes an answer; one to nothing that is waited for means nothing.
    pub(super) fn hear(&mut self, answer: Answer, now: Instant) -> Finding {
        let (id, streams, refusal) = match answer {
            Answer::Done { id } => (id, None, None),
            Answer::List { id, streams } => (id, Some(streams), None),
            // One that does not say of what: requests are worked off in order.
            Answer::Refused { id, code, msg } => {
                (id.or_else(|| Some(self.unanswered.first()?.id)), None, Some((code, msg)))
            }
        };
        let Some(at) = self.unanswered.iter().position(|request| Some(request.id) == id) else {
            return Finding::Nothing;
        };
        let request = self.unanswered.remove(at);
        let is_about_now = request.method == Method::ListSubscriptions && !request.is_stale;
        match (refusal, streams) {
            (Some((code, msg)), _) => {
                if is_about_now {
                    self.untold += 1;
                    self.is_verified = self.untold >= ROUNDS;
                }
                Finding::Refused { method: request.method, code, msg, is_believed: self.is_verified }
            }
            (None, Some(streams)) if is_about_now => self.compare(streams, now),
            (None, None) if is_about_now => self.verified(now),
            (None, _) => Finding::Nothing,
        }
    }

    fn compare(&mut self, streams: Vec<String>, now: Instant) -> Finding {
        let listed: BTreeSet<String> =
            streams.into_iter().filter(|name| self.wanted.contains(name) || name.ends_with(KIND)).collect();
        if listed == self.wanted {
            self.believed = listed;
            return self.verified(now);
        }
        let missing = self.wanted.difference(&listed);
        let excess = listed.difference(&self.wanted);
        let example = missing.clone().chain(excess.clone()).next().cloned().unwrap_or_default();
        let (missing, excess) = (missing.count(), excess.count());
        let is_final = self.rounds == ROUNDS;
        if !is_final {
            self.rounds += 1;
            self.believed = listed;
            self.plan();
        }
        Finding::Differs(Difference { missing, excess, example, is_final })
    }

    fn verified(&mut self, now: Instant) -> Finding {
        (self.is_verified, self.rounds) = (true, 0);
        let took = now.saturating_duration_since(self.since);
        Finding::Subscribed { streams: self.wanted.len(), took }
    }

    fn plan(&mut self) {
        self.to_end = self.believed.difference(&self.wanted).cloned().collect();
        let mut seen = BTreeSet::new();
        let missing = |name: &&String| !self.believed.contains(*name) && seen.insert((*name).clone());
        self.to_begin = self.order.iter().filter(missing).cloned().collect();
    }

    fn has_a_request(&self) -> bool {
        let is_done = self.to_end.is_empty() && self.to_begin.is_empty();
        // The list, once everything else is answered.
        !is_done || (!self.is_verified && self.unanswered.is_empty())
    }

    fn outdate_lists(&mut self) {
        for request in &mut self.unanswered {
            request.is_stale |= request.method == Method::ListSubscriptions;
        }
    }

    /// The text of the next request, whose names are taken as done.
    fn request(&mut self, method: Method) -> String {
        let (name, id) = (method.as_str(), self.last_id);
        if method == Method::ListSubscriptions {
            return format!(r#"{{"method":"{name}","id":{id}}}"#);
        }
        let from = if method == Method::Subscribe { &mut self.to_begin } else { &mut self.to_end };
        let tail = format!(r#"],"id":{id}}}"#);
        let mut text = format!(r#"{{"method":"{name}","params":["#);
        for taken in 0..MOST_NAMES {
            let Some(stream) = from.front() else { break };
            let quoted = serde_json::Value::from(stream.as_str()).to_string();
            if taken > 0 && text.len() + 1 + quoted.len() + tail.len() > MOST_BYTES {
                break;
            }
            if taken > 0 {
                text.push(',');
            }
            text.push_str(&quoted);
            if let Some(stream) = from.pop_front() {
                match method {
                    Method::Subscribe => self.believed.insert(stream),
                    _ => self.believed.remove(&stream),
                };
            }
        }
        text + &tail
    }
}

#[cfg(test)]
mod tests;
