//! What the system knows of the process, under the names that Prometheus has for it. Only Linux tells.

use std::fmt;
use std::fs;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;

use super::page::Page;

/// Ticks of a second in `/proc`: the same on every Linux that Rust runs on.
const TICKS: f64 = 100.0;
const PAGE_BYTES: u64 = 4_096;

/// What the system knows of the process.
#[derive(Debug)]
pub(super) struct Process;

impl Collector for Process {
    fn encode(&self, encoder: DescriptorEncoder) -> fmt::Result {
        let mut page = Page::new(encoder);
        // Values are left out that cannot be read.
        if let Some(stat) = Stat::read() {
            page.seconds("process_cpu_seconds", "processor time, of the user and of the system", stat.cpu_s)?;
            page.gauge("process_resident_memory_bytes", "memory that is in use", stat.resident)?;
            page.gauge("process_virtual_memory_bytes", "memory that is mapped", stat.virtual_memory)?;
            page.maybe_gauge("process_start_time_seconds", "when it began, since 1970", stat.started())?;
        }
        page.maybe_gauge("process_open_fds", "open file descriptors", open_fds())?;
        page.maybe_gauge("process_max_fds", "file descriptors that may be open", max_fds())
    }
}

struct Stat {
    cpu_s: f64,
    resident: u64,
    virtual_memory: u64,
    /// Since the machine began, in seconds.
    began_s: f64,
}

impl Stat {
    fn read() -> Option<Self> {
        Self::parse(&fs::read_to_string("/proc/self/stat").ok()?)
    }

    /// The name of the program may hold anything; what counts stands behind its last bracket.
    fn parse(text: &str) -> Option<Self> {
        let fields: Vec<&str> = text.rsplit_once(')')?.1.split_whitespace().collect();
        // The first of these is the third of the manual.
        let field = |number: usize| fields.get(number - 3)?.parse::<u64>().ok();
        Some(Self {
            cpu_s: (field(14)? + field(15)?) as f64 / TICKS,
            began_s: field(22)? as f64 / TICKS,
            virtual_memory: field(23)?,
            resident: field(24)? * PAGE_BYTES,
        })
    }

    fn started(&self) -> Option<f64> {
        let stat = fs::read_to_string("/proc/stat").ok()?;
        let booted = stat.lines().find_map(|line| line.strip_prefix("btime "))?;
        Some(booted.trim().parse::<f64>().ok()? + self.began_s)
    }
}

fn open_fds() -> Option<u64> {
    // The directory itself is open while it is read.
    Some((fs::read_dir("/proc/self/fd").ok()?.count() as u64).saturating_sub(1))
}

fn max_fds() -> Option<u64> {
    let limits = fs::read_to_string("/proc/self/limits").ok()?;
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    line.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_may_be_called_anything() {
        let mut fields = vec!["S".to_owned(); 1];
        fields.extend((4..=24).map(|number| number.to_string()));
        let stat =
            Stat::parse(&format!("77 (a b) ) R 1 {}", fields.join(" ")).replace(") R 1 S", ") S")).unwrap();
        assert_eq!((stat.cpu_s, stat.began_s), (0.29, 0.22));
        assert_eq!((stat.virtual_memory, stat.resident), (23, 24 * PAGE_BYTES));
        assert!(Stat::parse("").is_none() && Stat::parse("1 (x) S 2").is_none());
    }
}
