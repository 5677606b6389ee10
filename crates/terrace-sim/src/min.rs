//! Belady's rule as it was published: every miss is admitted, in place of what is needed last.
//!
//! Decision: kept beside the true optimum (`opt`), which may decline to admit, because most published figures
//! compare with this one. It hits no more often than `opt`.
//!
//! "A study of replacement algorithms for a virtual-storage computer", Belady, IBM Systems Journal 1966.

use std::collections::BinaryHeap;

use crate::opt::{NEVER, next_uses};
use crate::source::Trace;

/// The hits of Belady's rule with a cache of `capacity` objects of one size.
///
/// # Cost
///
/// Time in proportion to requests times the logarithm of their number; about 40 bytes a request.
pub fn min_hits(trace: &Trace, capacity: u64) -> u64 {
    if capacity == 0 {
        return 0;
    }
    let next_uses = next_uses(trace);
    // What each key in the cache is needed for next; 0 for a key that is not there.
    let mut held_until = vec![0; trace.unique_keys() as usize];
    let mut farthest = BinaryHeap::new();
    let (mut held, mut hits) = (0, 0);
    for (now, next) in next_uses.into_iter().enumerate() {
        let id = trace.ids()[now];
        if held_until[id as usize] != 0 {
            hits += 1;
        } else if held < capacity {
            held += 1;
        } else {
            // A record of an earlier promise is older than what the key is held for now, and smaller.
            while let Some((until, id)) = farthest.pop() {
                if held_until[id as usize] == until {
                    held_until[id as usize] = 0;
                    break;
                }
            }
        }
        // Keys that are never needed again tell themselves apart by the moment of their last use.
        let until = if next == NEVER { NEVER - now } else { next };
        held_until[id as usize] = until;
        farthest.push((until, id));
    }
    hits
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trace::Record;
    use proptest::prelude::*;

    fn trace(keys: &[u64]) -> Trace {
        Trace::from_records("t", keys.iter().map(|key| Record { key: *key, size: 1, time: 0 }).collect())
    }

    /// The rule in its plainest form: look through the rest of the trace for every choice.
    fn naive(keys: &[u64], capacity: usize) -> u64 {
        let mut cache: Vec<u64> = Vec::new();
        let mut hits = 0;
        for (now, key) in keys.iter().enumerate() {
            if cache.contains(key) {
                hits += 1;
                continue;
            }
            if cache.len() == capacity {
                let next = |key: &u64| keys[now..].iter().position(|other| other == key).unwrap_or(NEVER);
                let last = (0..cache.len()).max_by_key(|place| next(&cache[*place]));
                last.map(|place| cache.swap_remove(place));
            }
            if capacity > 0 {
                cache.push(*key);
            }
        }
        hits
    }

    proptest! {
        #[test]
        fn agrees_with_the_plainest_form(keys in prop::collection::vec(0..9u64, 0..60), capacity in 0..6usize) {
            prop_assert_eq!(min_hits(&trace(&keys), capacity as u64), naive(&keys, capacity));
        }
    }
}
