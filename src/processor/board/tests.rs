use std::time::Duration;

use super::*;
use crate::cvd::CvdConfig;
use crate::feed::ShardId;
use crate::groups::coins_of;
use crate::pipeline::{Event, PipelineConfig, Wanted};
use crate::report::output::Output;
use crate::report::{Pick, RecordFormat, ReportSettings, Scope, SymbolRecord};
use crate::snapshot::{Instrument, Market, Stamp, TradeSource};
use crate::source::{Arrival, Departure, DepartureReason, RosterChange, Rows, Seat};
use crate::trade::{AggTrade, Aggressor};
use crate::units::{AggTradeId, Price, Qty, SCALE, UnixMillis};

/// Lanes of several markets, what a board tells of them, and an account of their trades that is kept beside.
struct Story {
    pipeline: Pipeline,
    reporter: Reporter,
    board: Board,
    chunks: tokio::sync::mpsc::Receiver<Vec<u8>>,
    now: Stamp,
    random: fastrand::Rng,
    /// Of each instrument: trades, base (coins on COIN-M), quote.
    ledger: Vec<(Instrument, i64, i128, i128)>,
}

fn asked(format: RecordFormat) -> ReportSettings {
    ReportSettings { format, print_every: 1, prints_many: false, is_table_asked: true, color: false }
}

impl Story {
    fn of(names: &[&str], settings: ReportSettings, pick: Option<Pick>, groups: &[(&str, &[&str])]) -> Self {
        let instruments: Vec<Instrument> = names.iter().map(|name| name.parse().unwrap()).collect();
        // A shard carries one market.
        let seat = |instrument: &Instrument| Seat {
            shard: ShardId(instrument.market as u16),
            ..Seat::first(instrument.clone())
        };
        let pipeline = Pipeline::new(PipelineConfig {
            market: Market::UsdM,
            frames_from: TradeSource::Stream,
            wanted: Wanted::Only(instruments.iter().map(seat).collect()),
            calculator: CvdConfig::default(),
            repairs: false,
            hold_size: 10,
            bars: Vec::new(),
            counts_worth: true,
        });
        let (output, chunks) = Output::piped();
        let scope = Scope { market: Market::UsdM, instruments: instruments.clone() };
        let groups = groups.iter().map(|(name, members)| GroupSpec {
            name: (*name).to_owned(),
            members: members.iter().map(|member| member.parse().unwrap()).collect(),
        });
        let table = TableConfig { every: Duration::from_secs(10), top: Some(3), ..TableConfig::default() };
        Self {
            pipeline: pipeline.unwrap(),
            reporter: Reporter::new(settings, scope, output.writer).only(pick),
            board: Board::new(&table, groups.collect()),
            chunks,
            now: Stamp { wall_ns: 1_795_132_800_000_000_000, mono_ns: 0 },
            random: fastrand::Rng::with_seed(5),
            ledger: instruments.into_iter().map(|instrument| (instrument, 0, 0, 0)).collect(),
        }
    }

    fn step(&mut self, input: &Input) {
        let Self { pipeline, reporter, board, now, .. } = self;
        let at_ms = Some(now.wall_ms());
        pipeline.step(input, &mut |event| match event {
            Event::Trade(snapshot) if reporter.shows(snapshot.lane, snapshot.ordinal) => {
                reporter.trade(&snapshot);
            }
            Event::LaneOpened { instrument, why, .. } => {
                reporter.symbol(&SymbolRecord::Joined { instrument, why, at_ms });
            }
            Event::LaneEnded { summary, why, .. } => {
                reporter.symbol(&SymbolRecord::Ended { summary, why, at_ms });
            }
            _ => {}
        });
        board.after(input, pipeline, reporter);
    }

