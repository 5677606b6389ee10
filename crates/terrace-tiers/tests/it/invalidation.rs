//! Tags, prefixes, namespaces, everything.

use std::sync::Arc;

use terrace_store::Store;
use terrace_store::fakes::FrozenClock;
use terrace_store::tokio_runtime::TokioSpawn;
use terrace_tiers::hot::Freshness;
use terrace_tiers::{Ask, Mode, Scope, Tier, WriteMode};

use crate::gate::{Fault, Gate};
use crate::world::{DECODE, World, gate, key, namespace, open};

async fn over(cold: &Arc<Gate>, clock: &FrozenClock) -> World {
    let below = vec![(Tier::Cold, Arc::clone(cold), WriteMode::Through)];
    open(clock, &below, Arc::new(TokioSpawn::current().unwrap())).await
}

async fn world() -> (World, Arc<Gate>) {
    let clock = FrozenClock::at_wall_ms(1_000_000);
    let cold = gate(&clock, true);
    (over(&cold, &clock).await, cold)
}

#[tokio::test]
async fn a_tag_takes_its_entries_and_leaves_the_others_in_every_tier() {
    let (world, cold) = world().await;
    let _ = world.put_tagged("a", "1", "red").await.unwrap();
    let _ = world.put_tagged("b", "2", "blue").await.unwrap();
    let _ = world.put("c", "3").await.unwrap();
    world.tiers.invalidate(&Scope::Tag("red".into()), Mode::Purge).await.unwrap();
    for _ in ["from the hot tier", "from below"] {
        assert_eq!(world.get("a").await.unwrap(), None);
        assert_eq!(world.get("b").await.unwrap().as_deref(), Some("2"));
        assert_eq!(world.get("c").await.unwrap().as_deref(), Some("3"));
        world.hot.memory().clear();
    }
    let _ = world.put_tagged("a", "new", "red").await.unwrap();
    assert_eq!(world.get("a").await.unwrap().as_deref(), Some("new"), "what is written afterwards lives");
    assert!(cold.store.get(&key("b")).await.unwrap().is_some());
}

#[tokio::test]
async fn what_was_purged_stays_so_after_a_restart() {
    let (world, cold) = world().await;
    let _ = world.put_tagged("a", "1", "red").await.unwrap();
    let _ = world.put("p:1", "2").await.unwrap();
    let _ = world.put("c", "3").await.unwrap();
    world.tiers.invalidate(&Scope::Tag("red".into()), Mode::Purge).await.unwrap();
    world.tiers.invalidate(&Scope::Prefix(namespace(), "p:".into()), Mode::Purge).await.unwrap();

    // The clock went back, as it may.
    let clock = FrozenClock::at_wall_ms(5);
    let again = over(&cold, &clock).await;
    assert_eq!(again.get("a").await.unwrap(), None);
    assert_eq!(again.get("p:1").await.unwrap(), None);
    assert_eq!(again.get("c").await.unwrap().as_deref(), Some("3"));
    let _ = again.put_tagged("a", "new", "red").await.unwrap();
    assert_eq!(again.get("a").await.unwrap().as_deref(), Some("new"));
}

#[tokio::test]
async fn a_damaged_table_of_generations_costs_misses_and_serves_nothing_stale() {
    let (world, cold) = world().await;
    let _ = world.put_tagged("a", "1", "red").await.unwrap();
    world.tiers.invalidate(&Scope::Tag("blue".into()), Mode::Purge).await.unwrap();
    let table = terrace_tiers::Generations::namespace();
    let bad = table.key("t-damaged").unwrap();
    let _ = cold.store.put(&bad, terrace_store::Entry::new("short"), Default::default()).await.unwrap();
    let again = over(&cold, &world.clock).await;
    assert_eq!(again.get("a").await.unwrap(), None);
    let _ = again.put("a", "new").await.unwrap();
    assert_eq!(again.get("a").await.unwrap().as_deref(), Some("new"));
}

