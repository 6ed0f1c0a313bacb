//! The archive: what is fetched, resumed, checked and refused, against the practice exchange's own.

mod command;
mod faults;
mod resuming;

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use cvd_stream::app::App;
use cvd_stream::calendar::{Day, Month};
use cvd_stream::config::Config;
use cvd_stream::exchange::{Act, Archive, ArchiveFault, Exchange, ExchangeBuilder, Script};
use cvd_stream::fetch::{Days, DaysError, Fetch, FetchError, Period, Summary};
use cvd_stream::repair::rest::RestBase;
use cvd_stream::replay::{Replay, ReplayOptions};
use cvd_stream::snapshot::Market;
use cvd_stream::units::UnixMillis;

use crate::support::{Monitor, symbol};

/// When the stories happen.
const TODAY: &str = "2024-07-15";

fn day(text: &str) -> Day {
    Day::parse(text).unwrap()
}

fn month(text: &str) -> Month {
    Month::parse(text).unwrap()
}

fn of_day(text: &str) -> Period {
    Period::Day(day(text))
}

/// A directory, an exchange whose archive is empty, and how to fetch from it.
struct Stage {
    exchange: Exchange,
    fetch: Fetch,
}

impl Stage {
    /// In memory: under a paused clock every wait takes no time.
    async fn of(from: &str, to: &str) -> Self {
        Self::with(Exchange::builder().symbol("BTCUSDT").seed(7), from, to).await
    }

    async fn with(builder: ExchangeBuilder, from: &str, to: &str) -> Self {
        let exchange = builder.in_memory().start().await.unwrap();
        let days = Days { from: day(from), to: day(to) };
        let fetch = Fetch {
            directory: directory(),
            base: RestBase::parse(&exchange.rest_url(), false).unwrap(),
            today: day(TODAY),
            ..Fetch::new(Market::UsdM, symbol("BTCUSDT"), days)
        };
        Self { exchange, fetch }
    }

    fn archive(&self) -> &Archive {
        self.exchange.archive()
    }

    /// Puts a file of so many bytes there, all different, and gives them.
    fn put(&self, period: &str, length: usize) -> Vec<u8> {
        let bytes = bytes(length);
        self.archive().put(&path(period), bytes.clone());
        bytes
    }

    async fn run(&self) -> Result<Summary, FetchError> {
        self.fetch.run(&*self.exchange.network(), |_, _| {}).await
    }

    /// Whether the file is there, as it was published, with its checksum and nothing besides.
    fn assert_has(&self, period: &str, expected: &[u8]) {
        assert_eq!(fs::read(self.at(&name(period))).unwrap(), expected, "{period}");
        let sums = fs::read(self.at(&format!("{}.CHECKSUM", name(period)))).unwrap();
        assert_eq!(Some(sums), self.archive().file(&format!("{}.CHECKSUM", path(period))), "{period}");
        let left = self.files().into_iter().filter(|name| name.contains(".part"));
        assert_eq!(left.collect::<Vec<_>>(), [""; 0]);
    }

