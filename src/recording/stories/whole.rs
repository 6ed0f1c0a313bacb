use proptest::prelude::*;

use super::*;
use crate::recording::line::samples::input;

#[tokio::test]
async fn a_run_comes_back_as_one_stream_over_all_its_segments() {
    let disk = SimulatedDisk::default();
    let mut story = Story::begin(&disk, settings(), at(0));
    story.frames(100);
    assert!(!story.recorder.due(at(3599)) && story.recorder.due(at(3600)));
    story.rotate(at(3600));
    story.frames(20);
    story.flushed(at(3602)).await;
    story.rotate(at(7200));
    story.frames(3);
    let health = story.finish(at(7201)).await;
    assert_eq!((health.inputs, health.not_recorded, health.segments, health.waiting), (123, 0, 3, 0));
    assert_eq!(health.stopped, None);
    assert_eq!(told(&disk), ["begin {\"state\":0}", "1..123"]);

    let names = disk.names();
    assert!(names[0].starts_with("20261121T130000Z-") && names[0].ends_with("-00000.jsonl.zst"), "{names:?}");
    assert!(names[2].starts_with("20261121T150000Z-") && names[2].ends_with("-00002.jsonl.zst"), "{names:?}");
    assert_eq!(&names[3..], ["manifest.json"]);
    let manifest = disk.contents(&Path::new(DIRECTORY).join("manifest.json"));
    let manifest: serde_json::Value = serde_json::from_slice(&manifest).unwrap();
    assert_eq!(manifest["recording"], 1);
    let list: Vec<_> = manifest["segments"].as_array().unwrap().iter().collect();
    let of = |name: &str| list.iter().map(|segment| segment[name].clone()).collect::<Vec<_>>();
    assert_eq!(of("file"), names[..3]);
    assert_eq!(of("inputs"), [100, 20, 3]);
    assert_eq!(of("first_input"), [0, 100, 120]);
    assert_eq!(of("end"), ["rotated", "rotated", "stopped"]);
    assert_eq!(of("ended_wall_ns"), [3600, 7200, 7201].map(|second| at(second).wall_ns));
    let bytes: u64 = list.iter().map(|segment| segment["bytes"].as_u64().unwrap()).sum();
    assert_eq!(bytes, health.bytes);
}

#[tokio::test]
async fn every_segment_replays_alone() {
    let disk = SimulatedDisk::default();
    let mut story = Story::begin(&disk, settings(), at(0));
    for hour in 1..3 {
        story.frames(10);
        story.rotate(at(hour * 3600));
    }
    story.frames(10);
    story.finish(at(9000)).await;
    for (number, file) in segments(&disk).into_iter().enumerate() {
        let from = number * 10;
        let expected = [format!("begin {{\"state\":{from}}}"), format!("{}..{}", from + 1, from + 10)];
        assert_eq!(tell(reader(&disk, vec![file])), expected);
    }
    let mut from_the_middle = reader(&disk, segments(&disk));
    from_the_middle.skip_to(at(3700).wall_ns);
    assert_eq!(tell(from_the_middle), ["begin {\"state\":10}", "11..30"]);
    let mut from_before = reader(&disk, segments(&disk));
    from_before.skip_to(0);
    assert_eq!(tell(from_before), ["begin {\"state\":0}", "1..30"]);
}

#[tokio::test]
async fn what_is_missing_between_segments_is_named_and_what_comes_twice_is_left_out() {
    let disk = SimulatedDisk::default();
    let mut story = Story::begin(&disk, settings(), at(0));
    for hour in 1..4 {
        story.frames(10);
        story.rotate(at(hour * 3600));
    }
    story.frames(10);
    let run = reader(&disk, segments(&disk)).segments().next().unwrap().1.run.clone();
    story.finish(at(12_000)).await;
    let files = segments(&disk);
    let without = |left_out: &[usize]| {
        let kept =
            files.iter().enumerate().filter(|(at, _)| !left_out.contains(at)).map(|(_, file)| file.clone());
        // In whatever order they are given.
        tell(reader(&disk, kept.rev().collect()))
    };
    assert_eq!(without(&[0]), ["begin {\"state\":10}", "11..40"]);
    let lost = format!("lost: segments 1 to 2 of run {run} before it are not there, 20 inputs together");
    assert_eq!(
        without(&[1, 2]),
        ["begin {\"state\":0}", "1..10", lost.as_str(), "begin {\"state\":30}", "31..40"]
    );
    let copy = Path::new(DIRECTORY).join("copy.jsonl.zst");
    disk.put(&copy, &disk.contents(&files[1]));
    let lost = format!("lost: is segment 1 of run {run} once more, and is left out");
    assert_eq!(told(&disk), ["begin {\"state\":0}", "1..20", lost.as_str(), "21..40"]);
}

