//! Where each layer belongs, and why.

/// The built-in layers from the caller down to the store, with their ranks.
#[rustfmt::skip] // One line a layer.
pub const ORDER: &[(&str, u16)] = &[
    ("tracing",           100), // sees everything, as the caller does
    ("metrics",           200),
    ("audit",             300), // records denials, too
    ("access",            400), // before anything that answers by itself
    ("read_only",         500),
    ("namespace",         600), // below it names are whole
    ("cache",             700), // before whatever costs
    ("bloom",             800),
    ("compression",       900), // while there is something to compress
    ("encryption",       1000),
    ("checksum",         1100), // of what lies in the store
    ("retry",            1200), // around single attempts
    ("hedge",            1300),
    ("concurrency_limit", 1400), // a place for each attempt, none while waiting for the next
    ("throttle",         1500),
    ("circuit_breaker",  1600), // counts what timeout ends
    ("timeout",          1700),
    ("chaos",            1800), // as the store itself would misbehave
];

/// Which layer must stand above which, and what would not hold otherwise.
#[rustfmt::skip] // One line a rule.
pub const RULES: &[(&str, &str, &str)] = &[
    ("audit", "access", "what access denies would not be recorded"),
    ("audit", "cache", "what the cache answers would not be recorded"),
    ("access", "namespace", "its rules name namespaces as callers do"),
    ("access", "cache", "what the cache answers would not be checked"),
    ("access", "bloom", "whoever may not read a key would be told that it is not there"),
    ("namespace", "encryption", "values would not be bound to their part of the store, and could be moved to another"),
    ("compression", "encryption", "what is encrypted does not become smaller"),
    ("compression", "checksum", "the sum would not be of what lies in the store, and no scrub could check it"),
    ("encryption", "checksum", "the sum would not be of what lies in the store, and no scrub could check it without the keys"),
    ("retry", "concurrency_limit", "a call would keep its place while it waits to be repeated"),
    ("retry", "throttle", "repetitions would not be counted"),
    ("retry", "circuit_breaker", "of several attempts that fail only the last would be counted"),
    ("retry", "timeout", "one attempt that hangs would take the time of all"),
    ("hedge", "timeout", "a second question would have no time left"),
    ("hedge", "concurrency_limit", "second questions would not be counted"),
    ("hedge", "throttle", "second questions would not be counted"),
    ("circuit_breaker", "timeout", "calls that are ended because they take too long would not be counted as failures"),
    ("retry", "chaos", "it stands for a store that misbehaves, and what is there against that would not see it"),
    ("circuit_breaker", "chaos", "it stands for a store that misbehaves, and what is there against that would not see it"),
    ("timeout", "chaos", "it stands for a store that misbehaves, and what is there against that would not see it"),
    ("checksum", "chaos", "it stands for a store that misbehaves, and what is there against that would not see it"),
];

/// Why `upper` must not stand above `lower`; `None` if it may.
pub fn forbids(upper: &str, lower: &str) -> Option<&'static str> {
    RULES.iter().find(|(above, below, _)| *above == lower && *below == upper).map(|(_, _, reason)| *reason)
}

/// The rank of a built-in layer.
pub(super) fn rank(name: &str) -> u16 {
    ORDER.iter().find(|(known, _)| *known == name).map_or(u16::MAX, |(_, rank)| *rank)
}
