//! The queue per frame: handing frames in and taking them out as one burst, and overflowing.
//! `cargo bench --bench queue`; each line is the time of 256 frames.

use std::hint::black_box;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use cvd_stream::feed::{Frame, LineId, SessionId};
use cvd_stream::queue::{QueueLimits, Receiver, drop_oldest};
use cvd_stream::snapshot::Stamp;
use cvd_stream::source::{Burst, Source};
use futures_util::FutureExt;

/// As many as the feed hands in before the processor gets its turn.
const FRAMES: u64 = 256;

fn queue(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("queue");
    group.throughput(Throughput::Elements(FRAMES));
    let frames: Vec<Frame> = (1..=FRAMES).map(frame).collect();

    let (sender, mut receiver) = drop_oldest(QueueLimits::default());
    let mut burst = Burst::default();
    group.bench_function("push 256, take a burst", |bencher| {
        bencher.iter_batched(
            || frames.clone(),
            |frames| {
                for frame in frames {
                    black_box(sender.push(frame));
                }
                take(&mut receiver, &mut burst);
            },
            BatchSize::SmallInput,
        );
    });
    group.bench_function("push 1, take a burst, 256 times", |bencher| {
        bencher.iter_batched(
            || frames.clone(),
            |frames| {
                for frame in frames {
                    black_box(sender.push(frame));
                    take(&mut receiver, &mut burst);
                }
            },
            BatchSize::SmallInput,
        );
    });

    let (full, _receiver) = drop_oldest(QueueLimits::default());
    (1..=1024).for_each(|ordinal| _ = full.push(frame(ordinal)));
    group.bench_function("push 256 into a full queue", |bencher| {
        bencher.iter_batched(
            || frames.clone(),
            |frames| frames.into_iter().for_each(|frame| _ = black_box(full.push(frame))),
            BatchSize::SmallInput,
        );
    });
    group.finish();
}

fn take(receiver: &mut Receiver, burst: &mut Burst) {
    let taken = receiver.next(burst).now_or_never();
    assert!(matches!(taken, Some(Ok(true))), "frames are there");
    black_box(&burst.inputs);
}

fn frame(ordinal: u64) -> Frame {
    let text = format!("{ordinal:0205}").into();
    let received = Some(Stamp { wall_ns: 1_790_870_843_144_000_000, mono_ns: 1 });
    Frame { line: LineId(0), session: SessionId(1), ordinal, received, text }
}

criterion_group!(benches, queue);
criterion_main!(benches);
