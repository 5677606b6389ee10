//! What LRU hits at every capacity, in one pass.
//!
//! Decision: LRU is a stack algorithm ("Evaluation techniques for storage hierarchies", Mattson et al., IBM Systems
//! Journal 1970): a request hits wherever the capacity is at least its stack distance, the number of different
//! keys asked for since the request before for the same one, itself included. The distances are counted with a
//! Fenwick tree over the requests. Objects count one.

use crate::source::Trace;

/// What LRU hits on one trace, at any capacity in entries.
#[derive(Clone, Debug)]
pub struct LruCurve {
    /// The hits at a capacity of each place and one.
    hits: Vec<u64>,
}

impl LruCurve {
    /// Measures a trace.
    ///
    /// # Cost
    ///
    /// Time in proportion to requests times the logarithm of their number; 4 bytes a request and 16 a key.
    pub fn measure(trace: &Trace) -> Self {
        let mut last_uses = vec![None; trace.unique_keys() as usize];
        let mut latest = Fenwick::new(trace.ids().len());
        let mut distances = vec![0u64; trace.unique_keys() as usize];
        let mut keys = 0;
        for (now, id) in trace.ids().iter().enumerate() {
            match last_uses[*id as usize].replace(now) {
                Some(before) => {
                    // Keys whose latest request came before this one's stand deeper in the stack.
                    let distance = keys - latest.sum_before(before);
                    distances[distance as usize - 1] += 1;
                    latest.add(before, false);
                }
                None => keys += 1,
            }
            latest.add(now, true);
        }
        let mut sum = 0;
        let running = distances.into_iter().map(|count| {
            sum += count;
            sum
        });
        LruCurve { hits: running.collect() }
    }

    /// The hits of a cache of so many entries.
    pub fn hits(&self, capacity: u64) -> u64 {
        let largest = self.hits.len();
        let place = usize::try_from(capacity).unwrap_or(largest).min(largest);
        place.checked_sub(1).map_or(0, |place| self.hits[place])
    }
}

/// Counts of marked places, summed from the beginning in logarithmic time.
struct Fenwick(Vec<u32>);

impl Fenwick {
    fn new(places: usize) -> Self {
        Fenwick(vec![0; places + 1])
    }

    /// Marks a place that is not marked, or takes its mark away.
    fn add(&mut self, place: usize, mark: bool) {
        let mut node = place + 1;
        while let Some(count) = self.0.get_mut(node) {
            *count = if mark { *count + 1 } else { *count - 1 };
            node += node & node.wrapping_neg();
        }
    }

    /// How many places before this one are marked.
    fn sum_before(&self, place: usize) -> u32 {
        let mut node = place;
        let mut sum = 0;
        while node > 0 {
            sum += self.0[node];
            node &= node - 1;
        }
        sum
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::replay::{Unit, replay};

    #[test]
    fn one_pass_finds_what_a_replay_at_each_capacity_does() {
        for formula in [
            "zipf:keys=300,theta=0.7,requests=4000",
            "loop:keys=50,requests=400",
            "scan:requests=100",
            "shift:keys=400,hot=20,period=100,requests=3000",
        ] {
            let trace = Trace::open(formula).unwrap();
            let curve = LruCurve::measure(&trace);
            for capacity in [0, 1, 2, 3, 10, 49, 50, 51, 200, 10_000] {
                let report = replay(&trace, "lru", capacity, Unit::Objects, &mut |_| {}).unwrap();
                assert_eq!(curve.hits(capacity), report.hits, "{formula} at {capacity}");
            }
        }
        assert_eq!(LruCurve::measure(&Trace::from_records("empty", Vec::new())).hits(5), 0);
    }
}
