//! What the HTTP side knows: the keys, its limits, who may come in, and the few facts of the rest of the server
//! that it shows. The rest of the server fills in a [`Setup`]; HTTP knows nothing else of it.

use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::Poll;
use std::time::Duration;

use axum::http::StatusCode;
use bytes::Bytes;
use terrace::backends::wire;
use terrace::tiers::Tier;
use terrace_store::Clock;
use terrace_store::store::VALUE_LIMIT;
use tokio::sync::{Semaphore, watch};

use super::problem::Problem;
use super::rates::Rates;
use super::sampler::Sample;
use super::stores::Stores;
use crate::keyspace::Keyspace;

/// What is allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of all header fields of a request, without its first line, which has 64 KiB of its own so that long
    /// keys fit.
    pub headers: usize,
    /// Bytes of a request's body, and so of a value.
    pub body: usize,
    /// Bytes of all bodies on their way in at a time. Requests beyond that are answered 503.
    pub uploads: usize,
    /// How long the body of a request may take to arrive.
    pub upload_time: Duration,
    /// How long the tiers may take to answer a request.
    pub request_time: Duration,
    /// How long a connection may be silent: before a request, in the middle of its headers, or while it does not
    /// take what is sent.
    pub silence: Duration,
    /// Connections at a time. More wait to be accepted.
    pub connections: usize,
    /// Listeners to the live events at a time. More are refused.
    pub listeners: usize,
    /// How long requests under way may take when the server stops.
    pub grace: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            headers: 16 << 10,
            body: VALUE_LIMIT,
            uploads: 256 << 20,
            upload_time: Duration::from_secs(60),
            request_time: Duration::from_secs(30),
            silence: Duration::from_secs(30),
            connections: 1024,
            listeners: 64,
            grace: Duration::from_secs(5),
        }
    }
}

/// What the Redis side has done so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Activity {
    /// Connections open now.
    pub connections: u64,
    /// Connections accepted since the start.
    pub connections_total: u64,
    /// Commands processed since the start.
    pub commands_total: u64,
}

/// What does not change while the server runs.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    /// The version of the program.
    pub version: String,
    /// Where Redis clients connect, such as `127.0.0.1:7379`.
    pub redis_address: Option<String>,
    /// Where HTTP clients connect, such as `127.0.0.1:7380`.
    pub http_address: Option<String>,
    /// Whether both speak TLS.
    pub tls: bool,
    /// How many bytes each tier below the hot one may hold, where it has a budget.
    pub capacities: Vec<(Tier, u64)>,
}

/// What can change while the server runs, by CONFIG SET.
pub trait Live: Send + Sync {
    /// The password; without one all are let in.
    fn password(&self) -> Option<Bytes>;

    /// Names and values of the settings in force, without secrets, in the order to show them.
    fn settings(&self) -> Vec<(String, String)>;
}

/// What the HTTP side is made with.
pub struct Setup {
    /// The keys.
    pub keyspace: Arc<Keyspace>,
    /// What is allowed.
    pub limits: Limits,
    /// What can change.
    pub live: Box<dyn Live>,
    /// Whether only requests to an address or to `localhost` are answered while there is no password. To be set
    /// where the server listens on the loopback interface: otherwise any web page could reach it through a name of
    /// its own that resolves to the loopback address.
    pub local_names_only: bool,
    /// What does not change.
    pub facts: Facts,
    /// Asks the Redis side.
    pub activity: Box<dyn Fn() -> Activity + Send + Sync>,
}

/// What all requests share.
pub struct HttpState {
    pub(crate) keyspace: Arc<Keyspace>,
    pub(crate) limits: Limits,
    pub(crate) live: Box<dyn Live>,
    pub(crate) local_names_only: bool,
    pub(crate) facts: Facts,
    pub(crate) activity: Box<dyn Fn() -> Activity + Send + Sync>,
    pub(crate) started: Duration,
    pub(crate) traffic: Traffic,
    /// Permits of [`UPLOAD_UNIT`] bytes.
    pub(crate) uploads: Semaphore,
    pub(crate) listeners: AtomicUsize,
    pub(crate) stop: watch::Sender<bool>,
    pub(crate) sample: watch::Sender<Option<Arc<Sample>>>,
    pub(crate) history: Mutex<VecDeque<Rates>>,
    pub(crate) sampling: std::sync::atomic::AtomicBool,
    pub(crate) stores: Stores,
    /// How often watchers of stores were asked to be told everything.
    pub(crate) beats: watch::Sender<u64>,
}

