//! Those who look at a live run from outside, and what it gives them to look at.

use super::{App, AppError};
use std::sync::Arc;

use crate::clock::Clock;
use crate::feed::Network;
#[cfg(feature = "ops")]
use crate::ops::OpsThread;
use crate::overview::Poster;
use crate::report::Broadcast;

/// Those who look at a live run from outside; nobody, unless it is asked for.
#[derive(Debug, Default)]
pub(super) struct Watchers {
    pub(super) poster: Option<Poster>,
    pub(super) broadcast: Option<Broadcast>,
    #[cfg(feature = "ops")]
    thread: Option<OpsThread>,
}

impl App {
    /// Those whom the settings ask for, at work. They are there before the first connection is.
    #[cfg(feature = "ops")]
    pub(super) fn watchers(
        &mut self,
        clock: Clock,
        network: &Arc<dyn Network>,
    ) -> Result<Watchers, AppError> {
        use crate::http::Watched;
        use crate::ops::Ops;
        use crate::overview::posted;
        use crate::report::broadcast;

        let Some(ops) = Ops::prepare(&self.config, self.service.take(), network)? else {
            return Ok(Watchers::default());
        };
        if let (Some(listener), Some(address)) = (self.on_http.take(), ops.address()) {
            listener(address);
        }
        let (poster, posted) = posted(ops.wants_largest());
        let epoch = format!("{:x}", clock.now().wall_ms());
        let (broadcast, records) = broadcast(epoch);
        let alerts = ops.alert_counts();
        let since = tokio::time::Instant::now();
        let thread = ops.start(Watched { posted, records, alerts, since })?;
        Ok(Watchers { poster: Some(poster), broadcast: Some(broadcast), thread: Some(thread) })
    }

    /// Nobody: there is nothing to look with.
    #[cfg(not(feature = "ops"))]
    pub(super) fn watchers(&mut self, _: Clock, _: &Arc<dyn Network>) -> Result<Watchers, AppError> {
        Ok(Watchers::default())
    }
}

impl Watchers {
    /// The run has been asked to end.
    pub(super) fn stopping(&self) {
        #[cfg(feature = "ops")]
        if let Some(thread) = &self.thread {
            thread.stopping();
        }
    }

    /// The run has ended.
    pub(super) async fn finish(self) {
        #[cfg(feature = "ops")]
        if let Some(thread) = self.thread {
            thread.finish().await;
        }
    }
}
