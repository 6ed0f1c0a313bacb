//! Where checkpoints are kept: whether they can be.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::path::Path;

use tokio::time::{Instant, timeout};

use super::finding::{Check, Finding};
use super::{Subject, checkpoints};
use crate::app::following;
use crate::checkpoint::Identity;
use crate::config::{Config, ledger};
use crate::report::events::chain;
use crate::snapshot::Instrument;

/// What checkpoints may need, and more.
const ROOM: usize = 1024 * 1024;

/// Whether checkpoints could be written here and kept, as far as can be told without changing anything.
/// `followed` is who a run would follow, as far as that could be found out.
pub(super) async fn check(subject: &Subject, followed: &[Instrument]) -> Finding {
    let Subject { config, clock, limits, .. } = subject;
    let Some(directory) = &config.state.dir else {
        return Finding::ok(
            Check::StateDirectory,
            "none: a restart begins anew (--state-dir keeps what it needs)",
        );
    };
    let began = Instant::now();
    let shown = directory.display().to_string();
    let (owned, identities, now_ms) =
        (directory.to_owned(), identities(config, followed), clock.now().wall_ms());
    let limit = limits.disk;
    // A disk of the network may hang.
    let looked = timeout(limit, tokio::task::spawn_blocking(move || look(&owned, &identities, now_ms))).await;
    let finding = match looked {
        Ok(Ok(finding)) => finding,
        Ok(Err(_)) => {
            Finding::fail(Check::StateDirectory, format!("{shown}: the check itself broke"), "report it")
        }
        Err(_elapsed) => Finding::fail(
            Check::StateDirectory,
            format!("{shown}: the disk did not write 1 MiB within {limit:?}"),
            "checkpoints would come late; use a local disk",
        ),
    };
    finding.took(began.elapsed())
}

/// Whose checkpoints a run would go on from.
fn identities(config: &Config, followed: &[Instrument]) -> Vec<Identity> {
    let endpoints = following::endpoints(config);
    let of = |Instrument { market, symbol }: &Instrument| {
        let endpoint = endpoints.iter().find(|endpoint| endpoint.market == *market)?;
        let ledger = ledger::identity(endpoint).to_owned();
        let (market, calculator) = (*market, config.calculator);
        Some(Identity { ledger, market, symbol: symbol.clone(), calculator })
    };
    followed.iter().filter_map(of).collect()
}

fn look(directory: &Path, identities: &[Identity], now_ms: i64) -> Finding {
    let shown = directory.display();
    match fs::metadata(directory) {
        Ok(found) if !found.is_dir() => Finding::fail(
            Check::StateDirectory,
            format!("{shown} is not a directory"),
            "name a directory with --state-dir, or move the file away",
        ),
        Ok(_) => match probe(directory) {
            Ok(()) => checkpoints::look(directory, identities, now_ms),
            Err(error) => unwritable(directory, &error),
        },
        Err(error) if error.kind() == ErrorKind::NotFound => {
            // A run makes it; where, is what can be tried.
            let parent =
                directory.ancestors().skip(1).find(|parent| parent.exists() || parent.as_os_str().is_empty());
            let parent = parent.filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
            match probe(parent) {
                Ok(()) => Finding::ok(
                    Check::StateDirectory,
                    format!("{shown} does not exist yet; a run can make it"),
                ),
                Err(error) => unwritable(parent, &error),
            }
        }
        Err(error) => unwritable(directory, &error),
    }
}

fn unwritable(directory: &Path, error: &io::Error) -> Finding {
    let remedy = match error.kind() {
        ErrorKind::PermissionDenied => "give this user the right to write there, or name another --state-dir",
        ErrorKind::ReadOnlyFilesystem => {
            "it is mounted read-only: mount it for writing, or name another --state-dir"
        }
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => "make room there: checkpoints need 1 MiB",
        _ => "check the disk, or name another --state-dir",
    };
    Finding::fail(
        Check::StateDirectory,
        format!("cannot write to {}: {}", directory.display(), chain(error)),
        remedy,
    )
}

/// Writes a file to the disk itself and takes it away again.
fn probe(directory: &Path) -> io::Result<()> {
    let path = directory.join(format!(".cvd-stream-doctor-{}", std::process::id()));
    let file = OpenOptions::new().write(true).create_new(true).open(&path)?;
    let written = fill(file);
    let removed = fs::remove_file(&path);
    written.and(removed)
}

fn fill(mut file: File) -> io::Result<()> {
    file.write_all(&vec![0; ROOM])?;
    file.sync_all()
}
