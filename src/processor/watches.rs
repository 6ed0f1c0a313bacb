//! The connections as they are told: a watch for each shard, so that what happens to one of them is told of that one only.

use serde::{Deserialize, Serialize};

use super::link_state::{LinkSettings, LinkState};
use super::watch::{News, Watch};
use crate::feed::ShardId;
use crate::pipeline::{Event, Pipeline};
use crate::repair::Reply;
use crate::report::Reporter;
use crate::silence::Route;
use crate::snapshot::Stamp;
use crate::source::{Input, Note, Surroundings};

/// A watch for each shard, by number.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Watches {
    all: Vec<Watch>,
    /// The last moment that an input told.
    now: Stamp,
    /// The shard that the present input is of; `None` if it may concern all.
    #[serde(skip)]
    of: Option<usize>,
}

impl Watches {
    /// Before the first input.
    pub(super) fn new(settings: impl IntoIterator<Item = LinkSettings>, now: Stamp) -> Self {
        let shards = (0..).map(ShardId).zip(settings);
        let all = shards.map(|(shard, settings)| Watch::new(shard, settings, now)).collect();
        Self { all, now, of: None }
    }

    /// Each knows its place, if it is one of several.
    #[must_use]
    pub(super) fn placed(mut self, pipeline: &Pipeline) -> Self {
        self.place(pipeline);
        self
    }

    fn place(&mut self, pipeline: &Pipeline) {
        if self.all.len() > 1 {
            self.all.iter_mut().for_each(|watch| watch.is_one_of_several(pipeline));
        }
    }

    /// The last moment that an input told.
    pub(super) fn now(&self) -> Stamp {
        self.now
    }

    /// What the states depend on, shard by shard.
    pub(super) fn settings(&self) -> Vec<LinkSettings> {
        self.all.iter().map(|watch| watch.settings().clone()).collect()
    }

    /// What is known around a shard.
    pub(super) fn around(&self, shard: ShardId) -> Option<&Surroundings> {
        self.all.get(usize::from(shard.0)).map(|watch| &watch.around)
    }

    /// The state of a shard's connections.
    pub(super) fn link(&self, shard: ShardId) -> Option<&LinkState> {
        self.all.get(usize::from(shard.0)).map(|watch| &watch.link)
    }

    /// When the last frame of a shard arrived, by the monotonic clock.
    pub(super) fn last_frame(&self, shard: ShardId) -> Option<u64> {
        self.all.get(usize::from(shard.0)).and_then(Watch::last_frame)
    }

    /// An input is about to be digested.
    #[inline]
    pub(super) fn before(&mut self, input: &Input, pipeline: &Pipeline) {
        if let Some(at) = input.at() {
            self.now = at;
        }
        self.of = match input {
            Input::Frame(frame) => Some(usize::from(frame.line.shard().0)),
            Input::Link(event) => Some(usize::from(event.line.shard().0)),
            Input::Reply(Reply { lane, .. }) | Input::Note(Note::Silence { lane, .. }) => {
                // What is said of a lane that has ended concerns nobody.
                Some(pipeline.shard_of_lane(*lane).map_or(usize::MAX, |shard| usize::from(shard.0)))
            }
            Input::Note(Note::Around(around)) => Some(usize::from(around.shard.0)),
            _ => None,
        };
        match self.of {
            Some(of) => {
                if let Some(watch) = self.all.get_mut(of) {
                    watch.before(input, pipeline);
                }
            }
            None => self.all.iter_mut().for_each(|watch| watch.before(input, pipeline)),
        }
    }

    /// What the pipeline says while it digests an input.
    #[inline]
    pub(super) fn heed(&mut self, event: &Event<'_>, reporter: &mut Reporter) {
        if let Some(watch) = self.of.and_then(|of| self.all.get_mut(of)) {
            watch.heed(event, reporter);
        }
    }

    /// An input is digested. What it lets know besides goes into `news`.
    #[inline]
    pub(super) fn after(
        &mut self,
        input: &Input,
        pipeline: &Pipeline,
        reporter: &mut Reporter,
        news: &mut Vec<News>,
    ) {
        match self.of {
            Some(of) => {
                if let Some(watch) = self.all.get_mut(of) {
                    watch.after(input, pipeline, reporter, news);
                }
            }
            None => {
                if matches!(input, Input::Roster(_)) {
                    self.seat(pipeline);
                }
                self.all.iter_mut().for_each(|watch| watch.after(input, pipeline, reporter, news));
            }
        }
    }

    /// There are other lanes, and perhaps other shards.
    #[cold]
    fn seat(&mut self, pipeline: &Pipeline) {
        while self.all.len() < pipeline.shards() {
            let shard = ShardId(u16::try_from(self.all.len()).unwrap_or(u16::MAX));
            let heartbeat_timeout =
                self.all.first().map_or_else(Default::default, |watch| watch.settings().heartbeat_timeout);
            // Whoever joins later is subscribed to.
            let settings =
                LinkSettings { awaits_ack: true, route: Route::Fine, symbols: 0, heartbeat_timeout };
            self.all.push(Watch::new(shard, settings, self.now));
        }
        self.all.iter_mut().for_each(|watch| watch.seat(pipeline));
        self.place(pipeline);
    }
}
