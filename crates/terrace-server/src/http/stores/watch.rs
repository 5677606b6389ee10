//! `GET /v1/stores/{name}/watch`: the changes of a prefix as they happen, as server-sent events.
//!
//! ```text
//! event: put       data: {"key":"a%2Fb","version":"12"}
//! event: deleted   data: {"key":"a%2Fb","version":"13"}
//! event: cleared   data: {"all":false}                     this namespace, or the whole store
//! event: lagged    data: {}                                some changes were dropped here
//! event: beat      data: {"number":1}                      everything told before request 1 of a beat came before
//! ```
//!
//! Once the answer has begun, no later change is missed. The server keeps no history: who comes back reads again. A
//! comment every few seconds tells that the server is there.

use std::convert::Infallible;
use std::fmt::Write;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use axum::Json;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::http::{HeaderName, HeaderValue};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use hyper::body::{Body as HttpBody, Frame};
use serde::Deserialize;
use serde_json::{Value, json};
use terrace_store::capability::{Change, Changes};
use terrace_store::{Clock, Key, Namespace, Store, Version};
use tokio::sync::watch;

use super::super::events::Seat;
use super::super::percent::{self, Place};
use super::super::problem::Problem;
use super::super::query::Query;
use super::super::state::HttpState;
use super::{missing, name_of, open, order};

/// How often it is told that the server is there.
const EVERY: Duration = Duration::from_secs(5);
/// The length from which on what is told is sent.
const ENOUGH: usize = 16 << 10;
/// How many times that a watcher may have unread, and more.
const MOST_PARTS: usize = 64;

/// Begins to watch.
pub(super) async fn listen(
    State(state): State<Arc<HttpState>>,
    request: Request,
) -> Result<Response, Problem> {
    let name = name_of(&request);
    let query = Query::of(request.uri(), &["namespace", "prefix"])?;
    let namespace = Namespace::new(query.bytes("namespace").unwrap_or_default())?;
    let prefix = Bytes::copy_from_slice(query.bytes("prefix").unwrap_or_default());
    let seat = Seat::take(&state)?;
    let watching = async {
        let store = open(&state, &name).await?;
        let watch = store.as_watch().ok_or_else(|| missing("watch"))?;
        Ok(watch.watch(&namespace, prefix).await?)
    };
    let told = Told {
        changes: state.within(watching).await?,
        beats: state.beats.subscribe(),
        stop: state.stop.subscribe(),
        clock: Arc::clone(state.clock()),
    };
    let events =
        Events { greeting: Some(Bytes::from_static(b":\n\n")), next: Box::pin(next(told)), _seat: seat };
    let headers = [
        (CONTENT_TYPE, HeaderValue::from_static("text/event-stream")),
        (CACHE_CONTROL, HeaderValue::from_static("no-store")),
        (HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no")),
    ];
    Ok((headers, Body::new(events)).into_response())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Nothing {}

/// `POST /v1/stores/{name}/beat`: lets every watcher be told a number, after all that was told to it before.
pub(super) async fn beat(
    State(state): State<Arc<HttpState>>,
    request: Request,
) -> Result<Json<Value>, Problem> {
    let name = name_of(&request);
    let Nothing {} = order(&state, request).await?;
    open(&state, &name).await?;
    let mut number = 0;
    state.beats.send_modify(|last| {
        *last += 1;
        number = *last;
    });
    Ok(Json(json!({ "number": number })))
}

/// What a watcher is told of.
struct Told {
    changes: Box<dyn Changes>,
    beats: watch::Receiver<u64>,
    stop: watch::Receiver<bool>,
    clock: Arc<dyn Clock>,
}

/// What is told next, and what to wait for what comes after with; `None` when the server or the store ends.
type Next = Option<(Bytes, Told)>;

/// What there is to tell.
enum What {
    Change(Change),
    Beat,
    Alive,
}

async fn next(mut told: Told) -> Next {
    let what = tokio::select! {
        biased;
        beat = told.beats.changed() => beat.map(|()| What::Beat).ok()?,
        change = told.changes.next() => What::Change(change?),
        _ = told.stop.wait_for(|stopped| *stopped) => return None,
        () = told.clock.sleep(EVERY) => What::Alive,
    };
    let mut text = String::new();
    match what {
        What::Change(change) => {
            say(&mut text, &change);
            told.drain(&mut text);
        }
        What::Beat => {
            let number = *told.beats.borrow_and_update();
            // What was told before it comes before it.
            told.drain_all(&mut text);
            event(&mut text, "beat", &json!({ "number": number }));
        }
        What::Alive => text.push_str(":\n\n"),
    }
    Some((text.into(), told))
}

impl Told {
    /// Adds what is there already, until it is enough. `false` if nothing more is there.
    fn drain(&mut self, text: &mut String) -> bool {
        while text.len() < ENOUGH {
            let mut next = self.changes.next();
            match next.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
                // Its end is told to whoever waits for it.
                Poll::Pending | Poll::Ready(None) => return false,
                Poll::Ready(Some(change)) => say(text, &change),
            }
        }
        true
    }

    /// Adds all that is there already, as far as writers that never end let it.
    fn drain_all(&mut self, text: &mut String) {
        let mut part = String::new();
        for _ in 0..MOST_PARTS {
            let more = self.drain(&mut part);
            text.push_str(&std::mem::take(&mut part));
            if !more {
                return;
            }
        }
    }
}

fn say(text: &mut String, change: &Change) {
    let of = |key: &Key, version: &Version| json!({ "key": percent::encode(key.bytes(), Place::Segment), "version": version.to_string() });
    match change {
        Change::Put { key, version } => event(text, "put", &of(key, version)),
        Change::Deleted { key, version } => event(text, "deleted", &of(key, version)),
        Change::Cleared(namespace) => event(text, "cleared", &json!({ "all": namespace.is_none() })),
        // What a later release tells of is told as something that was missed.
        _ => event(text, "lagged", &json!({})),
    }
}

fn event(text: &mut String, name: &str, data: &Value) {
    // Writing to a string cannot fail.
    let _ = write!(text, "event: {name}\ndata: {data}\n\n");
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
            let (text, told) = outcome?;
            self.next = Box::pin(next(told));
            Some(Ok(Frame::data(text)))
        })
    }
}
