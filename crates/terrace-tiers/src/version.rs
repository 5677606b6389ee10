//! Versions where there is no authority to give them: a hybrid logical clock.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use terrace_store::{Clock, Version};

/// Bits of the logical part: a million events a millisecond before it borrows from the future.
const LOGICAL_BITS: u32 = 20;

/// The wall time in a number that a hybrid clock gave.
pub(crate) fn physical_ms(version: Version) -> u64 {
    version.0 >> LOGICAL_BITS
}

/// A hybrid logical clock (Kulkarni et al., OPODIS 2014): numbers that only grow, stay close to wall time, and
/// are above every number seen from elsewhere, whatever the wall clock does.
pub struct HybridClock {
    clock: Arc<dyn Clock>,
    last: AtomicU64,
}

impl HybridClock {
    /// A clock that follows the wall time of this one.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock, last: AtomicU64::new(0) }
    }

    /// A number above all that were given or seen before.
    pub fn tick(&self) -> Version {
        let physical = self.clock.wall_ms() << LOGICAL_BITS;
        let next = |last: u64| physical.max(last + 1);
        let before = self.last.fetch_update(Ordering::AcqRel, Ordering::Acquire, |last| Some(next(last)));
        Version(next(before.unwrap_or_else(|last| last)))
    }

    /// Takes note of a number from elsewhere: what comes after is above it.
    pub fn observe(&self, seen: Version) {
        self.last.fetch_max(seen.0, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use terrace_store::fakes::FrozenClock;

    #[test]
    fn numbers_grow_while_the_clock_stands_still_or_goes_back() {
        let clock = FrozenClock::at_wall_ms(1_000_000);
        let hybrid = HybridClock::new(Arc::new(clock.clone()));
        let a = hybrid.tick();
        let b = hybrid.tick();
        clock.set_wall_ms(10);
        let c = hybrid.tick();
        clock.set_wall_ms(2_000_000);
        let d = hybrid.tick();
        assert!(a < b && b < c && c < d, "{a} {b} {c} {d}");
        hybrid.observe(Version(d.0 + 500));
        assert!(hybrid.tick().0 > d.0 + 500);
    }
}
