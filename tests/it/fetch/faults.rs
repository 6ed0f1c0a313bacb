//! Everything that an archive, or the way to it, can do wrong.

use cvd_stream::fetch::command::{self as fetch_command, CommandError};
use tokio::time::Instant;

use super::*;

const DAY: &str = "2024-05-01";

fn status(status: u16) -> ArchiveFault {
    ArchiveFault::Status { status, retry_after: None }
}

fn patience(status: u16, seconds: &str) -> ArchiveFault {
    ArchiveFault::Status { status, retry_after: Some(seconds.into()) }
}

async fn one_day() -> Stage {
    Stage::of(DAY, DAY).await
}

/// Why the only file failed.
async fn failure(stage: &Stage) -> String {
    let summary = stage.run().await.unwrap();
    let [(period, why)] = &summary.failed[..] else { panic!("{summary:?}") };
    assert_eq!((*period, summary.is_complete()), (of_day(DAY), false));
    assert_eq!(stage.files().iter().filter(|name| name.ends_with(".zip")).count(), 0);
    why.clone()
}

#[tokio::test(start_paused = true)]
async fn a_server_error_is_asked_again_after_ever_longer_waits() {
    for path_end in [".zip", ".CHECKSUM"] {
        let stage = one_day().await;
        let file = stage.put(DAY, 500);
        stage.archive().fault(path_end, [500, 502, 503, 504].map(status));
        let begun = Instant::now();
        assert_eq!(stage.run().await.unwrap().fetched, 1);
        stage.assert_has(DAY, &file);
        // Between half of 1 + 2 + 4 + 8 s and all of it.
        let took = begun.elapsed().as_secs_f64();
        assert!((7.5..16.0).contains(&took), "{took}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_file_that_never_comes_is_named_after_six_attempts() {
    for fault in [status(500), ArchiveFault::Cut(0), ArchiveFault::Stall(10), status(408)] {
        let stage = one_day().await;
        stage.put(DAY, 500);
        stage.archive().fault(".zip", vec![fault.clone(); 50]);
        let why = failure(&stage).await;
        assert!(why.contains("attempt 6, the last"), "{fault:?}: {why}");
        // With the one for the checksum.
        assert_eq!(stage.asked().len(), 7, "{fault:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_body_that_trickles_is_given_up_like_one_that_stops() {
    let stage = one_day().await;
    let file = stage.put(DAY, 50_000);
    stage.archive().fault(".zip", [ArchiveFault::Slow { per_second: 10 }]);
    assert_eq!(stage.run().await.unwrap().fetched, 1);
    stage.assert_has(DAY, &file);
    assert!(stage.asked()[2].starts_with(&format!("{DAY}.zip bytes=")), "{:?}", stage.asked());
}

#[tokio::test(start_paused = true)]
async fn a_wrong_sum_is_fetched_once_more_from_the_beginning_and_then_named() {
    let stage = one_day().await;
    let file = stage.put(DAY, 500);
    stage.archive().fault(".zip", [ArchiveFault::Corrupt]);
    assert_eq!(stage.run().await.unwrap().received, 1_000);
    stage.assert_has(DAY, &file);

    let stage = one_day().await;
    stage.put(DAY, 500);
    stage.archive().fault(".zip", [ArchiveFault::Corrupt, ArchiveFault::Corrupt]);
    let why = failure(&stage).await;
    assert!(why.starts_with("its sum is ") && why.contains("twice in a row"), "{why}");
    assert_eq!(stage.files(), [""; 0]);
    assert_eq!(stage.asked().len(), 4);
}

#[tokio::test(start_paused = true)]
async fn a_wrong_sum_leaves_the_file_that_was_here_alone() {
    let stage = one_day().await;
    let file = stage.put(DAY, 500);
    stage.run().await.unwrap();
    stage
        .archive()
        .put_alone(&format!("{}.CHECKSUM", path(DAY)), format!("{}  {}\n", "0".repeat(64), name(DAY)));
    assert_eq!(stage.run().await.unwrap().failed.len(), 1);
    assert_eq!(std::fs::read(stage.at(&name(DAY))).unwrap(), file);
}

#[tokio::test(start_paused = true)]
async fn a_checksum_that_is_none_is_no_reason_to_take_the_file() {
    let of_other = format!("{}  other.zip\n", "0".repeat(64));
    for (text, told) in
        [("<html>", "not a sum"), (of_other.as_str(), "of \"other.zip\""), (&"0".repeat(5_000), "too much")]
    {
        let stage = one_day().await;
        stage.put(DAY, 500);
        stage.archive().put_alone(&format!("{}.CHECKSUM", path(DAY)), text);
        let why = failure(&stage).await;
        assert!(why.contains(told), "{text}: {why}");
        assert_eq!(stage.asked(), vec![format!("{DAY}.zip.CHECKSUM 200"); 6]);
    }
}

#[tokio::test(start_paused = true)]
async fn patience_that_is_asked_for_is_granted_by_all() {
    for (refusal, at_least) in [(patience(429, "7"), 7.0), (status(403), 60.0), (patience(503, "20"), 20.0)] {
        let mut stage = Stage::of("2024-05-01", "2024-05-08").await;
        stage.fetch.parallel = 4;
        (1..=8).for_each(|n| drop(stage.put(&format!("2024-05-0{n}"), 500)));
        stage.archive().fault(".zip", [refusal.clone()]);
        let begun = Instant::now();
        assert_eq!(stage.run().await.unwrap().fetched, 8);
        let took = begun.elapsed().as_secs_f64();
        assert!((at_least..at_least * 1.2).contains(&took), "{refusal:?}: {took}");
        // One question too many is all that it costs.
        assert_eq!(stage.asked().len(), 17);
    }
}

#[tokio::test(start_paused = true)]
async fn an_archive_that_wants_to_be_left_alone_for_long_or_again_and_again_is() {
    let stage = one_day().await;
    stage.put(DAY, 500);
    stage.archive().fault(".CHECKSUM", [patience(418, "7200")]);
    let error = stage.run().await.unwrap_err();
    assert!(error.to_string().starts_with("the archive answers 418 and asks for 7200 s"), "{error}");
    assert_eq!(stage.asked().len(), 1);

    let stage = Stage::of("2024-05-01", "2024-05-31").await;
    stage.archive().fault("", vec![patience(429, "1"); 100]);
    let error = stage.run().await.unwrap_err();
    assert!(matches!(error, FetchError::Unwelcome { status: 429, .. }), "{error}");
    assert_eq!(stage.asked().len(), 8);
}

#[tokio::test(start_paused = true)]
async fn what_asking_again_does_not_cure_ends_the_run_at_once() {
    for (code, told) in [(302, "not followed"), (451, "location"), (400, "--archive-url")] {
        let stage = Stage::of("2024-05-01", "2024-05-20").await;
        stage.archive().fault("", vec![status(code); 100]);
        let error = stage.run().await.unwrap_err().to_string();
        assert!(error.contains(&code.to_string()) && error.contains(told), "{error}");
        assert!(stage.asked().len() <= 2, "{:?}", stage.asked());
    }
}

#[tokio::test(start_paused = true)]
async fn after_three_files_that_failed_in_a_row_the_others_are_not_tried() {
    let stage = Stage::of("2024-05-01", "2024-05-20").await;
    stage.archive().fault("", vec![status(500); 1_000]);
    let summary = stage.run().await.unwrap();
    assert!((3..=4).contains(&summary.failed.len()), "{summary:?}");
    assert_eq!(summary.failed.len() + summary.not_tried.len(), 20);
    assert!(!summary.is_complete() && stage.asked().len() <= 24, "{}", stage.asked().len());
}

#[tokio::test(start_paused = true)]
async fn nobody_there_is_told_with_the_address() {
    let stage = one_day().await;
    let network = stage.exchange.network();
    let mut fetch = stage.fetch.clone();
    fetch.base = RestBase::parse("http://127.0.0.1:9/mirror", false).unwrap();
    let mut troubles = Vec::new();
    let summary =
        fetch.run(&*network, |progress, _| troubles.extend(progress.trouble.clone())).await.unwrap();
    assert!(summary.failed[0].1.contains("http://127.0.0.1:9"), "{summary:?}");
    // Who looks on knows at once, not only after the last attempt.
    assert!(
        troubles.len() > 1 && troubles.iter().all(|why| why.contains("http://127.0.0.1:9")),
        "{troubles:?}"
    );

    let (mut shown, mut summarised) = (String::new(), String::new());
    let ended = fetch_command::run(
        &fetch,
        &*network,
        std::future::pending(),
        false,
        |text| shown.push_str(text),
        |text| summarised.push_str(text),
    );
    assert!(matches!(ended.await, Err(CommandError::Incomplete { files: 1 })));
    assert!(shown.starts_with("trying again: http://127.0.0.1:9"), "{shown}");
    assert_eq!(shown.matches("trying again").count(), 1, "{shown}");
    assert!(summarised.contains("failed"), "{summarised}");
}

#[tokio::test(start_paused = true)]
async fn a_directory_that_cannot_be_written_is_told_with_its_name() {
    let stage = one_day().await;
    stage.put(DAY, 500);
    let above = stage.fetch.directory.parent().unwrap();
    std::fs::create_dir_all(above).unwrap();
    std::fs::write(&stage.fetch.directory, b"a file").unwrap();
    let error = stage.run().await.unwrap_err();
    assert!(matches!(error, FetchError::Disk(_)), "{error}");
    assert!(error.to_string().contains("/archive; give a --dir"), "{error}");
}
