//! Subscriptions against an exchange that loses, refuses, halves and delays, while the plan changes.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

fn names(numbers: impl IntoIterator<Item = usize>) -> Vec<String> {
    numbers.into_iter().map(|number| format!("s{number}usdt@aggTrade")).collect()
}

/// A request, as the exchange reads it.
fn read(text: &str) -> (u64, String, Vec<String>) {
    let request: serde_json::Value = serde_json::from_str(text).expect("a request is JSON");
    let id = request["id"].as_u64().expect("an unsigned integer");
    let method = request["method"].as_str().expect("a method").to_owned();
    let params = request["params"].as_array().into_iter().flatten();
    (id, method, params.map(|name| name.as_str().expect("a name").to_owned()).collect())
}

/// Everything that is asked for, one request after the other, without an answer.
fn asked(subscriptions: &mut Subscriptions, start: Instant) -> Vec<(Instant, String)> {
    let (mut now, mut texts) = (start, Vec::new());
    while let Some(due) = subscriptions.due().filter(|due| *due < start + PATIENCE) {
        now = now.max(due);
        match subscriptions.step(now) {
            Step::Send(text) => texts.push((now, text)),
            step => panic!("{step:?}"),
        }
    }
    texts
}

#[test]
fn nothing_is_asked_where_the_address_names_what_is_wanted() {
    let now = Instant::now();
    let mut carried = Subscriptions::new(&names(0..3), &names(0..3), now);
    assert!(carried.is_verified() && !carried.awaits_answer());
    assert_eq!((carried.due(), carried.step(now)), (None, Step::Nothing));
    let mut fewer = Subscriptions::new(&names(0..3), &names(1..4), now);
    let texts: Vec<_> = asked(&mut fewer, now).into_iter().map(|(_, text)| text).collect();
    assert_eq!(
        texts,
        [
            r#"{"method":"UNSUBSCRIBE","params":["s0usdt@aggTrade"],"id":1}"#,
            r#"{"method":"SUBSCRIBE","params":["s3usdt@aggTrade"],"id":2}"#,
        ]
    );
}

