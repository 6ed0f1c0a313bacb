use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::bars::BarSpec;
use crate::config::{Bound, FetchConfig, RecordConfig, Showing, Speed};
use crate::feed::endpoint::Endpoint;
use crate::snapshot::Market;
use crate::units::{AggTradeId, Symbol, UnixMillis};

type Pairs<'a> = &'a [(&'a str, &'a str)];

fn map(pairs: Pairs) -> BTreeMap<String, String> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

fn layers(flags: Pairs, environment: Pairs, dotenv: Pairs) -> Layers {
    let dotenv = DotEnv { values: map(dotenv), faults: Vec::new() };
    Layers { flags: map(flags), environment: map(environment), dotenv, ..Layers::default() }
}

fn live(flags: Pairs, environment: Pairs, dotenv: Pairs) -> Result<Resolved, ConfigError> {
    resolve(Command::Live, &layers(flags, environment, dotenv))
}

fn subjects(result: &Result<Resolved, ConfigError>) -> Vec<&str> {
    let error = result.as_ref().expect_err("there should be a fault");
    error.faults().iter().map(|fault| fault.subject.as_str()).collect()
}

fn symbols(resolved: &Resolved) -> Vec<&str> {
    resolved.config.endpoint.symbols.iter().map(Symbol::as_str).collect()
}

fn option<'a>(resolved: &'a Resolved, name: &str) -> (&'a str, String) {
    let option = resolved.options.iter().find(|option| option.name == name).unwrap();
    (&option.value, option.origin.to_string())
}

#[test]
fn with_nothing_said_the_defaults_hold() {
    let resolved = live(&[], &[], &[]).unwrap();
    assert_eq!(resolved.config, Config::default());
    assert!(resolved.options.iter().all(|option| option.origin == Origin::Default));
    assert_eq!(resolved.warnings, Vec::<String>::new());
}

#[test]
fn the_defaults_of_the_table_are_the_defaults() {
    // A default in words is none that could be given.
    let is_value = |text: &str| !text.is_empty() && !text.contains(' ');
    for spec in OPTIONS.iter().filter(|spec| is_value(spec.default) && spec.name != "archive-url") {
        let commands = [Command::Live, Command::Replay, Command::Fetch];
        let command = *commands.iter().find(|command| spec.applies_to(**command)).unwrap();
        let resolved = resolve(command, &layers(&[(spec.name, spec.default)], &[], &[])).unwrap();
        let mut expected = Config::default();
        // That somebody asked for them tells of many symbols too.
        expected.table.with_trades = spec.name == "print-every";
        assert_eq!(resolved.config, expected, "{}", spec.name);
        assert_eq!(option(&resolved, spec.name).0, spec.default);
    }
}

#[test]
fn each_option_of_a_replay_and_of_fetch_reaches_its_setting() {
    let flags = [
        ("bars", "1m, ticks:10"),
        ("empty-bars", "true"),
        ("write", "out.jsonl.zst"),
        ("from", "2026-11-01"),
        ("to", "77"),
        ("speed", "10x"),
        ("strict", "true"),
        ("temp-dir", "/scratch"),
        ("memory", "1GiB"),
        ("threads", "3"),
        ("progress", "never"),
    ];
    let Config { bars, write, replay, .. } =
        resolve(Command::Replay, &layers(&flags, &[], &[])).unwrap().config;
    assert_eq!(bars.specs, [BarSpec::Time { ms: 60_000 }, BarSpec::Ticks(10)]);
    assert!(bars.empty && replay.strict);
    assert_eq!(write, Some("out.jsonl.zst".into()));
    assert_eq!(replay.from, Some(Bound::Time(UnixMillis(1_793_491_200_000))));
    assert_eq!(replay.to, Some(Bound::Id(AggTradeId(77))));
    assert_eq!((replay.speed, replay.memory, replay.threads), (Speed::Times(10.0), 1 << 30, Some(3)));
    assert_eq!((replay.temp_dir, replay.progress), (Some("/scratch".into()), Showing::Never));
    let flags = [("dir", "archive"), ("archive-url", "https://mirror.example"), ("parallel", "4")];
    let fetch = resolve(Command::Fetch, &layers(&flags, &[], &[])).unwrap().config.fetch;
    let url = RestBase::parse("https://mirror.example", false).ok();
    assert_eq!(fetch, FetchConfig { dir: "archive".into(), url, parallel: 4 });
    let flags = [("record", "/rec"), ("record-keep", "30d"), ("record-limit", "20GiB")];
    let record = live(&flags, &[], &[]).unwrap().config.record;
    let keep = Some(Duration::from_secs(30 * 86_400));
    assert_eq!(record, RecordConfig { dir: Some("/rec".into()), keep, limit: Some(20 << 30) });
}

