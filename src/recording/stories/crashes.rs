use std::sync::OnceLock;

use proptest::prelude::*;

use super::*;

/// A segment, and where each compressed piece of it ends with how many inputs.
type Pieces = (Vec<u8>, Vec<(usize, u64)>);

/// A segment of three flushes and its last line.
fn segment() -> &'static Pieces {
    static SEGMENT: OnceLock<Pieces> = OnceLock::new();
    SEGMENT.get_or_init(|| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(async {
            let disk = SimulatedDisk::default();
            let mut story = Story::begin(&disk, settings(), at(0));
            let mut ends = vec![(disk.contents(&segments(&disk)[0]).len(), 0)];
            for second in 1..4 {
                story.frames(5 * second);
                story.flushed(at(second)).await;
                ends.push((disk.contents(&segments(&disk)[0]).len(), story.ordinal));
            }
            story.finish(at(4)).await;
            (disk.contents(&segments(&disk)[0]), ends)
        })
    })
}

fn on_disk(contents: &[u8]) -> SimulatedDisk {
    let disk = SimulatedDisk::default();
    disk.put(&Path::new(DIRECTORY).join("20261121T130000Z-r-00000.jsonl.zst.part"), contents);
    disk
}

#[test]
fn cut_at_any_byte_everything_that_was_flushed_is_read_and_the_rest_is_counted() {
    let (whole, ends) = segment();
    for cut in 0..whole.len() {
        let disk = on_disk(&whole[..cut]);
        let Some((end, inputs)) = ends.iter().rfind(|(end, _)| *end <= cut) else {
            let files = segments(&disk);
            let error = RecordingReader::open_with(files, Box::new(move |path| disk.open(path))).unwrap_err();
            assert!(error.to_string().contains("is damaged at its beginning"), "{error}");
            continue;
        };
        let told = told(&disk);
        assert_eq!(told[0], "begin {\"state\":0}");
        let lost = told.last().unwrap();
        match inputs {
            0 => assert_eq!(told.len(), 2),
            _ => assert_eq!(told[1..told.len() - 1], [format!("1..{inputs}")]),
        }
        let bytes = cut - end;
        let told = match bytes {
            0 => format!("; what came after input {inputs}"),
            bytes => format!("; {bytes} bytes are lost after input {inputs}"),
        };
        assert!(lost.contains(&told), "{cut}: {lost}");
        let reason = if bytes == 0 { "ends without its last line" } else { "cut short in the middle" };
        assert!(lost.contains(reason), "{cut}: {lost}");
        if *inputs > 0 {
            assert!(lost.contains("(2026-11-21T13:00:00.100Z)") || *inputs > 5, "{lost}");
        }
    }
    assert_eq!(told(&on_disk(whole)), ["begin {\"state\":0}", "1..30"]);
}

/// Whatever is wrong with a file: what is read of it was recorded, in that order, from the first on.
fn is_honest(contents: &[u8]) {
    let disk = on_disk(contents);
    let files = segments(&disk);
    let Ok(reader) = RecordingReader::open_with(files, Box::new(move |path| disk.open(path))) else { return };
    let told = tell(reader);
    let frames: Vec<_> = told.iter().filter(|told| told.starts_with("1..")).collect();
    let others =
        told.iter().filter(|told| !told.starts_with("lost: ") && !told.starts_with("begin ")).count();
    assert_eq!(frames.len(), others, "{told:?}");
    let whole = frames.iter().any(|row| *row == "1..30");
    assert!(whole || told.last().unwrap().starts_with("lost: "), "{told:?}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]
    #[test]
    fn damage_anywhere_never_makes_an_input_up(
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
    ) {
        let mut contents = segment().0.clone();
        for (at, byte) in changes {
            let at = at.index(contents.len());
            contents[at] = byte;
        }
        is_honest(&contents);
    }

    #[test]
    fn a_tail_of_anything_never_makes_an_input_up(
        cut in any::<prop::sample::Index>(),
        tail in proptest::collection::vec(any::<u8>(), 0..200),
    ) {
        let whole = &segment().0;
        is_honest(&[&whole[..cut.index(whole.len())], tail.as_slice()].concat());
    }

    /// Without compression there is no checksum: only a cut can be told.
    #[test]
    fn plain_text_cut_anywhere_never_makes_an_input_up(cut in any::<prop::sample::Index>()) {
        let text = zstd::decode_all(segment().0.as_slice()).unwrap();
        is_honest(&text[..cut.index(text.len())]);
    }
}

#[tokio::test]
async fn when_the_power_fails_at_most_a_second_before_the_last_flush_is_lost() {
    let disk = SimulatedDisk::default();
    let mut story = Story::begin(&disk, settings(), at(0));
    for half in 1..=10_u64 {
        story.frames(10);
        let now = Stamp {
            wall_ns: BEGIN_NS + i64::try_from(half * SECOND / 2).unwrap(),
            mono_ns: half * SECOND / 2,
        };
        story.flushed(now).await;
        for left in [0, 500, 999, 1000] {
            let told = told(&story.disk.lose_power(left));
            let durable = (half / 2) * 20;
            let at_least = if left == 1000 { story.ordinal } else { durable };
            let row = told.iter().find_map(|row| row.strip_prefix("1..")?.parse::<u64>().ok()).unwrap_or(0);
            assert!(row >= at_least && row <= story.ordinal, "{half} {left}: {told:?}");
            assert!(told.last().unwrap().starts_with("lost: "), "{told:?}");
        }
    }
}

#[tokio::test]
async fn after_a_silence_everything_is_durable() {
    let disk = SimulatedDisk::default();
    let mut story = Story::begin(&disk, settings(), at(0));
    story.frames(10);
    story.recorder.flush(Stamp { mono_ns: SECOND / 2, ..at(0) });
    for second in 1..4 {
        story.flushed(at(second)).await;
    }
    assert_eq!(told(&disk.lose_power(0))[1], "1..10");
}

#[tokio::test]
async fn killed_and_begun_again_the_unfinished_segment_has_its_name_and_its_place() {
    let disk = SimulatedDisk::default();
    let mut story = Story::begin(&disk, settings(), at(0));
    story.frames(10);
    story.flushed(at(1)).await;
    story.frames(10);
    // The process is gone; what it had not handed over with it.
    let disk = disk.lose_power(1000);
    disk.put(&Path::new(DIRECTORY).join("20261121T130500Z-dead-00000.jsonl.zst.part"), b"");
    let mut again = Story::begin(&disk, settings(), at(600));
    assert_eq!(again.recorder.take_notices(), [RecordNotice::Adopted { segments: 1 }]);
    again.frames(5);
    again.finish(at(601)).await;
    assert!(disk.names().iter().all(|name| !name.ends_with(".part")), "{:?}", disk.names());
    let manifest = disk.contents(&Path::new(DIRECTORY).join(MANIFEST));
    let manifest = Manifest::read(&manifest).unwrap();
    let ends: Vec<_> = manifest.segments.iter().map(|one| (one.inputs, one.end.as_str())).collect();
    assert_eq!(ends, [(10, "cut"), (5, "stopped")]);
    assert_eq!(manifest.segments[0].ended_wall_ns, BEGIN_NS + 200_000_000);
    assert_eq!(
        told(&disk),
        [
            "begin {\"state\":0}",
            "1..10",
            "lost: ends without its last line, as after a crash; what came after input 10 (2026-11-21T13:00:00.200Z) is not in it: a second or less",
            "begin {\"state\":0}",
            "1..5"
        ]
    );
}
