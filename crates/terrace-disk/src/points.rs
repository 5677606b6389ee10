//! Named places at which a test kills the process, as `kill -9` would at that very instruction.
//!
//! Only with the feature `points`; without it [`point!`] is nothing. The environment names the place
//! (`TERRACE_POINT`) and which of its visits is the last (`TERRACE_POINT_VISIT`, from 1).

/// Marks a place by name. Names are `part.moment`, and every one of them stands in [`NAMES`].
macro_rules! point {
    ($name:literal) => {
        #[cfg(feature = "points")]
        $crate::points::visit($name);
    };
}

pub(crate) use point;

/// Every place that can be named.
#[cfg(feature = "points")]
pub const NAMES: &[&str] = &[];

/// Dies here if this is the place and the visit.
#[cfg(feature = "points")]
pub(crate) fn visit(name: &str) {
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicI64, Ordering};

    static WANTED: OnceLock<Option<(String, AtomicI64)>> = OnceLock::new();
    debug_assert!(NAMES.contains(&name), "{name} stands in no table");
    let wanted = WANTED.get_or_init(|| {
        let name = std::env::var("TERRACE_POINT").ok()?;
        let visit = std::env::var("TERRACE_POINT_VISIT").ok().and_then(|visit| visit.parse().ok());
        Some((name, AtomicI64::new(visit.unwrap_or(1))))
    });
    if let Some((wanted, left)) = wanted
        && wanted == name
        && left.fetch_sub(1, Ordering::Relaxed) == 1
    {
        // The signal may take a moment; nothing may happen in it.
        _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
        loop {
            std::thread::park();
        }
    }
}