#[test]
fn what_a_replay_and_fetch_are_told_is_held_to_its_range() {
    for (name, value) in [
        ("bars", "7s"),
        ("bars", "1m,60s"),
        ("write", "out.xml"),
        ("write", ".csv"),
        ("speed", "0x"),
        ("speed", "NaN"),
        ("memory", "1000"),
        ("threads", "0"),
        ("threads", "65"),
        ("from", "yesterday"),
    ] {
        let result = resolve(Command::Replay, &layers(&[(name, value)], &[], &[]));
        assert_eq!(subjects(&result), [format!("--{name}")], "{value}");
    }
    let backwards = [("from", "2026-11-02"), ("to", "2026-11-01")];
    assert_eq!(subjects(&resolve(Command::Replay, &layers(&backwards, &[], &[]))), ["--to"]);
    assert_eq!(subjects(&resolve(Command::Fetch, &layers(&[("parallel", "9")], &[], &[]))), ["--parallel"]);
    assert_eq!(
        subjects(&live(&[("record-keep", "1m"), ("record-limit", "1k")], &[], &[])),
        ["--record-keep", "--record-limit"]
    );
    assert_eq!(subjects(&live(&[("speed", "1x")], &[], &[])), ["--speed"], "live goes as fast as it does");
}

#[test]
fn each_option_reaches_its_setting() {
    let ca_file = std::env::temp_dir().join(format!("cvd-stream-ca-{}.pem", std::process::id()));
    let certificate = rcgen::generate_simple_self_signed(["ca.example".to_owned()]).unwrap().cert;
    std::fs::write(&ca_file, certificate.pem()).unwrap();
    let flags = [
        ("symbol", "btcusd_perp"),
        ("market", "coinm"),
        ("testnet", "true"),
        ("queue-size", "65536"),
        ("heartbeat-timeout", "0.5"),
        ("backoff-max", "2m"),
        ("redundancy", "2"),
        ("handover-after", "12h"),
        ("max-lag", "0"),
        ("proxy", "http://proxy.example:3128"),
        ("ca-file", ca_file.to_str().unwrap()),
        ("state-dir", "/var/lib/x"),
        ("state-interval", "5"),
        ("repair", "OFF"),
        ("rest-url", "https://relay.example:8443/binance/"),
        ("repair-deadline", "0.1"),
        ("hold-size", "16777216"),
        ("z-window", "10"),
        ("z-warmup", "9"),
        ("ema-alpha", "1"),
        ("output", "json"),
        ("print-every", "0"),
        ("stats-interval", "0"),
        ("color", "never"),
        ("log-level", "WARNING,cvd_stream=Trace"),
        ("log-format", "json"),
        ("log-output", "stdout"),
        ("duration", "1h30m"),
        ("count", "7"),
    ];
    let resolved = live(&flags, &[], &[]).unwrap();
    std::fs::remove_file(&ca_file).unwrap();
    let mut expected = Config::with_endpoint(Endpoint::for_symbols(
        Market::CoinM,
        true,
        &[Symbol::new("BTCUSD_PERP").unwrap()],
    ));
    expected.queue = QueueLimits { frames: 65_536, bytes: 32 << 20 };
    expected.heartbeat_timeout = Duration::from_millis(500);
    expected.backoff_max = Duration::from_secs(120);
    expected.lines = crate::config::LinesConfig {
        redundancy: 2,
        handover_after: Duration::from_secs(12 * 3_600),
        max_lag: Duration::ZERO,
    };
    expected.proxies = crate::feed::Proxies::parse("http://proxy.example:3128").unwrap();
    expected.ca_file = Some(ca_file.clone());
    expected.state =
        crate::config::StateConfig { dir: Some("/var/lib/x".into()), interval: Some(Duration::from_secs(5)) };
    expected.repair.enabled = false;
    expected.repair.rest_url = RestBase::parse("https://relay.example:8443/binance", false).ok();
    expected.repair.deadline = Duration::from_millis(100);
    expected.repair.hold_size = 16_777_216;
    expected.calculator.z_window = 10;
    expected.calculator.z_warmup = Some(9);
    expected.calculator.ema_alpha = 1.0;
    expected.output = crate::config::OutputFormat::Json;
    (expected.print_every, expected.table.with_trades) = (0, true);
    expected.stats_interval = Duration::ZERO;
    expected.log = crate::config::LogConfig {
        format: crate::config::LogFormat::Json,
        output: crate::config::LogOutput::Stdout,
        level: "warn,cvd_stream=trace".to_owned(),
        color: crate::config::ColorChoice::Never,
    };
    expected.duration = Some(Duration::from_secs(5_400));
    expected.count = Some(7);
    assert_eq!(resolved.config, expected);
    assert_eq!(option(&resolved, "symbol"), ("BTCUSD_PERP", "flag --symbol".to_owned()));
    assert_eq!(option(&resolved, "testnet"), ("true", "flag --testnet".to_owned()));
    assert_eq!(option(&resolved, "print-every").0, "0 (off)");
    assert_eq!(option(&resolved, "repair").0, "off");
    assert_eq!(option(&resolved, "rest-url").0, "https://relay.example:8443/binance");
}

