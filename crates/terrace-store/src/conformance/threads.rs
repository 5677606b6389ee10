//! Threads that hammer a store while the task that waits for them goes on being polled, so that a store whose
//! own tasks run on that task's thread is not starved by the test.

use std::future::poll_fn;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Poll, Waker};
use std::thread;
use std::time::Duration;

use crate::store::BoxFuture;

#[derive(Default)]
struct Crowd {
    running: usize,
    waiting: Option<Waker>,
}

struct Present(Arc<Mutex<Crowd>>);

impl Drop for Present {
    fn drop(&mut self) {
        let mut crowd = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        crowd.running -= 1;
        if let Some(waker) = crowd.waiting.take() {
            waker.wake();
        }
    }
}

/// Runs the work on this many threads at once; each is told its number. The panic of one is passed on.
pub(super) async fn threads<T: Send + 'static>(
    count: usize,
    work: impl Fn(usize) -> T + Send + Sync + 'static,
) -> Vec<T> {
    let work = Arc::new(work);
    let start = Arc::new(std::sync::Barrier::new(count));
    let crowd = Arc::new(Mutex::new(Crowd { running: count, waiting: None }));
    let one = |number| {
        let (work, start) = (Arc::clone(&work), Arc::clone(&start));
        let present = Present(Arc::clone(&crowd));
        thread::spawn(move || {
            let _present = present;
            start.wait();
            work(number)
        })
    };
    let handles: Vec<_> = (0..count).map(one).collect();
    poll_fn(|context| {
        let mut crowd = crowd.lock().unwrap_or_else(PoisonError::into_inner);
        if crowd.running == 0 {
            return Poll::Ready(());
        }
        crowd.waiting = Some(context.waker().clone());
        Poll::Pending
    })
    .await;
    let end = |handle: thread::JoinHandle<T>| match handle.join() {
        Ok(value) => value,
        Err(panic) => std::panic::resume_unwind(panic),
    };
    handles.into_iter().map(end).collect()
}

/// Waits for the future, but not for ever: `None` after ten seconds. For streams, where a broken rule would
/// otherwise be a test that never ends. The time is real, since a store may wait for the network.
pub(super) async fn within<T>(future: BoxFuture<'_, T>) -> Option<T> {
    let mut future = future;
    let (over, waker) = (Arc::new(AtomicBool::new(false)), Arc::new(Mutex::new(None::<Waker>)));
    let mut alarm = None;
    poll_fn(move |context| {
        if let Poll::Ready(value) = future.as_mut().poll(context) {
            return Poll::Ready(Some(value));
        }
        if over.load(Ordering::Acquire) {
            return Poll::Ready(None);
        }
        *waker.lock().unwrap_or_else(PoisonError::into_inner) = Some(context.waker().clone());
        let (over, waker) = (Arc::clone(&over), Arc::downgrade(&waker));
        alarm.get_or_insert_with(|| {
            thread::spawn(move || {
                for _ in 0..1_000 {
                    thread::sleep(Duration::from_millis(10));
                    if waker.strong_count() == 0 {
                        return;
                    }
                }
                over.store(true, Ordering::Release);
                if let Some(waker) = waker.upgrade() {
                    let waker = waker.lock().unwrap_or_else(PoisonError::into_inner).take();
                    waker.into_iter().for_each(Waker::wake);
                }
            })
        });
        Poll::Pending
    })
    .await
}
