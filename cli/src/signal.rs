//! Ctrl-C and SIGTERM: the first asks to end, the second ends at once.

use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::exit::{Exit, Failure};

/// What the user wants.
#[derive(Debug, Clone, Default)]
pub struct Signals {
    /// The first signal came.
    pub stop: CancellationToken,
    /// The second signal came.
    pub abort: CancellationToken,
}

impl Signals {
    /// Listens from now on, on a task of `tasks`.
    ///
    /// # Errors
    /// The system refuses.
    pub fn listen(tasks: &mut JoinSet<()>) -> Result<Self, Failure> {
        let signals = Self::default();
        let told = signals.clone();
        let mut next = source()
            .map_err(|error| Failure::new(Exit::Failure, error).context("cannot wait for signals"))?;
        tasks.spawn(async move {
            next.recv().await;
            told.stop.cancel();
            next.recv().await;
            told.abort.cancel();
        });
        Ok(signals)
    }
}

#[cfg(unix)]
struct Source {
    interrupt: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
}

#[cfg(unix)]
fn source() -> std::io::Result<Source> {
    use tokio::signal::unix::{SignalKind, signal};
    Ok(Source {
        interrupt: signal(SignalKind::interrupt())?,
        terminate: signal(SignalKind::terminate())?,
    })
}

#[cfg(unix)]
impl Source {
    async fn recv(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

#[cfg(not(unix))]
struct Source;

#[cfg(not(unix))]
#[expect(clippy::unnecessary_wraps, reason = "the same shape as on Unix")]
fn source() -> std::io::Result<Source> {
    Ok(Source)
}

#[cfg(not(unix))]
impl Source {
    async fn recv(&mut self) {
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}
