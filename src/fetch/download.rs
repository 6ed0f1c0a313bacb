//! One file, from the question for its checksum to the file under its name.

use std::path::PathBuf;
use std::time::Duration;

use tokio::time::{Instant, sleep, sleep_until};

use super::checksum::{self, Checksum, Digest, hex};
use super::client::{Client, Head};
use super::gate::Gate;
use super::partial::{self, DiskError, Partial};
use super::plan::ArchiveFile;
use super::progress::Tally;
use super::{Fetch, FetchError, Outcome, blocking};
use crate::feed::backoff::{ceiling, wait};
use crate::feed::failure::PATIENCE;

/// Failures without progress in between that end the attempts at a file.
const ATTEMPTS: u32 = 6;
/// What counts as progress, in bytes.
const PROGRESS: u64 = 1024 * 1024;
/// So many bytes go to the disk together.
const PIECE: usize = 256 * 1024;
/// Or as many as have waited for so long.
const LONGEST_HELD: Duration = Duration::from_secs(1);
/// The largest file that is taken; the archive's have about 1 GB.
const LARGEST: u64 = 64 * 1024 * 1024 * 1024;

/// What all downloads share.
pub(super) struct Shared<'a> {
    pub(super) fetch: &'a Fetch,
    pub(super) gate: Gate,
    pub(super) tally: Tally,
}

/// A download at work.
pub(super) struct Download<'a, 'c> {
    pub(super) shared: &'a Shared<'a>,
    pub(super) client: &'c mut Client<'a>,
    pub(super) file: ArchiveFile,
    failures: u32,
}

/// Why a download ends before its time.
enum Stop {
    /// The archive does not have the file.
    Absent,
    /// Of this file alone.
    File(String),
    /// Of all.
    Run(FetchError),
}

impl From<FetchError> for Stop {
    fn from(error: FetchError) -> Self {
        Self::Run(error)
    }
}

impl From<DiskError> for Stop {
    fn from(error: DiskError) -> Self {
        if error.is_for_all() { Self::Run(error.into()) } else { Self::File(error.to_string()) }
    }
}

impl<'a, 'c> Download<'a, 'c> {
    pub(super) fn of(shared: &'a Shared<'a>, client: &'c mut Client<'a>, file: ArchiveFile) -> Self {
        Self { shared, client, file, failures: 0 }
    }

    pub(super) async fn run(mut self) -> Result<Outcome, FetchError> {
        match self.attempt().await {
            Ok(outcome) => Ok(outcome),
            Err(Stop::Absent) => Ok(Outcome::Absent),
            Err(Stop::File(why)) => Ok(Outcome::Failed { why }),
            Err(Stop::Run(error)) => Err(error),
        }
    }

    async fn attempt(&mut self) -> Result<Outcome, Stop> {
        let target = self.shared.fetch.directory.join(self.file.name());
        let mut checksum = self.checksum().await?;
        if let Some(length) = already_there(target.clone(), checksum.clone()).await? {
            return Ok(Outcome::AlreadyThere { length });
        }
        for first in [true, false] {
            let partial = self.whole(target.clone()).await?;
            let (digest, length) = (partial.digest(), partial.length());
            if digest == checksum.digest {
                let target = target.clone();
                blocking(move || partial.install(&target, &checksum)).await?;
                return Ok(Outcome::Fetched { length });
            }
            blocking(move || partial.discard()).await?;
            if !first {
                return Err(Stop::File(wrong(&digest, &checksum.digest)));
            }
            // The archive may have replaced both meanwhile.
            checksum = self.checksum().await?;
        }
        unreachable!("the second time returns")
    }

    async fn checksum(&mut self) -> Result<Checksum, Stop> {
        let path = format!("{}.CHECKSUM", self.file.path());
        loop {
            let head = self.ask(&path, None).await?;
            if head.status == 200 {
                let text = self.client.all(checksum::LONGEST).await;
                let parsed = text.and_then(|text| {
                    Checksum::parse(text, &self.file.name())
                        .map_err(|fault| format!("its checksum cannot be used: {fault}"))
                });
                match parsed {
                    Ok(checksum) => {
                        self.shared.gate.answered();
                        return Ok(checksum);
                    }
                    Err(why) => self.failed(why).await?,
                }
            } else {
                self.refused(&head, &path).await?;
            }
        }
    }