    /// A trade of an instrument.
    fn trades(&mut self, name: &str) {
        let instrument: Instrument = name.parse().unwrap();
        let is_contracts = instrument.market == Market::CoinM;
        let qty = Qty::from_units(self.random.i64(1..1_000) * if is_contracts { SCALE } else { 1_000 });
        let price = Price::from_units(self.random.i64(6_400_000..6_500_000) * (SCALE / 100));
        let aggressor = if self.random.bool() { Aggressor::Buyer } else { Aggressor::Seller };
        let entry = self.ledger.iter_mut().find(|(known, ..)| *known == instrument).unwrap();
        entry.1 += 1;
        let trade = AggTrade {
            id: AggTradeId(entry.1),
            price,
            qty,
            qty_without_rpi: None,
            first_trade_id: entry.1,
            last_trade_id: entry.1,
            traded_at: UnixMillis(self.now.wall_ms()),
            event_at: None,
            aggressor,
        };
        let sign = if aggressor == Aggressor::Buyer { 1 } else { -1 };
        let (base, quote) = match is_contracts {
            true => {
                let dollars = i128::from(qty.units()) * 100 * i128::from(SCALE);
                (coins_of(qty, 100, price).unwrap(), dollars)
            }
            false => (i128::from(qty.units()), i128::from(qty.units()) * i128::from(price.units())),
        };
        (entry.2, entry.3) = (entry.2 + sign * base, entry.3 + sign * quote);
        self.step(&Input::Rows(Rows::one(instrument.market, instrument.symbol, trade)));
    }

    fn seconds(&mut self, seconds: u64) {
        for _ in 0..seconds {
            self.now.mono_ns += 1_000_000_000;
            self.now.wall_ns += 1_000_000_000;
            self.step(&Input::Note(Note::Second(self.now)));
        }
    }

    fn roster(&mut self, joins: &[&str], leaves: &[&str]) {
        let seat = |name: &&str| Seat {
            joined: Arrival::Listed,
            shard: ShardId(9),
            ..Seat::first(name.parse().unwrap())
        };
        let why = DepartureReason::Removed;
        let ended = leaves.iter().map(|name| Departure { instrument: name.parse().unwrap(), why });
        let seats = joins.iter().map(seat).collect();
        self.step(&Input::Roster(RosterChange { at: self.now, seats, ended: ended.collect() }));
    }

    /// What was written since the last time.
    async fn written(&mut self) -> Vec<String> {
        self.reporter.flush().await.unwrap();
        let mut text = Vec::new();
        while let Ok(chunk) = self.chunks.try_recv() {
            text.extend(chunk);
        }
        String::from_utf8(text).unwrap().lines().map(str::to_owned).collect()
    }

    fn worth_of(&self, name: &str) -> (i128, i128) {
        let instrument: Instrument = name.parse().unwrap();
        let (_, _, base, quote) = self.ledger.iter().find(|(known, ..)| *known == instrument).unwrap();
        (*base, *quote)
    }
}

const BTC: [&str; 3] = ["usdm:BTCUSDT", "spot:BTCUSDT", "coinm:BTCUSD_PERP"];

fn record(line: &str) -> serde_json::Value {
    serde_json::from_str(line).unwrap()
}

/// A decimal of a record in the steps of so many digits.
fn steps(value: &serde_json::Value, digits: usize) -> i128 {
    let text = value.as_str().unwrap();
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    format!("{whole}{fraction:0<digits$}").parse().unwrap()
}

