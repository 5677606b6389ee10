//! The two halves of the barrier between readers and writers: `membarrier(2)` for writers, and a fence for the readers
//! of a system that has no such call.

use std::sync::atomic::{Ordering, fence};

/// Whether readers may do without a fence.
pub(super) fn is_asymmetric() -> bool {
    #[cfg(all(target_os = "linux", not(shuttle)))]
    {
        use rustix::thread::{MembarrierCommand, MembarrierQuery, membarrier, membarrier_query};
        static REGISTERED: std::sync::LazyLock<bool> = std::sync::LazyLock::new(|| {
            membarrier_query().contains(MembarrierQuery::PRIVATE_EXPEDITED)
                && membarrier(MembarrierCommand::RegisterPrivateExpedited).is_ok()
        });
        *REGISTERED
    }
    #[cfg(not(all(target_os = "linux", not(shuttle))))]
    false
}

/// A full barrier on every running thread of this process; none is needed on those that do not run.
pub(super) fn everywhere() -> Option<()> {
    #[cfg(all(target_os = "linux", not(shuttle)))]
    return rustix::thread::membarrier(rustix::thread::MembarrierCommand::PrivateExpedited).ok();
    #[cfg(not(all(target_os = "linux", not(shuttle))))]
    None
}

/// The readers' half where there is no barrier for writers. Not inlined, or it would stand in the way of those who need none.
#[cold]
#[inline(never)]
pub(super) fn dear_fence() {
    fence(Ordering::SeqCst);
}