#[test]
fn flag_over_environment_over_dotenv_over_default_and_prefixed_over_bare() {
    let flags = [("queue-size", "1")];
    let env = [("CVD_STREAM_QUEUE_SIZE", "2"), ("QUEUE_SIZE", "3")];
    let file = [("CVD_STREAM_QUEUE_SIZE", "4"), ("QUEUE_SIZE", "5")];
    for (flags, env, file, frames, origin) in [
        (&flags[..], &env[..], &file[..], 1, "flag --queue-size"),
        (&[], &env[..], &file[..], 2, "environment CVD_STREAM_QUEUE_SIZE"),
        (&[], &env[1..], &file[..], 3, "environment QUEUE_SIZE"),
        (&[], &[], &file[..], 4, ".env CVD_STREAM_QUEUE_SIZE"),
        (&[], &[], &file[1..], 5, ".env QUEUE_SIZE"),
        (&[], &[], &[], 1024, "default"),
    ] {
        let resolved = live(flags, env, file).unwrap();
        assert_eq!(resolved.config.queue.frames, frames);
        assert_eq!(option(&resolved, "queue-size"), (frames.to_string().as_str(), origin.to_owned()));
    }
}

#[test]
fn the_url_has_three_variables() {
    let url = |name: &str| format!("wss://h/ws/{name}@aggTrade");
    let (a, b, c) = (url("a"), url("b"), url("c"));
    let env = [("CVD_STREAM_WS_URL", &*a), ("CVD_STREAM_URL", &*b), ("WS_URL", &*c)];
    for (from, name) in [(0, "A"), (1, "B"), (2, "C")] {
        assert_eq!(symbols(&live(&[], &env[from..], &[]).unwrap()), [name]);
    }
}

#[test]
fn an_empty_variable_counts_as_not_set_and_an_empty_flag_as_a_fault() {
    let resolved = live(&[], &[("SYMBOL", ""), ("QUEUE_SIZE", "  ")], &[("SYMBOL", "BTCUSDT")]).unwrap();
    assert_eq!(symbols(&resolved), ["BTCUSDT"]);
    assert_eq!(resolved.config.queue.frames, 1024);
    assert_eq!(subjects(&live(&[("symbol", "")], &[], &[])), ["--symbol"]);
}

#[test]
fn rust_log_stands_between_log_level_and_dotenv() {
    let level = |flags, env, file| live(flags, env, file).map(|r| option(&r, "log-level").1).unwrap();
    let env = [("CVD_STREAM_LOG_LEVEL", "error"), ("LOG_LEVEL", "warn"), ("RUST_LOG", "hyper=debug")];
    let file = [("CVD_STREAM_LOG_LEVEL", "trace"), ("LOG_LEVEL", "trace"), ("RUST_LOG", "debug")];
    assert_eq!(level(&[("log-level", "off")], &env, &file), "flag --log-level");
    assert_eq!(level(&[], &env, &file), "environment CVD_STREAM_LOG_LEVEL");
    assert_eq!(level(&[], &env[1..], &file), "environment LOG_LEVEL");
    assert_eq!(level(&[], &env[2..], &file), "environment RUST_LOG");
    assert_eq!(level(&[], &[], &file), ".env CVD_STREAM_LOG_LEVEL");
    assert_eq!(level(&[], &[], &file[1..]), ".env LOG_LEVEL");
    assert_eq!(level(&[], &[], &file[2..]), ".env RUST_LOG");
    assert_eq!(level(&[], &[], &[]), "default");
}

#[test]
fn a_rust_log_of_another_program_warns_and_is_passed_over() {
    let resolved = live(&[], &[("RUST_LOG", "[span{field}]=info")], &[("LOG_LEVEL", "warn")]).unwrap();
    assert_eq!(resolved.config.log.level, "warn");
    assert!(resolved.warnings[0].starts_with("RUST_LOG is ignored"), "{:?}", resolved.warnings);
    let resolved = live(&[("log-level", "info")], &[("RUST_LOG", "[span{field}]=info")], &[]).unwrap();
    assert_eq!(resolved.warnings, Vec::<String>::new());
}

