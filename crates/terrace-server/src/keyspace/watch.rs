//! Watched keys: who wants to know that a key was written.
//!
//! A watcher is a flag that a write of any of its keys raises. Versions would not do: a key that was set and
//! deleted again looks as it did before, but was written all the same. While nobody watches, a write pays for
//! one load.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use terrace_store::{Key, Namespace};

/// Raised by the first write of a watched key.
pub type Flag = Arc<AtomicBool>;

/// The keys that are watched.
#[derive(Default)]
pub struct Watches {
    count: AtomicUsize,
    table: Mutex<HashMap<Key, Vec<Flag>>>,
}

impl Watches {
    fn table(&self) -> MutexGuard<'_, HashMap<Key, Vec<Flag>>> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Raises the flag at the next write of this key. To be called under the key's lock, so that no write is
    /// half done.
    pub fn add(&self, key: &Key, flag: &Flag) {
        let mut table = self.table();
        let flags = table.entry(key.clone()).or_default();
        if !flags.iter().any(|other| Arc::ptr_eq(other, flag)) {
            flags.push(Arc::clone(flag));
            self.count.fetch_add(1, Ordering::SeqCst);
        }
    }

    /// Ends the watch of this key by this flag.
    pub fn remove(&self, key: &Key, flag: &Flag) {
        let mut table = self.table();
        let Some(flags) = table.get_mut(key) else { return };
        let before = flags.len();
        flags.retain(|other| !Arc::ptr_eq(other, flag));
        self.count.fetch_sub(before - flags.len(), Ordering::SeqCst);
        if flags.is_empty() {
            table.remove(key);
        }
    }

    /// Tells the watchers of this key that it was written.
    #[inline]
    pub fn touch(&self, key: &Key) {
        if self.count.load(Ordering::SeqCst) > 0 {
            self.raise(key);
        }
    }

    #[cold]
    fn raise(&self, key: &Key) {
        for flag in self.table().get(key).into_iter().flatten() {
            flag.store(true, Ordering::SeqCst);
        }
    }

    /// The watched keys of a namespace.
    pub fn of(&self, namespace: &Namespace) -> Vec<Key> {
        if self.count.load(Ordering::SeqCst) == 0 {
            return Vec::new();
        }
        let within = |key: &&Key| key.namespace_name() == namespace.name();
        self.table().keys().filter(within).cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_write_raises_the_flags_of_its_key_only() {
        let watches = Watches::default();
        let (a, b) = (Key::new("0", "a").unwrap(), Key::new("0", "b").unwrap());
        let (one, two) = (Flag::default(), Flag::default());
        watches.add(&a, &one);
        watches.add(&a, &one);
        watches.add(&b, &two);
        watches.touch(&a);
        assert!(one.load(Ordering::SeqCst) && !two.load(Ordering::SeqCst));
        watches.remove(&b, &two);
        watches.touch(&b);
        assert!(!two.load(Ordering::SeqCst));
        assert_eq!(watches.of(&a.namespace()), std::slice::from_ref(&a));
        watches.remove(&a, &one);
        assert_eq!((watches.count.load(Ordering::SeqCst), watches.of(&a.namespace()).len()), (0, 0));
    }
}
