//! SIGINT and SIGTERM (ctrl-c elsewhere): the first asks for a clean end, the second ends at once.
//!
//! They are heard on a thread of their own, so that the second one works whatever the others wait for.

use std::io;

use tokio::sync::oneshot;

/// Exit code after a second signal.
pub const EXIT_AT_ONCE: i32 = 130;

/// Listens from now on. The future is ready at the first signal; the second ends the process at once.
///
/// # Errors
/// When the system gives no thread for it or takes no signal handler.
pub fn listen() -> io::Result<impl Future<Output = ()>> {
    let (first, asked) = oneshot::channel();
    let (ready, listening) = std::sync::mpsc::sync_channel(1);
    std::thread::Builder::new().name("signals".into()).spawn(move || {
        let runtime = match tokio::runtime::Builder::new_current_thread().enable_io().build() {
            Ok(runtime) => runtime,
            Err(error) => return drop(ready.send(Err(error))),
        };
        runtime.block_on(async move {
            let mut signals = match Signals::new() {
                Ok(signals) => signals,
                Err(error) => return drop(ready.send(Err(error))),
            };
            drop(ready.send(Ok(())));
            signals.next().await;
            tracing::info!("stopping in good order (a second signal ends at once)");
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
}

#[cfg(unix)]
impl Signals {
    fn new() -> io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self { interrupt: signal(SignalKind::interrupt())?, terminate: signal(SignalKind::terminate())? })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

#[cfg(not(unix))]
struct Signals;

#[cfg(not(unix))]
impl Signals {
    fn new() -> io::Result<Self> {
        Ok(Self)
    }

    async fn next(&mut self) {
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending().await
        }
    }
}
