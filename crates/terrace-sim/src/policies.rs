//! The table of what a trace can be replayed through: one line each.

use terrace_memory::eviction::{
    Adaptive, AdaptiveReplacement, ClimbingWTinyLfu, Clock, Fifo, Gdsf, Hyperbolic, Lecar, Lfu, Lirs, Lru,
    Qdlp, Random, S3Fifo, Sieve, Slru, TwoQ, Unadapted, WTinyLfu,
};

use crate::drive::drive;
use crate::engine::shipped;
use crate::min::min_hits;
use crate::opt::optimal_hits;
use crate::replay::{Outcome, ReplayError, Run};
use crate::source::Trace;

/// How the hits of a policy are found.
#[derive(Clone, Copy)]
pub(crate) enum Kind {
    /// From all requests at once, for objects of one size.
    Clairvoyant(fn(&Trace, u64) -> u64),
    /// As a bound, for objects of any size.
    Bound,
    /// Request by request.
    Driven(fn(&Run<'_>, &mut dyn FnMut(u64)) -> Outcome),
}

/// The engine that ships.
pub(crate) const ENGINE: &str = "terrace";

/// Names and ways, in the order in which the names are listed.
const TABLE: [(&str, Kind); 24] = [
    ("opt", Kind::Clairvoyant(optimal_hits)),
    ("min", Kind::Clairvoyant(min_hits)),
    ("bound", Kind::Bound),
    ("lru", Kind::Driven(drive::<Lru>)),
    ("fifo", Kind::Driven(drive::<Fifo>)),
    ("clock", Kind::Driven(drive::<Clock>)),
    ("sieve", Kind::Driven(drive::<Sieve>)),
    ("slru", Kind::Driven(drive::<Slru>)),
    ("2q", Kind::Driven(drive::<TwoQ>)),
    ("arc", Kind::Driven(drive::<AdaptiveReplacement>)),
    ("lirs", Kind::Driven(drive::<Lirs>)),
    ("qdlp", Kind::Driven(drive::<Qdlp>)),
    ("s3fifo", Kind::Driven(drive::<S3Fifo>)),
    ("random", Kind::Driven(drive::<Random>)),
    ("lfu", Kind::Driven(drive::<Lfu>)),
    ("gdsf", Kind::Driven(drive::<Gdsf>)),
    ("hyperbolic", Kind::Driven(drive::<Hyperbolic>)),
    ("lecar", Kind::Driven(drive::<Lecar>)),
    ("wtinylfu", Kind::Driven(drive::<WTinyLfu<1>>)),
    ("wtinylfu20", Kind::Driven(drive::<WTinyLfu<20>>)),
    ("wtinylfu-climbing", Kind::Driven(drive::<ClimbingWTinyLfu>)),
    ("adaptive", Kind::Driven(drive::<Adaptive>)),
    ("adaptive-off", Kind::Driven(drive::<Unadapted>)),
    (ENGINE, Kind::Driven(shipped)),
];

/// The policies [`replay`](crate::replay) knows.
pub const POLICIES: [&str; TABLE.len()] = {
    let mut names = [""; TABLE.len()];
    let mut place = 0;
    while place < TABLE.len() {
        names[place] = TABLE[place].0;
        place += 1;
    }
    names
};

pub(crate) fn find(name: &str) -> Result<Kind, ReplayError> {
    let row = TABLE.iter().find(|(other, _)| *other == name);
    row.map(|(_, kind)| *kind).ok_or_else(|| ReplayError::UnknownPolicy(name.to_string()))
}
