//! SIGINT and SIGTERM (ctrl-c elsewhere): the first asks for a clean end, the second ends at once. SIGHUP asks for the
//! symbols file to be read again, where there is one. Without one it asks for a clean end too: so a terminal that is
//! closed costs nothing that is recorded. What `nohup` has started ignores it.
//!
//! They are heard on a thread of their own, so that the second one works whatever the others wait for.

use std::io;
use std::sync::Arc;

use tokio::sync::{Notify, oneshot};

/// Exit code after a second signal.
pub const EXIT_AT_ONCE: i32 = 130;

/// Listens from now on. The future is ready at the first signal; the second ends the process at once. At each SIGHUP
/// `reload` is notified; without it SIGHUP is a signal like the others, unless it is ignored.
///
/// # Errors
/// When the system gives no thread for it or takes no signal handler.
pub fn listen(reload: Option<Arc<Notify>>) -> io::Result<impl Future<Output = ()>> {
    let (first, asked) = oneshot::channel();
    let (ready, listening) = std::sync::mpsc::sync_channel(1);
    std::thread::Builder::new().name("signals".into()).spawn(move || {
        let runtime = match tokio::runtime::Builder::new_current_thread().enable_io().build() {
            Ok(runtime) => runtime,
            Err(error) => return drop(ready.send(Err(error))),
        };
        runtime.block_on(async move {
            let mut signals = match Signals::new(reload) {
                Ok(signals) => signals,
                Err(error) => return drop(ready.send(Err(error))),
            };
            drop(ready.send(Ok(())));
            signals.next().await;
            tracing::info!(event = "stopping", "stopping in good order (a second signal ends at once)");
            first.send(()).unwrap_or_default();
            signals.next().await;
            std::process::exit(EXIT_AT_ONCE);
        });
    })?;
    listening.recv().unwrap_or_else(|_| Err(io::Error::other("the signal thread ended")))?;
    Ok(async move {
        // The thread lasts as long as the process; without a first signal there is nothing to wait for.
        if asked.await.is_err() {
            std::future::pending().await
        }
    })
}

#[cfg(unix)]
struct Signals {
    interrupt: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
    hang_up: Option<tokio::signal::unix::Signal>,
    reload: Option<Arc<Notify>>,
}

#[cfg(unix)]
impl Signals {
    fn new(reload: Option<Arc<Notify>>) -> io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        let hang_up = match reload.is_some() || !ignores_hang_up() {
            true => Some(signal(SignalKind::hangup())?),
            false => None,
        };
        let (interrupt, terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
        Ok(Self { interrupt, terminate, hang_up, reload })
    }

    /// Waits for one that asks for an end.
    async fn next(&mut self) {
        let Self { interrupt, terminate, hang_up, reload } = self;
        let hung_up = async {
            let Some(signal) = hang_up else { return std::future::pending().await };
            while signal.recv().await.is_some() {
                match reload {
                    Some(reload) => reload.notify_one(),
                    None => return,
                }
            }
            std::future::pending().await
        };
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
            () = hung_up => {}
        }
    }
}

/// Whether whoever started the process has it ignore SIGHUP; also where that cannot be known, so that nothing changes.
#[cfg(unix)]
fn ignores_hang_up() -> bool {
    let Ok(status) = std::fs::read_to_string("/proc/self/status") else { return true };
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    // The lowest bit is signal 1.
    ignored.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).is_none_or(|mask| mask & 1 == 1)
}

#[cfg(not(unix))]
struct Signals;

#[cfg(not(unix))]
impl Signals {
    fn new(_reload: Option<Arc<Notify>>) -> io::Result<Self> {
        Ok(Self)
    }

    async fn next(&mut self) {
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending().await
        }
    }
}