#[test]
fn all_faults_are_reported_at_once_in_the_order_of_the_table() {
    let env = [
        ("HEARTBEAT_TIMEOUT", "abc"),
        ("QUEUE_SIZE", "0"),
        ("SYMBOL", "BTC/USDT"),
        ("WS_URL", "http://x"),
        ("CVD_STREAM_COUNT", "0"),
        ("CVD_STREAM_EMA_ALPHA", "NaN"),
        ("CVD_STREAM_TESTNET", "maybe"),
        ("LOG_LEVEL", "loud"),
        ("CVD_STREAM_MARKET", "options"),
        ("PRINT_EVERY", "-1"),
        ("BACKOFF_MAX", "2h"),
        ("CVD_STREAM_OUTPUT", "xml"),
        ("CVD_STREAM_STATS_INTERVAL", "0.5"),
        ("CVD_STREAM_DURATION", "0"),
        ("CVD_STREAM_ALLOW_PLAINTEXT", "perhaps"),
        ("CVD_STREAM_REPAIR", "maybe"),
        ("CVD_STREAM_REST_URL", "fapi.binance.com"),
        ("CVD_STREAM_REPAIR_DEADLINE", "2d"),
        ("CVD_STREAM_HOLD_SIZE", "0"),
    ];
    let result = live(&[], &env, &[]);
    let expected = [
        "--symbol",
        "--market",
        "--testnet",
        "--url",
        "--allow-plaintext",
        "--queue-size",
        "--heartbeat-timeout",
        "--backoff-max",
        "--repair",
        "--rest-url",
        "--repair-deadline",
        "--hold-size",
        "--ema-alpha",
        "--output",
        "--print-every",
        "--stats-interval",
        "--log-level",
        "--duration",
        "--count",
    ];
    assert_eq!(subjects(&result), expected);
    for fault in result.unwrap_err().faults() {
        for text in [&fault.value, &fault.problem, &fault.allowed, &fault.remedy] {
            assert!(!text.is_empty() && text.lines().count() == 1, "{fault:?}");
        }
        assert!(fault.origin.is_some() && !fault.variables.is_empty(), "{fault:?}");
    }
}

#[test]
fn the_warm_up_is_not_blamed_for_a_faulty_window() {
    assert_eq!(subjects(&live(&[("z-window", "x"), ("z-warmup", "500")], &[], &[])), ["--z-window"]);
    assert_eq!(subjects(&live(&[("z-window", "1"), ("z-warmup", "1")], &[], &[])), ["--z-window"]);
    assert_eq!(
        subjects(&live(&[("z-window", "x"), ("z-warmup", "0")], &[], &[])),
        ["--z-window", "--z-warmup"]
    );
    assert_eq!(subjects(&live(&[("z-warmup", "300")], &[], &[])), ["--z-warmup"]);
    let small = live(&[("z-window", "2")], &[], &[]).unwrap();
    assert_eq!(option(&small, "z-warmup").0, "1");
}

#[test]
fn the_url_wins_over_the_default_symbol_and_tells_several_lanes() {
    let url = "wss://dstream.binance.com/ws/btcusd_perp@aggTrade/ethusd_perp@aggTrade";
    let resolved = live(&[], &[("WS_URL", url)], &[]).unwrap();
    assert_eq!(symbols(&resolved), ["BTCUSD_PERP", "ETHUSD_PERP"]);
    assert_eq!(resolved.config.market, Market::CoinM);
    assert_eq!(option(&resolved, "symbol"), ("BTCUSD_PERP,ETHUSD_PERP", "the URL".to_owned()));
    assert_eq!(option(&resolved, "market"), ("coinm", "the URL".to_owned()));
    assert_eq!(option(&resolved, "url"), (url, "environment WS_URL".to_owned()));
}

