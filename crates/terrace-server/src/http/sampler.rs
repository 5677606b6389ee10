//! One look at everything a second, shared by all who watch, and the last five minutes of rates kept: the page has
//! a past as soon as it is opened, without any database of time series.

use std::collections::VecDeque;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError, Weak};
use std::time::Duration;

use bytes::Bytes;
use serde::Serialize;

use super::rates::{self, Rates};
use super::snapshot::{self, Snapshot};
use super::state::HttpState;

const PERIOD: Duration = Duration::from_secs(1);
const KEPT: usize = 300;

/// What listeners get each second.
#[derive(Debug)]
pub(crate) struct Sample {
    /// The server-sent event, complete.
    pub(crate) event: Bytes,
    /// The rates of the last second.
    pub(crate) rates: Rates,
}

/// A snapshot with its rates, as JSON.
#[derive(Serialize)]
pub(crate) struct Report<'a> {
    #[serde(flatten)]
    pub(crate) snapshot: &'a Snapshot,
    /// Of the last second; nothing if nobody has been looking.
    pub(crate) rates: Option<&'a Rates>,
}

impl HttpState {
    /// Starts sampling, unless it runs already. It ends with the state, or when that is stopped.
    pub(crate) fn start_sampling(self: &Arc<Self>) {
        if self.sampling.swap(true, Ordering::AcqRel) {
            return;
        }
        let (clock, mut stop) = (Arc::clone(self.clock()), self.stop.subscribe());
        let state = Arc::downgrade(self);
        self.keyspace.tiers().tasks().spawn("http sampler", async move {
            let mut before = None;
            while let Some(state) = Weak::upgrade(&state) {
                let now = snapshot::take(&state).await;
                publish(&state, before.as_ref().unwrap_or(&now), &now);
                before = Some(now);
                drop(state);
                tokio::select! {
                    _ = stop.wait_for(|stopped| *stopped) => return,
                    () = clock.sleep(PERIOD) => {}
                }
            }
        });
    }

    /// The rates of the last minutes, from the oldest.
    pub(crate) fn history(&self) -> Vec<Rates> {
        self.history.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }
}

fn publish(state: &HttpState, before: &Snapshot, now: &Snapshot) {
    let rates = rates::between(before, now);
    remember(&mut state.history.lock().unwrap_or_else(PoisonError::into_inner), rates.clone());
    let report = Report { snapshot: now, rates: Some(&rates) };
    let mut event = b"event: stats\ndata: ".to_vec();
    // Numbers and strings of our own: this cannot fail, and JSON has no line breaks of its own.
    if serde_json::to_writer(&mut event, &report).is_ok() {
        event.extend_from_slice(b"\n\n");
        state.sample.send_replace(Some(Arc::new(Sample { event: event.into(), rates })));
    }
}

fn remember(history: &mut VecDeque<Rates>, rates: Rates) {
    if history.len() == KEPT {
        history.pop_front();
    }
    history.push_back(rates);
}
