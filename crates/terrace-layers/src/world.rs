//! What layers take from outside: time, chance and tasks, so that every test of them can hold all three.

use std::sync::Arc;

use terrace_store::{Clock, Rng, Spawn};

/// Time, chance and tasks.
#[derive(Clone)]
pub struct World {
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Chance, for jitter and sampling.
    pub rng: Arc<dyn Rng>,
    /// Where background work runs.
    pub spawn: Arc<dyn Spawn>,
}

impl World {
    /// These three.
    pub fn new(clock: Arc<dyn Clock>, rng: Arc<dyn Rng>, spawn: Arc<dyn Spawn>) -> Self {
        Self { clock, rng, spawn }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use terrace_store::fakes::FrozenClock;
    use terrace_store::rng::SplitMix;

    use super::*;

    /// Drops what it is to run: for layers that start nothing.
    struct NoTasks;

    impl Spawn for NoTasks {
        fn spawn(&self, _name: &'static str, future: terrace_store::BoxFuture<'static, ()>) {
            drop(future);
        }

        fn spawn_blocking(&self, _name: &'static str, work: Box<dyn FnOnce() + Send>) {
            work();
        }

        fn may_block(&self) -> bool {
            true
        }
    }

    /// A clock that nobody waits for: a sleep moves it on and is over.
    struct Hasty(FrozenClock);

    impl Clock for Hasty {
        fn now(&self) -> std::time::Duration {
            self.0.now()
        }

        fn wall_ms(&self) -> u64 {
            self.0.wall_ms()
        }

        fn sleep(&self, duration: std::time::Duration) -> terrace_store::BoxFuture<'static, ()> {
            self.0.advance_ms(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX));
            Box::pin(std::future::ready(()))
        }
    }

    /// A world in which every sleep is over at once.
    pub(crate) fn hasty() -> World {
        World { clock: Arc::new(Hasty(FrozenClock::default())), ..world(&FrozenClock::default()) }
    }

    /// A world with this clock, the same chance each time, and no tasks.
    pub(crate) fn world(clock: &FrozenClock) -> World {
        World::new(Arc::new(clock.clone()), Arc::new(SplitMix::seeded(7)), Arc::new(NoTasks))
    }
}
