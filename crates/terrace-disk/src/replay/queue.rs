//! Segments parsed by several threads and handed over in the order of the log.

use std::collections::BTreeMap;

use parking_lot::{Condvar, Mutex};

use super::{Contents, Part};
use crate::error::{Error, Result};
use crate::shared::Shared;

impl Shared {
    /// Parses segments in parallel and hands them over in their order.
    pub(crate) fn parse_all(
        &self,
        parts: &[Part],
        threads: usize,
        mut apply: impl FnMut(&Part, Contents) -> Result<()>,
    ) -> Result<()> {
        if parts.len() < 2 || threads < 2 {
            return parts.iter().try_for_each(|part| apply(part, self.parse(part)?));
        }
        let queue = Queue { ahead: 2 * threads, state: Mutex::default(), changed: Condvar::new() };
        std::thread::scope(|scope| {
            for _ in 0..threads.min(parts.len()) {
                scope.spawn(|| {
                    while let Some(number) = queue.take(parts.len()) {
                        let contents = parts.get(number).map(|part| self.parse(part));
                        queue.put(number, contents);
                    }
                });
            }
            let mut outcome = Ok(());
            for (number, part) in parts.iter().enumerate() {
                let contents = queue.wait_for(number);
                outcome = contents.and_then(|contents| apply(part, contents));
                if outcome.is_err() {
                    break;
                }
            }
            queue.end();
            outcome
        })
    }
}

/// Contents on their way from those who parse to the one who applies.
struct Queue {
    ahead: usize,
    state: Mutex<Waiting>,
    changed: Condvar,
}

#[derive(Default)]
struct Waiting {
    next: usize,
    applied: usize,
    parsed: BTreeMap<usize, Option<Result<Contents>>>,
    ended: bool,
}

impl Queue {
    /// The next segment to parse, once that is not too far ahead.
    fn take(&self, count: usize) -> Option<usize> {
        let mut state = self.state.lock();
        loop {
            if state.ended || state.next >= count {
                return None;
            }
            if state.next < state.applied + self.ahead {
                state.next += 1;
                return Some(state.next - 1);
            }
            self.changed.wait(&mut state);
        }
    }

    fn put(&self, number: usize, contents: Option<Result<Contents>>) {
        self.state.lock().parsed.insert(number, contents);
        self.changed.notify_all();
    }

    fn wait_for(&self, number: usize) -> Result<Contents> {
        let mut state = self.state.lock();
        loop {
            if let Some(contents) = state.parsed.remove(&number) {
                state.applied = number + 1;
                self.changed.notify_all();
                return contents.unwrap_or(Err(Error::Closed));
            }
            self.changed.wait(&mut state);
        }
    }

    fn end(&self) {
        self.state.lock().ended = true;
        self.changed.notify_all();
    }
}
