use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use cvd_stream::exchange::AtEnd;
use tokio::sync::Notify;
use tokio::time::timeout;

use super::*;

/// Kills of a usual run of the tests; `CVD_STREAM_KILLS` asks for more.
const KILLS: u32 = 20;
/// The longest life until it is killed.
const LONGEST_LIFE: Duration = Duration::from_millis(700);

/// What a life told, in short.
struct Told {
    records: Vec<(i64, Numbers)>,
    resumed: bool,
    from_previous: bool,
}

impl Told {
    fn by(remains: &Remains) -> Self {
        let id = |record: &Value| record["agg_trade_id"].as_i64().expect("an id");
        Self {
            records: remains.of_type("cvd").map(|record| (id(record), numbers(record))).collect(),
            resumed: remains.log.contains("resumed BTCUSDT"),
            from_previous: remains.log.contains("the previous one is used"),
        }
    }
}

/// Lives that end by `kill -9` at random moments, while the market trades on.
async fn lives(exchange: &Exchange, directory: &Directory, kills: u32) -> Vec<Told> {
    let mut random = fastrand::Rng::with_seed(11);
    let mut told = Vec::new();
    for _ in 0..kills {
        let interval = if random.bool() { "100ms" } else { "1s" };
        let life = Life::begin(exchange, directory, &["--state-interval", interval]);
        // A moment that has to do with nothing.
        tokio::time::sleep(LONGEST_LIFE.mul_f64(random.f64())).await;
        if random.bool() {
            exchange.play(Act::SkipIds(random.u64(1..30))).await;
        }
        told.push(Told::by(&life.kill().await));
    }
    told
}

/// No trade is made after this.
async fn close(exchange: &Exchange) {
    let never = Arc::new(Notify::new());
    // It is never over; once it is begun, which is before any moment to come, the market stands still.
    timeout(Duration::from_millis(20), exchange.play(Act::Until(never))).await.expect_err("it is never over");
}

/// Runs it, and says how it went.
async fn kill_again_and_again(kills: u32) {
    let script = Script::default().at_end(AtEnd::Market { per_second: 1_000 });
    let exchange = market().script(script).start().await.expect("loopback has a free port");
    let directory = Directory::new();
    let mut lives = lives(&exchange, &directory, kills).await;
    let life = Life::begin(&exchange, &directory, &[]);
    life.records.until(|lines| lines.len() > 100).await;
    close(&exchange).await;
    life.id(last_id(&exchange)).await;
    let last = life.terminate().await;
    lives.push(Told::by(&last));

    // What was told first is where the sum begins, and nothing since is missing or was told otherwise.
    let told = || lives.iter().flat_map(|life| &life.records);
    let ids: BTreeSet<_> = told().map(|(id, _)| *id).collect();
    let (first, newest) = (*ids.first().unwrap(), *ids.last().unwrap());
    let totals = last.totals();
    assert_eq!((totals["first_id"].as_i64(), totals["last_id"].as_i64()), (Some(first), Some(newest)));
    assert_eq!(newest, last_id(&exchange));
    let readings = unbroken(&exchange, first);
    let missing: Vec<_> = readings.keys().filter(|id| !ids.contains(id)).collect();
    assert!(missing.is_empty(), "{missing:?} were never told");
    for (id, numbers) in told() {
        assert_eq!(*numbers, expected(&readings[id]), "id {id}");
    }
    assert_eq!(numbers(totals), expected(&readings[&newest]));
    assert_eq!(totals["trades"].as_u64(), Some(readings.len() as u64));
    assert_eq!((totals["missing_trades"].as_u64(), totals["quality"].as_str()), (Some(0), Some("complete")));

    let (records, again) = (told().count(), told().count() - ids.len());
    let resumed = lives.iter().filter(|life| life.resumed).count();
    let previous = lives.iter().filter(|life| life.from_previous).count();
    println!(
        "{kills} kills: {} trades, {records} records, {again} of them again; {resumed} lives resumed, {previous} of \
         them from the previous checkpoint",
        readings.len()
    );
    assert!(resumed > lives.len() / 3, "{resumed} of {}", lives.len());
    stopped_in_peace(exchange).await;
}

#[tokio::test]
async fn killed_at_random_moments_the_numbers_are_those_of_a_run_that_never_stopped() {
    let kills = std::env::var("CVD_STREAM_KILLS").map_or(KILLS, |kills| kills.parse().unwrap());
    let patience = Duration::from_secs(60) + Duration::from_secs(4) * kills;
    timeout(patience, kill_again_and_again(kills)).await.expect("the story must not hang");
}
