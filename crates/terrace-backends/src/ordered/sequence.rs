//! Where versions come from: one counter that never goes back, whatever the crash.
//!
//! Versions are handed out from memory, but only up to a bound that is on disk, synced, before any version below
//! it is used. After a crash the counter starts at the bound, so versions that were handed out and lost are
//! skipped, not used twice.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use terrace_store::{Error, ErrorKind, Result, Version};

/// How many versions are reserved at a time. A sync every four thousand million versions costs nothing, and
/// 2^63 leaves room for two thousand million crashes.
pub(super) const BLOCK: u64 = 1 << 32;

/// The counter.
#[derive(Debug)]
pub(super) struct Sequence {
    last: AtomicU64,
    reserved: AtomicU64,
    extending: Mutex<()>,
}

impl Sequence {
    /// A counter whose last version was this, and which may go up to `reserved`.
    pub(super) fn new(last: u64, reserved: u64) -> Self {
        Self { last: last.into(), reserved: reserved.into(), extending: Mutex::default() }
    }

    /// The next version. `persist` makes a new bound durable, when one is needed.
    pub(super) fn next(&self, persist: impl FnOnce(u64) -> Result<()>) -> Result<Version> {
        let version = self.last.fetch_add(1, Ordering::AcqRel) + 1;
        self.cover(version, persist)?;
        Ok(Version(version))
    }

    /// Makes all later versions greater than this one, which a write carries.
    ///
    /// # Errors
    /// `Invalid` if the version is so high that none would be left.
    pub(super) fn raise(&self, version: Version, persist: impl FnOnce(u64) -> Result<()>) -> Result<()> {
        if version >= Version::LIMIT {
            return Err(Error::new(ErrorKind::Invalid, "put")
                .with("version", version)
                .because("a write carries a version below 2^63"));
        }
        self.cover(version.0, persist)?;
        self.last.fetch_max(version.0, Ordering::AcqRel);
        Ok(())
    }

    /// The version handed out last.
    pub(super) fn last(&self) -> u64 {
        self.last.load(Ordering::Acquire)
    }

    fn cover(&self, version: u64, persist: impl FnOnce(u64) -> Result<()>) -> Result<()> {
        if version <= self.reserved.load(Ordering::Acquire) {
            return Ok(());
        }
        let _one = self.extending.lock().unwrap_or_else(PoisonError::into_inner);
        if version > self.reserved.load(Ordering::Acquire) {
            let bound = version.saturating_add(BLOCK);
            persist(bound)?;
            self.reserved.store(bound, Ordering::Release);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_version_is_used_before_a_bound_above_it_is_durable() {
        let sequence = Sequence::new(9, 10);
        assert_eq!(sequence.next(|_| panic!("10 is covered")).unwrap(), Version(10));
        let mut durable = 0;
        let version = sequence.next(|bound| {
            durable = bound;
            Ok(())
        });
        assert_eq!((version.unwrap(), durable), (Version(11), 11 + BLOCK));
        let failed = Sequence::new(0, 0).next(|_| Err(Error::new(ErrorKind::Full, "put")));
        assert_eq!(failed.unwrap_err().kind(), ErrorKind::Full);
    }

    #[test]
    fn a_carried_version_lifts_all_later_ones_above_it() {
        let sequence = Sequence::new(0, BLOCK);
        sequence.raise(Version(500), |_| Ok(())).unwrap();
        assert_eq!(sequence.next(|_| Ok(())).unwrap(), Version(501));
        let refused = sequence.raise(Version::MAX, |_| Ok(())).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Invalid);
    }
}
