//! How far writes have got on their way to the disk, and who waits for it.
//!
//! A write goes into a buffer of the engine, from there with write(2) to the operating system, and from there
//! with fsync to the disk. Each write takes a ticket, and each step remembers the highest ticket it has covered,
//! so that nobody does again what another has done for him. Writers who wait for an fsync share it: the first
//! starts a task that leads, the others wait for it, and what is written while it syncs is covered by the next.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Waker};
use std::time::Duration;

use terrace_store::spawn::offload;
use terrace_store::{Clock, Error, ErrorKind, Result, Tasks};

/// Does the two steps. Implemented by the store; both may be called by any thread at any time.
pub(crate) trait Journal: Send + Sync + 'static {
    /// Hands what is buffered to the operating system.
    fn hand_over(&self) -> Result<()>;
    /// Hands over, and waits until the disk has it.
    fn sync(&self) -> Result<()>;
}

/// The tickets, and those who wait.
#[derive(Default)]
pub(crate) struct Progress {
    written: AtomicU64,
    handed_over: AtomicU64,
    failed: AtomicBool,
    waiting: Mutex<Waiting>,
}

#[derive(Default)]
struct Waiting {
    synced: u64,
    leading: bool,
    failure: Option<Error>,
    wakers: Vec<(u64, Waker)>,
}

impl Progress {
    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A write is in the journal's buffer.
    pub(crate) fn wrote(&self) {
        self.written.fetch_add(1, Ordering::AcqRel);
    }

    /// Whether something is not synced yet.
    #[cfg(any(feature = "ordered", test))]
    pub(crate) fn is_dirty(&self) -> bool {
        self.waiting().synced < self.written.load(Ordering::Acquire)
    }

    /// Sees to it that the operating system has every write that completed before.
    pub(crate) fn hand_over(&self, journal: &dyn Journal) -> Result<()> {
        let ticket = self.written.load(Ordering::Acquire);
        if self.handed_over.load(Ordering::Acquire) >= ticket {
            return Ok(());
        }
        journal.hand_over()?;
        self.handed_over.fetch_max(ticket, Ordering::AcqRel);
        Ok(())
    }

    /// Syncs on this thread, and tells all who wait for what that covers.
    pub(crate) fn sync(&self, journal: &dyn Journal) -> Result<()> {
        let ticket = self.written.load(Ordering::Acquire);
        let outcome = journal.sync();
        if outcome.is_ok() {
            self.handed_over.fetch_max(ticket, Ordering::AcqRel);
        }
        // A store that was closed has told those who waited already, and fails nobody else.
        if !matches!(&outcome, Err(error) if error.kind() == ErrorKind::Closed) {
            self.settle(ticket, outcome.clone());
        }
        outcome
    }

    /// Tells all who wait for tickets up to this one what came of it. A failure concerns everybody: an fsync
    /// that failed is not tried again.
    pub(crate) fn settle(&self, ticket: u64, outcome: Result<()>) {
        let mut waiting = self.waiting();
        let woken = match outcome {
            Ok(()) => {
                waiting.synced = waiting.synced.max(ticket);
                let synced = waiting.synced;
                let (done, left): (Vec<_>, Vec<_>) = std::mem::take(&mut waiting.wakers)
                    .into_iter()
                    .partition(|(ticket, _)| *ticket <= synced);
                waiting.wakers = left;
                done
            }
            Err(error) => {
                waiting.failure.get_or_insert(error);
                self.failed.store(true, Ordering::Release);
                std::mem::take(&mut waiting.wakers)
            }
        };
        drop(waiting);
        woken.into_iter().for_each(|(_, waker)| waker.wake());
    }

    /// Why nothing is synced any more, if that is so.
    pub(crate) fn failure(&self) -> Option<Error> {
        if !self.failed.load(Ordering::Acquire) {
            return None;
        }
        self.waiting().failure.clone()
    }
}

/// Waits until an fsync has covered every write that completed before, sharing it with all who wait. The leader
/// lets `gather` pass first, so that others can join.
///
/// # Errors
/// `Unknown` if the fsync failed: what it should have covered may be lost in a power cut.
///
/// # Cancellation
/// The fsync goes on in its own task.
pub(crate) async fn synced<J>(
    progress: &Arc<Progress>,
    journal: &Arc<J>,
    tasks: &Tasks,
    clock: &Arc<dyn Clock>,
    gather: Duration,
) -> Result<()>
where
    J: Journal,
{
    let ticket = progress.written.load(Ordering::Acquire);
    std::future::poll_fn(|context| {
        let lead = {
            let mut waiting = progress.waiting();
            if waiting.synced >= ticket {
                return Poll::Ready(Ok(()));
            }
            if let Some(failure) = &waiting.failure {
                return Poll::Ready(Err(unknown(failure.clone())));
            }
            waiting.wakers.push((ticket, context.waker().clone()));
            !std::mem::replace(&mut waiting.leading, true)
        };
        if lead {
            let leader = Leader { progress: Arc::clone(progress), journal: Arc::clone(journal), done: false };
            let (tasks_of_it, clock) = (tasks.clone(), Arc::clone(clock));
            tasks.spawn("group commit", leader.run(tasks_of_it, clock, gather));
        }
        Poll::Pending
    })
    .await
}