    /// The whole file beside its name, as far as its length tells.
    async fn whole(&mut self, target: PathBuf) -> Result<Partial, Stop> {
        let path = self.file.path();
        let mut partial = blocking(move || Partial::open(&target)).await?;
        let mut furthest = partial.length();
        while !partial.is_whole() {
            let head = self.ask(&path, partial.rest()).await?;
            let goes_on = head.status == 206
                && partial.rest().map(|(from, _)| from) == head.begins
                && partial.version() == head.version.as_ref();
            let restarts = head.status == 200;
            if !goes_on && !restarts {
                if matches!(head.status, 206 | 416) {
                    // It is not the file any more whose beginning is here.
                    partial = on_disk(partial, |partial| partial.restart(None)).await?;
                    self.failed(format!("its rest could not be had (status {})", head.status)).await?;
                } else {
                    self.refused(&head, &path).await?;
                }
                continue;
            }
            if let Some(length) = head.length.filter(|length| *length > LARGEST) {
                return Err(Stop::File(format!("it would have {length} bytes, which is too much")));
            }
            if restarts {
                partial = on_disk(partial, move |partial| partial.restart(head.version)).await?;
            }
            let (after, end) = self.body(partial, head.length).await?;
            partial = after;
            // The same beginning again and again is no progress.
            if partial.length() >= furthest + PROGRESS {
                (self.failures, furthest) = (0, partial.length());
            }
            match end {
                Ok(()) => {
                    self.shared.gate.answered();
                    return Ok(partial);
                }
                Err(why) => self.failed(why).await?,
            }
        }
        Ok(partial)
    }

    /// Puts the body on the disk, as far as it comes.
    async fn body(
        &mut self,
        mut partial: Partial,
        length: Option<u64>,
    ) -> Result<(Partial, Result<(), String>), Stop> {
        let tally = &self.shared.tally;
        tally.at(self.file.period, partial.length(), length);
        let mut held = Vec::with_capacity(PIECE);
        let mut since = Instant::now();
        loop {
            let next = tokio::select! {
                next = self.client.next() => Some(next),
                () = sleep_until(since + LONGEST_HELD), if !held.is_empty() => None,
            };
            if let Some(Ok(Some(bytes))) = &next {
                if held.is_empty() {
                    since = Instant::now();
                }
                held.extend_from_slice(bytes);
                tally.received(self.file.period, bytes.len() as u64);
                if held.len() < PIECE {
                    continue;
                }
            }
            let piece = std::mem::replace(&mut held, Vec::with_capacity(PIECE));
            partial = on_disk(partial, move |partial| partial.write(&piece)).await?;
            if partial.length() > LARGEST {
                return Err(Stop::File(format!("it has more than {LARGEST} bytes, which is too much")));
            }
            match next {
                None | Some(Ok(Some(_))) => {}
                Some(Ok(None)) => return Ok((partial, Ok(()))),
                Some(Err(why)) => return Ok((partial, Err(why))),
            }
        }
    }

    /// Asks until there is an answer of any kind.
    async fn ask(&mut self, path: &str, rest: Option<(u64, &str)>) -> Result<Head, Stop> {
        loop {
            self.shared.gate.pass().await;
            match self.client.ask(path, rest).await {
                Ok(head) => return Ok(head),
                Err(why) => self.failed(why).await?,
            }
        }
    }

    /// What an answer without a file means: another attempt, later, or the end.
    async fn refused(&mut self, head: &Head, path: &str) -> Result<(), Stop> {
        let status = head.status;
        self.client.skip().await;
        let refused = |remedy| {
            let path = path.to_owned();
            Err(FetchError::Refused { status, path, remedy }.into())
        };
        match (status, head.retry_after) {
            (404 | 410, _) => Err(Stop::Absent),
            (403 | 418 | 429, patience) => {
                Ok(self.shared.gate.shut(status, patience.unwrap_or(PATIENCE), fastrand::f64())?)
            }
            (500.., Some(patience)) => Ok(self.shared.gate.shut(status, patience, fastrand::f64())?),
            (408 | 500.., _) => self.failed(format!("the archive answered {status}")).await,
            (300..400, _) => refused("it is a redirection, which is not followed; check --archive-url"),
            (451, _) => refused("it does not serve this location; run where it does"),
            _ => refused("check --archive-url"),
        }
    }

    /// Notes a failure and waits before the next attempt, which there are only so many of.
    async fn failed(&mut self, why: String) -> Result<(), Stop> {
        self.failures += 1;
        if self.failures >= ATTEMPTS {
            return Err(Stop::File(format!("{why} (attempt {ATTEMPTS}, the last)")));
        }
        self.shared.tally.trouble(&why);
        let longest = ceiling(self.failures - 1, self.shared.fetch.longest_wait);
        sleep(wait(longest, fastrand::f64())).await;
        Ok(())
    }
}

/// The length of a file that is here already; its checksum is then, too.
async fn already_there(target: PathBuf, checksum: Checksum) -> Result<Option<u64>, DiskError> {
    blocking(move || match partial::sum_of(&target)? {
        Some((digest, length)) if digest == checksum.digest => {
            partial::keep(&target, &checksum)?;
            Ok(Some(length))
        }
        _ => Ok(None),
    })
    .await
}

async fn on_disk(
    mut partial: Partial,
    work: impl FnOnce(&mut Partial) -> Result<(), DiskError> + Send + 'static,
) -> Result<Partial, DiskError> {
    blocking(move || work(&mut partial).map(|()| partial)).await
}

fn wrong(digest: &Digest, expected: &Digest) -> String {
    let (is, expected) = (hex(digest), hex(expected));
    format!("its sum is {is} and not {expected} as published, twice in a row; try again later")
}
