use super::*;

/// What stopped, without the directory.
fn stops(recorder: &Recorder) -> Vec<String> {
    let shown = |notice| match notice {
        RecordNotice::Stopped { stop, .. } => stop.to_string(),
        other => format!("{other:?}"),
    };
    recorder.take_notices().into_iter().map(shown).collect()
}

#[tokio::test]
async fn a_full_disk_stops_the_recording_with_a_mark_and_it_begins_again_with_the_next_segment() {
    let disk = SimulatedDisk::default();
    let mut story = Story::begin(&disk, settings(), at(0));
    story.frames(10);
    story.flushed(at(1)).await;
    let used: usize = segments(&disk).iter().map(|file| disk.contents(file).len()).sum();
    // The manifest takes room too; a few bytes are left, and as many as the last line needs.
    disk.hold(Some(used + disk.contents(&Path::new(DIRECTORY).join(MANIFEST)).len() + 150));
    story.frames(1_000);
    story.flushed(at(2)).await;
    let health = story.recorder.health();
    assert_eq!((health.inputs, health.not_recorded), (10, 1_000));
    assert!(matches!(health.stopped, Some(Stop::DiskFull(_))), "{health:?}");
    assert_eq!(stops(&story.recorder).len(), 1);
    // What comes now is counted, and costs nothing.
    story.frames(5);
    story.flushed(at(3)).await;
    story.frames(5);
    assert_eq!((story.recorder.health().not_recorded, story.recorder.health().waiting), (1_010, 0));
    let lost = "lost: the recording stopped after input 10 (2026-11-21T13:00:00.200Z) (disk_full: no storage space): \
                nothing is recorded from there";
    assert_eq!(told(&disk), ["begin {\"state\":0}", "1..10", lost]);

    // Still full at the next hour: told again, once.
    assert!(story.recorder.due(at(3600)));
    story.rotate(at(3600));
    story.flushed(at(3601)).await;
    assert_eq!(stops(&story.recorder).len(), 1);
    story.frames(1);
    story.flushed(at(3602)).await;

    disk.hold(None);
    story.rotate(at(7200));
    story.frames(7);
    story.flushed(at(7201)).await;
    assert_eq!(story.recorder.take_notices(), [RecordNotice::Again { not_recorded: 1_011 }]);
    assert_eq!(story.recorder.health().stopped, None);
    let health = story.finish(at(7202)).await;
    assert_eq!((health.inputs, health.not_recorded), (17, 1_011));
    let told = told(&disk);
    assert_eq!(told[..3], ["begin {\"state\":0}", "1..10", lost]);
    assert!(told[3].contains("before it are not there, 1011 inputs together"), "{told:?}");
    assert_eq!(told[4..], ["begin {\"state\":1021}", "1022..1028"]);
}

#[tokio::test]
async fn a_disk_that_fails_ends_the_segment_where_it_was_whole() {
    let disk = SimulatedDisk::default();
    let mut story = Story::begin(&disk, settings(), at(0));
    story.frames(10);
    story.flushed(at(1)).await;
    disk.fail(Some(std::io::ErrorKind::Other));
    story.frames(10);
    story.flushed(at(2)).await;
    assert_eq!(stops(&story.recorder), ["the disk has failed: other error"]);
    let health = story.finish(at(3)).await;
    assert_eq!((health.inputs, health.not_recorded), (10, 10));
    // Not even a mark could be written; the file has its name all the same.
    assert!(disk.names().iter().all(|name| !name.ends_with(PART)));
    let told = told(&disk);
    assert_eq!(told[..2], ["begin {\"state\":0}", "1..10"]);
    assert!(told[2].starts_with("lost: ends without its last line"), "{told:?}");
}

#[tokio::test]
async fn what_could_not_be_made_durable_is_taken_back_and_the_segment_says_why_it_ends() {
    let disk = SimulatedDisk::default();
    let mut story = Story::begin(&disk, settings(), at(0));
    story.frames(10);
    story.flushed(at(1)).await;
    disk.fail_sync(std::io::ErrorKind::StorageFull);
    story.frames(10);
    story.flushed(at(3)).await;
    assert_eq!(stops(&story.recorder).len(), 1);
    let health = story.finish(at(4)).await;
    assert_eq!((health.inputs, health.not_recorded), (10, 10));
    let told = told(&disk);
    assert_eq!(told[..2], ["begin {\"state\":0}", "1..10"]);
    assert!(
        told[2].contains("the recording stopped after input 10") && told[2].contains("disk_full"),
        "{told:?}"
    );
}

#[tokio::test]
async fn a_disk_that_is_slow_costs_nothing_while_there_is_room() {
    let disk = SimulatedDisk::default();
    let mut story = Story::begin(&disk, settings(), at(0));
    disk.stick();
    // Far more pieces than may wait: they become larger instead.
    for second in 1..300 {
        story.frames(10);
        story.recorder.flush(at(second));
    }
    let health = story.recorder.health();
    assert_eq!((health.inputs, health.not_recorded, health.stopped), (0, 0, None));
    assert!(health.waiting > 2_990 * 100);
    disk.release();
    let health = story.finish(at(300)).await;
    assert_eq!((health.inputs, health.not_recorded, health.waiting), (2_990, 0, 0));
    assert_eq!(told(&disk), ["begin {\"state\":0}", "1..2990"]);
}

#[tokio::test]
async fn a_disk_that_is_too_slow_stops_the_recording_at_once_and_keeps_what_waited() {
    let disk = SimulatedDisk::default();
    let mut story = Story::begin(&disk, settings(), at(0));
    disk.stick();
    story.recorder.bound(2 * 1024 * 1024);
    let mut stopped = Vec::new();
    while stopped.is_empty() && story.ordinal < 100_000 {
        story.frames(100);
        stopped = stops(&story.recorder);
    }
    assert_eq!(stopped, ["the disk is too slow: 2 MiB wait for it"]);
    let waited = story.recorder.health();
    assert!(waited.waiting <= 2 * 1024 * 1024 && waited.not_recorded > 0);
    assert!(!story.recorder.due(at(3600)), "it has to get rid of what waits first");
    disk.release();
    story.recorder.desk().settled().await;
    assert!(story.recorder.due(at(3600)));
    let total = story.ordinal;
    let health = story.recorder.health();
    assert_eq!(health.inputs + health.not_recorded, total);
    assert_eq!(health.not_recorded, waited.not_recorded);
    story.rotate(at(3600));
    story.frames(1);
    let last = story.finish(at(3601)).await;
    assert_eq!(last.inputs, health.inputs + 1);
    let told = told(&disk);
    assert_eq!(told[1], format!("1..{}", health.inputs));
    assert!(told[2].contains("(too_slow: the disk is too slow: 2 MiB wait for it)"), "{told:?}");
    assert!(told[3].contains(&format!("{} inputs of run", health.not_recorded)), "{told:?}");
    assert_eq!(told[4..], [format!("begin {{\"state\":{total}}}"), format!("{0}..{0}", total + 1)]);
}

#[tokio::test]
async fn an_end_does_not_wait_for_a_disk_for_ever() {
    let disk = SimulatedDisk::default();
    let mut story = Story::begin(&disk, settings(), at(0));
    disk.stick();
    story.frames(10);
    let (health, _) = story.recorder.finish(at(1), Duration::from_millis(1)).await;
    assert_eq!((health.inputs, health.waiting > 0), (0, true));
    disk.release();
}
