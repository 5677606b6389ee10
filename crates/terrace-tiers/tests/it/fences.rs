//! Nothing that was read or loaded before a write is kept after it.

use std::sync::Arc;

use terrace_store::Store;
use terrace_store::fakes::FrozenClock;
use terrace_store::tokio_runtime::TokioSpawn;
use terrace_tiers::{Mode, Scope, Tier, WriteMode};
use tokio::sync::{Notify, oneshot};

use crate::world::{World, gate, key, loaded, namespace, open};

async fn world(below: bool, in_place: bool) -> (World, Option<Arc<crate::gate::Gate>>) {
    let clock = FrozenClock::at_wall_ms(1_000_000);
    let cold = below.then(|| gate(&clock, in_place));
    let lower = cold.iter().map(|gate| (Tier::Cold, Arc::clone(gate), WriteMode::Through)).collect();
    (open(&clock, &lower, Arc::new(TokioSpawn::current().unwrap())).await, cold)
}

/// Runs `during` while a load of key `k` is under way; returns what the load's caller got.
async fn while_loading(world: &World, during: impl AsyncFnOnce(&World)) -> String {
    let (release, released) = oneshot::channel::<()>();
    let (begun, begins) = oneshot::channel::<()>();
    let flight = world.load("k", move |loading| async move {
        loading.tag("t");
        begun.send(()).unwrap();
        released.await.unwrap();
        Ok("loaded".to_owned())
    });
    begins.await.unwrap();
    during(world).await;
    release.send(()).unwrap();
    loaded(flight.await).unwrap()
}

#[tokio::test]
async fn a_value_that_was_loaded_while_nothing_happened_is_kept_in_every_tier() {
    for below in [false, true] {
        let (world, cold) = world(below, true).await;
        assert_eq!(while_loading(&world, async |_| ()).await, "loaded");
        assert_eq!(world.in_hot("k").as_deref(), Some("loaded"));
        if let Some(cold) = cold {
            let entry = cold.store.get(&key("k")).await.unwrap().unwrap();
            assert_eq!(entry.value, "loaded");
            assert_eq!(
                world.hot.get("k", |held, _| held.version()),
                Some(entry.version),
                "the authority's version"
            );
        }
    }
}

#[tokio::test]
async fn a_late_load_goes_to_its_waiters_and_nowhere_else() {
    for below in [false, true] {
        let (world, cold) = world(below, true).await;
        let got = while_loading(&world, async |world| {
            let _ = world.delete("k").await.unwrap();
        });
        assert_eq!(got.await, "loaded");
        assert_eq!(world.get("k").await.unwrap(), None, "deleted during the load");

        let got = while_loading(&world, async |world| {
            let _ = world.put("k", "newer").await.unwrap();
        });
        assert_eq!(got.await, "loaded");
        assert_eq!(world.get("k").await.unwrap().as_deref(), Some("newer"), "written during the load");
        if let Some(cold) = cold {
            assert_eq!(cold.store.get(&key("k")).await.unwrap().unwrap().value, "newer");
        }
    }
}

#[tokio::test]
async fn an_invalidation_by_tag_prefix_or_namespace_during_a_load_reaches_the_loaded_value() {
    let scopes = [
        Scope::Tag("t".into()),
        Scope::Prefix(namespace(), "k".into()),
        Scope::Namespace(namespace()),
        Scope::All,
    ];
    for below in [false, true] {
        for scope in &scopes {
            let (world, _) = world(below, true).await;
            let got = while_loading(&world, async |world| {
                world.tiers.invalidate(scope, Mode::Purge).await.unwrap();
            });
            assert_eq!(got.await, "loaded");
            assert_eq!(world.get("k").await.unwrap(), None, "{scope:?}, below: {below}");
        }
    }
}

#[tokio::test]
async fn whoever_asks_after_a_write_does_not_get_the_value_of_an_older_flight() {
    let (world, _) = world(true, true).await;
    while_loading(&world, async |world| {
        let _ = world.put("k", "newer").await.unwrap();
        world.hot.memory().clear();
        assert_eq!(world.get("k").await.unwrap().as_deref(), Some("newer"));
        let _ = world.delete("k").await.unwrap();
        assert_eq!(world.get("k").await.unwrap(), None);
    })
    .await;
}

/// Reads key `k` from the store below, and runs `during` after the store has read it and before it answers.
async fn while_reading(in_place: bool, during: impl AsyncFnOnce(&World)) -> (World, Option<String>) {
    let (world, cold) = world(true, in_place).await;
    let cold = cold.unwrap();
    let _ = world.put("k", "old").await.unwrap();
    world.hot.memory().clear();
    let (reached, go_on) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (at, until) = (Arc::clone(&reached), Arc::clone(&go_on));
    cold.before_answer(move || {
        let (at, until) = (Arc::clone(&at), Arc::clone(&until));
        Box::pin(async move {
            at.notify_one();
            until.notified().await;
        })
    });
    let reading = world.get("k");
    let meanwhile = async {
        reached.notified().await;
        cold.before_answer(|| Box::pin(async {}));
        during(&world).await;
        go_on.notify_one();
    };
    let (got, ()) = tokio::join!(reading, meanwhile);
    let got = got.unwrap();
    (world, got)
}

#[tokio::test]
async fn a_promotion_does_not_bring_back_what_was_deleted_meanwhile() {
    // What the read itself returns is open: it overlaps the delete.
    let (world, _) = while_reading(false, async |world| {
        let _ = world.delete("k").await.unwrap();
    })
    .await;
    assert_eq!((world.in_hot("k"), world.get("k").await.unwrap()), (None, None));
}

#[tokio::test]
async fn a_promotion_does_not_overtake_a_newer_value_even_if_that_was_evicted_again() {
    let (world, got) = while_reading(false, async |world| {
        let _ = world.put("k", "new").await.unwrap();
    })
    .await;
    assert!(got.is_some(), "the key was there all the time");
    assert_eq!(world.in_hot("k").as_deref(), Some("new"));

    let (world, got) = while_reading(false, async |world| {
        let _ = world.put("k", "new").await.unwrap();
        world.hot.memory().clear();
    })
    .await;
    assert!(got.is_some(), "the key was there all the time");
    assert_eq!(world.in_hot("k"), None, "the old value must not be promoted");
    assert_eq!(world.get("k").await.unwrap().as_deref(), Some("new"));
}

#[tokio::test]
async fn versions_come_from_the_authority_and_without_one_grow_whatever_the_clock_does() {
    let (with_store, cold) = world(true, true).await;
    let version = with_store.put("k", "v").await.unwrap().version();
    assert_eq!(cold.unwrap().store.get(&key("k")).await.unwrap().map(|entry| entry.version), version);
    assert_eq!(with_store.hot.get("k", |held, _| held.version()), version);

    let (alone, _) = world(false, true).await;
    let mut last = None;
    for wall_ms in [1_000_000, 5, 2_000_000, 1] {
        alone.clock.set_wall_ms(wall_ms);
        let version = alone.put("k", "v").await.unwrap().version();
        assert!(version > last, "{version:?} after {last:?}");
        last = version;
    }
}
