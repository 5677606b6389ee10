//! Who is told of entries that the hot tier lets go.
//!
//! Decision: the engine returns what left, sometimes to a caller that holds a lock (a flight that must not be
//! poisoned while its value comes in). So what left waits here, and is told of by whoever comes out of the last
//! lock: a listener may use the cache. One that panics has its panic caught: it is somebody else's put or read that it
//! would end otherwise.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use terrace_memory::Cause;

use crate::sync::{Mutex, lock};

/// Is told the key, the value and the cause of each entry that was evicted or refused.
pub type Listener<K, L> = Arc<dyn Fn(&K, &L, Cause) + Send + Sync>;

/// A listener, and what it is still to be told.
pub(crate) struct Telling<K, L> {
    listener: Listener<K, L>,
    left: Mutex<Vec<(K, L, Cause)>>,
    /// Spares those who have nothing to tell the lock.
    any: AtomicBool,
}

impl<K, L> Telling<K, L> {
    pub(crate) fn new(listener: Listener<K, L>) -> Self {
        Self { listener, left: Mutex::new(Vec::new()), any: AtomicBool::new(false) }
    }

    /// Remembers an entry that left.
    pub(crate) fn note(&self, key: K, value: L, cause: Cause) {
        lock(&self.left).push((key, value, cause));
        self.any.store(true, Ordering::Release);
    }

    /// Tells of each that was noted, by whomever, once. Without any lock.
    pub(crate) fn tell(&self) {
        if !self.any.load(Ordering::Acquire) {
            return;
        }
        let left = {
            let mut left = lock(&self.left);
            self.any.store(false, Ordering::Release);
            std::mem::take(&mut *left)
        };
        for (key, value, cause) in &left {
            // The panic is the listener's own; the hook for panics has reported it.
            let _ = catch_unwind(AssertUnwindSafe(|| (self.listener)(key, value, *cause)));
        }
    }
}
