//! The clairvoyant optimum: what a cache could hit that knew the future.
//!
//! Decision: Belady's rule with the right to decline. On a miss in a full cache, of the entries held and the
//! one asked for, the one whose next use lies farthest ahead is left out. For objects of one size this is
//! exact: no policy, whatever it knows, hits more often. A rule that must admit every miss hits less, so the
//! two are not to be confused when figures are compared.

use std::collections::BinaryHeap;

use crate::source::Trace;

/// No further use.
pub(crate) const NEVER: usize = usize::MAX;

/// The most hits a cache of `capacity` objects of one size can have on this trace.
///
/// # Cost
///
/// Time in proportion to requests times the logarithm of their number; about 40 bytes a request.
pub fn optimal_hits(trace: &Trace, capacity: u64) -> u64 {
    let next_uses = next_uses(trace);
    // An entry in the cache is known by the time of its next use, which no other entry has.
    let mut held_until = vec![false; next_uses.len()];
    let mut farthest = BinaryHeap::new();
    let (mut held, mut hits) = (0, 0);
    for (now, next) in next_uses.into_iter().enumerate() {
        if held_until[now] {
            hits += 1;
            held -= 1;
        }
        if next == NEVER {
            continue;
        }
        if held < capacity {
            held += 1;
        } else {
            // In a full cache the farthest next use is ahead: those that have passed are smaller.
            match farthest.peek_mut() {
                Some(last) if *last > next && capacity > 0 => {
                    held_until[std::collections::binary_heap::PeekMut::pop(last)] = false;
                }
                _ => continue,
            }
        }
        held_until[next] = true;
        farthest.push(next);
    }
    hits
}

/// For each request, when its key is asked for next.
pub(crate) fn next_uses(trace: &Trace) -> Vec<usize> {
    let mut next_uses = vec![NEVER; trace.ids().len()];
    let mut last_seen = vec![NEVER; trace.unique_keys() as usize];
    for (now, id) in trace.ids().iter().enumerate() {
        let before = std::mem::replace(&mut last_seen[*id as usize], now);
        if before != NEVER {
            next_uses[before] = now;
        }
    }
    next_uses
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trace::Record;
    use proptest::prelude::*;
    use std::collections::{BTreeMap, BTreeSet};

    fn trace(keys: &[u64]) -> Trace {
        Trace::from_records("t", keys.iter().map(|key| Record { key: *key, size: 1, time: 0 }).collect())
    }

    /// Every cache that any sequence of choices could lead to, with the most hits on the way to it.
    fn exhaustive(keys: &[u64], capacity: usize) -> u64 {
        let mut reachable = BTreeMap::from([(BTreeSet::new(), 0u64)]);
        for key in keys {
            let mut after: BTreeMap<BTreeSet<u64>, u64> = BTreeMap::new();
            for (cache, hits) in reachable {
                let hits = hits + u64::from(cache.contains(key));
                let mut choices = vec![cache.clone()];
                if !cache.contains(key) {
                    let mut with = cache;
                    with.insert(*key);
                    choices
                        .extend(with.iter().map(|out| with.iter().copied().filter(|k| k != out).collect()));
                    choices.push(with);
                }
                for choice in choices.into_iter().filter(|choice: &BTreeSet<u64>| choice.len() <= capacity) {
                    let best = after.entry(choice).or_default();
                    *best = hits.max(*best);
                }
            }
            reachable = after;
        }
        reachable.into_values().max().unwrap_or(0)
    }

    #[test]
    fn declining_pays_where_admitting_would_cost_a_hit() {
        // 2 comes once; admitting it into a cache of one would lose 1.
        assert_eq!(optimal_hits(&trace(&[1, 2, 1]), 1), 1);
        assert_eq!(optimal_hits(&trace(&[1, 2, 3, 1, 2, 3]), 2), 2);
        assert_eq!(optimal_hits(&trace(&[1, 1, 1]), 0), 0);
        assert_eq!(optimal_hits(&trace(&[]), 5), 0);
    }

    #[test]
    fn with_room_for_all_every_repetition_hits() {
        assert_eq!(optimal_hits(&trace(&[1, 2, 3, 2, 1, 3, 3]), 3), 4);
    }

    proptest! {
        #[test]
        fn no_sequence_of_choices_hits_more_or_less(
            keys in prop::collection::vec(0..7u64, 0..24),
            capacity in 0..5usize,
        ) {
            prop_assert_eq!(optimal_hits(&trace(&keys), capacity as u64), exhaustive(&keys, capacity));
        }
    }
}
