//! `/v1/events`: the state of the server once a second, as server-sent events.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER};
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use hyper::body::{Body as HttpBody, Frame};
use tokio::sync::watch;

use super::problem::Problem;
use super::query::Query;
use super::sampler::Sample;
use super::state::HttpState;

/// Tells a client that lost the connection to come back after two seconds.
const GREETING: &[u8] = b"retry: 2000\n\n";

/// Begins to listen.
pub(crate) async fn listen(
    State(state): State<Arc<HttpState>>,
    request: Request,
) -> Result<Response, Problem> {
    Query::of(request.uri(), &[])?;
    let seat = Seat::take(&state)?;
    state.start_sampling();
    let events = Events {
        greeting: Some(Bytes::from_static(GREETING)),
        next: Box::pin(next(state.sample.subscribe(), state.stop.subscribe(), true)),
        _seat: seat,
    };
    let headers = [
        (CONTENT_TYPE, HeaderValue::from_static("text/event-stream")),
        (CACHE_CONTROL, HeaderValue::from_static("no-store")),
        (HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no")),
    ];
    Ok((headers, Body::new(events)).into_response())
}

/// One of the listeners there may be.
pub(crate) struct Seat(Arc<HttpState>);

impl Seat {
    pub(crate) fn take(state: &Arc<HttpState>) -> Result<Self, Problem> {
        let seat = Self(Arc::clone(state));
        let taken = state.listeners.fetch_add(1, Ordering::AcqRel);
        let limit = state.limits.listeners;
        if taken < limit {
            return Ok(seat);
        }
        let detail = format!("{limit} listeners are there already; `/v1/stats` tells the same at any time");
        let problem = Problem::new(StatusCode::SERVICE_UNAVAILABLE, "busy", detail);
        Err(problem.with(RETRY_AFTER, HeaderValue::from_static("10")))
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.0.listeners.fetch_sub(1, Ordering::AcqRel);
    }
}

type Samples = watch::Receiver<Option<Arc<Sample>>>;
type Stop = watch::Receiver<bool>;
/// A sample, and what to wait for the one after it with.
type Next = Option<(Arc<Sample>, Samples, Stop)>;

/// The next sample and what to wait for the one after it with; `None` when the server stops. A listener that is
/// slow misses samples, and never holds up the others.
async fn next(mut samples: Samples, mut stop: Stop, first: bool) -> Next {
    if first {
        samples.mark_changed();
    }
    loop {
        tokio::select! {
            _ = stop.wait_for(|stopped| *stopped) => return None,
            changed = samples.changed() => changed.ok()?,
        }
        let sample = samples.borrow_and_update().clone();
        if let Some(sample) = sample {
            return Some((sample, samples, stop));
        }
    }
}

/// The body of the answer.
struct Events {
    greeting: Option<Bytes>,
    next: Pin<Box<dyn Future<Output = Next> + Send>>,
    _seat: Seat,
}

impl HttpBody for Events {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if let Some(greeting) = self.greeting.take() {
            return Poll::Ready(Some(Ok(Frame::data(greeting))));
        }
        self.next.as_mut().poll(context).map(|outcome| {
            let (sample, samples, stop) = outcome?;
            self.next = Box::pin(next(samples, stop, false));
            Some(Ok(Frame::data(sample.event.clone())))
        })
    }
}
