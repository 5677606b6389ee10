//! An upper bound on what any cache could hit when objects have different sizes.
//!
//! Decision: the exact optimum is NP-hard to find, so this is a bound and named so: PFOO-L of "Practical bounds on
//! optimal caching with variable object sizes" (Berger, Beckmann and Harchol-Balter, SIGMETRICS 2018). To hit a
//! request, its object must have occupied its size since the request before. The bound asks that only the sum of
//! all that room over the whole trace be within the capacity, not the room at each moment; then the cheapest
//! hits are taken first. An object whose size changes counts with its smallest.

use crate::opt::{NEVER, next_uses};
use crate::source::Trace;

/// Hits and bytes that no cache can pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bound {
    /// No cache hits more requests.
    pub hits: u64,
    /// No cache serves more bytes; in general not with the same choices.
    pub hit_bytes: u64,
}

/// What it takes to hit one request.
struct Wish {
    /// Size times requests since the one before.
    room: u128,
    /// Requests since the one before.
    length: u64,
    /// Bytes served by the hit.
    bytes: u64,
}

/// The bound for a cache of `capacity` bytes, or of so many objects if all count one.
///
/// # Cost
///
/// Time in proportion to requests times the logarithm of their number; about 60 bytes a request.
pub fn upper_bound(trace: &Trace, capacity: u64, weight: impl Fn(u32) -> u32) -> Bound {
    let mut wishes = wishes(trace, capacity, weight);
    let room = u128::from(capacity) * trace.records().len() as u128;
    wishes.sort_unstable_by_key(|wish| wish.room);
    let hits = affordable(&wishes, room).count() as u64;
    // A byte costs as many requests as it has to stay, whatever the size of its object.
    wishes.sort_unstable_by_key(|wish| wish.length);
    let mut left = room;
    let mut hit_bytes = 0;
    for wish in &wishes {
        if wish.room > left {
            // Part of an object: what is left of the room goes to so many of its bytes.
            let part = wish.bytes as f64 * left as f64 / wish.room as f64;
            hit_bytes += part.ceil() as u64;
            break;
        }
        left -= wish.room;
        hit_bytes += wish.bytes;
    }
    Bound { hits, hit_bytes }
}

/// As many from the front as there is room for.
fn affordable(wishes: &[Wish], room: u128) -> impl Iterator<Item = &Wish> {
    wishes.iter().scan(room, |left, wish| {
        *left = left.checked_sub(wish.room)?;
        Some(wish)
    })
}

/// Every request that could be a hit.
fn wishes(trace: &Trace, capacity: u64, weight: impl Fn(u32) -> u32) -> Vec<Wish> {
    let mut least = vec![u32::MAX; trace.unique_keys() as usize];
    for (record, id) in trace.records().iter().zip(trace.ids()) {
        let least = &mut least[*id as usize];
        *least = weight(record.size).min(*least);
    }
    let next_uses = next_uses(trace);
    let wish = |(now, next): (usize, usize)| {
        let weight = least[trace.ids()[now] as usize];
        let fits = next != NEVER && u64::from(weight) <= capacity;
        let length = fits.then(|| (next - now) as u64)?;
        let bytes = u64::from(trace.records()[next].size);
        Some(Wish { room: u128::from(weight) * u128::from(length), length, bytes })
    };
    next_uses.into_iter().enumerate().filter_map(wish).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::opt::optimal_hits;
    use crate::trace::Record;
    use proptest::prelude::*;

    fn trace(requests: &[(u64, u32)]) -> Trace {
        let record = |(key, size): &(u64, u32)| Record { key: *key, size: *size, time: 0 };
        Trace::from_records("t", requests.iter().map(record).collect())
    }

    #[test]
    fn room_is_paid_for_by_size_and_time() {
        let requests = [(1, 4), (1, 4), (2, 9), (3, 1), (2, 9)];
        // One object of 4 for one request, one of 9 for two: 22 in all, of five times the capacity.
        let bound = |capacity| upper_bound(&trace(&requests), capacity, |size| size);
        assert_eq!(bound(9), Bound { hits: 2, hit_bytes: 13 });
        assert_eq!(bound(8), Bound { hits: 1, hit_bytes: 4 });
        assert_eq!(bound(3), Bound { hits: 0, hit_bytes: 0 });
    }

    proptest! {
        #[test]
        fn the_exact_optimum_for_one_size_is_never_above(
            keys in prop::collection::vec(0..9u64, 0..80),
            capacity in 0..7u64,
        ) {
            let trace = trace(&keys.iter().map(|key| (*key, 1)).collect::<Vec<_>>());
            let bound = upper_bound(&trace, capacity, |_| 1);
            prop_assert!(optimal_hits(&trace, capacity) <= bound.hits);
            prop_assert_eq!(bound.hits, bound.hit_bytes.min(bound.hits));
        }
    }
}
