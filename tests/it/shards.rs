//! Many symbols over several connections: each carries exactly what it should, whatever the exchange answers, however
//! the plan changes, and nobody notices what happens to another.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use cvd_stream::clock::Clock;
use cvd_stream::exchange::{Act, AtEnd, ErrorShape, Exchange, ExchangeBuilder, Misanswer, Script};
use cvd_stream::feed::endpoint::Endpoint;
use cvd_stream::feed::liveness::LivenessLimits;
use cvd_stream::feed::{
    FeedError, FeedEvent, LineId, LinkChange, Live, LiveSettings, SessionId, ShardId, ShardPlan, Steering,
};
use cvd_stream::queue::{QueueLimits, drop_oldest};
use cvd_stream::snapshot::Market;
use cvd_stream::source::{Burst, Input, Source};
use cvd_stream::units::Symbol;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};

use crate::support::*;

const SECOND: Duration = Duration::from_secs(1);

/// A story on the paused clock: one that takes longer than a day of it hangs.
async fn day<T>(told: impl Future<Output = T>) -> T {
    timeout(86_400 * SECOND, told).await.expect("the story must not hang")
}

/// What has come out of a feed.
#[derive(Debug, Clone, Default)]
struct Arrived {
    /// By line and symbol.
    ids: BTreeMap<(LineId, String), Vec<i64>>,
    links: Vec<(LineId, SessionId, LinkChange)>,
}

impl Arrived {
    /// The symbols of which something came over the lines of a shard.
    fn symbols_of(&self, shard: u16) -> BTreeSet<String> {
        self.ids
            .keys()
            .filter(|(line, _)| line.shard().0 == shard)
            .map(|(_, symbol)| symbol.clone())
            .collect()
    }

    fn frames(&self) -> usize {
        self.ids.values().map(Vec::len).sum()
    }

    /// Sessions of a shard that are up.
    fn up(&self, shard: u16) -> usize {
        let of_it = self.links.iter().filter(|(line, ..)| line.shard().0 == shard);
        of_it.fold(0, |up, (.., change)| if *change == LinkChange::Opened { up + 1 } else { up - 1 })
    }
}

/// A feed of several shards that runs, and what it does.
struct Feed {
    plans: watch::Sender<Arc<[ShardPlan]>>,
    arrived: Growing<Arrived>,
    told: Growing<Vec<(Instant, String)>>,
    steering: Steering,
    stop: watch::Sender<bool>,
    task: JoinHandle<Result<(), FeedError>>,
}

fn told(event: &FeedEvent<'_>) -> Option<String> {
    Some(match event {
        FeedEvent::Connecting { .. } => "connecting".into(),
        FeedEvent::Connected { line, again, .. } => format!("connected: {line} again={again}"),
        FeedEvent::Ended { end, line, .. } => format!("ended: {line}: {end}"),
        FeedEvent::Subscribed { line, streams, .. } => format!("subscribed: {line}: {streams}"),
        FeedEvent::SubscriptionRefused { line, method, code, remedy, .. } => {
            format!("refused: {line}: {} {code} {}", method.as_str(), remedy.unwrap_or_default())
        }
        FeedEvent::ListDiffers { line, difference } => {
            format!("differs: {line}: {} {} {}", difference.missing, difference.excess, difference.is_final)
        }
        FeedEvent::HandOverBegun { line, .. } => format!("begun: {line}"),
        FeedEvent::HandedOver { line, .. } => format!("handed over: {line}"),
        FeedEvent::HandOverFailed { line, what, .. } => format!("hand-over failed: {line}: {what}"),
        _ => return None,
    })
}

impl Feed {
    fn start(exchange: &Exchange, plans: Vec<ShardPlan>) -> Self {
        Self::start_with(exchange, plans, |_| {})
    }

