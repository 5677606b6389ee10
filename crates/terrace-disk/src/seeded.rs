//! Bugs that are put in on purpose, to see whether the tests find them.
//!
//! They exist only in builds with `--cfg seeded_bug`, and there one is chosen by the environment
//! (`TERRACE_SEEDED_BUG`). Each is a mistake that some real store has made.

/// True if this bug was asked for; a constant `false` in every other build.
#[cfg(not(seeded_bug))]
#[inline(always)]
pub(crate) const fn bug(_: &str) -> bool {
    false
}

/// True if this bug was asked for.
#[cfg(seeded_bug)]
pub(crate) fn bug(name: &str) -> bool {
    static CHOSEN: std::sync::OnceLock<String> = std::sync::OnceLock::new();
    let chosen = CHOSEN.get_or_init(|| std::env::var("TERRACE_SEEDED_BUG").unwrap_or_default());
    chosen == name
}