#[test]
fn each_value_is_told_with_what_gave_it() {
    for (flags, name, value, source) in [
        (&[("symbol", "usdm:BTCUSDT"), ("market", "spot")][..], "market", "usdm", "flag --symbol"),
        (&[("symbol", "spot:BTCUSDT")], "market", "spot", "flag --symbol"),
        (&[("symbol", "BTCUSDT"), ("market", "spot")], "market", "spot", "flag --market"),
        (&[("symbol", "BTCUSDT")], "market", "usdm", "default"),
        (&[("all", "true")], "symbol", "usdm:*", "flag --all"),
        (&[("all", "false")], "symbol", "ETHUSDT", "default"),
        (&[("group", "B=usdm:BTCUSDT")], "symbol", "usdm:BTCUSDT", "flag --group"),
        (&[("group", "B=spot:BTCUSDT")], "market", "spot", "flag --group"),
        (&[("symbols-file", "F")], "symbol", "", "flag --symbols-file"),
        (&[("exclude", "BTC*")], "symbol", "usdm:ETHUSDT", "default"),
        (&[("url", "ws://127.0.0.1:1/market/stream"), ("all", "true")], "symbol", "usdm:*", "flag --all"),
    ] {
        let resolved = live(flags, &[], &[]).unwrap();
        assert_eq!(option(&resolved, name), (value, source.to_owned()), "{flags:?}");
    }
}

#[test]
fn the_usual_interval_of_checkpoints_depends_on_how_many_symbols_there_are() {
    let eleven: Vec<_> = (0..11).map(|at| format!("S{at}")).collect();
    let eleven = eleven.join(",");
    let open = "1s, 15s with more than 10 symbols";
    for (flags, shown) in [
        (&[("all", "true")][..], open),
        (&[("symbols-file", "F")], open),
        (&[("all", "true"), ("state-interval", "2s")], "2s"),
        (&[("symbol", "BTCUSDT,spot:BTCUSDT")], "1s"),
        (&[("symbol", &eleven)], "15s"),
    ] {
        assert_eq!(option(&live(flags, &[], &[]).unwrap(), "state-interval").0, shown, "{flags:?}");
    }
}

#[test]
fn a_symbol_of_a_market_without_an_address_was_given_all_the_same() {
    let result = live(&[("url", "ws://127.0.0.1:1/market/stream"), ("symbol", "spot:BTCUSDT")], &[], &[]);
    assert_eq!(subjects(&result), ["--url"]);
}

#[test]
fn what_the_url_contradicts_is_a_fault_that_names_both() {
    let url = ("url", "wss://fstream.binance.com/market/ws/btcusdt@aggTrade");
    let result = live(&[url], &[("SYMBOL", "ETHUSDT")], &[]);
    let error = result.unwrap_err();
    let fault = &error.faults()[0];
    assert_eq!(fault.problem, "the symbol is ETHUSDT, but the URL streams BTCUSDT");
    assert_eq!(
        (fault.subject.as_str(), &fault.origin),
        ("--symbol", &Some(Origin::Environment("SYMBOL".to_owned())))
    );
    assert_eq!(subjects(&live(&[url, ("market", "spot")], &[], &[])), ["--market"]);
    let result = live(&[("testnet", "true")], &[], &[("WS_URL", url.1)]);
    assert_eq!(subjects(&result), ["--testnet"]);
    assert!(result.unwrap_err().to_string().contains(".env WS_URL"));
    assert!(live(&[url, ("testnet", "false"), ("symbol", "btcusdt")], &[], &[]).is_ok());
}

#[test]
fn plaintext_to_another_machine_needs_the_switch() {
    let url = ("url", "ws://relay.example:8080/ws");
    let error = live(&[url], &[], &[]).unwrap_err();
    assert!(error.faults()[0].remedy.contains("--allow-plaintext"), "{error}");
    assert!(live(&[url], &[("CVD_STREAM_ALLOW_PLAINTEXT", "yes")], &[]).is_ok());
    let rest = [("rest-url", "http://relay.example:8080")];
    let error = live(&rest, &[], &[]).unwrap_err();
    assert!(error.faults()[0].remedy.contains("--allow-plaintext"), "{error}");
    assert!(live(&rest, &[("CVD_STREAM_ALLOW_PLAINTEXT", "1")], &[]).is_ok());
    assert!(live(&[("rest-url", "http://127.0.0.1:8080")], &[], &[]).is_ok());
}

#[test]
fn the_host_of_the_stream_tells_where_lost_trades_are_asked_for() {
    let asked = |flags: Pairs| {
        let resolved = live(flags, &[], &[]).unwrap();
        resolved.config.rest().map(|base| base.to_string())
    };
    let relay = ("url", "wss://relay.example/ws/btcusdt@aggTrade");
    let rest = ("rest-url", "https://fapi.binance.com/");
    assert_eq!(asked(&[]).as_deref(), Some("https://fapi.binance.com"));
    assert_eq!(asked(&[("market", "coinm")]).as_deref(), Some("https://dapi.binance.com"));
    assert_eq!(asked(&[("testnet", "1")]).as_deref(), Some("https://testnet.binancefuture.com"));
    assert_eq!(asked(&[relay]), None);
    assert_eq!(asked(&[relay, rest]).as_deref(), Some("https://fapi.binance.com"));
    assert_eq!(asked(&[relay, rest, ("repair", "off")]), None);
}

