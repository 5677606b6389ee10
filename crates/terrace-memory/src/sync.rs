//! Atomics and locks: the machine's in production, shuttle's when `--cfg shuttle` explores schedules.
//!
//! Decision: only what readers and writers meet on comes from here. Counters that nobody decides by stay with
//! the standard library, which keeps the schedules to explore few.

#[cfg(not(shuttle))]
pub(crate) use parking_lot::{Mutex, MutexGuard};
#[cfg(not(shuttle))]
pub(crate) use std::sync::atomic::{AtomicPtr, AtomicU32, AtomicU64};

#[cfg(shuttle)]
pub(crate) use self::explored::{Mutex, MutexGuard};
#[cfg(shuttle)]
pub(crate) use shuttle::sync::atomic::{AtomicPtr, AtomicU32, AtomicU64};

/// What a thread waits at for another: locks with the standard library's signatures.
pub(crate) mod waiting {
    #[cfg(shuttle)]
    pub(crate) use shuttle::sync::{Condvar, Mutex};
    #[cfg(not(shuttle))]
    pub(crate) use std::sync::{Condvar, Mutex};
}

/// Who is running.
#[cfg(shuttle)]
pub(crate) mod who {
    pub(crate) use shuttle::thread::{ThreadId, current};
}

/// Lets another thread go on.
pub(crate) fn yield_now() {
    #[cfg(not(shuttle))]
    std::thread::yield_now();
    #[cfg(shuttle)]
    shuttle::thread::yield_now();
}

/// Shuttle's locks with the signatures of parking_lot's.
#[cfg(shuttle)]
mod explored {
    use std::sync::{PoisonError, TryLockError};

    pub(crate) use shuttle::sync::MutexGuard;

    pub(crate) struct Mutex<T>(shuttle::sync::Mutex<T>);

    impl<T> Mutex<T> {
        pub(crate) fn new(value: T) -> Self {
            Mutex(shuttle::sync::Mutex::new(value))
        }

        pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
            self.0.lock().unwrap_or_else(PoisonError::into_inner)
        }

        pub(crate) fn try_lock(&self) -> Option<MutexGuard<'_, T>> {
            match self.0.try_lock() {
                Ok(guard) => Some(guard),
                Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
                Err(TryLockError::WouldBlock) => None,
            }
        }

        pub(crate) fn get_mut(&mut self) -> &mut T {
            self.0.get_mut().unwrap_or_else(PoisonError::into_inner)
        }
    }
}