    fn start_with(
        exchange: &Exchange,
        plans: Vec<ShardPlan>,
        change: impl FnOnce(&mut LiveSettings),
    ) -> Self {
        let (plans, followed) = watch::channel(Arc::from(plans));
        let mut settings = LiveSettings {
            plans: followed,
            liveness: LivenessLimits::with_heartbeat(Duration::from_secs(100_000)),
            jitter_seed: Some(5),
            ..LiveSettings::of(Endpoint::default())
        };
        change(&mut settings);
        let (arrived, heard) = (Growing::<Arrived>::default(), Growing::<Vec<(Instant, String)>>::default());
        let steering = Steering::default();
        let (stop, stopped) = watch::channel(false);
        let clock = Clock::simulated(0);
        let (queue, mut receiver) = drop_oldest(QueueLimits::for_frames(4_096));
        let into = arrived.clone();
        tokio::spawn(async move {
            let mut burst = Burst::default();
            while receiver.next(&mut burst).await.expect("a queue does not fail") {
                assert_eq!(burst.evicted, [], "the reader keeps up");
                into.grow(|arrived| burst.inputs.iter().for_each(|input| arrived.take(input)));
            }
        });
        let (network, steers, hears) = (exchange.network(), steering.clone(), heard.clone());
        let task = tokio::spawn(async move {
            let observer = |event: FeedEvent<'_>| {
                if let Some(line) = told(&event) {
                    hears.grow(|told| told.push((Instant::now(), line)));
                }
            };
            let live = Live::new(settings, queue, &observer, clock)?;
            live.with_network(network).with_steering(steers).run(stopped).await
        });
        Self { plans, arrived, told: heard, steering, stop, task }
    }

    /// Waits until it was told so often, of whatever line, what begins like this.
    async fn told(&self, what: &str, times: usize) -> Vec<Instant> {
        let like = |told: &&(Instant, String)| told.1.starts_with(what);
        let told = self.told.until(|told| told.iter().filter(like).count() >= times).await;
        told.iter().filter(like).map(|(at, _)| *at).collect()
    }

    fn lines_told(&self, what: &str) -> Vec<String> {
        self.told.now().into_iter().map(|(_, line)| line).filter(|line| line.starts_with(what)).collect()
    }

    fn follow(&self, plans: Vec<ShardPlan>) {
        self.plans.send_replace(Arc::from(plans));
    }

    /// Forgets what has arrived, has the exchange trade each of these once, and gives what came of it.
    async fn sample(&self, exchange: &Exchange, symbols: &[Symbol]) -> Arrived {
        self.arrived.grow(|arrived| arrived.ids.clear());
        for symbol in symbols {
            exchange.play(Act::Trades(1).of(symbol.clone())).await;
        }
        // Whatever is still to be had comes before this.
        let seen = self.arrived.until(|arrived| arrived.frames() >= symbols.len()).await;
        assert!(seen.ids.values().all(|ids| ids.len() == 1), "nothing comes twice");
        seen
    }

    async fn stop(self) -> Arrived {
        self.stop.send_replace(true);
        self.task.await.expect("the feed must not panic").expect("nothing was refused for good");
        self.arrived.now()
    }
}

