//! chaos: a store that misbehaves by chance, for tests and exercises.
//!
//! Each call may be delayed, fail before it is made, lose its answer after it was made (`Unknown`, for what changes
//! something), hang for good, and a value that is read may come back with one bit turned. Every kind of it is counted,
//! and all of it can be switched off while the store is open. The chances are drawn from the world's [`Rng`], so that a
//! run with the same seed and the same calls repeats exactly.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use terrace_store::{BoxFuture, Capabilities, Clock, Entry, Error, ErrorKind, Result, Rng, Store};

use crate::answer::Answer;
use crate::call::{Call, Class, Operation};
use crate::guard::{Guarded, Policy};
use crate::world::World;

/// How often what happens, each as one in a million calls.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ChaosConfig {
    /// The call is not made, and fails as a network does.
    pub fail_ppm: u32,
    /// The call is made, and its answer is lost.
    pub lose_answer_ppm: u32,
    /// The call is made later.
    pub delay_ppm: u32,
    /// How much later at most.
    pub max_delay: Duration,
    /// The call is not made and never ends.
    pub hang_ppm: u32,
    /// A value that `get` returns has one bit turned.
    pub turn_bit_ppm: u32,
}

/// A store that misbehaves.
pub type Chaos = Guarded<Mischief>;

impl Chaos {
    /// Lets the store misbehave.
    pub fn over(inner: Arc<dyn Store>, config: ChaosConfig, world: &World) -> Self {
        let mischief = Mischief {
            config,
            clock: Arc::clone(&world.clock),
            rng: Arc::clone(&world.rng),
            calm: AtomicBool::new(false),
            counts: Default::default(),
        };
        Self::new(inner, mischief)
    }
}

/// Misbehaves by chance. Made by [`Chaos::over`].
pub struct Mischief {
    config: ChaosConfig,
    clock: Arc<dyn Clock>,
    rng: Arc<dyn Rng>,
    calm: AtomicBool,
    counts: [AtomicU64; 5],
}

/// What has happened to calls.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ChaosReport {
    /// They failed before they were made.
    pub failed: u64,
    /// Their answers were lost.
    pub lost: u64,
    /// They were delayed.
    pub delayed: u64,
    /// They hang, or did until they were dropped.
    pub hung: u64,
    /// Bits that were turned.
    pub turned: u64,
}

impl Mischief {
    /// Ends the misbehaving, or begins it again.
    pub fn calm(&self, calm: bool) {
        self.calm.store(calm, Ordering::Relaxed);
    }

    /// What has happened so far.
    pub fn report(&self) -> ChaosReport {
        let [failed, lost, delayed, hung, turned] =
            [0, 1, 2, 3, 4].map(|which: usize| self.counts[which].load(Ordering::Relaxed));
        ChaosReport { failed, lost, delayed, hung, turned }
    }

    fn strikes(&self, ppm: u32, which: usize) -> bool {
        let struck =
            ppm > 0 && !self.calm.load(Ordering::Relaxed) && self.rng.below(1_000_000) < u64::from(ppm);
        if struck {
            self.counts[which].fetch_add(1, Ordering::Relaxed);
        }
        struck
    }
}

impl Policy for Mischief {
    fn capabilities(&self, beneath: Capabilities) -> Capabilities {
        Capabilities { in_place: false, ..beneath }
    }

