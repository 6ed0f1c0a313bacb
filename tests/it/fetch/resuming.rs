//! Cut anywhere, stopped anywhere, changed in between: what is there in the end is the file, or nothing.

use std::fs::File;

use proptest::prelude::*;
use tokio::time::timeout;

use super::*;

const DAY: &str = "2024-05-01";

async fn one_day() -> Stage {
    Stage::of(DAY, DAY).await
}

impl Stage {
    /// Runs for so long and then stops in the middle, as Ctrl-C does.
    async fn run_for(&self, limit: Duration) {
        assert!(timeout(limit, self.run()).await.is_err(), "it was to be stopped in the middle");
    }
}

#[tokio::test(start_paused = true)]
async fn a_file_that_is_cut_at_any_byte_goes_on_there() {
    let length = 128;
    for cut in 0..length {
        let stage = one_day().await;
        let file = stage.put(DAY, length);
        stage.archive().fault(".zip", [ArchiveFault::Cut(cut)]);
        let summary = stage.run().await.unwrap();
        stage.assert_has(DAY, &file);
        assert_eq!(summary.received, length as u64, "cut at {cut}");
        let rest = if cut == 0 { " 200".to_owned() } else { format!(" bytes={cut}- 206") };
        let asked = [".CHECKSUM 200".to_owned(), " 200".to_owned(), rest];
        assert_eq!(stage.asked(), asked.map(|asked| format!("{DAY}.zip{asked}")));
    }
}

#[tokio::test(start_paused = true)]
async fn a_file_that_is_cut_every_few_bytes_arrives_as_long_as_there_is_progress() {
    let stage = one_day().await;
    // More than a megabyte between two cuts: any number of them is borne.
    let (piece, pieces) = (1_100_000, 12);
    let file = stage.put(DAY, piece * pieces);
    stage.archive().fault(".zip", vec![ArchiveFault::Cut(piece); pieces - 1]);
    assert_eq!(stage.run().await.unwrap().received, file.len() as u64);
    stage.assert_has(DAY, &file);
}

#[tokio::test(start_paused = true)]
async fn a_run_that_was_stopped_is_gone_on_with_by_the_next() {
    for at in [1, 999, 4_999] {
        let stage = one_day().await;
        let file = stage.put(DAY, 5_000);
        stage.archive().fault(".zip", [ArchiveFault::Stall(at)]);
        stage.run_for(Duration::from_secs(5)).await;
        assert_eq!(fs::read(stage.at(&format!("{}.part", name(DAY)))).unwrap(), file[..at]);
        assert!(!stage.at(&name(DAY)).exists());
        let summary = stage.run().await.unwrap();
        assert_eq!(summary.received, (5_000 - at) as u64);
        stage.assert_has(DAY, &file);
    }
}

