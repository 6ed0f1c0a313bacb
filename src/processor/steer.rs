//! What the frames tell about the connections that bring them, handed to the feed.

use super::Processor;
use super::run_state::RunState;
use crate::feed::{Place, Renewal, SessionId, ShardId};
use crate::pipeline::Overlap;
use crate::report::LineRecord;
use crate::snapshot::Stamp;

impl Processor<'_> {
    /// Once a second: who may take over, who brings nothing, who lags.
    pub(super) fn steer(&mut self, state: &mut RunState, now: Stamp) {
        let Some(live) = &self.live else { return };
        let sessions = self.pipeline.live_sessions();
        for session in &sessions {
            if self.pipeline.overlap(session.session, now) != Overlap::Waiting {
                live.steering.overlapped(session.session);
            }
        }
        for silent in self.pipeline.silent_sessions(now) {
            if let Some(session) = sessions.iter().find(|session| session.session == silent) {
                let among = (self.pipeline.shards() > 1).then(|| session.line.shard());
                self.events.line_silent(Place { shard: among, copy: Some(session.line.copy()) });
            }
            live.steering.reconnect_session(silent);
        }
        if let Some(lag) = state.lag.tick(&sessions, state.clock_offset()) {
            self.events.line_lags(lag.by);
            live.steering.renew(lag.session, Renewal::Lag);
        }
    }

    /// How the lines do, where there are several.
    pub(super) fn line_records(&self) -> Vec<LineRecord> {
        match &self.live {
            Some(live) if live.redundancy > 1 => {
                let (pipeline, now) = (&self.pipeline, live.clock.now());
                let (sessions, shards) = (pipeline.live_sessions(), pipeline.shards());
                let of_shard = |shard| {
                    let races = pipeline.races(shard).map_or(&[][..], |races| races);
                    LineRecord::all(shard, shards > 1, live.redundancy, races, &sessions, now)
                };
                (0..).map(ShardId).take(shards).flat_map(of_shard).collect()
            }
            _ => Vec::new(),
        }
    }

    /// The exchange announces the end of a connection.
    pub(super) fn shutdown_announced(&self, session: SessionId) {
        self.events.shutdown_announced();
        if let Some(live) = &self.live {
            live.steering.renew(session, Renewal::Shutdown);
        }
    }
}
