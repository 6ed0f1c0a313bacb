use std::path::{Path, PathBuf};

use super::*;
use crate::checkpoint::samples::{identity, trade_of};
use crate::checkpoint::simulated::{Fault, SimulatedDisk};
use crate::pipeline::{PipelineConfig, Wanted};
use crate::snapshot::TradeSource;
use crate::source::Input;

/// A pipeline of one symbol, a disk, and what stands between.
struct Fixture {
    disk: SimulatedDisk,
    identity: Identity,
    pipeline: Pipeline,
    checkpoints: Checkpoints,
    events: Events,
    id: i64,
}

fn directory() -> PathBuf {
    PathBuf::from("/state")
}

impl Fixture {
    fn new(interval: Duration) -> Self {
        let (disk, identity) = (SimulatedDisk::new(1), identity(5));
        let pipeline = Pipeline::new(PipelineConfig {
            market: identity.market,
            frames_from: TradeSource::Stream,
            wanted: Wanted::of(identity.market, std::slice::from_ref(&identity.symbol)),
            calculator: identity.calculator,
            repairs: true,
            hold_size: 8,
            bars: Vec::new(),
            counts_worth: true,
        });
        let keeper = Keeper::start(Store::new(disk.clone(), &directory()), None).unwrap();
        let lanes = vec![Lane { identity: Arc::new(identity.clone()), epoch: 0, position: None }];
        let checkpoints = Checkpoints::new(keeper, lanes, interval, Clock::system());
        // How long this machine takes must not matter.
        let checkpoints = Checkpoints { share: 0, ..checkpoints };
        let pipeline = pipeline.unwrap();
        Self { disk, identity, pipeline, checkpoints, events: Events::new(None), id: 100 }
    }

    fn trade(&mut self) {
        self.pipeline.step(&Input::Rows(trade_of(&self.identity, self.id, self.id)), &mut |_| {});
        self.id += 1;
    }

    /// Three in a row of another numbering.
    fn restart_ids(&mut self, first: i64) {
        for id in first..first + 3 {
            let row = trade_of(&self.identity, id, 1_000_000 + id);
            self.pipeline.step(&Input::Rows(row), &mut |_| {});
        }
    }

    async fn secure_first(&mut self) {
        self.checkpoints.secure_first(&self.pipeline, &self.events).await;
    }

    /// A flush after which so much is written.
    async fn flushed(&mut self, handed: u64, written: u64) {
        let progress = OutputProgress { handed, written };
        self.checkpoints.after_flush(&self.pipeline, progress, &self.events);
        self.checkpoints.keeper.settled().await;
    }

    /// The epoch, the first id and the next one of what a crash would leave.
    fn kept(&self) -> Option<(u32, i64, i64)> {
        self.disk.crash();
        let loaded = Store::new(self.disk.clone(), Path::new("/state")).load(&self.identity).unwrap()?;
        let state = loaded.checkpoint.state;
        Some((state.epoch, state.sequence.first.0, state.sequence.next.0))
    }
}

#[tokio::test]
async fn before_anything_is_told_a_symbol_has_a_checkpoint_from_before_its_first_trade() {
    let mut fixture = Fixture::new(Duration::ZERO);
    fixture.secure_first().await;
    assert_eq!(fixture.kept(), None);
    (0..3).for_each(|_| fixture.trade());
    fixture.secure_first().await;
    assert_eq!(fixture.kept(), Some((1, 100, 100)));
    // Once.
    fixture.trade();
    fixture.secure_first().await;
    assert_eq!(fixture.checkpoints.keeper.counts().saved, 1);
}

#[tokio::test]
async fn no_checkpoint_covers_a_trade_whose_record_is_not_written() {
    let mut fixture = Fixture::new(Duration::ZERO);
    (0..3).for_each(|_| fixture.trade());
    fixture.secure_first().await;
    fixture.flushed(1, 0).await;
    assert_eq!(fixture.kept(), Some((1, 100, 100)));
    (0..3).for_each(|_| fixture.trade());
    // The first chunk is written: what was taken with it may be saved, what has come since may not.
    fixture.flushed(2, 1).await;
    assert_eq!(fixture.kept(), Some((1, 100, 103)));
    fixture.flushed(2, 1).await;
    assert_eq!(fixture.kept(), Some((1, 100, 103)));
    fixture.flushed(2, 2).await;
    assert_eq!(fixture.kept(), Some((1, 100, 106)));
    // Nothing has moved.
    fixture.flushed(2, 2).await;
    assert_eq!(fixture.checkpoints.keeper.counts().saved, 3);
}

#[tokio::test]
async fn a_new_numbering_has_a_first_checkpoint_too_and_no_older_one_comes_after_it() {
    let mut fixture = Fixture::new(Duration::ZERO);
    (0..3).for_each(|_| fixture.trade());
    fixture.secure_first().await;
    fixture.flushed(1, 0).await;
    fixture.restart_ids(5);
    fixture.secure_first().await;
    assert_eq!(fixture.kept(), Some((2, 5, 5)));
    fixture.flushed(1, 1).await;
    assert_eq!(fixture.kept(), Some((2, 5, 8)));
}

#[tokio::test(start_paused = true)]
async fn between_two_checkpoints_there_is_the_interval() {
    let mut fixture = Fixture::new(Duration::from_secs(5));
    fixture.trade();
    fixture.flushed(1, 1).await;
    for seconds in 1..=10 {
        tokio::time::advance(Duration::from_secs(1)).await;
        fixture.trade();
        fixture.flushed(1, 1).await;
        assert_eq!(fixture.checkpoints.keeper.counts().saved, 1 + seconds / 5, "after {seconds} s");
    }
}

#[tokio::test]
async fn saving_that_takes_long_is_done_less_often() {
    let mut fixture = Fixture::new(Duration::from_secs(1));
    fixture.checkpoints.share = SHARE;
    for (took_ms, pause_ms) in [(0, 1_000), (50, 1_000), (51, 1_020), (3_000, 60_000)] {
        let pause = fixture.checkpoints.pause(Duration::from_millis(took_ms));
        assert_eq!(pause, Duration::from_millis(pause_ms));
    }
}

#[tokio::test]
async fn what_could_not_be_saved_is_saved_later_even_if_nothing_moves_any_more() {
    let mut fixture = Fixture::new(Duration::ZERO);
    fixture.trade();
    fixture.disk.fault_in(2, Fault::Error(std::io::ErrorKind::StorageFull));
    fixture.secure_first().await;
    assert_eq!(fixture.kept(), None);
    assert!(fixture.checkpoints.complain_at.is_some());
    fixture.flushed(1, 1).await;
    assert_eq!(fixture.kept(), Some((1, 100, 101)));
    fixture.trade();
    fixture.disk.fault_in(2, Fault::Error(std::io::ErrorKind::StorageFull));
    fixture.flushed(1, 1).await;
    assert_eq!(fixture.kept(), Some((1, 100, 101)));
    fixture.flushed(1, 1).await;
    assert_eq!(fixture.kept(), Some((1, 100, 102)));
    fixture.flushed(1, 1).await;
    assert_eq!(fixture.checkpoints.complain_at, None);
    let mut metrics = MonitoringMetrics::default();
    fixture.checkpoints.add_to(&mut metrics);
    assert_eq!((metrics.checkpoints, metrics.checkpoint_failures), (2, 2));
    assert!(metrics.checkpoint_age_ms.is_some());
}
