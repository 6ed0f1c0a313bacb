//! Diagnostics: `tracing` to a writer that never waits, as text in the shape of the records, as JSON or as logfmt.
//!
//! Every line has a stable word, `event`, that says what happened; `docs/output.md` lists them. Whatever a line holds from
//! outside is escaped here once more, so that no occurrence can forget it.

mod format;
mod told;

use tracing::{Event, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::{Context, SubscriberExt};
use tracing_subscriber::util::SubscriberInitExt;

use crate::clock;
use crate::config::LogFormat;
use crate::report::output::LogWriter;
use told::Told;

/// Installs the process's logger.
pub fn start(format: LogFormat, filter: Targets, color: bool, writer: LogWriter) {
    let lines = Lines { format, color, log: writer };
    // A logger that somebody installed before stays; that can only be another library's.
    drop(tracing_subscriber::registry().with(lines.with_filter(filter)).try_init());
}

/// Writes each event as one line.
struct Lines {
    format: LogFormat,
    color: bool,
    log: LogWriter,
}

impl<S: Subscriber> Layer<S> for Lines {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let told = Told::of(event, clock::wall());
        let line = match self.format {
            LogFormat::Text => format::text(&told, self.color),
            LogFormat::Json => format::json(&told),
            LogFormat::Logfmt => format::logfmt(&told),
        };
        self.log.line(&line);
    }
}
