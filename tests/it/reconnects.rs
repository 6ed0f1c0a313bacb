//! Thousands of reconnects leave nothing behind: no descriptor, no memory.

use std::process::Command;
use std::time::Duration;

use cvd_stream::app::App;
use cvd_stream::exchange::{Act, Script};
use cvd_stream::feed::ConnectionBudget;

use crate::support::*;

/// How many; `CVD_STREAM_RECONNECTS=10000` for the whole of it, which takes two minutes.
fn reconnects() -> u64 {
    std::env::var("CVD_STREAM_RECONNECTS").ok().and_then(|text| text.parse().ok()).unwrap_or(500)
}

/// In a process of its own, because other tests open descriptors too.
#[test]
#[cfg(target_os = "linux")]
fn descriptors_and_memory_stay_flat_over_many_reconnects() {
    let mut child = Command::new(std::env::current_exe().unwrap());
    let run = child.args(["--ignored", "--exact", "--nocapture", "reconnects::in_a_process_of_its_own"]);
    let run = run.output().unwrap();
    let said = String::from_utf8_lossy(&run.stdout).into_owned() + &String::from_utf8_lossy(&run.stderr);
    assert!(run.status.success() && said.contains("1 passed"), "{said}");
    let figures = said.lines().find(|line| line.contains("reconnects:")).expect("it tells its figures");
    println!("{figures}");
}

#[tokio::test]
#[ignore = "runs in a process of its own, which the test before starts"]
#[cfg(target_os = "linux")]
async fn in_a_process_of_its_own() {
    let wanted = reconnects();
    let script = Script::new([Act::Trades(2), Act::Drop]).repeated(usize::try_from(wanted).unwrap());
    let exchange = btcusdt()
        .connection_limit(usize::MAX, Duration::from_secs(1))
        .ledger_capacity(1_000)
        .script(script.then(Act::Trades(1)))
        .start()
        .await
        .unwrap();
    let mut config = config(&exchange.stream_url());
    config.backoff_max = Duration::from_millis(10);
    config.print_every = 0;
    let app = App::new(config).connection_budget(ConnectionBudget::of(usize::MAX, Duration::from_secs(1)));
    let app = app.write_to(std::io::sink()).unwrap();
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let run = tokio::spawn(app.run(async move { drop(stopped.await) }));
    // What is allocated once is allocated by then.
    exchange.wait_for(|stats| stats.connections > wanted / 5).await;
    let before = (descriptors(), resident_kib());
    exchange.wait_for(|stats| stats.connections == wanted + 1 && stats.receiving == 1).await;
    let after = (descriptors(), resident_kib());
    println!(
        "{wanted} reconnects: descriptors {} -> {}, resident KiB {} -> {}",
        before.0, after.0, before.1, after.1
    );
    stop.send(()).unwrap();
    let summary = run.await.unwrap().unwrap();
    assert_eq!(summary.metrics.reconnect_count, wanted);
    assert_eq!(summary.metrics.applied_trades, 2 * wanted + 1);
    // One connection more or less may be under way at either moment, and it has two ends in this process.
    assert!(after.0.abs_diff(before.0) <= 4, "descriptors: {before:?} -> {after:?}");
    assert!(after.1 <= before.1 + 4 * 1024, "resident KiB: {before:?} -> {after:?}");
    stopped_in_peace(exchange).await;
}

#[cfg(target_os = "linux")]
fn descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

#[cfg(target_os = "linux")]
fn resident_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}
