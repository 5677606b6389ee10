//! Locks by key, in stripes: what orders commands that concern several keys or read before they write.
//!
//! A writer of one key holds its stripe: alone if it reads first, and shared with its like if it overwrites whatever
//! is there, for the store orders those well enough. A command over several keys holds all their stripes, taken in order,
//! and if it writes it marks them *exclusive*, so that not even a plain read sees a part of it: a read of one
//! key takes no lock, but looks at the mark, and waits if it is set.
//!
//! The stripe follows from the name of the key alone, not from its database: so a command that concerns two
//! databases, or a transaction that changes its database on the way, needs no more than the names.

use std::hash::BuildHasher;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use foldhash::fast::RandomState;
use terrace_store::Key;
use tokio::sync::{RwLock, RwLockReadGuard, RwLockWriteGuard};

/// Enough that two runs of a pipeline, of sixteen keys each, seldom share one.
const STRIPES: usize = 8192;

/// How often a busy lock is tried before its waiter sleeps.
const SPINS: usize = 30;

struct Stripe {
    lock: RwLock<()>,
    exclusive: AtomicBool,
}

/// The locks of all keys.
pub struct KeyLocks {
    stripes: Box<[Stripe]>,
    /// How many stripes are marked: while it is 0, which is nearly always, a read need not find its stripe.
    marked: AtomicUsize,
    hasher: RandomState,
}

/// Holds locks until it is dropped.
#[must_use = "the locks are released when this is dropped"]
pub struct Guard<'a> {
    locks: &'a KeyLocks,
    held: Held<'a>,
    exclusive: bool,
}

/// One lock is the usual case, and costs no allocation.
enum Held<'a> {
    Shared { _guard: RwLockReadGuard<'a, ()> },
    One { _guard: RwLockWriteGuard<'a, ()> },
    ManyShared { _guards: Vec<RwLockReadGuard<'a, ()>> },
    Many(Vec<(usize, RwLockWriteGuard<'a, ()>)>),
}

impl Drop for Guard<'_> {
    fn drop(&mut self) {
        if self.exclusive
            && let Held::Many(held) = &self.held
        {
            for (stripe, _) in held {
                self.locks.stripes[*stripe].exclusive.store(false, Ordering::Release);
            }
            self.locks.marked.fetch_sub(held.len(), Ordering::SeqCst);
        }
    }
}

impl KeyLocks {
    /// Nothing locked.
    pub fn new() -> Self {
        let stripe = |_| Stripe { lock: RwLock::new(()), exclusive: AtomicBool::new(false) };
        Self {
            stripes: (0..STRIPES).map(stripe).collect(),
            marked: AtomicUsize::new(0),
            hasher: RandomState::default(),
        }
    }

    #[inline]
    fn stripe(&self, name: &[u8]) -> usize {
        self.hasher.hash_one(name) as usize % STRIPES
    }

    /// Locks one key for a command that writes it.
    pub async fn one(&self, key: &Key) -> Guard<'_> {
        self.one_named(key.bytes()).await
    }

    /// Locks the key of this name, in whatever database.
    pub async fn one_named(&self, name: &[u8]) -> Guard<'_> {
        // Whoever holds it needs a microsecond. On many keys waiting awake costs less than being woken; on one key
        // that everybody writes it costs more.
        for _ in 0..SPINS {
            if let Some(guard) = self.try_one(name) {
                return guard;
            }
            std::hint::spin_loop();
        }
        let guard = self.stripes[self.stripe(name)].lock.write().await;
        Guard { locks: self, held: Held::One { _guard: guard }, exclusive: false }
    }

    /// Locks the key of this name for a write that does not depend on what is there. Others of that kind may hold it
    /// too.
    pub async fn shared_named(&self, name: &[u8]) -> Guard<'_> {
        let lock = &self.stripes[self.stripe(name)].lock;
        let guard = match lock.try_read() {
            Ok(guard) => guard,
            Err(_) => lock.read().await,
        };
        Guard { locks: self, held: Held::Shared { _guard: guard }, exclusive: false }
    }

    /// Locks several keys for writes that do not depend on what is there, in whatever databases.
    pub async fn many_shared_named<'k>(&self, names: impl IntoIterator<Item = &'k [u8]>) -> Guard<'_> {
        let stripes = self.stripes_of(names);
        let mut guards = Vec::with_capacity(stripes.len());
        for stripe in stripes {
            guards.push(self.stripes[stripe].lock.read().await);
        }
        Guard { locks: self, held: Held::ManyShared { _guards: guards }, exclusive: false }
    }

    /// Locks the key of this name if that needs no waiting.
    #[inline]
    pub fn try_one(&self, name: &[u8]) -> Option<Guard<'_>> {
        let guard = self.stripes[self.stripe(name)].lock.try_write().ok()?;
        Some(Guard { locks: self, held: Held::One { _guard: guard }, exclusive: false })
    }

    /// Locks several keys. `exclusive` if some are going to be written.
    pub async fn many<'k>(&self, keys: impl IntoIterator<Item = &'k Key>, exclusive: bool) -> Guard<'_> {
        self.many_named(keys.into_iter().map(Key::bytes), exclusive).await
    }

    /// Locks the keys of these names, in whatever databases.
    pub async fn many_named<'k>(
        &self,
        names: impl IntoIterator<Item = &'k [u8]>,
        exclusive: bool,
    ) -> Guard<'_> {
        self.stripes(self.stripes_of(names), exclusive).await
    }

    fn stripes_of<'k>(&self, names: impl IntoIterator<Item = &'k [u8]>) -> Vec<usize> {
        let mut stripes: Vec<usize> = names.into_iter().map(|name| self.stripe(name)).collect();
        stripes.sort_unstable();
        stripes.dedup();
        stripes
    }

    /// Locks everything.
    pub async fn all(&self, exclusive: bool) -> Guard<'_> {
        self.stripes((0..STRIPES).collect(), exclusive).await
    }

    /// In ascending order, so that no two ever wait for each other.
    async fn stripes(&self, stripes: Vec<usize>, exclusive: bool) -> Guard<'_> {
        let mut held = Vec::with_capacity(stripes.len());
        for stripe in stripes {
            held.push((stripe, self.stripes[stripe].lock.write().await));
        }
        if exclusive {
            // Counted before it is marked, so that no read overlooks a mark.
            self.marked.fetch_add(held.len(), Ordering::SeqCst);
            for (stripe, _) in &held {
                self.stripes[*stripe].exclusive.store(true, Ordering::SeqCst);
            }
        }
        Guard { locks: self, held: Held::Many(held), exclusive }
    }

    /// Whether no command over several keys is writing the key of this name.
    #[inline]
    pub fn is_settled(&self, name: &[u8]) -> bool {
        self.marked.load(Ordering::SeqCst) == 0
            || !self.stripes[self.stripe(name)].exclusive.load(Ordering::SeqCst)
    }

    /// Waits while a command over several keys writes this one. For plain reads of one key.
    pub async fn settled(&self, key: &Key) {
        self.settled_named(key.bytes()).await;
    }

    /// Waits while a command over several keys writes the key of this name.
    pub async fn settled_named(&self, name: &[u8]) {
        if !self.is_settled(name) {
            drop(self.stripes[self.stripe(name)].lock.read().await);
        }
    }
}

