//! What goes into the engine with an entry and what comes back out: options, decisions, and the facts about
//! entries that left.
//!
//! Decision: the engine calls nobody. Whatever leaves it comes back from the call that made it leave, with the
//! cause, and the caller decides what that means.

use crate::gone::{Evictions, Gone};

/// How one entry is to be kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// The weight of key and value together, in the unit of the capacity. The engine adds its overhead.
    pub weight: u64,
    /// From this millisecond on (of the caller's scale) the entry is never returned again.
    pub expires_at: Option<u64>,
    /// After this many milliseconds without a use the entry is never returned again. Uses are stamped to
    /// within a sixteenth of the limit, so an entry may go up to that much earlier, never later.
    pub idle: Option<u64>,
    /// A pinned entry is never evicted to make room for another; it still expires and can be removed.
    pub pinned: bool,
    /// Whether it leaves sooner or later than others when room is needed.
    pub priority: Priority,
}

impl Default for Options {
    /// Weight 1, no expiry, not pinned, of normal priority.
    fn default() -> Self {
        Options { weight: 1, expires_at: None, idle: None, pinned: false, priority: Priority::Normal }
    }
}

/// How much an entry is worth keeping beside others. It is obeyed within a shard, under every policy.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Priority {
    /// Leaves before any entry of another priority. Among its like, what was used since it came in gets another
    /// round, unless the policy heeds no use either.
    Low,
    /// The policy decides.
    #[default]
    Normal,
    /// Leaves when no entry of another priority is left, or when such entries make up more than three quarters of
    /// what the shard holds. Among its like, what was used since it came in gets another round.
    High,
}

impl Options {
    /// Options with a weight and nothing else.
    pub fn weighing(weight: u64) -> Self {
        Options { weight, ..Options::default() }
    }

    /// The same, expiring at a millisecond of the caller's scale.
    pub fn expires_at(mut self, millisecond: u64) -> Self {
        self.expires_at = Some(millisecond);
        self
    }

    /// The same, going after this many milliseconds without a use.
    pub fn idle(mut self, milliseconds: u64) -> Self {
        self.idle = Some(milliseconds);
        self
    }

    /// The same with a priority.
    pub fn priority(mut self, priority: Priority) -> Self {
        self.priority = priority;
        self
    }

    /// The same, pinned.
    pub fn pinned(mut self) -> Self {
        self.pinned = true;
        self
    }

    /// Whether there is nothing to it but its weight.
    #[inline]
    pub(crate) fn is_plain(&self) -> bool {
        let ends = self.expires_at.is_some() || self.idle.is_some();
        !ends && !self.pinned && matches!(self.priority, Priority::Normal)
    }

    /// Why an entry with these options would be dead on arrival, if it would be.
    pub(crate) fn dead_on_arrival(&self, now: u64) -> Option<Cause> {
        if self.expires_at.is_some_and(|at| at <= now) {
            return Some(Cause::Expired);
        }
        (self.idle == Some(0)).then_some(Cause::Idle)
    }
}

/// What the engine knows about an entry beside its key and value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Meta {
    /// The entry's weight with the engine's overhead.
    pub weight: u64,
    /// The millisecond at which it expires, if it does.
    pub expires_at: Option<u64>,
    /// Its limit of milliseconds without a use, if it has one.
    pub idle: Option<u64>,
    /// Whether it is pinned.
    pub pinned: bool,
    /// Its priority.
    pub priority: Priority,
}

/// Why an entry left the engine, or never got in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Cause {
    /// The policy chose it to make room.
    Capacity,
    /// Its time had come.
    Expired,
    /// It had not been used for as long as its idle limit.
    Idle,
    /// It was refused: alone it weighs more than the whole capacity, or 4 GiB or more.
    TooHeavy,
    /// It was refused: what would have to leave is pinned, or was held by other threads all the while.
    Full,
}

impl Cause {
    /// Every cause, in the order in which statistics list them.
    pub const ALL: [Cause; 5] = [Cause::Capacity, Cause::Expired, Cause::Idle, Cause::TooHeavy, Cause::Full];

    /// The cause's name in statistics and logs.
    pub fn name(self) -> &'static str {
        match self {
            Cause::Capacity => "capacity",
            Cause::Expired => "expired",
            Cause::Idle => "idle",
            Cause::TooHeavy => "too_heavy",
            Cause::Full => "full",
        }
    }
}

/// What [`Memory::insert`](crate::Memory::insert) did.
#[derive(Debug)]
#[must_use = "entries that were evicted come back here and nowhere else"]
pub struct Inserted<'a, K, V> {
    /// Whether the entry is now in the engine. If not, it is the last of `evicted`, with the cause, and the
    /// key holds nothing any more: an older value would be stale.
    pub stored: bool,
    /// The entry this key had before.
    pub replaced: Option<Gone<'a, K, V>>,
    /// What had to leave. Empty (and not allocated) if nothing did.
    pub evicted: Evictions<'a, K, V>,
}

/// What the closure of [`Memory::upsert`](crate::Memory::upsert) wants done.
#[derive(Debug)]
pub enum Decision<V> {
    /// Leave everything as it is.
    Keep,
    /// Store this value.
    Put(V, Options),
    /// Remove what is there.
    Remove,
}

/// What came of a [`Decision`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Nothing changed.
    Kept,
    /// The new value is stored.
    Stored,
    /// The key holds nothing now, as decided.
    Removed,
    /// The new value was refused, and the key holds nothing now: the old value would be stale.
    Refused,
}

/// What [`Memory::upsert`](crate::Memory::upsert) did.
#[derive(Debug)]
#[must_use = "entries that were evicted come back here and nowhere else"]
pub struct Upserted<'a, K, V> {
    /// What came of the decision.
    pub outcome: Outcome,
    /// The entry this key had before, if it no longer has it.
    pub replaced: Option<Gone<'a, K, V>>,
    /// What had to leave; the refused entry itself comes last. Empty (and not allocated) if nothing did.
    pub evicted: Evictions<'a, K, V>,
}

impl<K, V> Inserted<'_, K, V> {
    /// Of a call that has done nothing yet.
    #[inline]
    pub(crate) fn nothing() -> Self {
        Inserted { stored: false, replaced: None, evicted: Evictions::default() }
    }
}

/// What [`Memory::get_or_insert_with`](crate::Memory::get_or_insert_with) did.
#[derive(Debug)]
#[must_use = "entries that were evicted come back here and nowhere else"]
pub struct GotOrInserted<'a, K, V> {
    /// The value: the one that was there, or the new one, stored or not.
    pub value: V,
    /// What came of the new one; `None` if there was no need of it.
    pub inserted: Option<Inserted<'a, K, V>>,
}