#[tokio::test]
async fn an_expired_tag_makes_its_entries_stale_and_not_gone() {
    let (world, _) = world().await;
    let _ = world.put_tagged("a", "1", "red").await.unwrap();
    world.tiers.invalidate(&Scope::Tag("red".into()), Mode::Expire).await.unwrap();
    assert_eq!(world.hot.get("a", |_, freshness| freshness), Some(Freshness::Stale));
    world.hot.memory().clear();
    let found = world.tiers.fetch(key("a"), Ask { decode: DECODE, load: None }).await.unwrap();
    assert!(found.stale && found.parcel.is_some());
    let reloaded = world.load("a", |_| async { Ok("2".to_owned()) }).await.unwrap();
    assert!(!reloaded.stale, "a loader replaces what is stale");
}

#[tokio::test]
async fn a_key_can_be_expired_too() {
    let (world, cold) = world().await;
    let _ = world.put("a", "1").await.unwrap();
    world.tiers.invalidate(&Scope::Key(key("a")), Mode::Expire).await.unwrap();
    assert_eq!(world.hot.get("a", |_, freshness| freshness), Some(Freshness::Stale));
    assert!(cold.store.get(&key("a")).await.unwrap().unwrap().fresh_until_ms.is_some());
    world.tiers.invalidate(&Scope::Keys(vec![key("a")]), Mode::Purge).await.unwrap();
    assert_eq!(world.get("a").await.unwrap(), None);
    assert_eq!(cold.store.get(&key("a")).await.unwrap(), None);
}

#[tokio::test]
async fn the_space_of_what_was_purged_is_given_back() {
    let (world, cold) = world().await;
    for n in 0..600 {
        let _ = world.put_tagged(&n.to_string(), "v", if n % 2 == 0 { "even" } else { "odd" }).await.unwrap();
    }
    world.tiers.invalidate(&Scope::Tag("even".into()), Mode::Purge).await.unwrap();
    world.tiers.reclaim().await;
    assert_eq!(cold.store.as_iterate().unwrap().count(&namespace()).await.unwrap(), 300);
    assert_eq!(world.tiers.stats().hot_entries, 300);
    assert_eq!(world.get("1").await.unwrap().as_deref(), Some("v"));
}

#[tokio::test]
async fn an_invalidation_the_store_does_not_take_holds_in_this_process_all_the_same() {
    let (world, cold) = world().await;
    let _ = world.put_tagged("a", "1", "red").await.unwrap();
    cold.fail_writes(Fault::Fail(terrace_store::ErrorKind::Unavailable));
    assert!(world.tiers.invalidate(&Scope::Tag("red".into()), Mode::Purge).await.is_err());
    assert_eq!(world.get("a").await.unwrap(), None);
}

#[tokio::test]
async fn a_key_that_was_purged_counts_as_absent() {
    let (world, _) = world().await;
    let _ = world.put_tagged("a", "1", "red").await.unwrap();
    world.tiers.invalidate(&Scope::Tag("red".into()), Mode::Purge).await.unwrap();
    let parcel = terrace_tiers::Parcel::of_entry(terrace_store::Entry::new("2"));
    let request = terrace_tiers::PutRequest {
        condition: terrace_store::Condition::Absent,
        ..terrace_tiers::PutRequest::default()
    };
    let written = world.tiers.put(&key("a"), parcel, request).await.unwrap();
    assert!(written.version().is_some(), "{written:?}");
}

#[tokio::test]
async fn of_two_marks_of_one_tag_the_later_counts_whichever_is_written_last() {
    let (world, cold) = world().await;
    let generations = world.tiers.generations();
    let scope = Scope::Tag("t".into());
    let (early, late) =
        (generations.invalidate(&scope, Mode::Purge), generations.invalidate(&scope, Mode::Purge));
    let key = early.key().unwrap();
    let _ = cold.store.put(&key, late.entry(), Default::default()).await.unwrap();
    let held = cold.store.get(&key).await.unwrap();
    assert_eq!(early.merged(held.as_ref()).value, late.entry().value);
}

#[tokio::test]
async fn a_delete_of_what_was_purged_says_that_nothing_was_there() {
    let (world, _) = world().await;
    let _ = world.put_tagged("a", "1", "red").await.unwrap();
    world.tiers.invalidate(&Scope::Tag("red".into()), Mode::Purge).await.unwrap();
    let deleted = world.delete("a").await.unwrap();
    assert!(matches!(deleted, terrace_store::Deleted::Done { existed: false, .. }), "{deleted:?}");
}
