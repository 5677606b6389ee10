//! The threads that serve connections: one event loop each, pinned to a processor.
//!
//! Decision: a connection stays on the thread it was given to, so its buffers stay in that processor's cache and
//! no command hops between threads; the keys are shared and commands run in place. A new connection goes to the
//! thread with the fewest.

use std::pin::Pin;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use super::process;
use super::seats::{Seat, Seats};
use super::stop::noticed;
use crate::exit::{Exit, Failure};

/// What serves one connection on the thread it runs on.
pub(super) type Serving = Pin<Box<dyn Future<Output = ()> + Send>>;

/// A connection on its way to a thread: makes the future that serves it, on that thread.
pub(super) type Job = Box<dyn FnOnce() -> Serving + Send>;

/// The way to a thread, and how many connections it has.
#[derive(Clone)]
struct Lane {
    jobs: mpsc::UnboundedSender<(Job, Seat)>,
    load: Seats,
}

struct Worker {
    lane: Lane,
    thread: JoinHandle<usize>,
}

/// All threads.
pub(super) struct Workers(Vec<Worker>);

/// Hands connections to the threads.
#[derive(Clone)]
pub(super) struct Dispatch(Arc<[Lane]>);

impl Workers {
    /// Starts so many threads. When the notice comes they take no more connections, and those there are get
    /// `grace` to end.
    ///
    /// # Errors
    /// If the system gives no thread.
    pub(super) fn start(
        count: usize,
        notice: &watch::Receiver<bool>,
        grace: Duration,
    ) -> Result<Self, Failure> {
        let processors = process::processors();
        // More threads than processors are better moved about by the system.
        let pinned = count <= processors.len();
        let start = |number: usize| {
            let (jobs, queue) = mpsc::unbounded_channel();
            let processor = processors.get(number).copied().filter(|_| pinned);
            let notice = notice.clone();
            let thread = std::thread::Builder::new()
                .name(format!("serve-{number}"))
                .spawn(move || work(queue, notice, processor, grace))
                .map_err(|error| Failure::new(Exit::Internal, format!("cannot start a thread: {error}")))?;
            Ok(Worker { lane: Lane { jobs, load: Seats::new(usize::MAX) }, thread })
        };
        (0..count).map(start).collect::<Result<_, _>>().map(Self)
    }

    /// What hands connections to them.
    pub(super) fn dispatch(&self) -> Dispatch {
        Dispatch(self.0.iter().map(|worker| worker.lane.clone()).collect())
    }

    /// Waits for the threads, which end some time after the notice, and returns how many connections had to be cut
    /// off. Blocks.
    pub(super) fn join(self) -> usize {
        self.0.into_iter().map(|worker| worker.thread.join().unwrap_or(0)).sum()
    }
}

impl Dispatch {
    /// Gives a connection to the thread with the fewest. After the end of the threads it is dropped.
    pub(super) fn hand_over(&self, job: Job) {
        let Some(lane) = self.0.iter().min_by_key(|lane| lane.load.taken()) else { return };
        if let Some(seat) = lane.load.take() {
            let _ = lane.jobs.send((job, seat));
        }
    }
}

/// What a thread does. Returns how many connections had not ended when its time was over.
fn work(
    queue: mpsc::UnboundedReceiver<(Job, Seat)>,
    notice: watch::Receiver<bool>,
    processor: Option<usize>,
    grace: Duration,
) -> usize {
    if let Some(processor) = processor {
        process::pin(processor);
    }
    match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime.block_on(run(queue, notice, grace)),
        Err(error) => {
            eprintln!("terrace: a thread cannot serve connections: {error}");
            0
        }
    }
}

async fn run(
    mut queue: mpsc::UnboundedReceiver<(Job, Seat)>,
    mut notice: watch::Receiver<bool>,
    grace: Duration,
) -> usize {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            job = queue.recv() => match job {
                Some((job, seat)) => {
                    connections.spawn(async move {
                        job().await;
                        drop(seat);
                    });
                }
                None => break,
            },
            // Collects those that ended; one that panicked has said so, and took nobody with it.
            Some(_) = connections.join_next(), if !connections.is_empty() => {}
            () = noticed(&mut notice) => break,
        }
    }
    drop(queue);
    let ended = async { while connections.join_next().await.is_some() {} };
    if tokio::time::timeout(grace, ended).await.is_ok() {
        return 0;
    }
    let left = connections.len();
    connections.shutdown().await;
    left
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::super::stop::Stop;
    use super::*;

    #[test]
    fn connections_are_spread_evenly_and_stay_on_their_thread() {
        let stop = Stop::new();
        let workers = Workers::start(2, &stop.notice(), Duration::from_secs(10)).unwrap();
        let dispatch = workers.dispatch();
        let threads = Arc::new(Mutex::new(Vec::new()));
        let all = Arc::new(tokio::sync::Barrier::new(4));
        for _ in 0..4 {
            let (threads, all, mut notice) = (Arc::clone(&threads), Arc::clone(&all), stop.notice());
            dispatch.hand_over(Box::new(move || {
                Box::pin(async move {
                    all.wait().await;
                    threads.lock().unwrap().push(std::thread::current().id());
                    noticed(&mut notice).await;
                })
            }));
        }
        while threads.lock().unwrap().len() < 4 {
            std::thread::yield_now();
        }
        stop.now();
        assert_eq!(workers.join(), 0);
        let threads = threads.lock().unwrap();
        let first = threads.iter().filter(|thread| **thread == threads[0]).count();
        assert_eq!((threads.len(), first), (4, 2));
    }

    #[test]
    fn what_does_not_end_is_cut_off_and_counted() {
        let stop = Stop::new();
        let workers = Workers::start(1, &stop.notice(), Duration::from_millis(20)).unwrap();
        let (begun, begins) = std::sync::mpsc::channel();
        workers.dispatch().hand_over(Box::new(move || {
            Box::pin(async move {
                begun.send(()).unwrap();
                std::future::pending::<()>().await;
            })
        }));
        begins.recv().unwrap();
        stop.now();
        assert_eq!(workers.join(), 1);
    }

    #[test]
    fn a_connection_that_panics_takes_nobody_with_it() {
        let stop = Stop::new();
        let workers = Workers::start(1, &stop.notice(), Duration::from_secs(10)).unwrap();
        let dispatch = workers.dispatch();
        dispatch.hand_over(Box::new(|| Box::pin(async { panic!("on purpose") })));
        let (served, serves) = std::sync::mpsc::channel();
        dispatch.hand_over(Box::new(move || Box::pin(async move { served.send(()).unwrap() })));
        serves.recv().unwrap();
        stop.now();
        workers.join();
    }
}
