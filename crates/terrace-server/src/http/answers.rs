//! Which of the bytes that the HTTP library writes are answers of ours.
//!
//! What is no request at all never comes to the router: the library answers it itself, with a bare status line, and
//! has no hook to say more. But it writes such an answer last, and only when no answer of ours is under way; so
//! whatever it writes while nothing is owed to the client are its own words. The stream keeps those back, and
//! [`super::refusal`] says the same as a document, as every other failure is told.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Poll};

use axum::Router;
use axum::body::Body;
use axum::http::{Request, Response};
use bytes::Bytes;
use hyper::body::{Frame, Incoming, SizeHint};
use hyper::service::Service;
use hyper_util::service::TowerToHyperService;
use terrace_store::BoxFuture;

/// The answers of one connection. Everything happens in the one task that serves it.
#[derive(Default)]
pub(crate) struct Answers {
    under_way: AtomicUsize,
    /// Whether an answer is under way, or was and may not have been written yet.
    owed: AtomicBool,
}

impl Answers {
    fn begin(self: &Arc<Self>) -> UnderWay {
        self.under_way.fetch_add(1, Ordering::Relaxed);
        self.owed.store(true, Ordering::Relaxed);
        UnderWay(Arc::clone(self))
    }

    /// Notes that all that the library had to write is written.
    pub(crate) fn flushed(&self) {
        if self.under_way.load(Ordering::Relaxed) == 0 {
            self.owed.store(false, Ordering::Relaxed);
        }
    }

    /// Whether what is written now may be an answer of ours.
    pub(crate) fn are_owed(&self) -> bool {
        self.owed.load(Ordering::Relaxed)
    }
}

/// An answer from the request to the last byte of its body.
struct UnderWay(Arc<Answers>);

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.under_way.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The router, with each of its answers counted.
pub(crate) struct Answering {
    router: TowerToHyperService<Router>,
    answers: Arc<Answers>,
}

impl Answering {
    /// The router of one connection.
    pub(crate) fn new(router: Router, answers: Arc<Answers>) -> Self {
        Self { router: TowerToHyperService::new(router), answers }
    }
}

impl Service<Request<Incoming>> for Answering {
    type Response = Response<Tracked>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Response<Tracked>, Infallible>>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        let under_way = self.answers.begin();
        let answer = self.router.call(request);
        Box::pin(async move { Ok(answer.await?.map(|body| Tracked { body, _under_way: under_way })) })
    }
}

/// A body that is under way until it is dropped.
pub(crate) struct Tracked {
    body: Body,
    _under_way: UnderWay,
}

impl hyper::body::Body for Tracked {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
