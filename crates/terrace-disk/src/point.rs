//! Named places on the way of a write, at which tests end the process or plant a defect.
//!
//! Decision: `point` is an empty function unless the feature `points` is on, and then one environment variable
//! decides, read once: `TERRACE_POINT=name` or `TERRACE_POINT=name:n` ends the process by `abort` when the
//! place is reached for the n-th time. Seeded bugs exist only in builds with `--cfg seeded_bug`; the
//! variable `TERRACE_BUG`, or `seed_bug` for one thread, names the one that is awake.

/// Every name that `point` is called with, so that a test can go through them all.
pub const POINTS: &[&str] = &[
    "append.before_write",
    "append.after_write",
    "batch.before_trailer",
    "batch.after_write",
    "checkpoint.before_sync",
    "checkpoint.before_rename",
    "checkpoint.before_sync_dir",
    "checkpoint.before_remove_old",
    "clear.after_append",
    "close.before_checkpoint",
    "close.after_checkpoint",
    "commit.before_sync",
    "commit.after_sync",
    "commit.before_ack",
    "compact.before_copy",
    "compact.after_copy",
    "compact.before_retire",
    "delete.after_append",
    "dictionary.before_rename",
    "evict.before_drain",
    "evict.after_drain",
    "evict.after_reinsert",
    "open.before_truncate",
    "open.after_truncate",
    "open.after_mark",
    "open.before_remove_leftover",
    "put.after_append",
    "put.before_install",
    "reserve.after_append",
    "retire.after_record",
    "retire.before_remove",
    "retire.after_remove",
    "segment.seal.before_truncate",
    "segment.seal.before_sync",
    "segment.seal.after_sync",
    "segment.create.before_allocate",
    "segment.create.before_header",
    "segment.create.before_sync",
    "segment.create.before_sync_dir",
    "segment.create.after_sync_dir",
    "spare.before_rename",
    "sweep.after_record",
];

/// A place that a test may end the process at.
#[cfg(not(feature = "points"))]
#[inline(always)]
pub(crate) fn point(_name: &'static str) {}

/// A place that a test may end the process at.
#[cfg(feature = "points")]
pub(crate) fn point(name: &'static str) {
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicU64, Ordering};
    static CHOSEN: OnceLock<Option<(String, u64)>> = OnceLock::new();
    static REACHED: AtomicU64 = AtomicU64::new(0);
    debug_assert!(POINTS.contains(&name), "{name} is not in the list");
    let chosen = CHOSEN.get_or_init(|| {
        let value = std::env::var("TERRACE_POINT").ok()?;
        let (name, times) = value.split_once(':').unwrap_or((&value, "1"));
        Some((name.to_owned(), times.parse().unwrap_or(1)))
    });
    let Some((wanted, times)) = chosen else { return };
    if wanted == name && REACHED.fetch_add(1, Ordering::SeqCst) + 1 == *times {
        std::process::abort();
    }
}

/// The defects that can be planted: each is an incident that happened to somebody.
pub const BUGS: &[&str] = &[
    "ack_before_fsync",
    "retry_failed_fsync",
    "no_directory_sync",
    "header_outside_checksum",
    "middle_damage_ends_recovery",
    "tombstone_dropped_early",
    "delete_not_durable",
    "ttl_extended_on_restart",
    "nonce_reused",
    "version_not_announced",
];

#[cfg(seeded_bug)]
thread_local! {
    static AWAKE: std::cell::Cell<Option<&'static str>> = const { std::cell::Cell::new(None) };
}

/// Wakes one of [`BUGS`] in this thread, or puts all to sleep.
#[cfg(seeded_bug)]
pub fn seed_bug(name: Option<&'static str>) {
    assert!(name.is_none_or(|name| BUGS.contains(&name)), "no such defect");
    AWAKE.set(name);
}

/// Whether this defect is awake.
#[cfg(seeded_bug)]
pub(crate) fn bug(name: &'static str) -> bool {
    use std::sync::OnceLock;
    static CHOSEN: OnceLock<Option<String>> = OnceLock::new();
    debug_assert!(BUGS.contains(&name), "{name} is not in the list");
    AWAKE.get() == Some(name)
        || CHOSEN.get_or_init(|| std::env::var("TERRACE_BUG").ok()).as_deref() == Some(name)
}

/// Whether this defect is awake: never in this build.
#[cfg(not(seeded_bug))]
#[inline(always)]
pub(crate) const fn bug(_name: &'static str) -> bool {
    false
}
