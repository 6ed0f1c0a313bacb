use std::fs;

use super::*;

/// A market with a checkpoint after so many trades, and one before it.
async fn kept(trades: u64) -> (Exchange, Directory) {
    let (exchange, directory) = (open_market().await, Directory::new());
    let life = Life::begin(&exchange, &directory, &[]);
    exchange.play(Act::Trades(trades)).await;
    life.id(last_id(&exchange)).await;
    assert_eq!(life.terminate().await.totals()["trades"], trades);
    assert!(directory.current().exists() && directory.previous().exists());
    (exchange, directory)
}

fn spoil(path: &Path) {
    let mut bytes = fs::read(path).expect("it was saved");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(path, bytes).expect("it can be written");
}

/// A life that does not begin; gives what it said.
async fn refused(exchange: &Exchange, directory: &Directory, more: &[&str]) -> String {
    let remains = Life::begin(exchange, directory, more).ended().await;
    assert_eq!(remains.status.code(), Some(1), "{}", remains.log);
    assert!(remains.records.is_empty());
    remains.log
}

#[tokio::test]
async fn a_damaged_checkpoint_is_kept_aside_and_the_previous_one_used() {
    story(async {
        let (exchange, directory) = kept(100).await;
        spoil(&directory.current());
        let life = Life::begin(&exchange, &directory, &[]);
        let said = life.line("cannot be used").await;
        assert!(said.contains(" WARN ") && said.contains("its checksum does not fit its contents"), "{said}");
        assert!(
            said.contains("the previous one is used") && said.contains(".checkpoint.unreadable"),
            "{said}"
        );
        exchange.play(Act::Trades(5)).await;
        life.id(last_id(&exchange)).await;
        let remains = life.terminate().await;
        let totals = remains.totals();
        let readings = unbroken(&exchange, totals["first_id"].as_i64().unwrap());
        assert_eq!(numbers(totals), expected(readings.last_key_value().unwrap().1));
        assert_eq!((totals["trades"].as_u64(), readings.len()), (Some(105), 105));
        assert!(directory.state().join("spot-BTCUSDT.checkpoint.unreadable").exists());
        stopped_in_peace(exchange).await;
    })
    .await;
}

#[tokio::test]
async fn nothing_begins_at_zero_where_no_checkpoint_can_be_used() {
    story(async {
        let (exchange, directory) = kept(100).await;
        spoil(&directory.current());
        fs::write(directory.previous(), "").unwrap();
        let before = fs::read(directory.current()).unwrap();
        let said = refused(&exchange, &directory, &[]).await;
        for part in [
            "cvd-stream: no checkpoint of spot BTCUSDT can be used: ",
            "spot-BTCUSDT.checkpoint: it is damaged: its checksum does not fit its contents; ",
            "spot-BTCUSDT.checkpoint.previous: it is empty. ",
            "restore a good copy",
            "move them away to begin anew",
        ] {
            assert!(said.contains(part), "{part} in {said}");
        }
        assert_eq!(fs::read(directory.current()).unwrap(), before);
        // As it says.
        for path in [directory.current(), directory.previous()] {
            fs::rename(&path, path.with_extension("away")).unwrap();
        }
        let life = Life::begin(&exchange, &directory, &[]);
        life.line("no checkpoint of BTCUSDT").await;
        life.kill().await;
        stopped_in_peace(exchange).await;
    })
    .await;
}

#[tokio::test]
async fn other_settings_are_refused_by_name_and_the_old_ones_go_on() {
    story(async {
        let (exchange, directory) = kept(100).await;
        let said = refused(&exchange, &directory, &["--z-window", "100"]).await;
        assert!(said.contains("it was kept with --z-window 300, but --z-window is 100 now"), "{said}");
        assert!(said.contains("run with what they were kept with"), "{said}");
        let life = Life::begin(&exchange, &directory, &["--z-window", "300"]);
        life.line("resumed BTCUSDT").await;
        life.kill().await;
        stopped_in_peace(exchange).await;
    })
    .await;
}

