//! One door for tasks: whoever starts work in the background goes through here, and every task has an owner
//! that can end it and wait for it.

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use crate::clock::Clock;
use crate::store::BoxFuture;

/// Starts tasks on some runtime.
pub trait Spawn: Send + Sync + 'static {
    /// Runs the future in the background. If the runtime has ended the future is dropped, which its owner
    /// notices (see [`Tasks`]).
    fn spawn(&self, name: &'static str, future: BoxFuture<'static, ()>);

    /// Runs work that blocks (an fsync, a directory walk) where that holds nobody up.
    fn spawn_blocking(&self, name: &'static str, work: Box<dyn FnOnce() + Send>);

    /// Whether the calling thread may wait for a task of this runtime without keeping it from running.
    fn may_block(&self) -> bool;
}

/// Runs blocking work off the calling task and waits for its result.
///
/// # Panics
/// If the work panics, or the runtime ends before it ran: there is then no result to return.
pub async fn offload<T: Send + 'static>(
    spawn: &dyn Spawn,
    name: &'static str,
    work: impl FnOnce() -> T + Send + 'static,
) -> T {
    let slot = Arc::new(Mutex::new((None::<T>, None::<Waker>, false)));
    let done = Done(Arc::clone(&slot));
    spawn.spawn_blocking(
        name,
        Box::new(move || {
            let value = work();
            lock(&done.0).0 = Some(value);
            drop(done);
        }),
    );
    std::future::poll_fn(move |context| {
        let mut slot = lock(&slot);
        match slot.0.take() {
            Some(value) => Poll::Ready(value),
            None if slot.2 => panic!("blocking work `{name}` ended without a result"),
            None => {
                slot.1 = Some(context.waker().clone());
                Poll::Pending
            }
        }
    })
    .await
}

/// What an offloaded piece of work leaves: its result, who waits, and whether it has ended.
type Slot<T> = Arc<Mutex<(Option<T>, Option<Waker>, bool)>>;

struct Done<T>(Slot<T>);

impl<T> Drop for Done<T> {
    fn drop(&mut self) {
        let mut slot = lock(&self.0);
        slot.2 = true;
        if let Some(waker) = slot.1.take() {
            drop(slot);
            waker.wake();
        }
    }
}

fn lock<T: ?Sized>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The tasks of one owner. Closing it ends them all, and tells when none is left.
#[derive(Clone)]
pub struct Tasks {
    spawn: Arc<dyn Spawn>,
    group: Arc<Group>,
}

#[derive(Default)]
struct Group {
    closing: AtomicBool,
    state: Mutex<GroupState>,
}

#[derive(Default)]
struct GroupState {
    running: usize,
    next: u64,
    /// Wakers of tasks that wait, so that an abort reaches them at once.
    waiting: std::collections::HashMap<u64, Waker>,
    idle: Vec<Waker>,
    abort: bool,
}

impl Tasks {
    /// An empty group whose tasks run on this runtime.
    pub fn new(spawn: Arc<dyn Spawn>) -> Self {
        Self { spawn, group: Arc::default() }
    }

    /// The runtime the tasks run on.
    pub fn runtime(&self) -> &Arc<dyn Spawn> {
        &self.spawn
    }

    /// Starts a task. After [`Tasks::close`] it is dropped at once instead.
    pub fn spawn(&self, name: &'static str, future: impl Future<Output = ()> + Send + 'static) {
        let id = {
            let mut state = lock(&self.group.state);
            if state.abort {
                return;
            }
            state.running += 1;
            state.next += 1;
            state.next
        };
        let member = Member { group: Arc::clone(&self.group), id, future: Some(Box::pin(future)) };
        self.spawn.spawn(name, Box::pin(member));
    }

    /// How many tasks have not ended.
    pub fn running(&self) -> usize {
        lock(&self.group.state).running
    }

    /// Whether [`Tasks::close`] was called; long tasks look now and then and end by themselves.
    pub fn is_closing(&self) -> bool {
        self.group.closing.load(Ordering::Relaxed)
    }

    /// Waits at most `grace` for the tasks to end by themselves, then drops those that have not, and returns
    /// how many that were.
    pub async fn close(&self, clock: &dyn Clock, grace: Duration) -> usize {
        self.group.closing.store(true, Ordering::Relaxed);
        let mut timer = clock.sleep(grace);
        let in_time = std::future::poll_fn(|context| {
            if self.poll_idle(context).is_ready() {
                return Poll::Ready(true);
            }
            timer.as_mut().poll(context).map(|()| false)
        })
        .await;
        if in_time {
            return 0;
        }
        let (left, wakers) = {
            let mut state = lock(&self.group.state);
            state.abort = true;
            (state.running, std::mem::take(&mut state.waiting))
        };
        wakers.into_values().for_each(Waker::wake);
        std::future::poll_fn(|context| self.poll_idle(context)).await;
        left
    }

    fn poll_idle(&self, context: &Context<'_>) -> Poll<()> {
        let mut state = lock(&self.group.state);
        if state.running == 0 {
            // Nothing starts any more.
            state.abort = true;
            return Poll::Ready(());
        }
        state.idle.push(context.waker().clone());
        Poll::Pending
    }
}

struct Member {
    group: Arc<Group>,
    id: u64,
    future: Option<BoxFuture<'static, ()>>,
}

impl Future for Member {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let member = &mut *self;
        {
            let mut state = lock(&member.group.state);
            if state.abort {
                return Poll::Ready(());
            }
            state.waiting.insert(member.id, context.waker().clone());
        }
        match &mut member.future {
            Some(future) => future.as_mut().poll(context),
            None => Poll::Ready(()),
        }
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        // What the task holds is released before the group counts it as ended.
        self.future = None;
        let idle = {
            let mut state = lock(&self.group.state);
            state.running -= 1;
            state.waiting.remove(&self.id);
            if state.running == 0 { std::mem::take(&mut state.idle) } else { Vec::new() }
        };
        idle.into_iter().for_each(Waker::wake);
    }
}

#[cfg(all(test, feature = "tokio"))]
mod tests {
    use super::*;
    use crate::tokio_runtime::{TokioClock, TokioSpawn};

    #[tokio::test]
    async fn closing_waits_for_tasks_that_end_and_drops_those_that_do_not() {
        let tasks = Tasks::new(Arc::new(TokioSpawn::current().unwrap()));
        let clock = TokioClock::current().unwrap();
        let witness = Arc::new(());
        let held = Arc::clone(&witness);
        tasks.spawn("ends", async {});
        tasks.spawn("hangs", async move {
            std::future::pending::<()>().await;
            drop(held);
        });
        assert_eq!(tasks.close(&clock, Duration::from_millis(20)).await, 1);
        assert_eq!(Arc::strong_count(&witness), 1, "what the hung task held is released");
        tasks.spawn("late", async { unreachable!("a closed group starts nothing") });
        assert_eq!(tasks.running(), 0);
    }

    #[tokio::test]
    async fn offloaded_work_returns_its_result() {
        let spawn = TokioSpawn::current().unwrap();
        assert_eq!(offload(&spawn, "sum", || 1 + 1).await, 2);
    }
}