#[test]
fn a_rest_address_of_another_ledger_is_a_fault_unless_the_stream_itself_is_in_doubt() {
    let rest = ("rest-url", "https://fapi.binance.com");
    let result = live(&[rest, ("testnet", "true")], &[], &[]);
    assert_eq!(subjects(&result), ["--rest-url"]);
    let error = result.unwrap_err();
    assert!(error.faults()[0].remedy.contains("https://testnet.binancefuture.com"), "{error}");
    assert_eq!(subjects(&live(&[rest, ("market", "spot")], &[], &[])), ["--rest-url"]);
    assert_eq!(subjects(&live(&[rest, ("url", "wss://")], &[], &[])), ["--url"]);
    let spot = ("rest-url", "https://api.binance.com");
    assert_eq!(subjects(&live(&[spot, ("market", "sport")], &[], &[])), ["--market"]);
}

#[test]
fn an_un_routed_url_warns() {
    let resolved = live(&[("url", "wss://fstream.binance.com/ws/btcusdt@aggTrade")], &[], &[]).unwrap();
    assert!(resolved.warnings[0].contains("/market/ws/btcusdt@aggTrade"), "{:?}", resolved.warnings);
}

#[test]
fn an_unknown_variable_of_ours_warns_with_the_nearest_name() {
    let env = [("CVD_STREAM_SYMBOLS", "x"), ("CVD_STREAMER", "x"), ("OTHER", "x")];
    let resolved = live(&[], &env, &[("CVD_STREAM_FOO_BAR_BAZ", "x")]).unwrap();
    assert_eq!(
        resolved.warnings,
        [
            "unknown variable CVD_STREAM_SYMBOLS in the environment is ignored; did you mean CVD_STREAM_SYMBOL?",
            "unknown variable CVD_STREAM_FOO_BAR_BAZ in .env is ignored; `cvd-stream --help` lists the variables",
        ]
    );
}

#[test]
fn a_command_reads_only_its_own_options() {
    let env = [("WS_URL", "http://x"), ("QUEUE_SIZE", "0"), ("SYMBOL", "BTCUSDT")];
    let resolved = resolve(Command::Replay, &layers(&[], &env, &[])).unwrap();
    assert_eq!(symbols(&resolved), ["BTCUSDT"]);
    assert!(resolved.options.iter().all(|option| option.name != "url"));
    assert_eq!(subjects(&resolve(Command::Demo, &layers(&[], &env, &[]))), ["--queue-size"]);
    assert_eq!(subjects(&resolve(Command::Config, &layers(&[], &env, &[]))), ["--url", "--queue-size"]);
    let result = resolve(Command::Replay, &layers(&[("url", "wss://h/ws")], &[], &[]));
    assert!(result.unwrap_err().to_string().contains("`cvd-stream replay` has no such option"));
}

#[test]
fn no_credential_reaches_a_report_or_the_table() {
    for url in [
        "wss://me:s3cret@h/ws/btc usdt",
        "http://me:s3cret@h/",
        "me:s3cret@h",
        "wss://me:s3cret@h/ws/btcusdt@kline_1m?token=s3cret",
        "wss://me:s3/cret@h:99999/ws",
        "wss://me:s3#s3cret@h/ws",
        "ftp://h/?key=s3cret",
    ] {
        let error = live(&[("url", url)], &[], &[]).unwrap_err();
        assert!(!format!("{error} {error:?}").contains("s3"), "{error}");
    }
    for url in [
        "https://me:s3cret@h",
        "https://me:s3/cret@h",
        "me:s3cret@h",
        "https://h?key=s3cret",
        "https://h/#s3cret",
        "wss://me:s3cret@h",
    ] {
        let error = live(&[("rest-url", url)], &[], &[]).unwrap_err();
        assert!(!format!("{error} {error:?}").contains("s3"), "{error}");
    }
    let resolved = live(&[("url", "wss://me:s3cret@h/ws/btcusdt@aggTrade?k=s3cret")], &[], &[]).unwrap();
    assert!(!format!("{resolved} {resolved:?}").contains("s3cret"), "{resolved}");
}

#[test]
fn a_value_that_is_not_utf8_or_not_printable_is_escaped_and_cut() {
    let long = "x".repeat(1_000);
    let env = [("SYMBOL", "B\u{fffd}"), ("QUEUE_SIZE", "\u{1b}[31m\n1"), ("CVD_STREAM_COUNT", &long)];
    let report = live(&[], &env, &[]).unwrap_err().to_string();
    assert!(report.contains("not UTF-8"), "{report}");
    assert!(!report.contains('\u{1b}') && !report.contains(&"x".repeat(161)), "{report}");
}

