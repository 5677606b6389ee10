//! Lifetimes: on the monotonic clock in memory, as instants of wall time below, and never longer than said.

use std::num::NonZeroU64;
use std::sync::Arc;

use terrace_store::Store;
use terrace_store::fakes::FrozenClock;
use terrace_store::tokio_runtime::TokioSpawn;
use terrace_tiers::{Tier, WriteMode};

use crate::world::{World, gate, key, open};

const START: u64 = 1_000_000;

async fn world(below: bool) -> (World, Arc<crate::gate::Gate>) {
    let clock = FrozenClock::at_wall_ms(START);
    let cold = gate(&clock, true);
    let lower = if below { vec![(Tier::Cold, Arc::clone(&cold), WriteMode::Through)] } else { Vec::new() };
    (open(&clock, &lower, Arc::new(TokioSpawn::current().unwrap())).await, cold)
}

async fn put_for(world: &World, name: &str, ttl_ms: u64) {
    let expires = NonZeroU64::new(START + ttl_ms);
    let _ = world.put_with(name, "v", |entry| entry.expires_ms = expires).await.unwrap();
}

#[tokio::test]
async fn an_entry_ends_at_its_millisecond_in_every_tier() {
    for below in [false, true] {
        let (world, _) = world(below).await;
        put_for(&world, "k", 100).await;
        world.clock.advance_ms(99);
        assert!(world.get("k").await.unwrap().is_some());
        world.clock.advance_ms(1);
        assert_eq!(world.get("k").await.unwrap(), None, "below: {below}");
    }
}

#[tokio::test]
async fn a_wall_clock_that_goes_back_lengthens_no_life_in_memory() {
    let (world, _) = world(false).await;
    put_for(&world, "k", 100).await;
    world.clock.set_wall_ms(START - 600_000);
    world.clock.advance_ms(100);
    assert_eq!(world.get("k").await.unwrap(), None);
}

#[tokio::test]
async fn what_is_promoted_keeps_its_end() {
    let (world, _) = world(true).await;
    put_for(&world, "k", 100).await;
    world.clock.advance_ms(60);
    world.hot.memory().clear();
    assert!(world.get("k").await.unwrap().is_some(), "from below");
    world.clock.advance_ms(39);
    assert!(world.in_hot("k").is_some());
    world.clock.advance_ms(1);
    assert_eq!((world.in_hot("k"), world.get("k").await.unwrap()), (None, None));
}

#[tokio::test]
async fn what_went_unused_for_too_long_leaves_every_tier_and_use_keeps_it() {
    let (world, cold) = world(true).await;
    let idle = NonZeroU64::new(160);
    let _ = world.put_with("k", "v", |entry| entry.idle_ms = idle).await.unwrap();
    for _ in 0..10 {
        world.clock.advance_ms(100);
        world.tiers.maintain().await;
        assert!(world.in_hot("k").is_some(), "it is in use");
    }
    world.clock.advance_ms(400);
    world.tiers.maintain().await;
    assert_eq!(world.in_hot("k"), None);
    assert_eq!(cold.store.get(&key("k")).await.unwrap(), None);
}

#[tokio::test]
async fn maintenance_gives_back_the_memory_of_what_is_over() {
    let (world, cold) = world(true).await;
    for n in 0..100 {
        put_for(&world, &n.to_string(), 100).await;
    }
    world.clock.advance_ms(10_000);
    world.tiers.maintain().await;
    assert_eq!(world.tiers.stats().hot_entries, 0);
    let namespace = crate::world::namespace();
    assert_eq!(cold.store.as_iterate().unwrap().count(&namespace).await.unwrap(), 0);
}
