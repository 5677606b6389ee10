//! What the calls of a store answer, seen by a layer that does not care which call it was.

use bytes::Bytes;
use terrace_store::capability::{
    Changes, Lease, Outcome, Page, PathKind, SnapshotView, Subscription, Transaction,
};
use terrace_store::{Deleted, Entry, Namespace, Swept, Version, Written};

/// The answer of a call.
pub trait Answer: Send {
    /// The bytes of the values in it.
    fn bytes(&self) -> u64 {
        0
    }

    /// Of a read of one key, whether something was there.
    fn hit(&self) -> Option<bool> {
        None
    }

    /// The one entry that it is, to be changed.
    fn entry(&mut self) -> Option<&mut Entry> {
        None
    }

    /// Whether a condition did not hold and nothing was written.
    fn is_conflict(&self) -> bool {
        false
    }

    /// The answer, given that an earlier attempt at a write that carried this version may have been applied.
    #[must_use]
    fn after_unknown(self, version: Version) -> Self
    where
        Self: Sized,
    {
        let _ = version;
        self
    }
}

impl Answer for Option<Entry> {
    fn bytes(&self) -> u64 {
        self.as_ref().map_or(0, |entry| entry.value.len() as u64)
    }

    fn hit(&self) -> Option<bool> {
        Some(self.is_some())
    }

    fn entry(&mut self) -> Option<&mut Entry> {
        self.as_mut()
    }
}

impl Answer for Vec<Option<Entry>> {
    fn bytes(&self) -> u64 {
        self.iter().map(Answer::bytes).sum()
    }
}

impl Answer for Page {
    fn bytes(&self) -> u64 {
        self.entries.iter().map(|(_, entry)| entry.value.len() as u64).sum()
    }
}

impl Answer for Written {
    fn is_conflict(&self) -> bool {
        matches!(self, Self::Conflict { .. })
    }

    /// A version is given to one write: if it is there, it is this one. What it replaced is not known any more.
    fn after_unknown(self, version: Version) -> Self {
        match self {
            Self::Conflict { current: Some(current) } if current == version => {
                Self::Stored { version, replaced: false }
            }
            other => other,
        }
    }
}

impl Answer for Deleted {
    fn is_conflict(&self) -> bool {
        matches!(self, Self::Conflict { .. })
    }
}

impl Answer for bool {
    fn hit(&self) -> Option<bool> {
        Some(*self)
    }
}

impl Answer for Bytes {}
impl Answer for () {}
impl Answer for u64 {}
impl Answer for Option<Lease> {}
impl Answer for Option<PathKind> {}
impl Answer for Swept {}
impl Answer for Vec<Namespace> {}
impl Answer for Vec<Outcome> {}
impl Answer for Vec<String> {}
impl Answer for Version {}
impl Answer for Box<dyn Changes> {}
impl Answer for Box<dyn SnapshotView> {}
impl Answer for Box<dyn Subscription> {}
impl Answer for Box<dyn Transaction + '_> {}
