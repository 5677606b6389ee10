//! Who asks: an identity that goes along with a call without being an argument of it.
//!
//! Decision: a scope around a future, as runtimes have task-local values, and not a parameter of every method: engines have
//! nothing to do with who asks, and only a layer that checks or records it looks. The scope is entered for each poll of the
//! future and left after it, so it costs two writes of a thread's own memory a poll, needs no runtime, and never shows in
//! another task. What is started in a task of its own is outside: it has no identity unless it is given one, and a check
//! that finds none treats the caller as nobody. So whatever shares one read among several callers (a flight, a cache)
//! must stand below the check.

use std::cell::RefCell;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

/// Who asks: a name, and the groups it belongs to. Cloning it is a reference count.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity(Arc<Inner>);

#[derive(Debug, PartialEq, Eq)]
struct Inner {
    name: String,
    groups: Vec<String>,
}

thread_local! {
    static CURRENT: RefCell<Option<Identity>> = const { RefCell::new(None) };
}

impl Identity {
    /// Somebody of this name, in these groups. It is believed: whoever makes it has checked it.
    pub fn new(name: impl Into<String>, groups: impl IntoIterator<Item = impl Into<String>>) -> Self {
        let groups = groups.into_iter().map(Into::into).collect();
        Self(Arc::new(Inner { name: name.into(), groups }))
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// The groups it belongs to.
    pub fn groups(&self) -> &[String] {
        &self.0.groups
    }

    /// Who asks in the scope that is being polled on this thread.
    pub fn current() -> Option<Self> {
        CURRENT.with_borrow(Clone::clone)
    }

    /// The future, in which [`Identity::current`] is this one.
    pub fn scope<F: Future>(self, future: F) -> Scope<F> {
        Scope { identity: self, future: Box::pin(future) }
    }
}

/// A future with an identity. Made by [`Identity::scope`].
pub struct Scope<F> {
    identity: Identity,
    future: Pin<Box<F>>,
}

/// Puts back who asked before, also if the future panics.
struct Before(Option<Identity>);

impl Drop for Before {
    fn drop(&mut self) {
        CURRENT.set(self.0.take());
    }
}

impl<F: Future> Future for Scope<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        let _before = Before(CURRENT.replace(Some(self.identity.clone())));
        self.future.as_mut().poll(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::block_on;
    use crate::block_on::poll_once;

    #[test]
    fn an_identity_is_there_in_its_scope_and_nowhere_else() {
        let name = || Identity::current().map(|identity| identity.name().to_owned());
        let (outer, inner) = (Identity::new("outer", ["a"]), Identity::new("inner", [""; 0]));
        let seen = block_on(outer.scope(async {
            let before = name();
            let within = inner.scope(async { name() }).await;
            (before, within, name())
        }));
        assert_eq!(seen, (Some("outer".into()), Some("inner".into()), Some("outer".into())));
        assert_eq!(name(), None);
    }

    #[test]
    fn a_future_that_waits_leaves_its_thread_to_others() {
        let mut polls = 0;
        let waits = Identity::new("waits", [""; 0]).scope(std::future::poll_fn(move |_| {
            polls += 1;
            if polls == 2 { Poll::Ready(Identity::current()) } else { Poll::Pending }
        }));
        let waits = poll_once(waits).expect_err("it waits");
        assert_eq!(Identity::current(), None);
        assert!(poll_once(waits).is_ok_and(|found| found.is_some()));
        let panics = Identity::new("panics", [""; 0]).scope(async { panic!("on purpose") });
        let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| block_on(panics)));
        assert!(caught.is_err() && Identity::current().is_none());
    }
}