#[test]
fn a_proxy_that_was_named_counts_more_than_those_of_the_environment() {
    let environment = [("HTTPS_PROXY", "http://me:s3cret@env.example:1"), ("NO_PROXY", "elsewhere.example")];
    let resolved = live(&[], &environment, &[]).unwrap();
    let shown = ("http://***@env.example:1", "environment HTTPS_PROXY, NO_PROXY".to_owned());
    assert_eq!(option(&resolved, "proxy"), shown);
    let table = resolved.to_string();
    for line in ["connects to  wss://fstream.binance.com/", "repairs from https://fapi.binance.com"] {
        let line = table.lines().find(|shown| shown.starts_with(line)).unwrap();
        assert!(line.ends_with(" through http://***@env.example:1"), "{line}");
    }
    assert!(!format!("{table}{:?}", resolved.config).contains("s3cret"));

    let flags = [("proxy", "socks5h://me:s3cret@own.example")];
    let resolved = live(&flags, &environment, &[]).unwrap();
    let shown = ("socks5h://***@own.example:1080", "flag --proxy".to_owned());
    assert_eq!(option(&resolved, "proxy"), shown);
    let variable = [environment[0], ("CVD_STREAM_PROXY", "none")];
    let resolved = live(&[], &variable, &[]).unwrap();
    assert_eq!(option(&resolved, "proxy"), ("none", "environment CVD_STREAM_PROXY".to_owned()));
    assert!(!resolved.to_string().contains("through"));

    // This machine is reached without, and so are recorded files.
    let here = [("url", "ws://127.0.0.1:1/ws/btcusdt@aggTrade")];
    let all = [("ALL_PROXY", "env.example:1")];
    assert!(!live(&here, &all, &[]).unwrap().to_string().contains("through"));
    let replay = resolve(Command::Replay, &layers(&[], &all, &[])).unwrap();
    assert_eq!(replay.config.proxies, Proxies::default());
}

#[test]
fn a_proxy_that_cannot_be_used_is_a_fault_where_it_was_named_and_a_warning_where_it_was_found() {
    for proxy in [
        "https://me:s3cret@h:1",
        "http://me:s3cret:h:1",
        "http://me:s3/cret@h:1",
        "ftp://me:s3cret@h",
        "me:s3cret",
        "http://h:1/s3cret",
    ] {
        let error = live(&[("proxy", proxy)], &[("HTTPS_PROXY", "http://env.example:1")], &[]).unwrap_err();
        let [fault] = error.faults() else { panic!("{error}") };
        assert_eq!(fault.subject, "--proxy");
        assert!(!format!("{error}{error:?}").contains("s3"), "{error}");
        let resolved = live(&[], &[("HTTPS_PROXY", proxy)], &[]).unwrap();
        let [warning] = &resolved.warnings[..] else { panic!("{:?}", resolved.warnings) };
        assert!(warning.starts_with("HTTPS_PROXY=") && !warning.contains("s3"), "{warning}");
    }
}

#[test]
fn a_file_of_certificates_is_looked_into_before_anything_starts() {
    let error = live(&[("ca-file", "/no/such/ca.pem")], &[], &[]).unwrap_err();
    let [fault] = error.faults() else { panic!("{error}") };
    assert_eq!((fault.subject.as_str(), fault.value.as_str()), ("--ca-file", "\"/no/such/ca.pem\""));
    assert_eq!(fault.problem, "there is no such file");
    assert!(fault.remedy.starts_with("check the path"), "{}", fault.remedy);
}

#[test]
fn contracts_are_not_gathered_by_their_worth() {
    let flags = [("market", "coinm"), ("symbol", "BTCUSD_PERP"), ("bars", "1m,volume:5,notional:1e6")];
    let error = live(&flags, &[], &[]).unwrap_err().to_string();
    assert!(error.contains("--bars") && error.contains("notional:1e6"), "{error}");
    assert!(error.contains("take volume:N, in contracts"), "{error}");
    assert!(live(&[flags[0], flags[1], ("bars", "1m,volume:5")], &[], &[]).is_ok());
}

/// Flags and a configuration file, and nothing else.
fn with_file(flags: Pairs, file: &str) -> Layers {
    Layers { file: ConfigFile::parse("f.toml", file), ..layers(flags, &[], &[]) }
}

