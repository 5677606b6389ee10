//! A future that belongs to a tokio runtime, polled by whoever waits for it.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

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