#[tokio::test]
async fn a_second_process_is_refused_with_the_number_of_the_first() {
    story(async {
        let (exchange, directory) = (open_market().await, Directory::new());
        let life = Life::begin(&exchange, &directory, &[]);
        life.line("no checkpoint of BTCUSDT").await;
        let pid = life.child.id().unwrap();
        let said = refused(&exchange, &directory, &[]).await;
        let path = directory.state();
        let expected =
            format!("{} is used by process {pid}; stop it or give another --state-dir", path.display());
        assert!(said.contains(&expected), "{said}");
        // Even a process that is killed leaves the directory to the next one.
        life.kill().await;
        let life = Life::begin(&exchange, &directory, &[]);
        life.line("no checkpoint of BTCUSDT").await;
        life.kill().await;
        stopped_in_peace(exchange).await;
    })
    .await;
}

#[tokio::test]
async fn a_directory_that_cannot_be_made_is_refused_with_its_name() {
    story(async {
        let (exchange, directory) = (open_market().await, Directory::new());
        fs::write(directory.state(), "a file").unwrap();
        let said = refused(&exchange, &directory, &[]).await;
        let expected = format!("cannot make the state directory {}", directory.state().display());
        assert!(said.contains(&expected) && said.contains("that this user can write to"), "{said}");
        stopped_in_peace(exchange).await;
    })
    .await;
}

#[tokio::test]
async fn a_disk_that_fails_while_it_runs_stops_nothing_and_is_not_passed_over_in_silence() {
    story(async {
        let (exchange, directory) = (open_market().await, Directory::new());
        let life =
            Life::begin(&exchange, &directory, &["--state-interval", "100ms", "--stats-interval", "1s"]);
        exchange.play(Act::Trades(100)).await;
        life.id(last_id(&exchange)).await;
        // A file in its place: not even root can write into that.
        let away = directory.0.join("away");
        fs::rename(directory.state(), &away).unwrap();
        fs::write(directory.state(), "a file").unwrap();
        let mut failed = None;
        while failed.is_none() {
            exchange.play(Act::TradesPaced { n: 20, per_second: 200 }).await;
            failed = life.log.now().into_iter().find(|line| line.contains("cannot keep a checkpoint"));
        }
        let said = failed.unwrap();
        assert!(said.contains(" ERROR ") && said.contains("Streaming goes on"), "{said}");
        exchange.play(Act::Trades(100)).await;
        life.id(last_id(&exchange)).await;
        let counted = |line: &String| {
            line.contains("\"type\":\"stat\"") && !line.contains("\"checkpoint_failures\":0,")
        };
        let stat = life.records.until(|lines| lines.iter().any(counted)).await;
        let stat: Value = serde_json::from_str(stat.iter().find(|line| counted(line)).unwrap()).unwrap();
        assert!(
            stat["checkpoints"].as_u64() > Some(0) && stat["checkpoint_age_ms"].as_u64() > Some(0),
            "{stat}"
        );

        fs::remove_file(directory.state()).unwrap();
        fs::rename(&away, directory.state()).unwrap();
        let mut again = false;
        while !again {
            exchange.play(Act::TradesPaced { n: 20, per_second: 200 }).await;
            again = life.log.now().iter().any(|line| line.contains("checkpoints are kept again, after"));
        }
        life.id(last_id(&exchange)).await;
        let remains = life.terminate().await;
        let next = format!("\"next_id\":{},", last_id(&exchange) + 1);
        assert!(fs::read_to_string(directory.current()).unwrap().contains(&next));
        assert_eq!(remains.totals()["last_id"].as_i64(), Some(last_id(&exchange)));
        let told = remains.log.matches("cannot keep a checkpoint").count();
        assert_eq!(told, 1, "at once, and then once a minute: {}", remains.log);
        stopped_in_peace(exchange).await;
    })
    .await;
}