/// What one permit for uploads stands for, in bytes.
pub(crate) const UPLOAD_UNIT: usize = 1024;

impl HttpState {
    /// The state of a server that begins now.
    pub fn new(setup: Setup) -> Arc<Self> {
        let Setup { keyspace, limits, live, local_names_only, facts, activity } = setup;
        let started = keyspace.clock().now();
        // One body of the largest size must always fit.
        let longest = limits.body.max(wire::LONGEST);
        let uploads = limits.uploads.max(longest).div_ceil(UPLOAD_UNIT).min(Semaphore::MAX_PERMITS);
        Arc::new(Self {
            keyspace,
            limits,
            live,
            local_names_only,
            facts,
            activity,
            started,
            traffic: Traffic::default(),
            uploads: Semaphore::new(uploads),
            listeners: AtomicUsize::new(0),
            stop: watch::Sender::new(false),
            sample: watch::Sender::new(None),
            history: Mutex::default(),
            sampling: std::sync::atomic::AtomicBool::new(false),
            stores: Stores::default(),
            beats: watch::Sender::new(0),
        })
    }

    pub(crate) fn clock(&self) -> &Arc<dyn Clock> {
        self.keyspace.clock()
    }

    pub(crate) fn wall_ms(&self) -> u64 {
        self.clock().wall_ms()
    }

    /// Ends live events and the sampler.
    pub(crate) fn stop(&self) {
        self.stop.send_replace(true);
    }

    /// Waits for the tiers, but not for ever.
    pub(crate) async fn within<T>(
        &self,
        work: impl Future<Output = Result<T, Problem>>,
    ) -> Result<T, Problem> {
        let limit = self.limits.request_time;
        in_time(&**self.clock(), limit, work).await.unwrap_or_else(|| {
            Err(Problem::new(
                StatusCode::GATEWAY_TIMEOUT,
                "timeout",
                format!("no answer within {} s; a write may have been applied, or not", limit.as_secs()),
            ))
        })
    }
}

/// The outcome of a future, or `None` if it takes longer than this.
pub(crate) async fn in_time<T>(
    clock: &dyn Clock,
    limit: Duration,
    work: impl Future<Output = T>,
) -> Option<T> {
    let mut work = pin!(work);
    let mut timer = clock.sleep(limit);
    poll_fn(|context| match work.as_mut().poll(context) {
        Poll::Ready(done) => Poll::Ready(Some(done)),
        Poll::Pending => timer.as_mut().poll(context).map(|()| None),
    })
    .await
}

/// What the HTTP side counts of itself.
#[derive(Default)]
pub(crate) struct Traffic {
    connections: AtomicU64,
    connections_total: AtomicU64,
    /// By the first digit of the status, 1 to 5.
    answers: [AtomicU64; 5],
}

impl Traffic {
    pub(crate) fn answered(&self, status: StatusCode) {
        if let Some(count) = self.answers.get(usize::from(status.as_u16() / 100).wrapping_sub(1)) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Counts a connection until what is returned is dropped.
    pub(crate) fn connected(state: &Arc<HttpState>) -> Connected {
        state.traffic.connections.fetch_add(1, Ordering::Relaxed);
        state.traffic.connections_total.fetch_add(1, Ordering::Relaxed);
        Connected(Arc::clone(state))
    }

    /// Connections open now.
    pub(crate) fn connections(&self) -> u64 {
        self.connections.load(Ordering::Relaxed)
    }

    /// Connections accepted since the start.
    pub(crate) fn connections_total(&self) -> u64 {
        self.connections_total.load(Ordering::Relaxed)
    }

    /// Requests answered since the start, by the first digit of the status, from 1.
    pub(crate) fn answers(&self) -> [u64; 5] {
        std::array::from_fn(|class| self.answers[class].load(Ordering::Relaxed))
    }
}

/// A connection that is counted.
pub(crate) struct Connected(Arc<HttpState>);

impl Drop for Connected {
    fn drop(&mut self) {
        self.0.traffic.connections.fetch_sub(1, Ordering::Relaxed);
    }
}
