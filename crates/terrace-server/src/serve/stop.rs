//! How the server is told to stop, and how it tells everybody else.

use std::time::{Duration, Instant};

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;

use crate::exit::{Exit, Failure};

/// SIGTERM and SIGINT.
pub(super) struct Signals {
    terminate: Signal,
    interrupt: Signal,
    /// A write beyond the process's limit on file sizes is then an error like any other, not the end.
    _file_size: Signal,
}

impl Signals {
    /// Takes the signals over; from now on they end nothing by themselves.
    ///
    /// # Errors
    /// If the system refuses, which it does not.
    pub(super) fn take() -> Result<Self, Failure> {
        let take =
            |kind| signal(kind).map_err(|error| Failure::new(Exit::Internal, format!("signals: {error}")));
        Ok(Self {
            terminate: take(SignalKind::terminate())?,
            interrupt: take(SignalKind::interrupt())?,
            _file_size: take(SignalKind::from_raw(rustix::process::Signal::XFSZ.as_raw()))?,
        })
    }

    /// The name of the next signal.
    pub(super) async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }

    /// The name of the next signal that comes when this time is over; those that come sooner are passed over.
    pub(super) async fn next_after(&mut self, pause: Duration) -> &'static str {
        let begin = Instant::now() + pause;
        loop {
            let signal = self.next().await;
            if Instant::now() >= begin {
                return signal;
            }
        }
    }
}

/// Tells all who serve connections to come to an end.
pub(super) struct Stop(watch::Sender<bool>);

impl Stop {
    /// Nobody is to stop yet.
    pub(super) fn new() -> Self {
        Self(watch::Sender::new(false))
    }

    /// What becomes `true` when it is time to stop.
    pub(super) fn notice(&self) -> watch::Receiver<bool> {
        self.0.subscribe()
    }

    /// Now.
    pub(super) fn now(&self) {
        self.0.send_replace(true);
    }
}

/// Completes when the notice says stop, or nobody is left who could say it.
pub(super) async fn noticed(notice: &mut watch::Receiver<bool>) {
    let _ = notice.wait_for(|stop| *stop).await;
}
