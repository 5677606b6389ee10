//! Loaders: the caller's own source, run once for all who want its value.

use std::any::Any;
use std::future::poll_fn;
use std::num::NonZeroU64;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use terrace_store::{BoxFuture, Clock, Entry, Error, ErrorKind, Result, Tags};

use crate::parcel::Live;

/// Gets a value from where it comes from.
pub type Loader = Box<dyn FnOnce(Loading) -> BoxFuture<'static, Result<Loaded>> + Send>;

/// What a loader got.
pub struct Loaded {
    /// The live value.
    pub live: Live,
    /// What it weighs in the hot tier beside its key, in bytes.
    pub weight: u64,
    /// Whether that is all: otherwise its encoded length comes on top, where it is encoded.
    pub weighed: bool,
}

/// A loader, and what its value gets unless the loader says otherwise.
pub struct Load {
    /// Gives the value.
    pub loader: Loader,
    /// How long its value lives.
    pub lifetime: Lifetime,
}

/// How long a value lives, counted from its write.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lifetime {
    /// It ends after this many milliseconds.
    pub ttl_ms: Option<NonZeroU64>,
    /// It ends when it was not used for this many milliseconds.
    pub idle_ms: Option<NonZeroU64>,
}

impl Lifetime {
    /// Writes it into an entry that is written at this wall time.
    pub fn begin(self, entry: &mut Entry, wall_ms: u64) {
        entry.created_ms = wall_ms;
        entry.idle_ms = self.idle_ms;
        entry.expires_ms = self.ttl_ms.and_then(|ttl| NonZeroU64::new(wall_ms.saturating_add(ttl.get())));
    }
}

/// Runs a loader within its budget. One that panics or takes too long fails for those who wait.
pub(crate) async fn run(
    loader: Loader,
    loading: Loading,
    timeout: Option<Duration>,
    clock: &dyn Clock,
) -> Result<Loaded> {
    let mut load = Box::pin(unpanicked(loader, loading));
    let Some(timeout) = timeout else { return load.await };
    let mut timer = clock.sleep(timeout);
    poll_fn(|context| {
        if let Poll::Ready(result) = load.as_mut().poll(context) {
            return Poll::Ready(result);
        }
        timer.as_mut().poll(context).map(|()| {
            Err(Error::new(ErrorKind::Timeout, "load")
                .with("timeout_ms", timeout.as_millis())
                .because("the loader took too long"))
        })
    })
    .await
}

async fn unpanicked(loader: Loader, loading: Loading) -> Result<Loaded> {
    let mut future = catch_unwind(AssertUnwindSafe(|| loader(loading))).map_err(panicked)?;
    poll_fn(|context| match catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(context))) {
        Ok(poll) => poll,
        Err(panic) => Poll::Ready(Err(panicked(panic))),
    })
    .await
}

fn panicked(panic: Box<dyn Any + Send>) -> Error {
    let message = panic.downcast_ref::<&str>().copied();
    let message =
        message.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("no message");
    Error::new(ErrorKind::Load, "load").because(format!("the loader panicked: {message}"))
}

/// What a running loader can say about the value it is about to return. Clones speak of the same load.
#[derive(Clone, Default)]
pub struct Loading(Arc<Mutex<Said>>);

#[derive(Default)]
struct Said {
    ttl: Option<Duration>,
    tags: Vec<Bytes>,
    weight: Option<u32>,
    unstored: bool,
}

impl Loading {
    fn said<T>(&self, with: impl FnOnce(&mut Said) -> T) -> T {
        with(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The value lives this long.
    pub fn ttl(&self, ttl: Duration) {
        self.said(|said| said.ttl = Some(ttl));
    }

    /// The value belongs to this group.
    pub fn tag(&self, tag: impl AsRef<[u8]>) {
        let tag = Bytes::copy_from_slice(tag.as_ref());
        self.said(|said| said.tags.push(tag));
    }

    /// The value weighs this many bytes.
    pub fn weight(&self, weight: u32) {
        self.said(|said| said.weight = Some(weight));
    }

    /// The value goes to those who wait for it and is not kept.
    pub fn do_not_store(&self) {
        self.said(|said| said.unstored = true);
    }

    /// Whether the value is to be kept.
    pub(crate) fn is_stored(&self) -> bool {
        self.said(|said| !said.unstored)
    }

    /// Writes what was said into the value's entry.
    ///
    /// # Errors
    /// `Invalid` if the tags break a limit.
    pub(crate) fn describe(&self, entry: &mut Entry) -> Result<()> {
        self.said(|said| {
            if let Some(ttl) = said.ttl {
                let ttl_ms = u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX);
                entry.expires_ms = NonZeroU64::new(entry.created_ms.saturating_add(ttl_ms).max(1));
            }
            entry.tags = Tags::new(&said.tags)?;
            entry.weight = said.weight;
            Ok(())
        })
    }
}