impl Default for KeyLocks {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::Future;
    use std::pin::pin;
    use std::task::{Context, Waker};
    use terrace_store::block_on;

    fn waits<T>(future: impl Future<Output = T>) -> bool {
        pin!(future).as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending()
    }

    #[test]
    fn a_read_waits_only_while_several_keys_are_written() {
        let locks = KeyLocks::new();
        let writer = block_on(locks.one_named(b"a"));
        assert!(!waits(locks.settled_named(b"a")), "a writer of one key is no reason to wait");
        assert!(waits(locks.one_named(b"a")));
        drop(writer);
        let blind = block_on(locks.shared_named(b"a"));
        assert!(!waits(locks.many_shared_named([&b"a"[..], b"b"])), "neither depends on what is there");
        assert!(!waits(locks.settled_named(b"a")) && waits(locks.one_named(b"a")));
        drop(blind);
        let reader = block_on(locks.many_named([&b"a"[..], b"b"], false));
        assert!(waits(locks.shared_named(b"b")));
        assert!(!waits(locks.settled_named(b"a")));
        assert!(waits(locks.one_named(b"b")));
        drop(reader);
        let exclusive = block_on(locks.many_named([&b"a"[..], b"b", b"a"], true));
        assert!(waits(locks.settled_named(b"a")) && waits(locks.settled_named(b"b")));
        drop(exclusive);
        assert!(!waits(locks.settled_named(b"a")) && locks.try_one(b"b").is_some());
        assert_eq!(locks.marked.load(Ordering::SeqCst), 0);
    }

    #[test]
    fn all_locks_are_all_locks() {
        let locks = KeyLocks::new();
        let all = block_on(locks.all(true));
        for name in 0..100u8 {
            assert!(locks.try_one(&[name]).is_none() && !locks.is_settled(&[name]));
        }
        drop(all);
        assert!((0..100u8).all(|name| locks.try_one(&[name]).is_some()));
    }
}
