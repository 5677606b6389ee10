//! A tier that fails degrades the cache; it does not fail the call, unless it is the one that decides.

use std::sync::Arc;

use terrace_store::fakes::FrozenClock;
use terrace_store::tokio_runtime::TokioSpawn;
use terrace_store::{Entry, ErrorKind, Health, Store};
use terrace_tiers::{Tier, WriteMode};

use crate::gate::{Fault, Gate};
use crate::world::{World, gate, key, loaded, open};

/// Hot over cold over durable.
async fn world() -> (World, Arc<Gate>, Arc<Gate>) {
    let clock = FrozenClock::at_wall_ms(1_000_000);
    let (cold, durable) = (gate(&clock, true), gate(&clock, true));
    let below = vec![
        (Tier::Cold, Arc::clone(&cold), WriteMode::Through),
        (Tier::Durable, Arc::clone(&durable), WriteMode::Through),
    ];
    let world = open(&clock, &below, Arc::new(TokioSpawn::current().unwrap())).await;
    (world, cold, durable)
}

#[tokio::test]
async fn a_cold_tier_that_fails_is_passed_by_and_counted() {
    let (world, cold, _) = world().await;
    let _ = world.put("k", "v").await.unwrap();
    world.hot.memory().clear();
    cold.fail_reads(Fault::Fail(ErrorKind::Unavailable));
    assert_eq!(world.get("k").await.unwrap().as_deref(), Some("v"));
    let stats = world.tiers.stats();
    assert_eq!(stats.tiers.iter().map(|tier| tier.errors).collect::<Vec<_>>(), [0, 1, 0]);
    assert_eq!(world.get("absent").await.unwrap(), None, "a miss of the durable tier is the answer");
}

#[tokio::test]
async fn a_durable_tier_that_fails_is_an_error_unless_a_loader_can_answer() {
    let (world, cold, durable) = world().await;
    durable.fail_reads(Fault::Fail(ErrorKind::Unavailable));
    assert_eq!(world.get("k").await.unwrap_err().kind(), ErrorKind::Unavailable);
    let value = world.load("k", |_| async { Ok("loaded".to_owned()) }).await;
    assert_eq!(loaded(value).unwrap(), "loaded");
    drop(cold);
}

#[tokio::test]
async fn damage_is_a_miss_in_a_copy_and_an_error_where_it_is_all_there_is() {
    let (world, cold, durable) = world().await;
    let damaged = Entry::new(&b"\xff\xfe"[..]);
    let _ = cold.store.put(&key("c"), damaged.clone(), Default::default()).await.unwrap();
    let _ = durable.store.put(&key("d"), damaged, Default::default()).await.unwrap();
    assert_eq!(world.get("c").await.unwrap(), None);
    assert_eq!(world.get("d").await.unwrap_err().kind(), ErrorKind::Codec);
    let damaged: Vec<u64> = world.tiers.stats().tiers.iter().map(|tier| tier.damaged).collect();
    assert_eq!(damaged, [0, 1, 1]);
}

#[tokio::test]
async fn once_the_authority_has_a_write_no_tier_serves_what_was_there_before() {
    for delete in [false, true] {
        let (world, cold, _) = world().await;
        let _ = world.put("k", "old").await.unwrap();
        cold.fail_writes(Fault::Fail(ErrorKind::Unavailable));
        if delete {
            let _ = world.delete("k").await.unwrap();
        } else {
            let _ = world.put("k", "new").await.unwrap();
        }
        world.hot.memory().clear();
        let expected = (!delete).then_some("new");
        assert_eq!(
            world.get("k").await.unwrap().as_deref(),
            expected,
            "the cold tier still holds the old value"
        );
        let (_, health) = &world.tiers.health().await[0];
        assert!(matches!(health, Health::Degraded(_)), "{health:?}");

        cold.fail_writes(Fault::None);
        let _ = world.put("k", "newest").await.unwrap();
        world.hot.memory().clear();
        assert_eq!(world.get("k").await.unwrap().as_deref(), Some("newest"));
        assert_eq!(world.tiers.health().await[0].1, Health::Up, "a write that reaches it heals it");
    }
}

