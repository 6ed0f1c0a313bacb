use cvd_stream::exchange::AtEnd;

use super::*;
use crate::recordings::SmallDisk;

/// No more of a recording is lost in a crash than what came in this time before it: half a second between two flushes,
/// and what a busy machine takes to write one.
const LOST_MS: i64 = 2_500;

/// What a replay of a recording says: its records of these types, and its log.
async fn replayed(recording: &Path) -> (Vec<String>, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_cvd-stream"));
    command.arg("replay").arg(recording).args(["--output", "json", "--print-every", "1"]);
    command.env_clear().stdin(Stdio::null());
    let output = command.output().await.expect("the command is there");
    let log = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{log}");
    let text = String::from_utf8(output.stdout).expect("records are UTF-8");
    (text.lines().filter(comes_again).map(str::to_owned).collect(), log)
}

fn comes_again(line: &&str) -> bool {
    ["cvd", "gap", "state", "bar"].iter().any(|kind| line.contains(&format!("\"type\":\"{kind}\"")))
}

/// When the last trade arrived.
fn received_at(lines: &[String]) -> i64 {
    let trade = lines.iter().rfind(|line| line.contains("\"type\":\"cvd\"")).expect("there are trades");
    raw_field(trade, "received_at_ms").parse().expect("a stamp")
}

#[tokio::test]
async fn killed_while_it_records_everything_up_to_the_last_second_replays_and_the_cut_is_reported() {
    story(async {
        let script = Script::default().at_end(AtEnd::Market { per_second: 300 });
        let exchange = market().script(script).start().await.expect("loopback has a free port");
        let directory = Directory::new();
        let recording = directory.0.join("recording");
        let more = ["--record", recording.to_str().unwrap(), "--bars", "1s,ticks:50"];
        let mut told = Vec::new();
        // Two lives, the second of which goes on where the first one was killed.
        for _ in 0..2 {
            let life = Life::begin(&exchange, &directory, &more);
            let records = life.records.clone();
            records.until(|lines| lines.len() > 1_200).await;
            life.kill().await;
            told.push(
                records.now().into_iter().filter(|line| comes_again(&line.as_str())).collect::<Vec<_>>(),
            );
        }
        let (again, log) = replayed(&recording).await;
        assert!(log.contains("damaged") || log.contains("lost"), "{log}");
        // Of each life the beginning, up to what was not written any more.
        let second = again.iter().position(|line| *line == told[1][0] && *line != told[0][0]);
        let second =
            second.unwrap_or_else(|| panic!("the second life is not in the recording: {}", told[1][0]));
        for (life, again) in told.iter().zip([&again[..second], &again[second..]]) {
            // What both ends of a run say differs: a killed one says nothing, a replay says what is left open.
            let common = life.iter().zip(again).take_while(|(one, other)| one == other).count();
            assert!(
                again.len() - common <= 4,
                "{:?} where {:?} was told",
                again.get(common),
                life.get(common)
            );
            let lost = received_at(life) - received_at(&again[..common]);
            assert!(lost <= LOST_MS, "{lost} ms are lost");
            assert!(common > 300, "{common}");
        }
        stopped_in_peace(exchange).await;
    })
    .await;
}

#[tokio::test]
async fn a_full_disk_stops_the_recording_with_an_alarm_and_the_numbers_go_on() {
    let Some(disk) = SmallDisk::mount("full-live", "48k") else { return };
    story(async {
        let script = Script::default().at_end(AtEnd::Market { per_second: 2_000 });
        let exchange = market().script(script).start().await.expect("loopback has a free port");
        let directory = Directory::new();
        let recording = disk.path().join("recording");
        let life = Life::begin(&exchange, &directory, &["--record", recording.to_str().unwrap()]);
        let alarm = life.line("stopped: the disk is full").await;
        assert!(alarm.contains("ERROR") && alarm.contains("--record-limit"), "{alarm}");
        let so_far = life.records.now().len();
        life.records.until(|lines| lines.len() > so_far + 2_000).await;
        let records = life.records.clone();
        let remains = life.terminate().await;
        let totals = remains.totals();
        let last = totals["last_id"].as_i64().expect("there were trades");
        let readings = unbroken(&exchange, totals["first_id"].as_i64().unwrap());
        assert_eq!(numbers(totals), expected(&readings[&last]));
        assert_eq!(
            (totals["missing_trades"].as_u64(), totals["quality"].as_str()),
            (Some(0), Some("complete"))
        );
        assert!(remains.log.contains("not recorded"), "{}", remains.log);
        let (again, log) = replayed(&recording).await;
        assert!(log.contains("disk_full") || log.contains("ends without its last line"), "{log}");
        let live: Vec<_> = records.now().into_iter().filter(|line| comes_again(&line.as_str())).collect();
        let common = live.iter().zip(&again).take_while(|(one, other)| one == other).count();
        assert!(common > 100 && again.len() - common <= 2, "{common} of {}", again.len());
        stopped_in_peace(exchange).await;
    })
    .await;
}
