//! A store that fails when it is told to.

use std::future::ready;
use std::sync::{Arc, Mutex, PoisonError};

use super::wrapped::{Call, Control, Course, Operation, Wrapped};
use crate::error::{Error, ErrorKind};
use crate::rng::{Rng, SplitMix};
use crate::store::{BoxFuture, Store};

/// A store that fails when it is told to.
///
/// ```
/// use std::sync::Arc;
/// use terrace_store::fakes::{Fault, Flaky, MapStore, Operation, When};
/// use terrace_store::{ErrorKind, Key, Store, block_on};
///
/// let flaky = Flaky::over(Arc::new(MapStore::default()));
/// flaky.control().inject(Fault::fail(ErrorKind::Timeout).of(&[Operation::Get]).when(When::Nth(2)));
/// let key = Key::new("", "k")?;
/// assert!(block_on(flaky.get(&key)).is_ok());
/// assert_eq!(block_on(flaky.get(&key)).unwrap_err().kind(), ErrorKind::Timeout);
/// assert!(block_on(flaky.get(&key)).is_ok());
/// # Ok::<(), terrace_store::Error>(())
/// ```
pub type Flaky = Wrapped<Faults>;

impl Flaky {
    /// Wraps the store. Nothing fails until a fault is injected.
    pub fn over(inner: Arc<dyn Store>) -> Self {
        Self::new(inner, Faults::default())
    }
}

/// When a fault strikes.
#[derive(Debug)]
pub enum When {
    /// At every call, until [`Faults::heal`].
    Always,
    /// At this call, counted from the injection; the first is 1.
    Nth(u64),
    /// At one call in so many, by chance; the same chance for the same seed.
    OneIn(u64, SplitMix),
}

/// A fault to inject.
#[derive(Debug)]
pub struct Fault {
    operations: Vec<Operation>,
    when: When,
    kind: ErrorKind,
    applied: bool,
    seen: u64,
}

impl Fault {
    /// The call is not made, and fails with this kind. Of all operations, always, unless said otherwise.
    pub fn fail(kind: ErrorKind) -> Self {
        Self { operations: Operation::ALL.to_vec(), when: When::Always, kind, applied: false, seen: 0 }
    }

    /// The call is made, and answers `Unknown` all the same, as a write does whose acknowledgement was lost.
    pub fn lose_answer() -> Self {
        Self { applied: true, ..Self::fail(ErrorKind::Unknown) }
    }

    /// Only of these operations.
    #[must_use]
    pub fn of(mut self, operations: &[Operation]) -> Self {
        self.operations = operations.to_vec();
        self
    }

    /// Only then.
    #[must_use]
    pub fn when(mut self, when: When) -> Self {
        self.when = when;
        self
    }

    fn strikes(&mut self, operation: Operation) -> bool {
        if !self.operations.contains(&operation) {
            return false;
        }
        self.seen += 1;
        match &self.when {
            When::Always => true,
            When::Nth(nth) => self.seen == *nth,
            When::OneIn(many, rng) => rng.below(*many) == 0,
        }
    }
}

/// The faults of a [`Flaky`] store.
#[derive(Debug, Default)]
pub struct Faults(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    faults: Vec<Fault>,
    struck: u64,
}

impl Faults {
    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a fault. Of several that strike one call the first counts.
    pub fn inject(&self, fault: Fault) {
        self.state().faults.push(fault);
    }

    /// Takes all faults away.
    pub fn heal(&self) {
        self.state().faults.clear();
    }

    /// How many calls were struck.
    pub fn struck(&self) -> u64 {
        self.state().struck
    }
}

impl Control for Faults {
    fn before<'a>(&'a self, call: Call<'a>) -> BoxFuture<'a, Course> {
        let mut state = self.state();
        // Every fault counts the call, also when another strikes it.
        let mut course = Course::Through;
        for fault in state.faults.iter_mut().rev() {
            if fault.strikes(call.operation) {
                let error = Error::new(fault.kind, call.operation.name()).because("an injected fault");
                course = if fault.applied { Course::DoAndFail(error) } else { Course::Fail(error) };
            }
        }
        state.struck += u64::from(!matches!(course, Course::Through));
        Box::pin(ready(course))
    }

    fn after(&self, _call: Call<'_>, _bytes_out: u64) {}
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fakes::MapStore;
    use crate::{Entry, Key, StoreExt, block_on};

    fn flaky() -> (Flaky, Key) {
        (Flaky::over(Arc::new(MapStore::default())), Key::new("n", "k").unwrap())
    }

    #[test]
    fn a_switched_fault_strikes_its_operations_until_it_is_healed() {
        let (flaky, key) = flaky();
        flaky.control().inject(Fault::fail(ErrorKind::Unavailable).of(&Operation::WRITES));
        assert_eq!(block_on(flaky.put_with(&key, "v")).unwrap_err().kind(), ErrorKind::Unavailable);
        assert_eq!(block_on(flaky.remove(&key)).unwrap_err().kind(), ErrorKind::Unavailable);
        assert_eq!(block_on(flaky.get(&key)).unwrap(), None);
        flaky.control().heal();
        assert!(block_on(flaky.put_with(&key, "v")).is_ok());
        assert_eq!(flaky.control().struck(), 2);
    }

    #[test]
    fn a_call_that_fails_was_not_made() {
        let (flaky, key) = flaky();
        flaky.control().inject(Fault::fail(ErrorKind::Network).of(&[Operation::Put]).when(When::Nth(1)));
        assert!(block_on(flaky.put_with(&key, "v")).is_err());
        assert_eq!(block_on(flaky.get(&key)).unwrap(), None);
    }

    #[test]
    fn a_lost_answer_leaves_the_write_applied() {
        let (flaky, key) = flaky();
        flaky.control().inject(Fault::lose_answer().of(&[Operation::Put]).when(When::Nth(1)));
        let lost = block_on(flaky.put(&key, Entry::new("v"), Default::default()));
        assert_eq!(lost.unwrap_err().kind(), ErrorKind::Unknown);
        assert_eq!(block_on(flaky.get(&key)).unwrap().unwrap().value, "v");
    }

    #[test]
    fn a_share_of_the_calls_fails_the_same_for_the_same_seed() {
        let run = |seed| -> Vec<bool> {
            let (flaky, key) = flaky();
            let when = When::OneIn(4, SplitMix::seeded(seed));
            flaky.control().inject(Fault::fail(ErrorKind::Busy).when(when));
            (0..400).map(|_| block_on(flaky.get(&key)).is_err()).collect()
        };
        let failed = run(1).iter().filter(|failed| **failed).count();
        assert!((60..140).contains(&failed), "{failed}");
        assert_eq!(run(1), run(1));
        assert_ne!(run(1), run(2));
    }
}