#[test]
fn a_subscription_is_verified_by_the_exchanges_own_list() {
    let now = Instant::now();
    let mut one = Subscriptions::new(&[], &names(0..1), now);
    assert!(matches!(one.step(now), Step::Send(_)) && !one.is_verified());
    assert_eq!(one.due(), Some(now + PATIENCE), "nothing more before the answer");
    assert_eq!(one.hear(Answer::Done { id: Some(1) }, now), Finding::Nothing);
    assert_eq!(
        (one.due(), one.step(now)),
        (Some(now + SPACING), Step::Nothing),
        "a control message at a time"
    );
    let list = Step::Send(r#"{"method":"LIST_SUBSCRIPTIONS","id":2}"#.into());
    assert_eq!(one.step(now + SPACING), list);
    let streams = names(0..1);
    let told = one.hear(Answer::List { id: Some(2), streams }, now + SPACING);
    assert_eq!(told, Finding::Subscribed { streams: 1, took: SPACING });
    assert!(one.is_verified() && one.due().is_none());
}

#[test]
fn what_is_not_answered_is_repeated_once_with_its_id_and_then_given_up_by_name() {
    let now = Instant::now();
    let mut one = Subscriptions::new(&[], &names(0..1), now);
    let first = one.step(now);
    assert_eq!(one.step(now + PATIENCE - SPACING), Step::Nothing);
    assert_eq!(one.step(now + PATIENCE), first);
    assert_eq!(one.step(now + PATIENCE * 2 - SPACING), Step::Nothing);
    assert_eq!(one.step(now + PATIENCE * 2), Step::GiveUp(Method::Subscribe));
}

#[test]
fn a_list_that_still_differs_after_three_rounds_is_the_end() {
    let mut now = Instant::now();
    let mut two = Subscriptions::new(&[], &names(0..2), now);
    let mut told = Vec::new();
    for _ in 0..40 {
        now += SPACING;
        let Step::Send(text) = two.step(now) else { continue };
        let (id, method, _) = read(&text);
        // However often it is asked for, one is never there, and another always.
        let streams = names([0, 7]);
        let id = Some(id);
        let answer =
            if method.starts_with("LIST") { Answer::List { id, streams } } else { Answer::Done { id } };
        if let Finding::Differs(difference) = two.hear(answer, now) {
            told.push((difference.missing, difference.excess, difference.is_final));
            if difference.is_final {
                break;
            }
        }
    }
    assert_eq!(told, [(1, 1, false), (1, 1, false), (1, 1, false), (1, 1, true)]);
}

#[test]
fn a_list_from_before_a_change_says_nothing_of_what_is_wanted_now() {
    let mut now = Instant::now();
    let mut one = Subscriptions::new(&[], &names(0..1), now);
    asked(&mut one, now);
    one.hear(Answer::Done { id: Some(1) }, now);
    now += SPACING;
    assert!(matches!(one.step(now), Step::Send(_)), "the list");
    one.want(&names(1..2), now);
    let streams = names(0..1);
    assert_eq!(one.hear(Answer::List { id: Some(2), streams }, now), Finding::Nothing);
    // One that was asked for before a request and answered after it, likewise.
    let mut two = Subscriptions::new(&names(0..1), &names(0..2), now);
    asked(&mut two, now);
    two.hear(Answer::Done { id: Some(1) }, now);
    now += PATIENCE / 2;
    two.step(now);
    two.want(&names(0..3), now);
    two.want(&names(0..2), now);
    let streams = names(0..2);
    assert_eq!(two.hear(Answer::List { id: Some(2), streams }, now), Finding::Nothing);
    assert!(!two.is_verified());
}

#[test]
fn an_exchange_that_never_tells_what_it_carries_is_believed_after_three_refusals() {
    let mut now = Instant::now();
    let mut one = Subscriptions::new(&[], &names(0..1), now);
    let mut refusals = Vec::new();
    while !one.is_verified() {
        now += SPACING;
        let Step::Send(text) = one.step(now) else { panic!("something is due") };
        let (id, method, _) = read(&text);
        let answer = match method.as_str() {
            // One that does not say of what.
            "LIST_SUBSCRIPTIONS" => Answer::Refused { id: None, code: 2, msg: "unknown".into() },
            _ => Answer::Done { id: Some(id) },
        };
        if let Finding::Refused { method, is_believed, .. } = one.hear(answer, now) {
            assert_eq!(method, Method::ListSubscriptions);
            refusals.push(is_believed);
        }
    }
    assert_eq!((refusals, one.due()), (vec![false, false, true], None));
}

#[test]
fn streams_of_other_kinds_that_the_address_named_are_let_be() {
    let now = Instant::now();
    let mut one = Subscriptions::new(&names(0..1), &names(0..2), now);
    asked(&mut one, now);
    one.hear(Answer::Done { id: Some(1) }, now);
    let later = now + PATIENCE / 2;
    assert!(matches!(one.step(later), Step::Send(_)));
    let mut streams = names(0..2);
    streams.push("btcusdt@kline_1m".into());
    assert!(matches!(one.hear(Answer::List { id: Some(2), streams }, later), Finding::Subscribed { .. }));
}

/// What goes wrong with a request.
#[derive(Debug, Clone, Copy)]
enum Fault {
    Nothing,
    /// It never arrives.
    Lost,
    /// It is done, and nobody says so.
    Unanswered,
    /// It is done, and said so late.
    Late(u64),
    /// It is not done, and said so, with its id or without.
    Refused(bool),
    /// It is said to be done, but some of it is not.
    Halved,
}

fn faults() -> impl Strategy<Value = Fault> {
    prop_oneof![
        3 => Just(Fault::Nothing),
        1 => Just(Fault::Lost),
        1 => Just(Fault::Unanswered),
        2 => (0u64..25_000).prop_map(Fault::Late),
        2 => any::<bool>().prop_map(Fault::Refused),
        2 => Just(Fault::Halved),
    ]
}

/// The other end of one connection.
#[derive(Default)]
struct Exchange {
    carried: BTreeSet<String>,
    /// By when they arrive, and a number.
    answers: BTreeMap<(Instant, u64), Answer>,
}

impl Exchange {
    fn take(&mut self, text: &str, fault: Fault, now: Instant) {
        let (id, method, mut params) = read(text);
        assert!(text.len() <= MOST_BYTES && params.len() <= MOST_NAMES, "{text}");
        let lists = method == "LIST_SUBSCRIPTIONS";
        let answers_at = match fault {
            Fault::Lost => return,
            // A list is refused in a story of its own.
            Fault::Refused(with_id) if !lists => {
                let answer = Answer::Refused { id: with_id.then_some(id), code: 2, msg: String::new() };
                return self.answer(answer, now);
            }
            Fault::Late(ms) => now + Duration::from_millis(ms),
            _ => now + Duration::from_millis(30),
        };
        if matches!(fault, Fault::Halved) {
            params.truncate(params.len() / 2);
        }
        match method.as_str() {
            "SUBSCRIBE" => self.carried.extend(params),
            "UNSUBSCRIBE" => self.carried.retain(|name| !params.contains(name)),
            _ => assert!(lists, "{method}"),
        }
        let (id, streams) = (Some(id), self.carried.iter().cloned().collect());
        let answer = if lists { Answer::List { id, streams } } else { Answer::Done { id } };
        if !matches!(fault, Fault::Unanswered) {
            self.answer(answer, answers_at);
        }
    }

    fn answer(&mut self, answer: Answer, at: Instant) {
        let number = self.answers.len() as u64;
        self.answers.insert((at, number), answer);
    }
}

/// Plays connections until one carries what is wanted, or never will; tells what it carries.
fn play(
    changes: &[(u64, BTreeSet<usize>)],
    faults: &[Fault],
) -> Result<(BTreeSet<String>, BTreeSet<String>), TestCaseError> {
    let start = Instant::now();
    let (mut faults, mut changes) = (faults.iter().copied(), changes.iter());
    let mut wanted = names(0..5);
    let mut next_change = changes.next();
    let mut now = start;
    'connections: for _ in 0..60 {
        let (mut exchange, mut sent) = (Exchange::default(), Vec::new());
        let mut subscriptions = Subscriptions::new(&[], &wanted, now);
        loop {
            let change_at = next_change.map(|(at, _)| start + Duration::from_millis(*at));
            let answer_at = exchange.answers.keys().next().map(|(at, _)| *at);
            let Some(at) = [subscriptions.due(), answer_at, change_at].into_iter().flatten().min() else {
                prop_assert!(subscriptions.is_verified(), "forgotten: {subscriptions:?}");
                return Ok((exchange.carried, wanted.into_iter().collect()));
            };
            now = now.max(at);
            if let Some((_, numbers)) = next_change.filter(|_| change_at.is_some_and(|at| at <= now)) {
                wanted = names(numbers.iter().copied());
                subscriptions.want(&wanted, now);
                next_change = changes.next();
            } else if answer_at.is_some_and(|at| at <= now) {
                let (_, answer) = exchange.answers.pop_first().expect("there is one");
                if let Finding::Differs(Difference { is_final: true, .. }) = subscriptions.hear(answer, now) {
                    continue 'connections;
                }
            } else {
                match subscriptions.step(now) {
                    Step::Send(text) => {
                        sent.push(now);
                        exchange.take(&text, faults.next().unwrap_or(Fault::Nothing), now);
                    }
                    Step::GiveUp(_) => continue 'connections,
                    Step::Nothing => return Err(TestCaseError::fail("due, and nothing to do")),
                }
            }
            if let [.., before, last] = sent[..] {
                prop_assert!(sent.len() < 2 || last == before || last - before >= SPACING);
            }
        }
    }
    Err(TestCaseError::fail("it never comes to an end"))
}

