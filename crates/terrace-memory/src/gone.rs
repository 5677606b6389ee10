//! Entries that left, in the hands of whoever made them leave.
//!
//! Decision: a reader may be looking at an entry that has just left, so its key and value cannot be moved out at
//! once, and waiting for readers would cost more than everything else. They stay where they are, and what comes
//! back gives shared access to them; when it is dropped they are given up, and dropped once no reader can see
//! them.

use std::fmt;
use std::ops::Deref;

use crate::cell::Pair;
use crate::core::Core;
use crate::entry::Cause;
use crate::slab::NIL;

/// What left after the first. Nearly always nothing, which takes one word.
#[allow(clippy::box_collection, reason = "the vector's own three words are what is to be spared")]
type Rest<'a, K, V> = Option<Box<Vec<Evicted<'a, K, V>>>>;
type Iter<'s, 'a, K, V> = std::slice::Iter<'s, Evicted<'a, K, V>>;

/// An entry that left the engine. It gives access to `key` and `value`.
///
/// Dropping it gives them up: they are dropped when no reader can be looking at them any more, by this or a later
/// call on some thread, or with the engine.
pub struct Gone<'a, K, V>(Place<'a, K, V>);

enum Place<'a, K, V> {
    /// It never got in, so nobody else knows it.
    Own(Pair<K, V>),
    Cell(InCell<'a, K, V>),
}

struct InCell<'a, K, V> {
    core: &'a Core<K, V>,
    number: u32,
}

impl<K, V> Drop for InCell<'_, K, V> {
    fn drop(&mut self) {
        self.core.retire(self.number);
    }
}

impl<'a, K, V> Gone<'a, K, V> {
    pub(crate) fn own(key: K, value: V) -> Self {
        Gone(Place::Own(Pair { key, value }))
    }

    /// An entry that was just taken out of the table.
    pub(crate) fn unlinked(core: &'a Core<K, V>, number: u32) -> Self {
        debug_assert_ne!(number, NIL);
        Gone(Place::Cell(InCell { core, number }))
    }

    /// Key and value themselves: as they are if the entry never got in, else cloned, because a reader may be
    /// looking at them.
    pub fn into_pair(self) -> Pair<K, V>
    where
        K: Clone,
        V: Clone,
    {
        match self.0 {
            Place::Own(pair) => pair,
            Place::Cell(_) => Pair { key: self.key.clone(), value: self.value.clone() },
        }
    }
}

impl<K, V> Deref for Gone<'_, K, V> {
    type Target = Pair<K, V>;

    fn deref(&self) -> &Pair<K, V> {
        match &self.0 {
            Place::Own(pair) => pair,
            Place::Cell(InCell { core, number }) => core.unlinked_pair(*number, self),
        }
    }
}

impl<K: fmt::Debug, V: fmt::Debug> fmt::Debug for Gone<'_, K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Pair::fmt(self, f)
    }
}

/// An entry that left the engine for a cause, or was refused by it. It gives access to `key` and `value`.
#[derive(Debug)]
pub struct Evicted<'a, K, V> {
    pub(crate) gone: Gone<'a, K, V>,
    /// Its weight with the engine's overhead.
    pub weight: u64,
    /// Why it left.
    pub cause: Cause,
}

impl<K, V> Evicted<'_, K, V> {
    /// Key and value themselves, as from [`Gone::into_pair`].
    pub fn into_pair(self) -> Pair<K, V>
    where
        K: Clone,
        V: Clone,
    {
        self.gone.into_pair()
    }
}

impl<K, V> Deref for Evicted<'_, K, V> {
    type Target = Pair<K, V>;

    fn deref(&self) -> &Pair<K, V> {
        &self.gone
    }
}

/// What had to leave, in the order of leaving. Most calls evict nothing or one entry, which allocates nothing.
#[derive(Debug)]
#[must_use = "entries that were evicted come back here and nowhere else"]
pub struct Evictions<'a, K, V> {
    first: Option<Evicted<'a, K, V>>,
    rest: Rest<'a, K, V>,
}

impl<K, V> Default for Evictions<'_, K, V> {
    fn default() -> Self {
        Evictions { first: None, rest: None }
    }
}

impl<'a, K, V> Evictions<'a, K, V> {
    pub(crate) fn push(&mut self, evicted: Evicted<'a, K, V>) {
        match self.first {
            None => self.first = Some(evicted),
            Some(_) => self.push_more(evicted),
        }
    }

    #[cold]
    fn push_more(&mut self, evicted: Evicted<'a, K, V>) {
        self.rest.get_or_insert_default().push(evicted);
    }

    fn rest(&self) -> &[Evicted<'a, K, V>] {
        self.rest.as_ref().map_or(&[], |rest| rest.as_slice())
    }

    /// How many left.
    pub fn len(&self) -> usize {
        usize::from(self.first.is_some()) + self.rest().len()
    }

    /// Whether nothing had to.
    pub fn is_empty(&self) -> bool {
        self.first.is_none()
    }

    /// All of them, in the order of leaving.
    pub fn iter(&self) -> impl Iterator<Item = &Evicted<'a, K, V>> {
        self.first.iter().chain(self.rest())
    }

    /// Takes the last out: the refused entry itself, if there is one.
    pub fn pop(&mut self) -> Option<Evicted<'a, K, V>> {
        self.rest.as_mut().and_then(|rest| rest.pop()).or_else(|| self.first.take())
    }
}

impl<'a, K, V> IntoIterator for Evictions<'a, K, V> {
    type Item = Evicted<'a, K, V>;
    type IntoIter = std::iter::Chain<std::option::IntoIter<Self::Item>, std::vec::IntoIter<Self::Item>>;

    fn into_iter(self) -> Self::IntoIter {
        self.first.into_iter().chain(self.rest.map(|rest| *rest).unwrap_or_default())
    }
}

impl<'s, 'a, K, V> IntoIterator for &'s Evictions<'a, K, V> {
    type Item = &'s Evicted<'a, K, V>;
    type IntoIter = std::iter::Chain<std::option::Iter<'s, Evicted<'a, K, V>>, Iter<'s, 'a, K, V>>;

    fn into_iter(self) -> Self::IntoIter {
        self.first.iter().chain(self.rest())
    }
}

impl<'a, K, V> std::ops::Index<usize> for Evictions<'a, K, V> {
    type Output = Evicted<'a, K, V>;

    /// # Panics
    ///
    /// If there are not so many.
    fn index(&self, index: usize) -> &Self::Output {
        match (index, &self.first) {
            (0, Some(first)) => first,
            _ => &self.rest()[index - 1],
        }
    }
}
