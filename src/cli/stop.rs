//! SIGINT and SIGTERM: the first asks to stop, the second ends the process at once.

use std::io;

use tokio_util::sync::CancellationToken;

use super::out::say;

/// Whether somebody has asked this process to stop.
#[derive(Debug, Clone)]
pub(crate) struct Stop(CancellationToken);

impl Stop {
    /// Takes over the signals.
    ///
    /// # Errors
    /// If the system does not let us.
    pub(crate) fn listen() -> io::Result<Self> {
        let token = CancellationToken::new();
        let mut signals = Signals::new()?;
        let stop = Self(token.clone());
        tokio::spawn(async move {
            signals.next().await;
            token.cancel();
            signals.next().await;
            say("stopped at once");
            std::process::exit(1);
        });
        Ok(stop)
    }

    /// Waits until somebody asks.
    pub(crate) async fn requested(&self) {
        self.0.cancelled().await;
    }

    /// One that only tests ask.
    #[cfg(test)]
    pub(crate) fn for_test() -> (Self, CancellationToken) {
        let token = CancellationToken::new();
        (Self(token.clone()), token)
    }
}

#[cfg(unix)]
struct Signals(tokio::signal::unix::Signal, tokio::signal::unix::Signal);

#[cfg(unix)]
impl Signals {
    fn new() -> io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        // A write past the limit on the size of files (`ulimit -f`) would end the process; with a handler, which stays for
        // good, it fails as on a full disk.
        drop(signal(SignalKind::from_raw(rustix::process::Signal::XFSZ.as_raw()))?);
        Ok(Self(signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?))
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.0.recv() => {}
            _ = self.1.recv() => {}
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
            std::future::pending::<()>().await;
        }
    }
}
