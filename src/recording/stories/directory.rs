use super::*;
use crate::checkpoint::temporary::Temporary;

fn numbers(disk: &SimulatedDisk) -> Vec<u64> {
    reader(disk, segments(disk)).segments().map(|(_, header)| header.segment).collect()
}

#[tokio::test]
async fn old_segments_are_deleted_and_counted() {
    let disk = SimulatedDisk::default();
    let keep = RecordSettings { keep: Some(Duration::from_secs(2 * 3600)), ..settings() };
    let mut story = Story::begin(&disk, keep, at(0));
    for hour in 1..6 {
        story.frames(10);
        story.rotate(at(hour * 3600));
        story.recorder.desk().settled().await;
    }
    // The first ended at 14:00; at 16:00 it is just two hours old, at 17:00 older.
    assert_eq!(numbers(&disk), [2, 3, 4, 5]);
    let removed = |notice: &RecordNotice| matches!(notice, RecordNotice::Removed { segments: 1, bytes: 1.. });
    let notices = story.recorder.take_notices();
    assert!(notices.len() == 2 && notices.iter().all(removed), "{notices:?}");
    assert_eq!(told(&disk)[..2], ["begin {\"state\":20}", "21..50"]);
    story.finish(at(18_001)).await;
}

#[tokio::test]
async fn the_oldest_segments_make_room_also_within_the_hour() {
    let disk = SimulatedDisk::default();
    let limit = RecordSettings { limit: Some(60_000), ..settings() };
    let mut story = Story::begin(&disk, limit, at(0));
    let size =
        |disk: &SimulatedDisk| segments(disk).iter().map(|file| disk.contents(file).len()).sum::<usize>();
    for step in 1..400 {
        story.frames(20);
        story.flushed(at(step)).await;
        if step % 50 == 0 {
            story.rotate(at(step));
            story.recorder.desk().settled().await;
        }
        let finished = numbers(&disk).len() > 1;
        assert!(size(&disk) <= 60_000 || !finished, "{step}: {}", size(&disk));
    }
    assert!(numbers(&disk).len() >= 2 && numbers(&disk)[0] > 0, "{:?}", numbers(&disk));
    story.finish(at(400)).await;
}

#[tokio::test]
async fn the_list_is_made_again_from_the_files() {
    let disk = SimulatedDisk::default();
    let mut story = Story::begin(&disk, settings(), at(0));
    story.frames(10);
    story.rotate(at(3600));
    story.frames(5);
    story.finish(at(3601)).await;
    let path = Path::new(DIRECTORY).join(MANIFEST);
    let before = Manifest::read(&disk.contents(&path)).unwrap();
    for damaged in [&b"{"[..], b"{\"recording\":1}", b""] {
        disk.put(&path, damaged);
        drop(Recorder::start_on(disk.clone(), None, settings(), at(7200), state(0)).unwrap());
        let after = Manifest::read(&disk.contents(&path)).unwrap();
        for (before, after) in before.segments.iter().zip(&after.segments) {
            // What the clock showed at the end is only in the list.
            assert_eq!(after, &SegmentEntry { ended_wall_ns: after.ended_wall_ns, ..before.clone() });
        }
    }
}

#[test]
fn a_later_programs_directory_is_left_alone() {
    let disk = SimulatedDisk::default();
    disk.put(&Path::new(DIRECTORY).join(MANIFEST), br#"{"recording":2,"segments":{}}"#);
    let error = Recorder::start_on(disk.clone(), None, settings(), at(0), state(0)).unwrap_err();
    assert_eq!(
        error.to_string(),
        "/recording has a recording of format 2, which this program does not know: use a newer one or give another --record"
    );
    assert_eq!(disk.names(), [MANIFEST]);
}

#[test]
fn a_disk_without_room_for_the_beginning_is_refused_by_name() {
    let disk = SimulatedDisk::default();
    disk.hold(Some(10));
    let error = Recorder::start_on(disk.clone(), None, settings(), at(0), state(0)).unwrap_err();
    assert!(error.to_string().starts_with("cannot begin a recording in /recording; make room"), "{error}");
    assert_eq!(disk.names(), [""; 0]);
}

#[tokio::test]
async fn a_real_directory_belongs_to_one_recorder_until_that_one_is_gone() {
    let directory = Temporary::new();
    let own = || RecordSettings { directory: directory.path("new/recording"), ..settings() };
    let mut first = Recorder::start(own(), at(0), state(0)).unwrap();
    let error = Recorder::start(own(), at(0), state(0)).unwrap_err().to_string();
    let shown = own().directory.display().to_string();
    let process = std::process::id();
    assert_eq!(
        error,
        format!("{shown} is recorded to by process {process}; stop it or give another --record")
    );
    for ordinal in 1..=100 {
        first.input(&frame(ordinal));
    }
    first.finish(at(1), Duration::from_secs(60)).await;
    let second = Recorder::start(own(), at(10), state(0)).unwrap();
    second.finish(at(11), Duration::from_secs(60)).await;
    let files = segments_of(&own().directory).unwrap();
    let told = tell(RecordingReader::open(files).unwrap());
    assert_eq!(told, ["begin {\"state\":0}", "1..100", "begin {\"state\":0}"]);
}
