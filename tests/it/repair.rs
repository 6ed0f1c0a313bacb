//! Whole or marked: what becomes of the numbers when trades are lost, on a paused clock, so that minutes cost nothing.

use std::time::Duration;

use cvd_stream::config::OutputFormat;
use cvd_stream::exchange::{Act, AtEnd, Exchange, ExchangeBuilder, Script};
use cvd_stream::queue::QueueLimits;
use cvd_stream::replay::{Replay, ReplayOptions};
use cvd_stream::snapshot::Quality;
use cvd_stream::units::IdRange;
use tokio::time::{Instant, sleep, timeout};

use crate::support::*;

const FIRST: i64 = 3_339_472_001;

/// A story on the paused clock: one that takes longer than a day of it hangs.
async fn day<T>(told: impl Future<Output = T>) -> T {
    timeout(Duration::from_secs(86_400), told).await.expect("the story must not hang")
}

fn in_memory(script: impl Into<Script>) -> ExchangeBuilder {
    btcusdt().in_memory().script(script)
}

/// An exchange whose market trades on for ever, after these acts.
async fn market(acts: impl IntoIterator<Item = Act>, per_second: u32) -> Exchange {
    let script = Script::new(acts).at_end(AtEnd::Market { per_second });
    in_memory(script).start().await.expect("memory has ports")
}

async fn scripted<const N: usize>(acts: [Act; N]) -> Exchange {
    in_memory(acts).start().await.expect("memory has ports")
}

fn ids(from: i64, to: i64) -> String {
    format!("{}-{}", FIRST + from, FIRST + to)
}