#[tokio::test]
async fn a_group_is_what_the_ledger_adds_up_to() {
    let mut story = Story::of(&BTC, asked(RecordFormat::Json), None, &[("BTC", &BTC)]);
    story.seconds(1);
    for round in 0..600 {
        story.trades(BTC[round % 3]);
    }
    story.written().await;
    story.seconds(10);
    let lines = story.written().await;
    let group = record(lines.iter().find(|line| line.contains("\"type\":\"group\"")).unwrap());
    let [usdm, spot, coinm] = BTC.map(|name| story.worth_of(name));
    assert_eq!(steps(&group["base"], 8), usdm.0 + spot.0 + coinm.0);
    assert_eq!(steps(&group["quote"], 16), usdm.1 + spot.1 + coinm.1);
    assert_eq!(steps(&group["spread_base"], 8), spot.0 - usdm.0 - coinm.0);
    assert_eq!(steps(&group["spread_quote"], 16), spot.1 - usdm.1 - coinm.1);
    assert_eq!(group["base_error"], "0.000001", "half of 1e-8 for each of 200 trades");
    assert_eq!((&group["symbol"], &group["market"]), (&serde_json::Value::Null, &serde_json::Value::Null));
    assert_eq!(group["inside"][2]["unit"], "contracts");
    assert_eq!(group["inside"][0]["last_id"], 200);
    // One that trades no more is told again all the same.
    story.seconds(10);
    assert!(story.written().await.iter().any(|line| line.contains("\"type\":\"group\"")));
}

#[tokio::test]
async fn movers_come_every_interval_and_not_every_second() {
    let mut story = Story::of(&BTC, asked(RecordFormat::Json), None, &[]);
    story.seconds(1);
    BTC.iter().for_each(|name| story.trades(name));
    story.written().await;
    story.seconds(9);
    assert_eq!(story.written().await, [""; 0]);
    story.seconds(1);
    let lines = story.written().await;
    let movers = record(&lines[0]);
    assert_eq!((lines.len(), &movers["type"]), (1, &"movers".into()));
    assert_eq!(
        (&movers["traded"], &movers["trades"], &movers["seconds"]),
        (&3.into(), &3.into(), &10.0.into())
    );
    let first = &movers["movers"][0];
    let (market, symbol) = (first["market"].as_str().unwrap(), first["symbol"].as_str().unwrap());
    let worth = story.worth_of(&format!("{market}:{symbol}"));
    assert_eq!(steps(&first["quote_delta"], 16), worth.1);
    let most = BTC.map(|name| story.worth_of(name).1.abs()).into_iter().max();
    assert_eq!(Some(worth.1.abs()), most);
}

#[tokio::test]
async fn what_was_not_asked_for_does_not_come() {
    for (format, names, expected) in [(RecordFormat::Text, &BTC[..], 0), (RecordFormat::Json, &BTC[..], 0)] {
        let settings = ReportSettings { is_table_asked: false, ..asked(format) };
        let mut story = Story::of(names, settings, None, &[]);
        story.seconds(1);
        story.trades(BTC[0]);
        assert_eq!(story.written().await.len(), 1, "the record of the trade");
        story.seconds(30);
        assert_eq!(story.written().await.len(), expected);
    }
}

#[tokio::test]
async fn of_many_symbols_a_table_comes_instead_of_their_lines() {
    let names: Vec<_> = (0..11).map(|at| format!("usdm:S{at}USDT")).collect();
    let names: Vec<_> = names.iter().map(String::as_str).collect();
    let settings = ReportSettings { is_table_asked: false, ..asked(RecordFormat::Text) };
    let mut story = Story::of(&names, settings, None, &[]);
    story.seconds(1);
    names.iter().for_each(|name| story.trades(name));
    assert_eq!(story.written().await, [""; 0]);
    story.seconds(10);
    let lines = story.written().await;
    assert_eq!(lines.len(), 2 + 3, "{lines:?}");
    assert!(lines.iter().all(|line| line.starts_with("2026-11-20T00:00:11.000Z  INFO MOVER")), "{lines:?}");
    assert!(lines[0].contains("MOVERS 11 usdm | by absdelta over 10 s | 11 traded, 1.100/s"), "{}", lines[0]);
    // With one less they are few, and everything is as it always was.
    story.roster(&[], &names[..1]);
    story.trades(names[1]);
    let lines = story.written().await;
    assert!(
        lines[0].contains("[FINAL] S0USDT | trades=1 ") && lines[0].ends_with(" | ended: removed"),
        "{}",
        lines[0]
    );
    assert!(lines[1].contains(" CVD S1USDT | "), "{}", lines[1]);
    // Of many too, if somebody asks for them.
    let settings = ReportSettings { prints_many: true, ..settings };
    let mut story = Story::of(&names, settings, None, &[]);
    names.iter().for_each(|name| story.trades(name));
    assert_eq!(story.written().await.len(), 11);
}