proptest! {
    #[test]
    fn whichever_layers_say_something_the_strongest_holds_and_is_named(said in any::<[bool; 6]>()) {
        let layer = |at: usize, name: &str| -> BTreeMap<String, String> {
            said[at].then(|| (name.to_owned(), (at + 1).to_string())).into_iter().collect()
        };
        let both = |at, strong, weak| layer(at, strong).into_iter().chain(layer(at + 1, weak)).collect();
        let file = if said[5] { "\nqueue_size = 6\n" } else { "" };
        let layers = Layers {
            flags: layer(0, "queue-size"),
            environment: both(1, "CVD_STREAM_QUEUE_SIZE", "QUEUE_SIZE"),
            dotenv: DotEnv { values: both(3, "CVD_STREAM_QUEUE_SIZE", "QUEUE_SIZE"), faults: Vec::new() },
            file: ConfigFile::parse("f.toml", file),
        };
        let origins = [
            "flag --queue-size",
            "environment CVD_STREAM_QUEUE_SIZE",
            "environment QUEUE_SIZE",
            ".env CVD_STREAM_QUEUE_SIZE",
            ".env QUEUE_SIZE",
            "f.toml line 2",
        ];
        let (value, origin) = match said.iter().position(|said| *said) {
            Some(strongest) => (strongest + 1, origins[strongest]),
            None => (1024, "default"),
        };
        for command in [Command::Live, Command::Demo, Command::Doctor] {
            let resolved = resolve(command, &layers).unwrap();
            prop_assert_eq!(resolved.config.queue.frames, value);
            prop_assert_eq!(option(&resolved, "queue-size"), (&*value.to_string(), origin.to_owned()));
        }
    }
}

#[test]
fn a_fault_of_the_file_is_one_only_where_its_option_is_read_and_nothing_stronger_says_it() {
    let file = "queue-size = [1]\nurl = 'http://x'\nsymbol = ''\nspeed = 'fast'\n";
    assert_eq!(
        subjects(&resolve(Command::Live, &with_file(&[], file))),
        ["--symbol", "--url", "--queue-size"]
    );
    assert_eq!(subjects(&resolve(Command::Replay, &with_file(&[], file))), ["--symbol", "--speed"]);
    let flags = [("queue-size", "5"), ("symbol", "BTCUSDT"), ("url", "")];
    let error = resolve(Command::Live, &with_file(&flags, file)).unwrap_err();
    let [fault] = error.faults() else { panic!("{error}") };
    assert_eq!((fault.subject.as_str(), fault.problem.as_str()), ("--url", "an empty value"));
}

#[test]
fn a_fault_of_the_file_is_told_with_its_line_and_mended_in_its_words() {
    let error = resolve(Command::Live, &with_file(&[], "\nqueue-size = 0\nproxy = 'http://me:s3cret:h:1'\n"));
    let report = error.unwrap_err().to_string();
    assert!(report.contains("value    \"0\" (f.toml line 2)"), "{report}");
    assert!(report.contains("remedy   for example queue-size = 4096, or leave it out"), "{report}");
    assert!(report.contains("(f.toml line 3)") && !report.contains("s3cret"), "{report}");
}

#[test]
fn a_check_looks_at_what_fetch_alone_reads_too_and_tells_each_fault_once() {
    let layers = with_file(&[("symbol", "BTC/USDT")], "parallel = 99\nproxy = 'ftp://h'\nnothing = 1\n");
    let result = check(&layers);
    assert_eq!(subjects(&result), ["f.toml line 3", "--symbol", "--proxy", "--parallel"]);
    assert!(check(&with_file(&[("symbol", "BTCUSDT")], "parallel = 8\n")).is_ok());
    let plain = [("allow-plaintext", "true"), ("symbol", "BTCUSDT")];
    assert!(check(&with_file(&plain, "archive-url = 'http://mirror.example'\n")).is_ok());
}

#[test]
fn what_gave_the_settings_is_counted_by_its_kind() {
    let sources = |layers: &Layers| resolve(Command::Live, layers).unwrap().sources();
    assert_eq!(sources(&layers(&[], &[], &[])), "all settings are defaults");
    assert_eq!(sources(&with_file(&[], "top = 5\n")), "settings from 1 line of f.toml");
    let said = Layers {
        file: ConfigFile::parse("f.toml", "top = 5\nby = 'z'\n"),
        ..layers(&[("count", "1")], &[("SYMBOL", "A"), ("QUEUE_SIZE", "1")], &[("LOG_LEVEL", "warn")])
    };
    assert_eq!(sources(&said), "settings from 1 flag, 2 variables, 1 line of .env and 2 lines of f.toml");
}