#[tokio::test(start_paused = true)]
async fn a_run_that_was_stopped_before_the_first_byte_leaves_nothing() {
    let stage = one_day().await;
    stage.put(DAY, 5_000);
    stage.archive().fault(".zip", [ArchiveFault::Stall(0)]);
    stage.run_for(Duration::from_secs(5)).await;
    assert_eq!(stage.files(), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn a_file_that_was_replaced_meanwhile_comes_whole() {
    // Between two runs: the validator is not the one of the beginning.
    let stage = one_day().await;
    stage.put(DAY, 5_000);
    stage.archive().fault(".zip", [ArchiveFault::Stall(2_000)]);
    stage.run_for(Duration::from_secs(5)).await;
    let other = vec![7; 4_000];
    stage.archive().put(&path(DAY), other.clone());
    assert_eq!(stage.run().await.unwrap().received, 4_000);
    stage.assert_has(DAY, &other);
    assert_eq!(stage.asked().last().unwrap(), &format!("{DAY}.zip bytes=2000- 200"));

    // Within one: its checksum is another too.
    for shorter in [1_500, 2_000, 2_500] {
        let stage = one_day().await;
        stage.put(DAY, 5_000);
        let other = vec![7; shorter];
        stage.archive().fault(".zip", [ArchiveFault::CutAndReplace(2_000, other.clone())]);
        assert_eq!(stage.run().await.unwrap().fetched, 1);
        stage.assert_has(DAY, &other);
    }
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_gone_on_with_is_fetched_from_the_beginning() {
    let part = format!("{}.part", name(DAY));
    let note = format!("{part}.etag");
    let etag_of = async |stage: &Stage| {
        stage.archive().fault(".zip", [ArchiveFault::Stall(2_000)]);
        stage.run_for(Duration::from_secs(5)).await;
        fs::read_to_string(stage.at(&note)).unwrap()
    };
    for (what, part_left, change) in [
        ("no note", 2_000, Some("")),
        ("a note cut in the middle", 2_000, Some("\"abc")),
        ("a note that is none", 2_000, Some("\"a\u{1}c\"\n5000\n")),
        ("more than the whole", 6_000, None),
        ("other bytes than the archive's", 2_000, None),
        ("other bytes, as many as the whole has", 5_000, None),
    ] {
        let stage = one_day().await;
        let file = stage.put(DAY, 5_000);
        let known = etag_of(&stage).await;
        assert_eq!(known.lines().last(), Some("5000"));
        fs::write(stage.at(&part), vec![0; part_left]).unwrap();
        match change {
            Some("") => fs::remove_file(stage.at(&note)).unwrap(),
            Some(other) => fs::write(stage.at(&note), other).unwrap(),
            None => {}
        }
        assert_eq!(stage.run().await.unwrap().fetched, 1, "{what}");
        stage.assert_has(DAY, &file);
    }
}

#[tokio::test(start_paused = true)]
async fn a_whole_file_that_had_only_to_be_checked_is_not_asked_for_again() {
    let stage = one_day().await;
    let file = stage.put(DAY, 5_000);
    stage.archive().fault(".zip", [ArchiveFault::Stall(2_000)]);
    stage.run_for(Duration::from_secs(5)).await;
    fs::write(stage.at(&format!("{}.part", name(DAY))), &file).unwrap();
    let summary = stage.run().await.unwrap();
    assert_eq!((summary.fetched, summary.received), (1, 0));
    stage.assert_has(DAY, &file);
}

#[tokio::test(start_paused = true)]
async fn a_server_without_ranges_or_versions_costs_time_and_nothing_else() {
    for odd in [ArchiveFault::Whole, ArchiveFault::Untagged, ArchiveFault::Shifted] {
        let stage = one_day().await;
        let file = stage.put(DAY, 5_000);
        stage.archive().fault(".zip", [ArchiveFault::Cut(2_000), odd.clone()]);
        assert_eq!(stage.run().await.unwrap().fetched, 1, "{odd:?}");
        stage.assert_has(DAY, &file);
        // It is noticed before the sum would tell.
        let checksums = stage.asked().iter().filter(|asked| asked.contains("CHECKSUM")).count();
        assert_eq!(checksums, 1, "{odd:?}");
    }
    let stage = one_day().await;
    let file = stage.put(DAY, 5_000);
    stage.archive().fault(".zip", [ArchiveFault::Untagged]);
    stage.archive().fault(".CHECKSUM", [ArchiveFault::Untagged]);
    assert_eq!(stage.run().await.unwrap().fetched, 1);
    stage.assert_has(DAY, &file);
}

#[tokio::test(start_paused = true)]
async fn a_file_that_another_process_fetches_is_left_to_it() {
    let stage = Stage::of("2024-05-01", "2024-05-02").await;
    stage.put("2024-05-01", 500);
    let second = stage.put("2024-05-02", 500);
    fs::create_dir_all(&stage.fetch.directory).unwrap();
    let part = File::create(stage.at(&format!("{}.part", name("2024-05-01")))).unwrap();
    part.lock().unwrap();
    let summary = stage.run().await.unwrap();
    let [(period, why)] = &summary.failed[..] else { panic!("{summary:?}") };
    assert_eq!(*period, of_day("2024-05-01"));
    assert!(why.contains("in use"), "{why}");
    assert_eq!(fs::read(stage.at(&name("2024-05-02"))).unwrap(), second);
}

/// What can go wrong with one answer.
fn fault() -> impl Strategy<Value = (bool, ArchiveFault)> {
    let status = |status| ArchiveFault::Status { status, retry_after: None };
    let patience = ArchiveFault::Status { status: 429, retry_after: Some("3".into()) };
    let fault = prop_oneof![
        4 => (0usize..3_000).prop_map(ArchiveFault::Cut),
        1 => (0usize..3_000, 0usize..2_000)
            .prop_map(|(cut, length)| ArchiveFault::CutAndReplace(cut, vec![7; length])),
        1 => (0usize..3_000).prop_map(ArchiveFault::Stall),
        1 => Just(ArchiveFault::Slow { per_second: 500 }),
        1 => Just(ArchiveFault::Corrupt),
        1 => Just(ArchiveFault::Whole),
        1 => Just(ArchiveFault::Untagged),
        1 => Just(ArchiveFault::Shifted),
        1 => Just(status(500)),
        1 => Just(status(404)),
        1 => Just(status(416)),
        1 => Just(patience),
    ];
    (prop::bool::weighted(0.2), fault)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn whatever_goes_wrong_a_file_is_the_archives_or_is_not_there(
        faults in prop::collection::vec(fault(), 0..12),
        stops in prop::collection::vec(0u64..40_000, 0..3),
        parallel in 1u8..4,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
        runtime.block_on(async {
            let mut stage = Stage::of("2024-05-01", "2024-05-03").await;
            stage.fetch.parallel = parallel;
            let days = ["2024-05-01", "2024-05-02", "2024-05-03"];
            days.iter().for_each(|period| drop(stage.put(period, 2_500)));
            for (of_checksum, fault) in faults {
                // A checksum that is replaced would have one of its own.
                let of_file = !of_checksum || matches!(fault, ArchiveFault::CutAndReplace(..));
                let path_end = if of_file { ".zip" } else { ".CHECKSUM" };
                stage.archive().fault(path_end, [fault]);
            }
            for stop in stops {
                drop(timeout(Duration::from_millis(stop), stage.run()).await);
            }
            let summary = stage.run().await.unwrap_or_default();
            assert_well(&stage, &days, &summary);
            stage.archive().heal();
            let summary = stage.run().await.unwrap();
            assert_eq!((summary.fetched + summary.already_there, summary.is_complete()), (3, true));
            assert_well(&stage, &days, &summary);
            assert_eq!(stage.files().len(), 6, "{:?}", stage.files());
        });
    }
}

/// Whether every file that is there under its name has a sum that the archive published, and none is wrong beside its
/// checksum.
fn assert_well(stage: &Stage, days: &[&str], summary: &Summary) {
    for period in days {
        let Ok(file) = fs::read(stage.at(&name(period))) else { continue };
        if let Ok(sums) = fs::read_to_string(stage.at(&format!("{}.CHECKSUM", name(period)))) {
            let hex: String = sum_of(&file);
            assert!(sums.starts_with(&hex), "{period}: {sums}");
        }
    }
    assert!(summary.fetched + summary.already_there <= days.len() as u64);
    assert!(stage.archive().requests().len() < 400, "a storm of questions");
}

fn sum_of(file: &[u8]) -> String {
    let sum = ring::digest::digest(&ring::digest::SHA256, file);
    sum.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}
