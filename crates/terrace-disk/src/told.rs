//! Telling a listener what was written and what went by its time.
//!
//! Decision: it is told under the writer's lock, so in the order of versions, and of each change before the call that made
//! it returns. While nobody listens that costs a load.

use crate::shared::Shared;

/// A change of one key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Told<'a> {
    /// It was put.
    Put {
        /// The key.
        key: &'a [u8],
        /// The version it has now.
        version: u64,
    },
    /// It was deleted, or swept after its time was over.
    Deleted {
        /// The key.
        key: &'a [u8],
        /// The floor it leaves.
        version: u64,
    },
}

/// Who is told. It must be quick, and must not call the log: it is called under the log's lock.
pub trait Listener: Send + Sync + 'static {
    /// What happened.
    fn told(&self, told: Told<'_>);
}

impl Shared {
    #[inline]
    pub(crate) fn tell(&self, told: Told<'_>) {
        if let Some(listener) = self.listener.get() {
            listener.told(told);
        }
    }
}
