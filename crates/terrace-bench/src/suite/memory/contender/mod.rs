//! The caches that are measured, each as it ships: its own defaults, its own hash, only the room is said.

mod caches;
mod maps;
mod terrace;

use self::caches::{Foyer, Stretto};
use self::maps::{Locked, Plain};
use self::terrace::{Batches, Ending, InPlace, Many, engine, mixed, typed};
use super::subject::{Making, Subject};
use super::value::Shared;
use crate::suite::Failure;

type Hash = foldhash::fast::RandomState;

/// Makes a subject with room for so many entries.
type Make<K> = fn(usize) -> Result<Box<dyn Subject<K>>, Failure>;

/// How each of these is made with room for `$room`.
macro_rules! makes {
    ($room:ident: $($subject:expr,)*) => {
        vec![$(|$room| Ok(Box::new($subject)),)*]
    };
}

/// All of them, with keys kept as `$kept` and values as `$value`.
macro_rules! all {
    ($kept:ty, $value:ty) => {
        makes![room:
            typed::<$kept, $value>(room)?,
            Many(typed::<$kept, $value>(room)?),
            mixed::<$kept, $value>(room)?,
            engine::<$kept, $value>(room),
            InPlace(engine::<$kept, $value>(room)),
            Batches(engine::<$kept, $value>(room)),
            quick_cache::sync::Cache::<$kept, $value>::new(room),
            moka::sync::Cache::<$kept, $value>::new(room as u64),
            Foyer::<$kept, $value>::new(room),
            Stretto::<$kept, $value>::new(room)?,
            scc::HashCache::<$kept, $value, Hash>::with_capacity_and_hasher(room, room, Hash::default()),
            papaya::HashMap::<$kept, $value, Hash>::with_capacity_and_hasher(room, Hash::default()),
            dashmap::DashMap::<$kept, $value, Hash>::with_capacity_and_hasher(room, Hash::default()),
            Locked::<$kept, $value>::new(room),
            Plain::<$kept, $value>::new(room),
        ]
    };
}

/// All that take `u64` keys and have `u64` values, with room for so many entries.
pub(super) fn words(room: usize) -> Result<Vec<Box<dyn Subject<u64>>>, Failure> {
    let mut makes: Vec<Make<u64>> = all!(u64, u64);
    // It cannot be asked for a `String` with a `&str`.
    let mini: Vec<Make<u64>> = makes![room: mini_moka::sync::Cache::<u64, u64>::new(room as u64),];
    makes.extend(mini);
    makes.into_iter().map(|make| make(room)).collect()
}

/// All that have `String` keys, asked with `&str`, and values of 128 bytes behind an `Arc`.
pub(super) fn strings<'a>(room: usize) -> Result<Vec<Box<dyn Subject<&'a str>>>, Failure> {
    let makes: Vec<Make<&'a str>> = all!(String, Shared);
    makes.into_iter().map(|make| make(room)).collect()
}

/// Those of which the memory is told: each is made by itself. Those that free in the background come last, or what
/// they free would be taken off what the next one holds.
pub(super) fn weighed() -> Vec<Make<u64>> {
    makes![room:
        typed::<u64, u64>(room)?,
        engine::<u64, u64>(room),
        Ending(engine(room)),
        quick_cache::sync::Cache::<u64, u64>::new(room),
        Foyer::<u64, u64>::new(room),
        dashmap::DashMap::<u64, u64, Hash>::with_capacity_and_hasher(room, Hash::default()),
        Plain::<u64, u64>::new(room),
        papaya::HashMap::<u64, u64, Hash>::with_capacity_and_hasher(room, Hash::default()),
        scc::HashCache::<u64, u64, Hash>::with_capacity_and_hasher(room, room, Hash::default()),
        mini_moka::sync::Cache::<u64, u64>::new(room as u64),
        moka::sync::Cache::<u64, u64>::new(room as u64),
        Stretto::<u64, u64>::new(room)?,
    ]
}

/// Those that make a value once however many ask.
pub(super) fn makers(room: usize) -> Vec<Box<dyn Making<u64>>> {
    vec![
        Box::new(engine::<u64, u64>(room)),
        Box::new(quick_cache::sync::Cache::<u64, u64>::new(room)),
        Box::new(moka::sync::Cache::<u64, u64>::new(room as u64)),
        Box::new(scc::HashCache::<u64, u64, Hash>::with_capacity_and_hasher(room, room, Hash::default())),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everyone_returns_what_was_stored_and_misses_the_rest() {
        let words = words(1000).unwrap();
        assert_eq!(words.len(), 16);
        for subject in words {
            subject.writes(&[1, 2, 2, 3]);
            subject.settle();
            assert_eq!(subject.reads(&[1, 2, 3, 4]).found, 3, "{}", subject.name());
        }
        let [one, two, three] = [1, 2, 3].map(|number| format!("user:{number:016x}:profile:v1"));
        for subject in strings(1000).unwrap() {
            subject.writes(&[&one, &two]);
            subject.settle();
            assert_eq!(subject.reads(&[&two, &three]).found, 1, "{}", subject.name());
        }
    }

    #[test]
    fn makers_make_once_and_then_answer_with_that() {
        for maker in makers(1000) {
            let keys: Vec<u64> = (0..200).chain(0..200).collect();
            assert_eq!(maker.makes(&keys), super::super::subject::Tally::of(&keys), "{}", maker.name());
        }
    }

    #[test]
    fn whoever_evicts_stays_within_its_room() {
        for subject in words(1000).unwrap().into_iter().filter(|subject| subject.evicts()) {
            let keys: Vec<u64> = (0..20_000).collect();
            subject.writes(&keys);
            subject.settle();
            assert!(subject.reads(&keys).found <= 1100, "{}", subject.name());
        }
    }
}
