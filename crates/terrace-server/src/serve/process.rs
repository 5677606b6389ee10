//! What the server asks of the operating system for itself: processors, open files, and who it runs as.

use rustix::process::{Resource, Rlimit, geteuid, getrlimit, setrlimit};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// Files a server has open beside the connections of the Redis protocol: those of HTTP, of connections on their way
/// in, of the store, the listeners and the event loops.
const OTHER_FILES: usize = 2048;

/// Which processors this process may use, by number; empty if that cannot be told.
pub(super) fn processors() -> Vec<usize> {
    let Ok(allowed) = sched_getaffinity(None) else { return Vec::new() };
    (0..CpuSet::MAX_CPU).filter(|processor| allowed.is_set(*processor)).collect()
}

/// Keeps the calling thread on one processor. Where that is not allowed it runs as well without.
pub(super) fn pin(processor: usize) {
    let mut one = CpuSet::new();
    one.set(processor);
    let _ = sched_setaffinity(None, &one);
}

/// Raises the limit of open files as far as so many connections need, and returns how many fit.
pub(super) fn reserve_files(connections: usize) -> usize {
    let needed = (connections + OTHER_FILES) as u64;
    let limit = getrlimit(Resource::Nofile);
    let hard = limit.maximum.unwrap_or(u64::MAX);
    let mut have = limit.current.unwrap_or(u64::MAX);
    if have < needed {
        let wanted = needed.min(hard);
        let raised = Rlimit { current: Some(wanted), maximum: limit.maximum };
        if setrlimit(Resource::Nofile, raised).is_ok() {
            have = wanted;
        }
    }
    let have = usize::try_from(have).unwrap_or(usize::MAX);
    // Half of a tiny limit, rather than nothing at all.
    have.saturating_sub(OTHER_FILES).max(have / 2).max(1)
}

/// Whether the process may do anything it likes.
pub(super) fn is_root() -> bool {
    geteuid().is_root()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_stays_where_it_was_pinned() {
        let Some(processor) = processors().last().copied() else { return };
        std::thread::spawn(move || {
            pin(processor);
            assert_eq!(processors(), [processor]);
        })
        .join()
        .unwrap();
    }

    #[test]
    fn a_few_connections_always_fit() {
        assert!(reserve_files(16) >= 16);
    }
}
