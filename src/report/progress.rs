//! One line on a terminal that tells how far a replay is. It is written over itself and erased at the end.

use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior, interval};

use super::output::LogWriter;
use super::table::grouped;
use crate::progress::{ReplayProgress, ReplayStatistics};
use crate::text::one_line;

/// How often it is written.
const EVERY: Duration = Duration::from_millis(100);
/// Characters that fit the narrowest terminal anybody uses; a line that wraps could not be erased.
const WIDTH: usize = 78;

/// Shows the progress until the future is dropped, at most ten times a second. Whoever drops it erases the line.
pub async fn show_progress(progress: ReplayProgress, terminal: LogWriter) {
    let begun = Instant::now();
    let mut ticks = interval(EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    // The first tick comes at once, when there is nothing to tell.
    ticks.tick().await;
    loop {
        ticks.tick().await;
        terminal.status(&progress_line(&progress, begun.elapsed()));
    }
}

/// `42.5 %  12,345,678 rows  9,800,000/s  0:31 left  BTCUSDT-aggTrades-2024-05.zip`
fn progress_line(progress: &ReplayProgress, elapsed: Duration) -> String {
    let statistics = progress.statistics();
    let read = statistics.rows + statistics.frames;
    let rate = read as f64 / elapsed.as_secs_f64().max(1e-3);
    let mut text = String::new();
    let share = progress.share();
    if let Some(share) = share {
        text.push_str(&format!("{:5.1} %  ", share * 100.0));
    }
    text.push_str(&format!("{} rows  {}/s  ", grouped(read.into()), grouped(rate as i128)));
    if let Some(share) = share
        && share > 0.01
    {
        let left = (elapsed.as_secs_f64() * (1.0 - share) / share).round() as u64;
        text.push_str(&format!("{}  ", clock_time(left)));
    }
    if let Some(file) = progress.file() {
        text.push_str(&one_line(&file.file_name().unwrap_or(file.as_os_str()).to_string_lossy()));
    }
    text.chars().take(WIDTH).collect()
}

/// What a replay read, and how fast: told besides its records, which are the same each time.
pub fn pace(files: &ReplayStatistics, took: Duration) -> String {
    let (read, seconds) = (files.rows + files.frames, took.as_secs_f64());
    let rate = grouped((read as f64 / seconds.max(1e-3)) as i128);
    format!("{} rows in {seconds:.2} s, {rate} a second", grouped(read.into()))
}

/// `0:31 left`, `1:02:03 left`.
fn clock_time(seconds: u64) -> String {
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    match hours {
        0 => format!("{minutes}:{seconds:02} left"),
        _ => format!("{hours}:{minutes:02}:{seconds:02} left"),
    }
}

#[cfg(all(test, feature = "replay"))]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::Ordering;

    #[test]
    fn the_line_tells_share_rows_rate_rest_and_file_and_never_wraps() {
        let progress = ReplayProgress::default();
        let second = Duration::from_secs(1);
        assert_eq!(progress_line(&progress, second), "0 rows  0/s  ");
        progress.set_on_disk(1000);
        progress.counter().fetch_add(250, Ordering::Relaxed);
        progress.tell(ReplayStatistics { rows: 5_000_000, ..ReplayStatistics::default() });
        progress.begin(&Arc::new("dir/BTCUSDT-aggTrades-2024-05.zip".into()));
        assert_eq!(
            progress_line(&progress, 2 * second),
            " 25.0 %  5,000,000 rows  2,500,000/s  0:06 left  BTCUSDT-aggTrades-2024-05.zip"
        );
        progress.begin(&Arc::new(format!("{}\n", "x".repeat(300)).into()));
        assert_eq!(progress_line(&progress, 2 * second).chars().count(), WIDTH);
        assert_eq!(clock_time(3_723), "1:02:03 left");
    }
}