#[tokio::test]
async fn a_write_the_authority_refuses_changes_nothing() {
    let (world, _, durable) = world().await;
    let _ = world.put("k", "old").await.unwrap();
    durable.fail_writes(Fault::Fail(ErrorKind::Full));
    assert_eq!(world.put("k", "new").await.unwrap_err().kind(), ErrorKind::Full);
    assert_eq!(world.get("k").await.unwrap().as_deref(), Some("old"));
    world.hot.memory().clear();
    assert_eq!(world.get("k").await.unwrap().as_deref(), Some("old"));
}

#[tokio::test]
async fn after_an_unknown_outcome_nothing_above_the_authority_answers() {
    let (world, _, durable) = world().await;
    let _ = world.put("k", "old").await.unwrap();
    durable.fail_writes(Fault::AppliedUnknown);
    assert_eq!(world.put("k", "new").await.unwrap_err().kind(), ErrorKind::Unknown);
    assert_eq!(world.get("k").await.unwrap().as_deref(), Some("new"), "it was applied after all");
}

#[tokio::test]
async fn a_put_that_is_dropped_midway_is_an_unknown_outcome() {
    let (world, _, durable) = world().await;
    let _ = world.put("k", "old").await.unwrap();
    {
        // The authority takes the write, and the caller goes away before it can be told.
        let _ = durable.store.put(&key("k"), Entry::new("new"), Default::default()).await.unwrap();
        durable.fail_writes(Fault::AppliedUnknown);
        drop(world.put("k", "new").await);
    }
    assert_ne!(world.get("k").await.unwrap().as_deref(), Some("old"));
}

#[tokio::test]
async fn a_tier_that_writes_would_not_reach_is_refused_in_words() {
    use terrace_tiers::{Foundation, Lower, Options, Tiers};
    let clock = FrozenClock::at_wall_ms(0);
    let base = || Foundation::new(Arc::new(clock.clone()), Options::default());
    let spawn = Arc::new(TokioSpawn::current().unwrap());
    let gate = gate(&clock, true);
    gate.assign_no_versions();
    let alone = vec![Lower::new(Tier::Shared, gate as _, WriteMode::Through)];
    let error = Tiers::open(base(), None, alone, spawn).await.err().unwrap();
    assert!(error.to_string().contains("writes would not reach the shared tier"), "{error}");
}

#[tokio::test]
async fn a_tier_that_missed_too_many_writes_is_emptied_and_used_again() {
    let (world, cold, _) = world().await;
    cold.fail_writes(Fault::Fail(ErrorKind::Unavailable));
    for n in 0..5000 {
        let _ = world.put(&n.to_string(), "v").await.unwrap();
    }
    assert!(matches!(world.tiers.health().await[0].1, Health::Degraded(_)));
    cold.fail_writes(Fault::None);
    world.tiers.maintain().await;
    assert_eq!(world.tiers.health().await[0].1, Health::Up);
    world.hot.memory().clear();
    assert_eq!(world.get("7").await.unwrap().as_deref(), Some("v"));
}

#[tokio::test]
async fn tiers_in_the_wrong_order_are_refused_in_words() {
    use terrace_tiers::{Foundation, Lower, Options, Tiers};
    let clock = FrozenClock::at_wall_ms(0);
    let lower = |tier| Lower::new(tier, gate(&clock, true), WriteMode::Through);
    let spawn = Arc::new(TokioSpawn::current().unwrap());
    let base = || Foundation::new(Arc::new(clock.clone()), Options::default());
    let wrong = Tiers::open(base(), None, vec![lower(Tier::Durable), lower(Tier::Cold)], spawn.clone()).await;
    let error = wrong.err().unwrap();
    assert_eq!(error.kind(), ErrorKind::Config);
    assert!(error.to_string().contains("order"), "{error}");
    assert!(Tiers::open(base(), None, vec![lower(Tier::Hot)], spawn.clone()).await.is_err());
    assert!(Tiers::open(base(), None, Vec::new(), spawn).await.is_err());
}