/// What a write's caller is told when it is applied but its durability failed.
pub(crate) fn unknown(cause: Error) -> Error {
    Error::new(ErrorKind::Unknown, "commit")
        .because("it was written, but whether it reached the disk is not known")
        .caused_by(cause)
}

struct Leader<J> {
    progress: Arc<Progress>,
    journal: Arc<J>,
    done: bool,
}

impl<J: Journal> Leader<J> {
    async fn run(mut self, tasks: Tasks, clock: Arc<dyn Clock>, gather: Duration) {
        loop {
            if !gather.is_zero() {
                clock.sleep(gather).await;
            }
            let (progress, journal) = (Arc::clone(&self.progress), Arc::clone(&self.journal));
            let work = move || progress.sync(&*journal);
            let outcome = offload(&**tasks.runtime(), "fsync", work).await;
            let mut waiting = self.progress.waiting();
            if outcome.is_err() || waiting.wakers.is_empty() {
                waiting.leading = false;
                drop(waiting);
                self.done = true;
                return;
            }
        }
    }
}

impl<J> Drop for Leader<J> {
    fn drop(&mut self) {
        if !self.done {
            let why =
                Error::new(ErrorKind::Closed, "commit").because("the runtime ended before the fsync did");
            self.progress.settle(0, Err(why));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicUsize;
    use terrace_store::fakes::FrozenClock;
    use terrace_store::tokio_runtime::TokioSpawn;

    #[derive(Default)]
    struct Disk {
        handed_over: AtomicUsize,
        synced: AtomicUsize,
        broken: bool,
    }

    impl Journal for Disk {
        fn hand_over(&self) -> Result<()> {
            self.handed_over.fetch_add(1, Ordering::Relaxed);
            Ok(())
        }
        fn sync(&self) -> Result<()> {
            self.synced.fetch_add(1, Ordering::Relaxed);
            if self.broken { Err(Error::new(ErrorKind::Unavailable, "sync")) } else { Ok(()) }
        }
    }

    #[test]
    fn what_was_handed_over_is_not_handed_over_again() {
        let (progress, disk) = (Progress::default(), Disk::default());
        progress.hand_over(&disk).unwrap();
        progress.wrote();
        progress.wrote();
        progress.hand_over(&disk).unwrap();
        progress.hand_over(&disk).unwrap();
        assert_eq!(disk.handed_over.load(Ordering::Relaxed), 1);
        assert!(progress.is_dirty());
        progress.sync(&disk).unwrap();
        assert!(!progress.is_dirty());
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn writers_who_wait_together_share_an_fsync() {
        let (progress, disk) = (Arc::new(Progress::default()), Arc::new(Disk::default()));
        let frozen = FrozenClock::default();
        let clock: Arc<dyn Clock> = Arc::new(frozen.clone());
        let tasks = Tasks::new(Arc::new(TokioSpawn::current().unwrap()));
        let mut writers = Vec::new();
        for _ in 0..20 {
            let (progress, disk, tasks, clock) =
                (progress.clone(), disk.clone(), tasks.clone(), clock.clone());
            writers.push(tokio::spawn(async move {
                progress.wrote();
                synced(&progress, &disk, &tasks, &clock, Duration::from_millis(2)).await
            }));
        }
        while progress.waiting().wakers.len() < 20 || frozen.sleepers() == 0 {
            tokio::task::yield_now().await;
        }
        frozen.advance_ms(2);
        for writer in writers {
            writer.await.unwrap().unwrap();
        }
        assert_eq!(disk.synced.load(Ordering::Relaxed), 1);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_failed_fsync_is_unknown_to_those_who_waited_and_is_not_tried_again() {
        let disk = Arc::new(Disk { broken: true, ..Disk::default() });
        let progress = Arc::new(Progress::default());
        let clock: Arc<dyn Clock> = Arc::new(FrozenClock::default());
        let tasks = Tasks::new(Arc::new(TokioSpawn::current().unwrap()));
        for _ in 0..2 {
            progress.wrote();
            let error = synced(&progress, &disk, &tasks, &clock, Duration::ZERO).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Unknown);
        }
        assert_eq!(disk.synced.load(Ordering::Relaxed), 1);
        assert!(progress.failure().is_some());
    }
}
