//! SIGINT, SIGTERM and SIGHUP: the first asks to stop; SIGINT or SIGTERM after that ends the process at once.
//!
//! A SIGHUP that is ignored when the process starts, as by `nohup`, stays ignored.

use std::io;

#[cfg(unix)]
use tokio::signal::unix::{Signal, SignalKind, signal};
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
            signals.any().await;
            token.cancel();
            signals.insistent().await;
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
struct Signals {
    interrupt: Signal,
    terminate: Signal,
    /// None where it is ignored, or stays as it is.
    hangup: Option<Signal>,
}

#[cfg(unix)]
impl Signals {
    fn new() -> io::Result<Self> {
        // A write past the limit on the size of files (`ulimit -f`) would end the process; with a handler, which stays for
        // good, it fails as on a full disk.
        drop(signal(SignalKind::from_raw(rustix::process::Signal::XFSZ.as_raw()))?);
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hangup: if hangup_is_ours() { Some(signal(SignalKind::hangup())?) } else { None },
        })
    }

    /// Waits for a signal that asks to stop.
    async fn any(&mut self) {
        let hangup = async {
            match &mut self.hangup {
                Some(hangup) => hangup.recv().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
            _ = hangup => {}
        }
    }

    /// Waits for a signal that insists. A terminal that goes sends SIGHUP twice, by the system and by the shell, so that
    /// one does not count.
    async fn insistent(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

/// Whether SIGHUP may be handled: not if whoever started us has it ignored, as `nohup` does, and only where that can be
/// seen without unsafe code.
#[cfg(unix)]
fn hangup_is_ours() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    ignores(&status, rustix::process::Signal::HUP.as_raw()) == Some(false)
}

/// Whether a process with this `/proc/self/status` ignores a signal; `None` where it does not tell.
#[cfg(unix)]
fn ignores(status: &str, signal: i32) -> Option<bool> {
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"))?;
    let mask = u64::from_str_radix(mask.trim(), 16).ok()?;
    Some(mask >> u32::try_from(signal).ok()?.checked_sub(1)? & 1 == 1)
}

#[cfg(not(unix))]
struct Signals;

#[cfg(not(unix))]
impl Signals {
    fn new() -> io::Result<Self> {
        Ok(Self)
    }

    async fn insistent(&mut self) {
        self.any().await;
    }

    async fn any(&mut self) {
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn an_ignored_signal_is_seen() {
        let status = |mask: &str| format!("Name:\tdojang\nSigBlk:\t0000000000000000\nSigIgn:\t{mask}\nSigCgt:\t0\n");
        for (mask, hangup, interrupt) in
            [("0000000000000000", false, false), ("0000000000000001", true, false), ("0000000000001002", false, true)]
        {
            assert_eq!(
                (ignores(&status(mask), 1), ignores(&status(mask), 2)),
                (Some(hangup), Some(interrupt)),
                "{mask}"
            );
        }
        assert_eq!(ignores("Name:\tdojang\n", 1), None);
        assert_eq!(ignores(&status("x"), 1), None);
    }
}
