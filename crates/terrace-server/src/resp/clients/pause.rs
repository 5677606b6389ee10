//! Holding commands back for a time.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use terrace_store::Clock;
use tokio::sync::Notify;

/// Which commands are held back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PauseMode {
    /// Those that may write.
    Write,
    /// All.
    All,
}

/// Whether commands are held back, and until when.
#[derive(Debug, Default)]
pub struct Pause {
    /// On the monotonic clock, in milliseconds; 0 is not.
    until_ms: AtomicU64,
    all: AtomicBool,
    ended: Notify,
}

impl Pause {
    /// Holds commands back until this time. A pause that is under way is never shortened or loosened.
    pub fn begin(&self, until_ms: u64, mode: PauseMode, clock: &dyn Clock) {
        let under_way = self.until_ms.load(Ordering::SeqCst) > clock.now_ms();
        let all = mode == PauseMode::All || (under_way && self.all.load(Ordering::SeqCst));
        self.all.store(all, Ordering::SeqCst);
        self.until_ms.fetch_max(until_ms, Ordering::SeqCst);
    }

    /// Lets all commands go.
    pub fn end(&self) {
        self.until_ms.store(0, Ordering::SeqCst);
        self.ended.notify_waiters();
    }

    /// Whether there may be a pause: one load.
    #[inline]
    pub fn is_possible(&self) -> bool {
        self.until_ms.load(Ordering::Relaxed) != 0
    }

    /// Waits until a command may run.
    pub async fn wait(&self, writes: bool, clock: &dyn Clock) {
        loop {
            let ended = self.ended.notified();
            let (until, now) = (self.until_ms.load(Ordering::SeqCst), clock.now_ms());
            if until == 0 || !(writes || self.all.load(Ordering::SeqCst)) {
                return;
            }
            if now >= until {
                // Over: the next command need not ask the time.
                let _ = self.until_ms.compare_exchange(until, 0, Ordering::SeqCst, Ordering::SeqCst);
                return;
            }
            tokio::select! {
                () = ended => {}
                () = clock.sleep(std::time::Duration::from_millis(until - now)) => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::Future;
    use std::pin::pin;
    use std::task::{Context, Waker};
    use terrace_store::fakes::FrozenClock;

    fn waits(future: impl Future<Output = ()>) -> bool {
        pin!(future).poll(&mut Context::from_waker(Waker::noop())).is_pending()
    }

    #[test]
    fn a_pause_ends_by_itself_or_when_told() {
        let (pause, clock) = (Pause::default(), FrozenClock::at_wall_ms(0));
        clock.advance_ms(1000);
        assert!(!waits(pause.wait(true, &clock)));
        pause.begin(1500, PauseMode::Write, &clock);
        assert!(waits(pause.wait(true, &clock)) && !waits(pause.wait(false, &clock)));
        pause.begin(1200, PauseMode::All, &clock);
        assert!(waits(pause.wait(false, &clock)));
        clock.advance_ms(499);
        assert!(waits(pause.wait(true, &clock)));
        clock.advance_ms(1);
        assert!(!waits(pause.wait(true, &clock)) && !pause.is_possible());
        pause.begin(9000, PauseMode::All, &clock);
        pause.end();
        assert!(!waits(pause.wait(true, &clock)));
    }
}
