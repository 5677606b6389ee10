//! tracing: a span for every call, for whoever collects them.
//!
//! Target `terrace::store`, one span named `store` at debug level with the store's name, the operation, the namespace,
//! the bytes that went in and out, and how it ended; a failure is an event at warn level as well. Keys are shown only if
//! asked for, since they may name people. When nobody listens a call costs one relaxed load.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;

use terrace_store::{BoxFuture, Result, Store};
use tracing::field::Empty;

use crate::answer::Answer;
use crate::call::{Call, Subject};
use crate::guard::{Guarded, Policy};

/// What is shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TracingConfig {
    /// Whether keys are shown.
    pub keys: bool,
}

/// A store whose calls are traced.
pub type Tracing = Guarded<Spans>;

impl Tracing {
    /// Traces the calls to the store.
    pub fn over(inner: Arc<dyn Store>, config: TracingConfig) -> Self {
        let name = inner.name().to_owned();
        Self::new(inner, Spans { name, config })
    }
}

/// Makes spans. Made by [`Tracing::over`].
#[derive(Debug)]
pub struct Spans {
    name: String,
    config: TracingConfig,
}

impl Spans {
    fn span(&self, call: &Call<'_>) -> tracing::Span {
        let span = tracing::debug_span!(
            target: "terrace::store",
            "store",
            store = %self.name,
            operation = call.operation.name(),
            namespace = Empty,
            key = Empty,
            bytes_in = call.bytes_in,
            bytes_out = Empty,
            outcome = Empty,
        );
        if !span.is_disabled() {
            let (namespace, key) = match call.subject {
                Subject::Key(key) => (Some(key.namespace_name()), Some(key.bytes())),
                Subject::List(list) => (Some(list.namespace.name()), None),
                Subject::Namespace(namespace) => (namespace.map(|namespace| namespace.name()), None),
                Subject::Prefix(namespace, prefix) => (Some(namespace.name()), Some(prefix)),
                Subject::Name(name) => (None, Some(name)),
                Subject::Path(path) => (None, Some(path.as_bytes())),
                Subject::Store | Subject::Keys(_) | Subject::Writes(_) => (None, None),
            };
            if let Some(namespace) = namespace {
                span.record("namespace", tracing::field::display(namespace.escape_ascii()));
            }
            if let Some(key) = key.filter(|_| self.config.keys) {
                span.record("key", tracing::field::display(key.escape_ascii()));
            }
        }
        span
    }
}

impl Policy for Spans {
    async fn run<'a, T, M>(&'a self, call: Call<'a>, mut make: M) -> Result<T>
    where
        T: Answer + 'a,
        M: FnMut() -> BoxFuture<'a, Result<T>> + Send + 'a,
    {
        let span = self.span(&call);
        if span.is_disabled() {
            let result = make().await;
            if let Err(error) = &result {
                tracing::warn!(target: "terrace::store", store = %self.name, %error);
            }
            return result;
        }
        let mut made = span.in_scope(&mut make);
        // The span is entered for each poll and left after it: other tasks run on this thread between.
        let result = poll_fn(|context| {
            let _entered = span.enter();
            match made.as_mut().poll(context) {
                Poll::Ready(result) => Poll::Ready(result),
                Poll::Pending => Poll::Pending,
            }
        })
        .await;
        match &result {
            Ok(answer) => {
                let outcome = match answer.hit() {
                    _ if answer.is_conflict() => "conflict",
                    Some(true) => "hit",
                    Some(false) => "miss",
                    None => "ok",
                };
                span.record("bytes_out", answer.bytes()).record("outcome", outcome);
            }
            Err(error) => {
                span.record("outcome", error.kind().name());
                span.in_scope(|| tracing::warn!(target: "terrace::store", store = %self.name, %error));
            }
        }
        result
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::fmt::Debug;

    use parking_lot::Mutex;
    use terrace_store::fakes::{Fault, Flaky, MapStore};
    use terrace_store::{ErrorKind, Key, StoreExt, block_on};
    use tracing::field::{Field, Visit};
    use tracing::span::{Attributes, Id, Record};
    use tracing::{Event, Metadata, Subscriber};

    use super::*;

    type Told = Arc<Mutex<Vec<BTreeMap<&'static str, String>>>>;

    /// Keeps the fields of each span, and of each event.
    #[derive(Clone, Default)]
    struct Listener(Told);

    struct Fields<'a>(&'a mut BTreeMap<&'static str, String>);

    impl Visit for Fields<'_> {
        fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
            self.0.insert(field.name(), format!("{value:?}"));
        }
    }

    impl Subscriber for Listener {
        fn enabled(&self, _: &Metadata<'_>) -> bool {
            true
        }

        fn new_span(&self, span: &Attributes<'_>) -> Id {
            let mut told = self.0.lock();
            let mut fields = BTreeMap::new();
            span.record(&mut Fields(&mut fields));
            told.push(fields);
            Id::from_u64(told.len() as u64)
        }

        fn record(&self, span: &Id, values: &Record<'_>) {
            let mut told = self.0.lock();
            values.record(&mut Fields(&mut told[span.into_u64() as usize - 1]));
        }

        fn record_follows_from(&self, _: &Id, _: &Id) {}

        fn event(&self, event: &Event<'_>) {
            let mut fields = BTreeMap::from([("event", event.metadata().level().to_string())]);
            event.record(&mut Fields(&mut fields));
            self.0.lock().push(fields);
        }

        fn enter(&self, _: &Id) {}

        fn exit(&self, _: &Id) {}
    }

    fn traced(keys: bool) -> Vec<BTreeMap<&'static str, String>> {
        let listener = Listener::default();
        let told = Arc::clone(&listener.0);
        tracing::subscriber::with_default(listener, || {
            let flaky = Arc::new(Flaky::over(Arc::new(MapStore::default())));
            let store = Tracing::over(flaky.clone(), TracingConfig { keys });
            let key = Key::new("orders", "secret").unwrap();
            let _ = block_on(store.put_with(&key, "12345")).unwrap();
            assert!(block_on(store.get(&key)).unwrap().is_some());
            flaky.control().inject(Fault::fail(ErrorKind::Network));
            assert!(block_on(store.get(&key)).is_err());
        });
        let told = told.lock();
        told.clone()
    }

    #[test]
    fn every_call_has_a_span_that_tells_how_it_ended() {
        let told = traced(false);
        let field = |at: usize, name| told[at].get(name).map(String::as_str);
        assert_eq!((field(0, "operation"), field(0, "bytes_in")), (Some("\"put\""), Some("5")));
        assert_eq!((field(0, "namespace"), field(0, "outcome")), (Some("orders"), Some("\"ok\"")));
        assert_eq!((field(1, "outcome"), field(1, "bytes_out")), (Some("\"hit\""), Some("5")));
        assert_eq!(field(2, "outcome"), Some("\"network\""));
        assert_eq!((field(3, "event"), told.len()), (Some("WARN"), 4));
        assert!(told.iter().all(|fields| !fields.values().any(|value| value.contains("secret"))));
    }

    #[test]
    fn keys_are_shown_to_who_asks_for_them() {
        assert_eq!(traced(true)[0].get("key").map(String::as_str), Some("secret"));
    }
}