    async fn run<'a, T, M>(&'a self, call: Call<'a>, mut make: M) -> Result<T>
    where
        T: Answer + 'a,
        M: FnMut() -> BoxFuture<'a, Result<T>> + Send + 'a,
    {
        if call.operation == Operation::Close {
            return make().await;
        }
        if self.strikes(self.config.hang_ppm, 3) {
            std::future::pending::<()>().await;
        }
        if self.strikes(self.config.delay_ppm, 2) {
            let most = u64::try_from(self.config.max_delay.as_nanos()).unwrap_or(u64::MAX);
            self.clock.sleep(Duration::from_nanos(self.rng.below(most))).await;
        }
        if self.strikes(self.config.fail_ppm, 0) {
            return Err(Error::new(ErrorKind::Network, call.operation.name()).because("chaos struck"));
        }
        let mut answer = make().await?;
        if call.operation.class() != Class::Read && self.strikes(self.config.lose_answer_ppm, 1) {
            let kind = if call.operation.leaves_unknown() { ErrorKind::Unknown } else { ErrorKind::Network };
            return Err(Error::new(kind, call.operation.name()).because("chaos lost the answer"));
        }
        if let Some(entry) = answer.entry()
            && !entry.value.is_empty()
            && self.strikes(self.config.turn_bit_ppm, 4)
        {
            turn_a_bit(entry, &*self.rng);
        }
        Ok(answer)
    }
}

fn turn_a_bit(entry: &mut Entry, rng: &dyn Rng) {
    let mut value = entry.value.to_vec();
    let bit = rng.below(value.len() as u64 * 8);
    if let Some(byte) = value.get_mut((bit / 8) as usize) {
        *byte ^= 1 << (bit % 8);
    }
    entry.value = value.into();
}

#[cfg(test)]
mod tests {
    use terrace_store::block_on::poll_once;
    use terrace_store::fakes::{FrozenClock, MapStore};
    use terrace_store::{Key, StoreExt, block_on};

    use super::*;
    use crate::world::tests::world;

    fn chaos(config: ChaosConfig) -> (Chaos, Arc<MapStore>, Key) {
        let map = Arc::new(MapStore::default());
        let store = Chaos::over(map.clone(), config, &world(&FrozenClock::default()));
        (store, map, Key::new("n", "k").unwrap())
    }

    #[test]
    fn each_mischief_strikes_about_as_often_as_it_may_and_is_counted() {
        let config = ChaosConfig {
            fail_ppm: 100_000,
            lose_answer_ppm: 100_000,
            turn_bit_ppm: 100_000,
            ..ChaosConfig::default()
        };
        let (store, _, key) = chaos(config);
        let (mut failed, mut unknown, mut turned) = (0, 0, 0);
        for _ in 0..1_000 {
            match block_on(store.put_with(&key, "value")).map_err(|error| error.kind()) {
                Ok(_) => {}
                Err(ErrorKind::Unknown) => unknown += 1,
                Err(_) => failed += 1,
            }
            match block_on(store.get(&key)) {
                Ok(Some(entry)) => turned += u64::from(entry.value != "value"),
                Ok(None) => {}
                Err(_) => failed += 1,
            }
        }
        let report = store.policy().report();
        assert_eq!((report.failed, report.lost, report.turned), (failed, unknown, turned));
        assert!((140..260).contains(&failed) && (60..140).contains(&unknown), "{report:?}");
        assert!((60..140).contains(&turned), "{report:?}");
        store.policy().calm(true);
        assert!((0..1_000).all(|_| block_on(store.get(&key)).is_ok()));
        assert_eq!(store.policy().report(), report);
    }

    #[test]
    fn a_lost_answer_was_applied_and_a_failure_was_not() {
        let (store, map, key) = chaos(ChaosConfig { lose_answer_ppm: 1_000_000, ..ChaosConfig::default() });
        assert_eq!(block_on(store.put_with(&key, "v")).unwrap_err().kind(), ErrorKind::Unknown);
        assert!(block_on(map.exists(&key)).unwrap());
        let (store, map, key) = chaos(ChaosConfig { fail_ppm: 1_000_000, ..ChaosConfig::default() });
        assert_eq!(block_on(store.put_with(&key, "v")).unwrap_err().kind(), ErrorKind::Network);
        assert!(!block_on(map.exists(&key)).unwrap());
    }

    #[test]
    fn a_call_that_hangs_never_ends_and_closing_does() {
        let (store, _, key) = chaos(ChaosConfig { hang_ppm: 1_000_000, ..ChaosConfig::default() });
        assert!(poll_once(store.get(&key)).is_err());
        assert!(block_on(store.close()).is_ok());
    }
}
