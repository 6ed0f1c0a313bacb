//! Diagnostics: `tracing` to a writer that never waits, as text in the shape of the records or as JSON.

use std::io::{self, Write};

use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::FormatTime;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, fmt};

use crate::clock;
use crate::config::LogFormat;
use crate::report::output::LogWriter;
use crate::report::rfc3339;

/// Installs the process's logger.
pub fn start(format: LogFormat, filter: Targets, color: bool, writer: LogWriter) {
    let make = move || LineWriter { log: writer.clone(), line: Vec::new() };
    let layer = match format {
        LogFormat::Text => {
            fmt::layer().with_timer(Stamp).with_target(false).with_ansi(color).with_writer(make).boxed()
        }
        LogFormat::Json => fmt::layer()
            .json()
            .flatten_event(true)
            .with_current_span(false)
            .with_span_list(false)
            .with_timer(Stamp)
            .with_ansi(false)
            .with_writer(make)
            .boxed(),
    };
    // A logger that somebody installed before stays; that can only be another library's.
    drop(tracing_subscriber::registry().with(layer.with_filter(filter)).try_init());
}

struct Stamp;

impl FormatTime for Stamp {
    fn format_time(&self, w: &mut Writer<'_>) -> std::fmt::Result {
        w.write_str(&rfc3339(clock::wall()))
    }
}

/// Collects one event and hands it over as one line.
struct LineWriter {
    log: LogWriter,
    line: Vec<u8>,
}

impl Write for LineWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.line.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for LineWriter {
    fn drop(&mut self) {
        if !self.line.is_empty() {
            self.log.line(&self.line);
        }
    }
}
