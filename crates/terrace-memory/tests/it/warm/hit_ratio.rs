//! What the same memory hits: encoded here, and as it is under S3-FIFO.

use terrace_memory::eviction::S3Fifo;
use terrace_memory::warm::{Attributes, Config as WarmConfig, Warm};
use terrace_memory::{Config, Memory, Options};

use super::json::{Chance, order};

/// A loop-free stream: popular keys, and one in four that never comes again.
fn stream(len: usize) -> Vec<u64> {
    let chance = &mut Chance(5);
    let mut fresh = 1 << 40;
    let draw = |_| match chance.below(4) {
        0 => {
            fresh += 1;
            fresh
        }
        _ => {
            let part = chance.below(1 << 20) as f64 / (1 << 20) as f64;
            (part.powi(4) * 40_000.0) as u64
        }
    };
    (0..len).map(draw).collect()
}

#[test]
fn the_same_memory_hits_far_more_when_it_is_warm() {
    let capacity = 4 << 20;
    let hot: Memory<Vec<u8>, Vec<u8>, S3Fifo> = Memory::with_policy(Config::bytes(capacity).shards(1));
    let warm = Warm::new(WarmConfig::bytes(capacity).shards(1).seed(1));
    let (mut hot_hits, mut warm_hits) = (0, 0);
    let keys = stream(60_000);
    let mut out = Vec::new();
    for key in &keys {
        let name = key.to_le_bytes().to_vec();
        let value = order(*key);
        let weight = (name.len() + value.len() + 48) as u64;
        if hot.get(&name, 0).is_some() {
            hot_hits += 1;
        } else {
            let _ = hot.insert(name.clone(), value.clone(), Options::weighing(weight), 0);
        }
        out.clear();
        if warm.get(&name, 0, &mut out).is_some() {
            warm_hits += 1;
        } else {
            let _ = warm.insert(&name, &value, Attributes::default(), 0);
        }
        if warm.wants_training() {
            let _ = warm.train(0);
        }
    }
    let part = |hits: usize| hits as f64 / keys.len() as f64;
    println!(
        "hits: warm {:.3}, hot {:.3}; entries {} and {}",
        part(warm_hits),
        part(hot_hits),
        warm.len(),
        hot.len()
    );
    assert!(warm.len() * 2 > hot.len() * 5, "{} warm entries, {} hot", warm.len(), hot.len());
    assert!(part(warm_hits) > part(hot_hits) + 0.05);
}
