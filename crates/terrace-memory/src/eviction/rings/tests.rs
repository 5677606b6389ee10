//! Rings beside plain queues, and what they occupy.

use proptest::prelude::*;

use super::*;

proptest! {
    #[test]
    fn any_operations_leave_the_order_of_plain_queues(
        operations in prop::collection::vec((0u8..8, 0u32..24, 1u32..9), 1..2000),
    ) {
        let (mut rings, mut plain) = (Rings::default(), [VecDeque::new(), VecDeque::<(u32, u32)>::new()]);
        for (operation, slot, weight) in operations {
            let ring = (weight % 2) as usize;
            let place = |plain: &[VecDeque<(u32, u32)>; 2]| {
                let in_ring = |queue: &VecDeque<(u32, u32)>| queue.iter().position(|(other, _)| *other == slot);
                plain.iter().map(in_ring).enumerate().find_map(|(ring, at)| Some((ring, at?)))
            };
            let found = place(&plain);
            match operation {
                0..3 => {
                    if let Some((ring, at)) = found {
                        plain[ring].remove(at);
                    }
                    plain[ring].push_back((slot, weight));
                    rings.push_head(ring, slot, weight);
                }
                3 => {
                    let gone = found.and_then(|(ring, at)| Some((ring, plain[ring].remove(at)?.1)));
                    prop_assert_eq!(rings.unlink(slot), gone);
                }
                4 => {
                    if let Some((old, at)) = found
                        && let Some(entry) = plain[old].remove(at)
                    {
                        plain[ring].push_back(entry);
                    }
                    rings.promote(ring, slot);
                }
                5 => {
                    if let Some((old, at)) = found {
                        plain[old][at].1 = weight;
                    }
                    rings.reweigh(slot, weight);
                }
                _ => {
                    let tail = plain[ring].pop_front().map(|(slot, _)| slot);
                    prop_assert_eq!(rings.tail(ring), tail);
                    tail.map(|slot| rings.unlink(slot));
                }
            }
            for (ring, queue) in plain.iter().enumerate() {
                prop_assert_eq!(rings.tail(ring), queue.front().map(|(slot, _)| *slot));
                prop_assert!(rings.oldest_first(ring).eq(queue.iter().map(|(slot, _)| *slot)));
                prop_assert_eq!(rings.weight(ring), queue.iter().map(|(_, weight)| u64::from(*weight)).sum());
            }
            prop_assert_eq!(rings.total_len(), plain.iter().map(VecDeque::len).sum::<usize>());
        }
        for (ring, queue) in plain.iter().enumerate() {
            let left: Vec<u32> = std::iter::from_fn(|| {
                rings.tail(ring).inspect(|slot| { rings.unlink(*slot); })
            }).collect();
            prop_assert_eq!(left, queue.iter().map(|(slot, _)| *slot).collect::<Vec<_>>());
        }
    }
}

#[test]
fn a_ring_takes_four_bytes_a_slot_and_gives_back_what_it_no_longer_needs() {
    let mut rings = Rings::default();
    for slot in 0..100_000 {
        rings.push_head(0, slot, 1);
    }
    assert!(rings.heap_bytes() < 100_000 * 4 + 100_000 * 5 / 4 + 20_000, "{}", rings.heap_bytes());
    for slot in 0..100_000 {
        rings.push_head(1, slot, 1);
    }
    assert_eq!((rings.total_len(), rings.tail(0)), (100_000, None));
    assert!(rings.heap_bytes() < 100_000 * 4 + 100_000 * 5 / 4 + 40_000, "{}", rings.heap_bytes());
    // What leaves from the middle leaves litter, but not for ever.
    for slot in (0..99_000).rev() {
        rings.unlink(slot);
    }
    assert!(rings.heap_bytes() < 200_000, "{}", rings.heap_bytes());
}
