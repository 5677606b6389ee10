//! How much each part does: little unless the environment asks for more, as `./test` does.

use std::env;

/// The number in a variable of the environment.
pub(crate) fn of(variable: &str, otherwise: u64) -> u64 {
    env::var(variable).ok().and_then(|value| value.parse().ok()).unwrap_or(otherwise)
}

/// The seeds from which a test begins: one that was asked for, or as many as it takes.
pub(crate) fn seeds() -> Box<dyn Iterator<Item = u64>> {
    match env::var("CRASH_SEED").ok().and_then(|seed| seed.parse().ok()) {
        Some(seed) => Box::new(std::iter::once(seed)),
        None => Box::new(of("CRASH_FIRST_SEED", 1)..),
    }
}

/// Whether only one seed is wanted.
pub(crate) fn is_one_seed() -> bool {
    env::var("CRASH_SEED").is_ok()
}

/// What to type to see a failure again.
pub(crate) fn again(test: &str, seed: u64) -> String {
    format!("again: CRASH_SEED={seed} cargo test -p terrace-disk --features points --test it {test}")
}