#[tokio::test]
async fn a_segment_that_is_finished_between_the_look_and_the_reading_is_read() {
    let disk = SimulatedDisk::default();
    let mut story = Story::begin(&disk, settings(), at(0));
    story.frames(10);
    let files = segments(&disk);
    assert!(files[0].to_str().unwrap().ends_with(PART));
    let reader = reader(&disk, files);
    story.finish(at(1)).await;
    assert_eq!(tell(reader), ["begin {\"state\":0}", "1..10"]);
}

#[tokio::test]
async fn two_runs_in_a_directory_are_read_one_after_the_other() {
    let disk = SimulatedDisk::default();
    for begun in [0, 5000] {
        let mut story = Story::begin(&disk, settings(), at(begun));
        story.frames(10);
        story.finish(at(begun + 60)).await;
    }
    assert_eq!(told(&disk), ["begin {\"state\":0}", "1..10", "begin {\"state\":0}", "1..10"]);
}

#[tokio::test]
async fn a_decompressed_recording_and_one_that_was_compressed_again_are_read_too() {
    let disk = SimulatedDisk::default();
    let mut story = Story::begin(&disk, settings(), at(0));
    story.frames(5_000);
    story.finish(at(1)).await;
    let text = zstd::decode_all(disk.contents(&segments(&disk)[0]).as_slice()).unwrap();
    let again = zstd::bulk::compress(&text, 19).unwrap();
    for contents in [text, again] {
        let other = SimulatedDisk::default();
        let path = Path::new(DIRECTORY).join("other.jsonl");
        other.put(&path, &contents);
        assert_eq!(tell(reader(&other, vec![path])), ["begin {\"state\":0}", "1..5000"]);
    }
}

#[tokio::test]
async fn a_state_larger_than_any_piece_is_read_back_to_the_letter() {
    let disk = SimulatedDisk::default();
    let large = format!(r#"{{"window":"{}"}}"#, "0123456789".repeat(300_000));
    let recorder = Recorder::start_on(disk.clone(), None, settings(), at(0), large.clone()).unwrap();
    recorder.finish(at(1), Duration::from_secs(60)).await;
    let mut reader = reader(&disk, segments(&disk));
    let Some(Recorded::Begin(header)) = reader.next() else { panic!("a beginning") };
    assert!(header.state == large && header.settings == settings().settings);
    assert!(reader.next().is_none());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]
    #[test]
    fn whatever_goes_in_comes_out_whenever_it_is_flushed_and_rotated(
        steps in proptest::collection::vec((input(), 0_u8..12), 0..200),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let disk = SimulatedDisk::default();
        let mut recorder = Recorder::start_on(disk.clone(), None, settings(), at(0), state(0)).unwrap();
        for (seconds, (input, step)) in steps.iter().enumerate() {
            let now = at(seconds as u64);
            recorder.input(input);
            match step {
                0 => recorder.rotate(now, state(7)),
                1..6 => recorder.flush(now),
                _ => {}
            }
        }
        let (health, _) = runtime.block_on(recorder.finish(at(10_000), Duration::from_secs(60)));
        prop_assert_eq!((health.inputs, health.not_recorded), (steps.len() as u64, 0));
        let mut reader = reader(&disk, segments(&disk));
        let Some(Recorded::Begin(_)) = reader.next() else { panic!("a beginning") };
        for (input, _) in &steps {
            let Some(Recorded::Input(found)) = reader.next() else { panic!("an input") };
            prop_assert_eq!(said(&found), said(input));
        }
        prop_assert!(reader.next().is_none());
    }
}