    /// The files in the directory, by name.
    fn files(&self) -> Vec<String> {
        let mut names: Vec<_> = fs::read_dir(&self.fetch.directory)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    fn at(&self, name: &str) -> PathBuf {
        self.fetch.directory.join(name)
    }

    /// What was asked for, without the folders: name, range, status.
    fn asked(&self) -> Vec<String> {
        let asked = self.archive().requests().into_iter().map(|request| {
            let name = request.path.rsplit('/').next().unwrap_or_default().to_owned();
            let range = request.range.map(|range| format!(" {range}")).unwrap_or_default();
            format!("{}{range} {}", name.trim_start_matches("BTCUSDT-aggTrades-"), request.status)
        });
        asked.collect()
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        let above = self.fetch.directory.parent().expect("it was made below another");
        fs::remove_dir_all(above).unwrap_or_default();
    }
}

/// No two of its kilobytes are the same.
fn bytes(length: usize) -> Vec<u8> {
    (0..length).map(|n| (n * 7 + n / 256) as u8).collect()
}

fn directory() -> PathBuf {
    use std::sync::atomic::{AtomicU32, Ordering};
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let number = COUNT.fetch_add(1, Ordering::Relaxed);
    // Not there yet, nor is its parent.
    std::env::temp_dir().join(format!("cvd-stream-fetch-{}-{number}", std::process::id())).join("archive")
}

fn name(period: &str) -> String {
    format!("BTCUSDT-aggTrades-{period}.zip")
}

fn path(period: &str) -> String {
    let frequency = if period.len() == 7 { "monthly" } else { "daily" };
    format!("/data/futures/um/{frequency}/aggTrades/BTCUSDT/{}", name(period))
}

#[tokio::test(start_paused = true)]
async fn three_days_and_a_month_are_fetched_and_replayed_to_the_ledgers_cvd() {
    let per_day = [Act::SkipIds(40), Act::Stall(Duration::from_secs(86_400))];
    let script = Script::new(per_day).repeated(34);
    // From the 29th of April to the end of the 1st of June, at noon each day.
    let noon = UnixMillis(day("2024-04-29").start().0 + 43_200_000);
    let builder = Exchange::builder().symbol("BTCUSDT").seed(7).start_time(noon).script(script);
    let stage = Stage::with(builder, "2024-04-29", "2024-06-01").await;
    stage.exchange.wait_for(|stats| stats.script_finished).await;
    let ledger = stage.exchange.ledger();
    let (btc, trades) = (symbol("BTCUSDT"), ledger.trades(&symbol("BTCUSDT")));
    assert_eq!(trades.len(), 34 * 40);
    for single in ["2024-04-29", "2024-04-30", "2024-06-01"] {
        stage.archive().publish_day(Market::UsdM, &btc, day(single), &trades).unwrap();
    }
    stage.archive().publish_month(Market::UsdM, &btc, month("2024-05"), &trades).unwrap();

    let summary = stage.run().await.unwrap();
    assert_eq!((summary.fetched, summary.is_complete()), (4, true));
    assert_eq!(summary.bytes, summary.received);
    let periods = ["2024-04-29", "2024-04-30", "2024-05", "2024-06-01"];
    let both = periods.map(|period| [name(period), format!("{}.CHECKSUM", name(period))]);
    assert_eq!(stage.files(), both.concat());

    let files = periods.map(|period| stage.at(&name(period))).to_vec();
    let replay = Replay::open(files, ReplayOptions::default()).unwrap();
    let ended = Monitor::replay(App::new(Config::default()), replay).await;
    let [lane] = &ended.summary.lanes[..] else { panic!("one lane") };
    assert_eq!((lane.reading.cvd, lane.trades), (ledger.cvd(&btc), 34 * 40));
    assert_eq!(lane.coverage.missing_trades, 0);

    // Again, nothing of it is fetched.
    let again = stage.run().await.unwrap();
    assert_eq!((again.fetched, again.already_there, again.received), (0, 4, 0));
}

#[tokio::test(start_paused = true)]
async fn what_is_here_is_not_fetched_again_unless_the_archive_has_another() {
    let stage = Stage::of("2024-05-01", "2024-05-03").await;
    let files = ["2024-05-01", "2024-05-02", "2024-05-03"].map(|period| stage.put(period, 5_000));
    assert_eq!(stage.run().await.unwrap().fetched, 3);
    // One was replaced in the archive, one was damaged here, of one the checksum was lost.
    let other = vec![9; 6_000];
    stage.archive().put(&path("2024-05-01"), other.clone());
    fs::write(stage.at(&name("2024-05-02")), b"damaged").unwrap();
    fs::remove_file(stage.at(&format!("{}.CHECKSUM", name("2024-05-03")))).unwrap();
    let asked_before = stage.asked().len();
    let summary = stage.run().await.unwrap();
    assert_eq!((summary.fetched, summary.already_there, summary.received), (2, 1, 11_000));
    stage.assert_has("2024-05-01", &other);
    stage.assert_has("2024-05-02", &files[1]);
    stage.assert_has("2024-05-03", &files[2]);
    let mut asked = stage.asked().split_off(asked_before);
    asked.sort();
    let all =
        ["01.zip 200", "01.zip.CHECKSUM 200", "02.zip 200", "02.zip.CHECKSUM 200", "03.zip.CHECKSUM 200"];
    assert_eq!(asked, all.map(|asked| format!("2024-05-{asked}")));
}

#[tokio::test(start_paused = true)]
async fn days_that_are_not_over_are_refused_before_anything_is_asked() {
    let stage = Stage::of("2024-07-01", TODAY).await;
    let error = stage.run().await.unwrap_err();
    let FetchError::Days(DaysError::NotOver { latest, .. }) = error else { panic!("{error}") };
    assert_eq!(latest, day("2024-07-14"));
    assert!(stage.asked().is_empty() && !stage.fetch.directory.exists());
}

#[tokio::test(start_paused = true)]
async fn what_is_not_published_yet_is_told_from_what_is_missing() {
    let stage = Stage::of("2024-07-10", "2024-07-14").await;
    stage.put("2024-07-10", 10);
    stage.put("2024-07-12", 10);
    let summary = stage.run().await.unwrap();
    assert_eq!(summary.missing, [of_day("2024-07-11")]);
    assert_eq!(summary.not_published, ["2024-07-13", "2024-07-14"].map(of_day));
    assert!(!summary.is_complete());
    stage.put("2024-07-11", 10);
    assert!(stage.run().await.unwrap().is_complete());
}

#[tokio::test(start_paused = true)]
async fn a_month_without_a_file_is_fetched_by_its_days() {
    let stage = Stage::of("2024-05-01", "2024-06-30").await;
    stage.put("2024-05", 100);
    for date in (0..30).map(|n| day("2024-06-01").plus(n).to_string()).filter(|date| date != "2024-06-07") {
        stage.put(&date, 10);
    }
    let summary = stage.run().await.unwrap();
    assert_eq!((summary.fetched, summary.missing.as_slice()), (30, &[of_day("2024-06-07")][..]));
    // A checksum and a file each, and two questions in vain.
    assert_eq!(stage.asked().len(), 2 * 30 + 2);
}

#[tokio::test(start_paused = true)]
async fn months_before_a_symbol_was_listed_cost_four_questions_each() {
    let stage = Stage::of("2024-01-01", "2024-06-30").await;
    stage.put("2024-06", 10);
    let summary = stage.run().await.unwrap();
    let months =
        ["2024-01", "2024-02", "2024-03", "2024-04", "2024-05"].map(|text| Period::Month(month(text)));
    assert_eq!(summary.missing, months);
    assert_eq!(stage.asked().len(), 5 * 4 + 2);
}

#[tokio::test(start_paused = true)]
async fn a_symbol_of_which_there_is_nothing_is_told_as_such() {
    let stage = Stage::of("2023-12-30", "2024-05-31").await;
    let error = stage.run().await.unwrap_err();
    assert!(matches!(error, FetchError::NothingThere { .. }));
    assert!(
        error.to_string().starts_with("the usdm archive has no file of BTCUSDT for these days"),
        "{error}"
    );
    assert_eq!(stage.asked().len(), 2 + 5 * 4);
}

#[tokio::test(start_paused = true)]
async fn no_more_files_are_under_way_at_once_than_allowed() {
    for parallel in [1, 3, 8] {
        let mut stage = Stage::of("2024-05-01", "2024-05-20").await;
        stage.fetch.parallel = parallel;
        for n in 0..20 {
            stage.put(&day("2024-05-01").plus(n).to_string(), 2_000);
        }
        let slow = ArchiveFault::Slow { per_second: 1_000 };
        stage.archive().fault(".zip", vec![slow; 20]);
        assert_eq!(stage.run().await.unwrap().fetched, 20);
        assert_eq!(stage.archive().counts().most_at_once, u64::from(parallel));
    }
}

#[tokio::test(start_paused = true)]
async fn symbols_beyond_ascii_and_every_market_are_found_where_they_lie() {
    for market in Market::ALL {
        let mut stage = Stage::of("2024-05-01", "2024-05-01").await;
        (stage.fetch.market, stage.fetch.symbol) = (market, symbol("币安人生USDT"));
        stage.archive().publish_day(market, &symbol("币安人生USDT"), day("2024-05-01"), &[]).unwrap();
        assert_eq!(stage.run().await.unwrap().fetched, 1);
        assert_eq!(stage.files()[0], "币安人生USDT-aggTrades-2024-05-01.zip");
    }
}