#[tokio::test]
async fn only_some_are_told_and_all_are_counted() {
    let pick: Pick = Box::new(|instrument| instrument.market == Market::Spot);
    let mut story = Story::of(&BTC, asked(RecordFormat::Text), Some(pick), &[]);
    story.seconds(1);
    BTC.iter().for_each(|name| story.trades(name));
    let lines = story.written().await;
    assert_eq!(lines.len(), 1);
    assert!(lines[0].contains(" CVD spot:BTCUSDT | "), "several markets: {}", lines[0]);
    story.seconds(10);
    let lines = story.written().await;
    assert!(lines[0].contains("3 traded") && lines[0].ends_with(" | rows: --only"), "{}", lines[0]);
    assert!(lines.len() == 3 && lines[2].contains("MOVER spot:BTCUSDT "), "{lines:?}");
}

#[tokio::test]
async fn symbols_that_join_and_end_have_records_of_their_own() {
    let mut story = Story::of(&BTC[..2], asked(RecordFormat::Json), None, &[("BTC", &BTC)]);
    story.seconds(1);
    story.trades(BTC[0]);
    story.written().await;
    story.roster(&[BTC[2]], &[BTC[0]]);
    let lines: Vec<_> = story.written().await.iter().map(|line| record(line)).collect();
    assert_eq!(lines.len(), 2);
    let (ended, joined) = (&lines[0], &lines[1]);
    assert_eq!((&ended["event"], &ended["reason"]), (&"ended".into(), &"removed".into()));
    assert_eq!((&ended["ended"]["trades"], &ended["ended"]["symbol"]), (&1.into(), &"BTCUSDT".into()));
    assert_eq!((&joined["event"], &joined["reason"]), (&"joined".into(), &"listed".into()));
    assert_eq!((&joined["market"], &joined["ended"]), (&"coinm".into(), &serde_json::Value::Null));
    assert_eq!(story.pipeline.ended(), 1);
    story.seconds(10);
    let lines = story.written().await;
    let movers = record(lines.iter().find(|line| line.contains("\"type\":\"movers\"")).unwrap());
    assert_eq!((&movers["usdm"], &movers["spot"], &movers["coinm"]), (&0.into(), &1.into(), &1.into()));
    assert_eq!(movers["joined"], 1);
    let group = record(lines.iter().find(|line| line.contains("\"type\":\"group\"")).unwrap());
    assert_eq!(
        (&group["inside"][0]["followed"], &group["inside"][0]["cvd"]),
        (&false.into(), &serde_json::Value::Null)
    );
}

#[tokio::test]
async fn a_board_goes_on_from_what_a_recording_keeps_of_it() {
    let mut story = Story::of(&BTC, asked(RecordFormat::Json), None, &[]);
    assert!(story.board.movers().is_none());
    story.seconds(1);
    story.trades(BTC[0]);
    story.seconds(4);
    let kept = serde_json::to_string(story.board.movers().unwrap()).unwrap();
    story.trades(BTC[1]);
    story.written().await;
    story.board.go_on(Some(serde_json::from_str(&kept).unwrap()));
    story.seconds(6);
    let movers = record(&story.written().await[0]);
    assert_eq!((&movers["traded"], &movers["seconds"]), (&2.into(), &10.0.into()));
    story.board.go_on(None);
    story.seconds(10);
    assert_eq!(story.written().await, [""; 0], "nothing to compare with before its first second");
}