impl Arrived {
    fn take(&mut self, input: &Input) {
        match input {
            Input::Frame(frame) => {
                let text = frame.text.as_str();
                let after = |name: &str| text.split_once(name).map(|(_, after)| after);
                let (Some(symbol), Some(id)) = (after(r#""s":""#), after(r#""a":"#)) else { return };
                let symbol = symbol.split('"').next().expect("a part");
                let id = id.split([',', '}']).next().expect("a part").parse().expect("an id");
                self.ids.entry((frame.line, symbol.to_owned())).or_default().push(id);
            }
            Input::Link(link) => self.links.push((link.line, link.session, link.change)),
            _ => {}
        }
    }
}

/// The address of an exchange, without streams.
fn bare(exchange: &Exchange) -> Endpoint {
    let url = format!("{}/market/stream", exchange.stream_base());
    let endpoint = Endpoint::from_url(&url, None, None, false).expect("an address");
    endpoint.without_streams().expect("it names none")
}

fn plan(exchange: &Exchange, shard: u16, symbols: &[Symbol]) -> ShardPlan {
    let streams = symbols.iter().map(|symbol| format!("{}@aggTrade", symbol.stream_name())).collect();
    ShardPlan { shard: ShardId(shard), endpoint: bare(exchange), streams }
}

/// Symbols in shards of 200.
fn plans(exchange: &Exchange, symbols: &[Symbol]) -> Vec<ShardPlan> {
    symbols.chunks(200).zip(0..).map(|(symbols, shard)| plan(exchange, shard, symbols)).collect()
}

fn names(symbols: &[Symbol]) -> BTreeSet<String> {
    symbols.iter().map(ToString::to_string).collect()
}

async fn started(builder: ExchangeBuilder) -> (Exchange, Vec<Symbol>) {
    let exchange = builder.start().await.expect("there are ports");
    let symbols = exchange.symbols().to_vec();
    (exchange, symbols)
}

fn in_memory(count: usize) -> ExchangeBuilder {
    Exchange::builder().universe(count).in_memory()
}

async fn carries_450_symbols_over_three_connections(builder: ExchangeBuilder) -> Vec<Instant> {
    story(async {
        let (exchange, symbols) = started(builder.universe(450)).await;
        let feed = Feed::start(&exchange, plans(&exchange, &symbols));
        feed.told("subscribed", 3).await;
        let subscribed: BTreeSet<_> = feed.lines_told("subscribed").into_iter().collect();
        let expected = ["subscribed: shard 1: 200", "subscribed: shard 2: 200", "subscribed: shard 3: 50"];
        assert_eq!(subscribed, expected.map(String::from).into());
        let connecting = feed.told("connecting", 3).await;
        let seen = feed.sample(&exchange, &symbols).await;
        for (symbols, shard) in symbols.chunks(200).zip(0..) {
            assert_eq!(seen.symbols_of(shard), names(symbols), "shard {shard}");
        }
        assert_eq!(exchange.connections(), 3);
        let ended = feed.stop().await;
        assert_eq!([0, 1, 2].map(|shard| ended.up(shard)), [0; 3], "every line was closed");
        let report = stopped_in_peace(exchange).await;
        assert_eq!(report.stats.closes_received, 3, "in peace");
        connecting
    })
    .await
}

#[tokio::test(start_paused = true)]
async fn four_hundred_and_fifty_symbols_come_over_three_connections() {
    let connecting = carries_450_symbols_over_three_connections(Exchange::builder().in_memory()).await;
    for pair in connecting.windows(2) {
        assert_eq!(pair[1] - pair[0], Duration::from_millis(250));
    }
}

#[tokio::test]
async fn four_hundred_and_fifty_symbols_come_over_three_connections_of_real_sockets() {
    carries_450_symbols_over_three_connections(Exchange::builder()).await;
}

#[tokio::test(start_paused = true)]
async fn spot_s_five_messages_a_second_are_kept_to_with_pings_of_both_sides() {
    day(async {
        let builder = Exchange::builder().market(Market::Spot).universe(900).in_memory();
        let (exchange, symbols) = started(builder.server_ping(SECOND)).await;
        let url = format!("{}/stream", exchange.stream_base());
        let endpoint = Endpoint::from_url(&url, None, Some(Market::Spot), false).expect("an address");
        let one = ShardPlan { endpoint: endpoint.without_streams().unwrap(), ..plan(&exchange, 0, &symbols) };
        let feed = Feed::start_with(&exchange, vec![one], |settings| {
            settings.liveness.ping_every = SECOND;
        });
        feed.told("subscribed", 1).await;
        assert_eq!(feed.lines_told("subscribed"), ["subscribed: : 900"]);
        feed.stop().await;
        stopped_in_peace(exchange).await;
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_plan_that_changes_reaches_the_connections_that_are_up_and_nobody_else() {
    day(async {
        let (exchange, symbols) = started(in_memory(40)).await;
        let of = |shard, symbols: &[Symbol]| plan(&exchange, shard, symbols);
        let feed = Feed::start(
            &exchange,
            vec![of(0, &symbols[..10]), of(1, &symbols[10..20]), of(2, &symbols[20..30])],
        );
        feed.told("subscribed", 3).await;
        // The first loses two and wins three, the second goes, the third stays, another one comes.
        let first: Vec<_> = symbols[2..10].iter().chain(&symbols[10..13]).cloned().collect();
        feed.follow(vec![of(0, &first), of(2, &symbols[20..30]), of(9, &symbols[30..])]);
        feed.told("subscribed", 5).await;
        let carried: Vec<_> = first.iter().chain(&symbols[20..]).cloned().collect();
        let gone = symbols[..2].iter().chain(&symbols[13..20]);
        for symbol in gone {
            exchange.play(Act::SkipIds(1).of(symbol.clone())).await;
            exchange.play(Act::Trades(1).of(symbol.clone())).await;
        }
        let seen = feed.sample(&exchange, &carried).await;
        assert_eq!(seen.symbols_of(0), names(&first));
        assert_eq!(seen.symbols_of(1), BTreeSet::new());
        assert_eq!(seen.symbols_of(2), names(&symbols[20..30]));
        assert_eq!(seen.symbols_of(9), names(&symbols[30..]));
        assert_eq!([0, 1, 2, 9].map(|shard| seen.up(shard)), [1, 0, 1, 1]);
        assert_eq!((exchange.connections(), exchange.stats().closes_received), (4, 1));
        assert_eq!(feed.lines_told("ended"), [""; 0], "going is no failure");
        // The second comes back under its old number, while the others go.
        feed.follow(vec![of(1, &symbols[10..20])]);
        feed.told("subscribed", 6).await;
        let seen = feed.sample(&exchange, &symbols[10..20]).await;
        assert_eq!(seen.symbols_of(1), names(&symbols[10..20]));
        assert_eq!([0, 1, 2, 9].map(|shard| seen.up(shard)), [0, 1, 0, 0]);
        assert_eq!(feed.lines_told("subscribed: :"), ["subscribed: : 10"], "there is only one now");
        feed.stop().await;
        stopped_in_peace(exchange).await;
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn an_address_that_names_its_streams_is_asked_for_nothing_until_the_plan_changes() {
    day(async {
        let (exchange, symbols) = started(in_memory(3)).await;
        let endpoint = Endpoint::from_url(&exchange.stream_url(), None, None, false).expect("an address");
        let whole = ShardPlan::of(endpoint);
        let feed = Feed::start(&exchange, vec![whole.clone()]);
        feed.told("connected", 1).await;
        sleep(60 * SECOND).await;
        assert_eq!(exchange.stats().requests_received, 0);
        let seen = feed.sample(&exchange, &symbols).await;
        assert_eq!(seen.symbols_of(0), names(&symbols));
        let fewer = ShardPlan { streams: whole.streams[1..].to_vec(), ..whole };
        feed.follow(vec![fewer]);
        feed.told("subscribed", 1).await;
        // Over the next connection, too, whose address still names them all.
        exchange.play(Act::Drop).await;
        feed.told("subscribed", 2).await;
        let seen = feed.sample(&exchange, &symbols[1..]).await;
        assert_eq!(seen.symbols_of(0), names(&symbols[1..]));
        feed.stop().await;
        stopped_in_peace(exchange).await;
    })
    .await;
}

fn misanswer(how: Misanswer, times: u32) -> Act {
    Act::Misanswer { how, times }
}

fn refuse(code: i64, with_id: bool) -> Misanswer {
    Misanswer::Refuse { code, msg: "Invalid request".into(), with_id }
}

#[tokio::test(start_paused = true)]
async fn an_exchange_that_is_late_refuses_and_forgets_is_put_right_by_its_own_list() {
    for shape in [ErrorShape::Flat, ErrorShape::Nested] {
        day(async {
            let script = [
                misanswer(Misanswer::Late(7 * SECOND), 1),
                misanswer(Misanswer::Forget(20), 1),
                misanswer(refuse(2, true), 1),
                misanswer(refuse(4, false), 1),
                misanswer(Misanswer::Late(3 * SECOND), 1),
                misanswer(Misanswer::Ignore, 1),
                misanswer(Misanswer::Forget(3), 1),
            ];
            let (exchange, symbols) = started(in_memory(400).error_shape(shape).script(script)).await;
            let feed = Feed::start(&exchange, plans(&exchange, &symbols));
            feed.told("subscribed", 2).await;
            let seen = feed.sample(&exchange, &symbols).await;
            assert_eq!(seen.symbols_of(0), names(&symbols[..200]));
            assert_eq!(seen.symbols_of(1), names(&symbols[200..]));
            assert_eq!((exchange.connections(), feed.lines_told("ended").len()), (2, 0));
            assert!(!feed.lines_told("differs").is_empty());
            assert_eq!(feed.lines_told("refused").len(), 2);
            let remedies = feed.lines_told("refused").concat();
            assert!(remedies.contains("lower --streams-per-connection"), "{remedies}");
            feed.stop().await;
            stopped_in_peace(exchange).await;
        })
        .await;
    }
}

#[tokio::test(start_paused = true)]
async fn an_exchange_that_does_not_answer_is_left_by_name_and_found_again() {
    day(async {
        let script = [misanswer(Misanswer::Ignore, 2)];
        let (exchange, symbols) = started(in_memory(5).script(script)).await;
        let begun = Instant::now();
        let feed = Feed::start(&exchange, plans(&exchange, &symbols));
        let ended = feed.told("ended", 1).await[0];
        assert_eq!(ended - begun, 20 * SECOND, "asked again after ten");
        assert_eq!(feed.lines_told("ended"), ["ended: : the exchange did not answer SUBSCRIBE twice"]);
        feed.told("subscribed", 1).await;
        assert_eq!(feed.sample(&exchange, &symbols).await.symbols_of(0), names(&symbols));
        feed.stop().await;
        stopped_in_peace(exchange).await;
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn an_exchange_that_forgets_again_and_again_is_left_after_three_rounds() {
    day(async {
        // Subscribed and listed, four times over; lists forget nothing.
        let script = [misanswer(Misanswer::Forget(1), 8)];
        let (exchange, symbols) = started(in_memory(5).script(script)).await;
        let feed = Feed::start(&exchange, plans(&exchange, &symbols));
        feed.told("subscribed", 1).await;
        let differs = feed.lines_told("differs");
        assert_eq!(differs.len(), 4, "{differs:?}");
        assert_eq!(differs[3], "differs: : 1 0 true");
        assert_eq!(
            feed.lines_told("ended"),
            ["ended: : the exchange's list of subscriptions stays wrong: 1 missing, 0 nobody asked for"]
        );
        assert_eq!(feed.sample(&exchange, &symbols).await.symbols_of(0), names(&symbols));
        feed.stop().await;
        stopped_in_peace(exchange).await;
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_shard_that_is_cut_for_twenty_seconds_is_no_affair_of_the_others() {
    day(async {
        let market = Script::new([]).at_end(AtEnd::Market { per_second: 500 });
        let (exchange, symbols) = started(in_memory(30).script(market)).await;
        let thirds: Vec<_> =
            symbols.chunks(10).zip(0..).map(|(symbols, shard)| plan(&exchange, shard, symbols)).collect();
        let feed = Feed::start(&exchange, thirds);
        feed.told("subscribed", 3).await;
        let (before, cut_at) = (feed.arrived.now(), Instant::now());
        let refuse = Act::Refuse { status: 503, retry_after: Some("20".into()), times: 1 };
        exchange.play(refuse).await;
        exchange.play(Act::Drop.on(2)).await;
        let back = feed.told("connected: shard 2 again=true", 1).await[0];
        assert!(back - cut_at >= 20 * SECOND, "{:?}", back - cut_at);
        feed.told("subscribed", 4).await;
        sleep(5 * SECOND).await;
        let after = feed.stop().await;
        for ((line, symbol), ids) in &after.ids {
            let gaps = ids.windows(2).filter(|pair| pair[1] != pair[0] + 1).count();
            assert_eq!(gaps > 0, line.shard().0 == 1, "{symbol} of {line:?}: {gaps} gaps");
        }
        let of_others = |arrived: &Arrived| {
            let links = arrived.links.iter().filter(|(line, ..)| line.shard().0 != 1);
            links.filter(|(.., change)| *change == LinkChange::Opened).count()
        };
        assert_eq!((of_others(&before), of_others(&after)), (2, 2), "no other line was touched");
        stopped_in_peace(exchange).await;
    })
    .await;
}

/// Says of every session, once a second, that it brings everything.
fn all_overlap(steering: Steering) -> JoinHandle<()> {
    tokio::spawn(async move {
        loop {
            sleep(SECOND).await;
            (1..200).for_each(|session| steering.overlapped(SessionId(session)));
        }
    })
}

#[tokio::test(start_paused = true)]
async fn shards_are_handed_over_one_at_a_time_and_only_with_all_their_streams() {
    day(async {
        let (exchange, symbols) = started(in_memory(60)).await;
        let sixth: Vec<_> =
            symbols.chunks(10).zip(0..).map(|(symbols, shard)| plan(&exchange, shard, symbols)).collect();
        let feed = Feed::start_with(&exchange, sixth.clone(), |settings| {
            settings.handover_after = Duration::from_secs(3_600);
        });
        feed.told("subscribed", 6).await;
        let overlapping = all_overlap(feed.steering.clone());
        // From here on every acknowledgement is four seconds late: no connection has all its streams before eight.
        exchange.play(misanswer(Misanswer::Late(4 * SECOND), 100)).await;
        feed.told("handed over", 6).await;
        let told = feed.told.now();
        let (mut begun_at, mut replaced) = (None, BTreeSet::new());
        let mut is_subscribed = false;
        for (at, line) in told.iter().skip_while(|(_, line)| !line.starts_with("begun")) {
            let (what, shard) = line.split_once(": ").unwrap_or((line, ""));
            match what {
                "begun" => {
                    assert_eq!(begun_at.replace(*at), None, "{shard} while another one is being replaced");
                    is_subscribed = false;
                }
                "subscribed" => is_subscribed = true,
                "handed over" => {
                    assert!(is_subscribed, "{shard} without all its streams");
                    let begun = begun_at.take().expect("it has begun");
                    assert!(*at - begun >= 8 * SECOND, "{:?}", *at - begun);
                    replaced.insert(shard.to_owned());
                }
                _ => panic!("{line}"),
            }
        }
        assert_eq!(replaced.len(), 6, "{replaced:?}");
        let begun = feed.told("begun", 6).await;
        // A third of a minute for each line at the very least: see `feed::pace`.
        for pair in begun.windows(2) {
            assert!(
                pair[1] - pair[0] >= 20 * SECOND,
                "opened together, due together: {:?}",
                pair[1] - pair[0]
            );
        }
        let seen = feed.sample(&exchange, &symbols).await;
        for (symbols, shard) in symbols.chunks(10).zip(0..) {
            assert_eq!(seen.symbols_of(shard), names(symbols));
        }
        overlapping.abort();
        feed.stop().await;
        stopped_in_peace(exchange).await;
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_plan_that_changes_amid_a_hand_over_or_a_reconnect_ends_with_exactly_what_is_wanted() {
    day(async {
        let (exchange, symbols) = started(in_memory(30)).await;
        let of = |shard, symbols: &[Symbol]| plan(&exchange, shard, symbols);
        let feed = Feed::start(&exchange, vec![of(0, &symbols[..10]), of(1, &symbols[10..20])]);
        feed.told("subscribed", 2).await;
        // The first is handed over and the second reconnects, and both change before they have their streams again.
        exchange.play(misanswer(Misanswer::Late(5 * SECOND), 4)).await;
        feed.steering.renew(SessionId(1), cvd_stream::feed::Renewal::Lag);
        feed.steering.reconnect(ShardId(1));
        feed.told("begun", 1).await;
        feed.told("connected", 3).await;
        sleep(SECOND).await;
        feed.follow(vec![of(0, &symbols[5..15]), of(1, &symbols[15..])]);
        let overlapping = all_overlap(feed.steering.clone());
        feed.told("handed over", 1).await;
        sleep(60 * SECOND).await;
        let seen = feed.sample(&exchange, &symbols[5..]).await;
        assert_eq!(seen.symbols_of(0), names(&symbols[5..15]));
        assert_eq!(seen.symbols_of(1), names(&symbols[15..]));
        assert_eq!([0, 1].map(|shard| seen.up(shard)), [1, 1]);
        let ended = feed.lines_told("ended");
        assert_eq!(ended.len(), 1, "{ended:?}");
        // One that goes amid a hand-over closes both its connections.
        overlapping.abort();
        feed.steering.renew(newest(&seen, 0), cvd_stream::feed::Renewal::Lag);
        feed.arrived.until(|arrived| arrived.up(0) == 2).await;
        feed.follow(vec![of(1, &symbols[15..])]);
        feed.arrived.until(|arrived| arrived.up(0) == 0).await;
        feed.stop().await;
        stopped_in_peace(exchange).await;
    })
    .await;
}

fn newest(arrived: &Arrived, shard: u16) -> SessionId {
    let of_it = arrived.links.iter().filter(|(line, ..)| line.shard().0 == shard);
    of_it.map(|(_, session, _)| *session).max().expect("it had one")
}

#[tokio::test(start_paused = true)]
async fn redundant_lines_of_several_shards_are_told_apart_and_each_carries_everything() {
    day(async {
        let (exchange, symbols) = started(in_memory(20)).await;
        let halves = vec![plan(&exchange, 0, &symbols[..10]), plan(&exchange, 1, &symbols[10..])];
        let feed = Feed::start_with(&exchange, halves, |settings| settings.redundancy = 2);
        feed.told("subscribed", 4).await;
        let told: BTreeSet<_> = feed.lines_told("subscribed").into_iter().collect();
        let expected = ["shard 1, line 1", "shard 1, line 2", "shard 2, line 1", "shard 2, line 2"];
        assert_eq!(told, expected.map(|place| format!("subscribed: {place}: 10")).into());
        let seen = feed.sample(&exchange, &symbols).await;
        // The copies may still be on their way.
        let seen = match seen.frames() {
            40 => seen,
            _ => feed.arrived.until(|arrived| arrived.frames() == 40).await,
        };
        let lines: BTreeSet<_> = seen.ids.keys().map(|(line, _)| line.0).collect();
        assert_eq!(lines, [0, 1, 3, 4].into());
        feed.stop().await;
        stopped_in_peace(exchange).await;
    })
    .await;
}