#[tokio::test(start_paused = true)]
async fn after_a_cut_of_30_seconds_cvd_is_whole_within_5_seconds_of_the_next_connection() {
    day(async {
        let exchange = market([], 50).await;
        let monitor = Monitor::simulated(&exchange, |_| {});
        monitor.trades.reach(500).await;
        exchange.stop_listening().await;
        sleep(Duration::from_secs(30)).await;
        exchange.listen_again().await.unwrap();
        exchange.wait_for(|stats| stats.connections == 2).await;
        let connected = Instant::now();
        let repaired = monitor.records.line_where(|line| line.contains("\"event\":\"repaired\"")).await;
        assert!(connected.elapsed() < Duration::from_secs(5), "{:?}", connected.elapsed());
        assert_eq!(raw_field(&repaired, "quality"), "\"complete\"");
        assert_eq!(raw_field(&repaired, "cause"), "\"wire\"");
        let trades: u64 = raw_field(&repaired, "trades").parse().unwrap();
        assert!(trades >= 30 * 50, "{repaired}");
        let pages: u64 = raw_field(&repaired, "pages").parse().unwrap();
        assert_eq!(pages, trades.div_ceil(1_000), "{repaired}");
        monitor.trades.reach(500 + trades as usize + 100).await;
        let ended = monitor.stop().await.unwrap();
        ended.assert_whole(&exchange, "BTCUSDT");
        assert_eq!(ended.summary.metrics.repaired_trades, trades);
        let from_rest = |line: &&String| line.contains("\"source\":\"rest\"");
        let records = ended.records("cvd");
        assert_eq!(records.iter().filter(from_rest).count() as u64, trades);
        for line in records.iter().filter(from_rest) {
            assert_eq!((raw_field(line, "event_time_ms"), raw_field(line, "latency_ms")), ("null", "null"));
        }
        stopped_in_peace(exchange).await;
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_queue_of_four_and_a_slow_reader_cost_frames_but_no_trade() {
    day(async {
        let exchange = scripted([Act::TradesPaced { n: 20_000, per_second: 2_000 }]).await;
        let monitor = Monitor::simulated_slowly(&exchange, Duration::from_millis(400), |config| {
            config.queue = QueueLimits { frames: 4, ..QueueLimits::default() };
        });
        // Read to the end, so that the end is not held up by the reader.
        let last = format!("\"agg_trade_id\":{}", FIRST + 19_999);
        monitor.records.line_where(|line| line.contains(&last)).await;
        let ended = monitor.stop().await.unwrap();
        ended.assert_whole(&exchange, "BTCUSDT");
        ended.assert_equals_ledger(&exchange, "BTCUSDT");
        let metrics = ended.summary.metrics;
        assert!(metrics.queue_dropped > 1_000, "{metrics:?}");
        assert_eq!((metrics.missing_trades, metrics.repaired_trades), (0, metrics.queue_dropped));
        assert!(ended.gaps().iter().any(|gap| gap.ends_with("queue")), "{:?}", ended.gaps());
        stopped_in_peace(exchange).await;
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn where_rest_refuses_the_stream_goes_on_and_every_record_says_how_much_is_missing() {
    day(async {
        let refuse = Act::RefuseRest { status: 451, retry_after: None, times: 1_000 };
        let exchange = scripted([refuse, Act::Trades(100)]).await;
        let monitor = Monitor::simulated(&exchange, |_| {});
        for (skipped, reached) in [(3, 200), (4, 300)] {
            monitor.trades.reach(reached - 100).await;
            exchange.play(Act::SkipIds(skipped)).await;
            exchange.play(Act::Trades(100)).await;
            monitor.trades.reach(reached).await;
        }
        let ended = monitor.stop().await.unwrap();
        let expected = [
            format!("opened {} 3 wire", ids(100, 102)),
            format!("unrepaired {} 3 wire", ids(100, 102)),
            format!("opened {} 4 wire", ids(203, 206)),
            format!("unrepaired {} 4 wire", ids(203, 206)),
        ];
        assert_eq!(ended.gaps(), expected);
        for (at, line) in ended.records("cvd").iter().enumerate() {
            let (quality, missing) = match at {
                0..100 => ("\"complete\"", "0"),
                100..200 => ("\"missing\"", "3"),
                _ => ("\"missing\"", "7"),
            };
            assert_eq!(
                (raw_field(line, "quality"), raw_field(line, "missing_trades")),
                (quality, missing),
                "{line}"
            );
        }
        let lane = &ended.summary.lanes[0];
        assert_eq!((lane.trades, lane.ids_seen, lane.coverage.missing_trades), (300, 300, 7));
        let last = ended.last();
        assert_eq!((&last["quality"], &last["missing_trades"]), (&"missing".into(), &7.into()));
        // Asked once, be it for the time, and not again for a while.
        assert_eq!(exchange.stats().rest_requests, 1);
        assert!(ended.summary.metrics.repair_calls <= 1, "{:?}", ended.summary.metrics);
        // The window begins anew behind each hole.
        let z = |at: usize| ended.trades[at].reading.z.is_some();
        assert!(z(99) && !z(100) && !z(159) && z(160) && !z(200) && z(260));
        stopped_in_peace(exchange).await;
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_tail_that_was_lost_before_a_silence_is_found_without_any_later_trade() {
    day(async {
        let exchange = scripted([Act::Trades(100), Act::Drop, Act::SkipIds(5)]).await;
        let monitor = Monitor::simulated(&exchange, |_| {});
        exchange.wait_for(|stats| stats.connections == 2).await;
        let connected = Instant::now();
        monitor.trades.reach(105).await;
        assert!(connected.elapsed() < Duration::from_secs(5), "{:?}", connected.elapsed());
        let ended = monitor.stop().await.unwrap();
        ended.assert_whole(&exchange, "BTCUSDT");
        ended.assert_equals_ledger(&exchange, "BTCUSDT");
        let hole = ids(100, 104);
        assert_eq!(ended.gaps(), [format!("opened {hole} 5 wire"), format!("repaired {hole} 5 wire")]);
        stopped_in_peace(exchange).await;
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_quiet_market_is_asked_about_rarely_and_left_alone() {
    day(async {
        let exchange = scripted([Act::Trades(10)]).await;
        let monitor =
            Monitor::simulated(&exchange, |config| config.heartbeat_timeout = Duration::from_secs(3_600));
        monitor.trades.reach(10).await;
        sleep(Duration::from_secs(600)).await;
        let ended = monitor.stop().await.unwrap();
        assert_eq!((ended.gaps().len(), ended.summary.metrics.reconnect_count), (0, 0));
        // The time once a minute and the listings once an hour come on top.
        let metrics = ended.summary.metrics;
        let chores = 3 + 10 + 1;
        assert!((5 + chores..=14 + chores).contains(&metrics.rest_calls), "{metrics:?} in ten minutes");
        assert_eq!(metrics.repair_calls, 0);
        stopped_in_peace(exchange).await;
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_goes_mute_while_the_market_trades_is_named_replaced_and_repaired() {
    day(async {
        let exchange = market([Act::Trades(100), Act::Mute], 2).await;
        let monitor = Monitor::simulated(&exchange, |_| {});
        monitor.trades.reach(100).await;
        let mute = Instant::now();
        exchange.wait_for(|stats| stats.connections == 2).await;
        assert!(mute.elapsed() < Duration::from_secs(20), "{:?}", mute.elapsed());
        monitor.trades.reach(200).await;
        let ended = monitor.stop().await.unwrap();
        ended.assert_whole(&exchange, "BTCUSDT");
        assert_eq!(ended.summary.metrics.reconnect_count, 1);
        stopped_in_peace(exchange).await;
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn asked_to_stop_with_a_hole_open_it_ends_at_the_last_contiguous_id_and_names_the_rest() {
    day(async {
        let exchange =
            scripted([Act::LagRest(1_000), Act::Trades(100), Act::SkipIds(4), Act::Trades(10)]).await;
        let monitor = Monitor::simulated(&exchange, |_| {});
        monitor.records.line_where(|line| line.contains("\"event\":\"opened\"")).await;
        sleep(Duration::from_secs(1)).await;
        let asked = Instant::now();
        let ended = monitor.stop().await.unwrap();
        let took = asked.elapsed();
        assert!(took >= Duration::from_secs(3) && took < Duration::from_secs(4), "{took:?}");
        let lane = &ended.summary.lanes[0];
        assert_eq!((lane.trades, lane.coverage.quality), (100, Quality::Repairing));
        assert_eq!(lane.coverage.last_id.map(|id| id.0), Some(FIRST + 99));
        assert_eq!(lane.open, Some(IdRange::new(FIRST + 100, FIRST + 103)));
        let record = ended.last();
        let symbol = &record["symbols"][0];
        assert_eq!(
            (&symbol["open_from_id"], &symbol["open_to_id"]),
            (&(FIRST + 100).into(), &(FIRST + 103).into())
        );
        assert_eq!((&symbol["held_trades"], &symbol["missing_trades"]), (&10.into(), &0.into()));
        assert_eq!(record["quality"], "repairing");
        stopped_in_peace(exchange).await;
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn asked_to_stop_it_still_fills_a_hole_that_can_be_filled() {
    day(async {
        let slow = Act::SlowRest(Duration::from_secs(2));
        let exchange = scripted([slow, Act::Trades(100), Act::SkipIds(4), Act::Trades(10)]).await;
        let monitor = Monitor::simulated(&exchange, |_| {});
        monitor.records.line_where(|line| line.contains("\"event\":\"opened\"")).await;
        let ended = monitor.stop().await.unwrap();
        ended.assert_whole(&exchange, "BTCUSDT");
        ended.assert_equals_ledger(&exchange, "BTCUSDT");
        stopped_in_peace(exchange).await;
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn messages_that_cannot_be_read_are_holes_like_any_other() {
    day(async {
        let exchange = scripted([Act::Trades(100), Act::Corrupt(3), Act::Trades(100)]).await;
        let monitor = Monitor::simulated(&exchange, |_| {});
        monitor.trades.reach(203).await;
        let ended = monitor.stop().await.unwrap();
        ended.assert_whole(&exchange, "BTCUSDT");
        let hole = ids(100, 102);
        assert_eq!(
            ended.gaps(),
            [format!("opened {hole} 3 malformed"), format!("repaired {hole} 3 malformed")]
        );
        assert_eq!(ended.summary.metrics.parse_errors, 3);
        stopped_in_peace(exchange).await;
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_message_that_cannot_be_read_before_a_silence_is_found_too() {
    day(async {
        let exchange = scripted([Act::Trades(100), Act::Corrupt(1)]).await;
        let monitor = Monitor::simulated(&exchange, |_| {});
        monitor.trades.reach(101).await;
        let ended = monitor.stop().await.unwrap();
        ended.assert_whole(&exchange, "BTCUSDT");
        stopped_in_peace(exchange).await;
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn repetitions_disorder_contradictions_and_voided_rows_bend_nothing() {
    day(async {
        let acts = [
            Act::Trades(200),
            Act::Repeat(150),
            Act::Reorder(20),
            Act::Conflict(3),
            Act::ZeroQty(2),
            Act::Trades(100),
            Act::Implausible(i64::MAX),
            Act::Implausible(FIRST + 50_000_000),
            Act::Trades(100),
        ];
        let exchange = scripted(acts).await;
        let monitor = Monitor::simulated(&exchange, |_| {});
        monitor.trades.reach(420).await;
        let ended = monitor.stop().await.unwrap();
        let metrics = ended.summary.metrics;
        let lane = &ended.summary.lanes[0];
        assert_eq!((lane.trades, lane.ids_seen, metrics.bad_points), (420, 422, 2));
        assert_eq!((metrics.conflicts, metrics.duplicate_trades), (3, 153));
        assert_eq!((metrics.implausible_trades, metrics.missing_trades, metrics.resets), (2, 0, 0));
        assert_eq!(lane.reading.cvd, exchange.ledger().cvd(&symbol("BTCUSDT")));
        assert_eq!(lane.coverage.quality, Quality::Complete);
        assert!(ended.trades.windows(2).all(|pair| pair[0].trade.id < pair[1].trade.id));
        let conflicts =
            ended.records("gap").into_iter().filter(|line| line.contains("\"event\":\"conflict\""));
        assert_eq!(conflicts.count(), 3);
        stopped_in_peace(exchange).await;
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_new_numbering_is_a_new_epoch_with_numbers_of_its_own() {
    day(async {
        let exchange = scripted([
            Act::Trades(100),
            Act::Stall(Duration::from_millis(5)),
            Act::RestartIds(1),
            Act::Trades(200),
        ])
        .await;
        let monitor = Monitor::simulated(&exchange, |_| {});
        monitor.trades.reach(300).await;
        let ended = monitor.stop().await.unwrap();
        assert_eq!(ended.gaps(), [format!("reset {} 100 restart", ids(0, 99))]);
        let lane = &ended.summary.lanes[0];
        assert_eq!((lane.coverage.epoch, lane.coverage.first_id.map(|id| id.0)), (2, Some(1)));
        let trades = exchange.ledger().trades(&symbol("BTCUSDT"));
        let sum: i128 = trades[100..].iter().map(|trade| trade.delta().units()).sum();
        assert_eq!((lane.reading.cvd.units(), lane.ids_seen), (sum, 200));
        let epochs: Vec<_> =
            ended.records("cvd").iter().map(|line| raw_field(line, "epoch").to_owned()).collect();
        assert!(
            epochs[..100].iter().all(|epoch| epoch == "1") && epochs[100..].iter().all(|epoch| epoch == "2")
        );
        let old: i128 = trades[..100].iter().map(|trade| trade.delta().units()).sum();
        let record = ended.records("gap").remove(0);
        let told = cvd_stream::units::QtyDelta::from_units(old).to_string();
        assert_eq!(raw_field(&record, "cvd").trim_matches('"'), told);
        stopped_in_peace(exchange).await;
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn rest_may_be_late_broken_and_forbidden_for_a_while() {
    day(async {
        let refuse = |status, retry_after: Option<&str>, times| Act::RefuseRest {
            status,
            retry_after: retry_after.map(str::to_owned),
            times,
        };
        let exchange = scripted([
            Act::LagRestTime(Duration::from_secs(2)),
            Act::Trades(100),
            refuse(503, None, 2),
            Act::SkipIds(2_500),
            Act::Trades(10),
        ])
        .await;
        let monitor = Monitor::simulated(&exchange, |_| {});
        monitor.trades.reach(2_610).await;
        // A page that breaks off, then two bans, each of them kept.
        for act in [Act::CutRest(1), refuse(429, Some("20"), 1), refuse(418, Some("200"), 1)] {
            exchange.play(act).await;
        }
        exchange.play(Act::SkipIds(10)).await;
        exchange.play(Act::Trades(10)).await;
        let begun = Instant::now();
        monitor.trades.reach(2_630).await;
        assert!(begun.elapsed() >= Duration::from_secs(220), "{:?}", begun.elapsed());
        let ended = monitor.stop().await.unwrap();
        ended.assert_whole(&exchange, "BTCUSDT");
        ended.assert_equals_ledger(&exchange, "BTCUSDT");
        stopped_in_peace(exchange).await;
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn what_rest_has_lost_too_is_given_up_after_the_deadline_and_nothing_else() {
    day(async {
        let exchange = in_memory([Act::Trades(100), Act::SkipIds(10), Act::Trades(50)])
            .rest_missing(FIRST + 103..=FIRST + 104)
            .start()
            .await
            .unwrap();
        let monitor = Monitor::simulated(&exchange, |_| {});
        monitor.records.line_where(|line| line.contains("\"event\":\"opened\"")).await;
        let begun = Instant::now();
        monitor.trades.reach(158).await;
        let waited = begun.elapsed();
        assert!(waited >= Duration::from_secs(60) && waited < Duration::from_secs(70), "{waited:?}");
        let ended = monitor.stop().await.unwrap();
        let gaps = ended.gaps();
        assert_eq!(gaps[0], format!("opened {} 10 wire", ids(100, 109)));
        assert!(gaps.contains(&format!("unrepaired {} 2 wire", ids(103, 104))), "{gaps:?}");
        assert_eq!(gaps.iter().filter(|gap| gap.starts_with("unrepaired")).count(), 1, "{gaps:?}");
        let lane = &ended.summary.lanes[0];
        assert_eq!((lane.trades, lane.coverage.missing_trades, lane.repaired_trades), (158, 2, 8));
        stopped_in_peace(exchange).await;
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn what_waits_behind_a_hole_is_bounded_and_another_symbol_does_not_wait() {
    day(async {
        let script = Script::new([
            Act::Trades(200),
            Act::SlowRest(Duration::from_secs(3)),
            Act::SkipIds(5).of(symbol("ETHUSDT")),
        ]);
        let script = script.at_end(AtEnd::Market { per_second: 200 });
        let exchange = in_memory(script).symbol("ETHUSDT").start().await.unwrap();
        let monitor = Monitor::simulated(&exchange, |config| config.repair.hold_size = 50);
        let opened = monitor.records.line_where(|line| line.contains("\"event\":\"opened\"")).await;
        let before = monitor.trades.now().len();
        let seen = monitor.trades.reach(before + 20).await;
        assert!(opened.contains("ETHUSDT") && seen[before..].iter().all(|seen| seen.symbol == "BTCUSDT"));
        exchange.play(Act::SlowRest(Duration::ZERO)).await;
        monitor.records.line_where(|line| line.contains("\"event\":\"repaired\"")).await;
        let seen = monitor.trades.now().len();
        monitor.trades.reach(seen + 500).await;
        let ended = monitor.stop().await.unwrap();
        for name in ["BTCUSDT", "ETHUSDT"] {
            ended.assert_whole(&exchange, name);
        }
        let cause_queue =
            ended.gaps().into_iter().filter(|gap| gap.starts_with("opened") && gap.ends_with("queue"));
        assert!(cause_queue.count() >= 1, "{:?}", ended.gaps());
        stopped_in_peace(exchange).await;
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn the_count_is_kept_to_the_trade_even_in_the_middle_of_a_page() {
    day(async {
        let exchange = scripted([Act::Trades(100), Act::SkipIds(500), Act::Trades(10)]).await;
        let monitor = Monitor::simulated(&exchange, |config| config.count = Some(333));
        let ended = monitor.end().await.unwrap();
        assert_eq!((ended.trades.len(), ended.records("cvd").len()), (333, 333));
        assert_eq!(ended.summary.lanes[0].coverage.last_id.map(|id| id.0), Some(FIRST + 332));
        stopped_in_peace(exchange).await;
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn without_repair_or_without_knowing_whom_to_ask_a_hole_is_missing_at_once() {
    day(async {
        for off in [true, false] {
            let exchange = scripted([Act::Trades(100), Act::SkipIds(5), Act::Trades(10)]).await;
            let monitor = Monitor::simulated(&exchange, |config| {
                config.repair.enabled = !off;
                config.repair.rest_url = None;
            });
            monitor.trades.reach(110).await;
            let ended = monitor.stop().await.unwrap();
            let hole = ids(100, 104);
            assert_eq!(ended.gaps(), [format!("opened {hole} 5 wire"), format!("unrepaired {hole} 5 wire")]);
            assert_eq!((ended.summary.metrics.rest_calls, exchange.stats().rest_requests), (0, 0));
            stopped_in_peace(exchange).await;
        }
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn gaps_as_text_are_lines_for_people() {
    day(async {
        let exchange =
            in_memory([Act::Trades(100), Act::SkipIds(3), Act::Trades(20), Act::Corrupt(1), Act::Trades(20)])
                .rest_missing(FIRST + 101..=FIRST + 101)
                .start()
                .await
                .unwrap();
        let monitor = Monitor::simulated(&exchange, |config| {
            (config.output, config.print_every) = (OutputFormat::Text, 20);
        });
        monitor.trades.reach(143).await;
        exchange.play(Act::Conflict(1)).await;
        exchange.play(Act::Stall(Duration::from_millis(5))).await;
        exchange.play(Act::RestartIds(1)).await;
        exchange.play(Act::Trades(20)).await;
        monitor.trades.reach(163).await;
        let ended = monitor.stop().await.unwrap();
        let lines: Vec<_> = ended
            .text()
            .lines()
            .filter(|line| ["GAP ", "quality="].iter().any(|mark| line.contains(mark)))
            .map(|line| line[24..].to_owned())
            .collect();
        insta::assert_snapshot!("gaps_as_text", lines.join("\n"));
        stopped_in_peace(exchange).await;
    })
    .await;
}

#[tokio::test]
async fn a_replay_names_the_holes_of_its_files_and_says_that_the_result_is_not_complete() {
    story(async {
        let path = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("BTCUSDT-aggTrades-holes.csv");
        let ids = (1..=100).chain(104..=200).chain(205..=300).chain(300..=310);
        let rows: String = ids.map(|id| format!("{id},64339.2,0.001,1,1,1763690000000,false\n")).collect();
        std::fs::write(&path, rows).unwrap();
        let app = cvd_stream::app::App::new(config("ws://127.0.0.1:1/stream?streams=btcusdt@aggTrade"));
        let ended = Monitor::replay(app, Replay::open(vec![path], ReplayOptions::default()).unwrap()).await;
        assert_eq!(
            ended.gaps(),
            [
                "opened 101-103 3 file",
                "unrepaired 101-103 3 file",
                "opened 201-204 4 file",
                "unrepaired 201-204 4 file"
            ]
        );
        let lane = &ended.summary.lanes[0];
        assert_eq!((lane.coverage.quality, lane.coverage.missing_trades), (Quality::Missing, 7));
        assert_eq!((lane.ids_seen, lane.trades, lane.duplicate_trades), (303, 303, 1));
        let last = ended.last();
        assert_eq!((&last["quality"], &last["missing_trades"]), (&"missing".into(), &7.into()));
        assert!(!ended.records("gap")[0].contains("wall"), "no clock of ours");
        assert_eq!(raw_field(&ended.records("gap")[0], "at_ms"), "null");
    })
    .await;
}