proptest! {
    #[test]
    fn every_name_is_asked_for_once_in_requests_that_are_never_too_long(
        lengths in prop::collection::vec(1usize..60, 0..600),
    ) {
        let wanted: Vec<String> =
            lengths.iter().enumerate().map(|(at, length)| format!("{at}_{}@aggTrade", "x".repeat(*length))).collect();
        let now = Instant::now();
        let mut subscriptions = Subscriptions::new(&[], &wanted, now);
        let texts = asked(&mut subscriptions, now);
        let mut seen = BTreeSet::new();
        for (number, (_, text)) in texts.iter().enumerate() {
            let (id, method, params) = read(text);
            prop_assert_eq!((id, method.as_str()), (number as u64 + 1, "SUBSCRIBE"));
            prop_assert!(text.len() <= MOST_BYTES && params.len() <= MOST_NAMES, "{} {}", text.len(), params.len());
            // As full as may be: the next name would not have fit.
            let is_last = number + 1 == texts.len();
            prop_assert!(is_last || params.len() == MOST_NAMES || text.len() > MOST_BYTES - 80);
            prop_assert!(params.into_iter().all(|name| seen.insert(name)), "asked for twice");
        }
        prop_assert_eq!(seen, wanted.into_iter().collect::<BTreeSet<_>>());
        for pair in texts.windows(2) {
            prop_assert!(pair[1].0 - pair[0].0 >= SPACING);
        }
    }

    #[test]
    fn a_name_too_long_for_any_request_is_sent_alone_and_nothing_waits_behind_it(
        before in 0usize..3, length in 3_400usize..9_000,
    ) {
        let mut wanted = names(0..before);
        wanted.push("\u{1}\"".to_owned() + &"y".repeat(length));
        wanted.push("z@aggTrade".into());
        let now = Instant::now();
        let texts = asked(&mut Subscriptions::new(&[], &wanted, now), now);
        let asked: BTreeSet<_> = texts.iter().flat_map(|(_, text)| read(text).2).collect();
        prop_assert_eq!(asked, wanted.into_iter().collect::<BTreeSet<_>>());
    }

    #[test]
    fn whatever_goes_wrong_a_connection_carries_in_the_end_exactly_what_is_wanted(
        changes in prop::collection::vec((0u64..90_000, prop::collection::btree_set(0usize..400, 0..300)), 0..5),
        faults in prop::collection::vec(faults(), 0..40),
    ) {
        let mut changes = changes;
        changes.sort();
        let (carried, wanted) = play(&changes, &faults)?;
        prop_assert_eq!(carried, wanted);
    }
}
