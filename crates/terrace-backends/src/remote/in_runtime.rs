//! A future that belongs to a tokio runtime, polled by whoever waits for it.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use terrace_store::{Error, ErrorKind, Result};
use tokio::runtime::Handle;

/// Polls a future with the runtime at hand that its timers and connections belong to.
pub(crate) struct InRuntime<F>(Handle, Pin<Box<F>>);

impl<F: Future> InRuntime<F> {
    pub(crate) fn new(runtime: &Handle, future: F) -> Self {
        Self(runtime.clone(), Box::pin(future))
    }
}

impl<F: Future> Future for InRuntime<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        let Self(runtime, future) = &mut *self;
        let _here = runtime.enter();
        future.as_mut().poll(context)
    }
}

/// The runtime that a store of this name is opened in.
///
/// # Errors
/// `Config` outside of one.
pub(crate) fn runtime(store: &'static str) -> Result<Handle> {
    Handle::try_current().map_err(|_| {
        let error = Error::new(ErrorKind::Config, "open").with("store", store);
        error.because("it is opened outside of a tokio runtime; its connections need one")
    })
}
