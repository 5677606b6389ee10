//! Loads against writes, deletes and invalidations, in schedules chosen by shuttle: whatever the order, nothing
//! that was read before a change is kept after it.
//!
//! Run with `RUSTFLAGS="--cfg shuttle"`; `SHUTTLE_ITERATIONS` says how many schedules.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use shuttle::future::{block_on, spawn, yield_now};
use terrace_store::fakes::FrozenClock;
use terrace_store::{BoxFuture, Spawn, Store};
use terrace_tiers::{Mode, Scope, Tier, WriteMode};

use crate::gate::Gate;
use crate::world::{World, gate, key, open};

struct ShuttleSpawn;

impl Spawn for ShuttleSpawn {
    fn spawn(&self, _: &'static str, future: BoxFuture<'static, ()>) {
        drop(spawn(future));
    }
    fn spawn_blocking(&self, _: &'static str, work: Box<dyn FnOnce() + Send>) {
        work();
    }
    fn may_block(&self) -> bool {
        true
    }
}

fn iterations() -> usize {
    std::env::var("SHUTTLE_ITERATIONS").ok().and_then(|n| n.parse().ok()).unwrap_or(3000)
}

/// Explores schedules at random and by priorities (PCT, Burckhardt et al., ASPLOS 2010, depth 3).
fn explore(scenario: impl Fn() -> BoxFuture<'static, ()> + Send + Sync + Copy + 'static) {
    shuttle::check_random(move || block_on(scenario()), iterations());
    shuttle::check_pct(move || block_on(scenario()), iterations(), 3);
}

async fn world(in_place: bool) -> (Arc<World>, Arc<Gate>) {
    let clock = FrozenClock::at_wall_ms(1_000);
    let cold = gate(&clock, in_place);
    if !in_place {
        cold.before_answer(|| Box::pin(yield_now()));
    }
    let below = vec![(Tier::Cold, Arc::clone(&cold), WriteMode::Through)];
    (Arc::new(open(&clock, &below, Arc::new(ShuttleSpawn)).await), cold)
}

/// Loads the present value of the origin, slowly.
async fn load(world: Arc<World>, origin: Arc<AtomicU64>) -> u64 {
    let flight = world.load("k", move |loading| async move {
        loading.tag("t");
        yield_now().await;
        let value = origin.load(Ordering::SeqCst);
        yield_now().await;
        Ok(value.to_string())
    });
    crate::world::loaded(flight.await).unwrap().parse().unwrap()
}

/// No tier holds anything older than this, and the hot tier nothing that the store below does not have.
async fn assert_settled(world: &World, cold: &Gate, oldest: u64) {
    let below = cold.store.get(&key("k")).await.unwrap();
    if let Some(version) = world.hot.get("k", |held, _| held.version()) {
        assert_eq!(
            below.map(|entry| entry.version),
            Some(version),
            "the hot tier holds what the authority does not"
        );
    }
    if let Some(value) = world.get("k").await.unwrap() {
        assert!(value.parse::<u64>().unwrap() >= oldest, "{value} was kept after the change to {oldest}");
    }
}

/// The classic stale set: the origin changes and the key is invalidated while a load is under way.
async fn change_during_load(in_place: bool, change: impl AsyncFn(&World) + Send + Sync) {
    let (world, cold) = world(in_place).await;
    let origin = Arc::new(AtomicU64::new(1));
    let first = spawn(load(Arc::clone(&world), Arc::clone(&origin)));
    let second = spawn(load(Arc::clone(&world), Arc::clone(&origin)));
    yield_now().await;
    origin.store(2, Ordering::SeqCst);
    change(&world).await;
    let third = load(Arc::clone(&world), Arc::clone(&origin)).await;
    assert_eq!(third, 2, "a load that began after the change");
    first.await.unwrap();
    second.await.unwrap();
    assert_settled(&world, &cold, 2).await;
}

#[test]
fn a_delete_during_a_load_wins() {
    explore(|| {
        Box::pin(change_during_load(true, async |world: &World| {
            let _ = world.delete("k").await.unwrap();
        }))
    });
    explore(|| {
        Box::pin(change_during_load(false, async |world: &World| {
            let _ = world.delete("k").await.unwrap();
        }))
    });
}

#[test]
fn a_put_during_a_load_wins() {
    explore(|| {
        Box::pin(change_during_load(false, async |world: &World| {
            let _ = world.put("k", "2").await.unwrap();
        }))
    });
}

#[test]
fn a_tag_invalidated_during_a_load_takes_its_value() {
    explore(|| {
        Box::pin(change_during_load(false, async |world: &World| {
            world.tiers.invalidate(&Scope::Tag("t".into()), Mode::Purge).await.unwrap();
        }))
    });
}

/// Promotions from below against puts and deletes.
async fn promote_against_writes(in_place: bool) {
    let (world, cold) = world(in_place).await;
    let _ = world.put("k", "1").await.unwrap();
    world.hot.memory().clear();
    let reader = |world: Arc<World>| async move {
        for _ in 0..2 {
            let _ = world.get("k").await.unwrap();
            yield_now().await;
        }
    };
    let first = spawn(reader(Arc::clone(&world)));
    let second = spawn(reader(Arc::clone(&world)));
    let other = Arc::clone(&world);
    let deleter = spawn(async move {
        let _ = other.delete("k").await.unwrap();
    });
    yield_now().await;
    let _ = world.put("k", "2").await.unwrap();
    world.hot.memory().clear();
    deleter.await.unwrap();
    first.await.unwrap();
    second.await.unwrap();
    assert_settled(&world, &cold, 2).await;
}

#[test]
fn a_promotion_never_overtakes_a_write() {
    explore(|| Box::pin(promote_against_writes(true)));
    explore(|| Box::pin(promote_against_writes(false)));
}

/// A leader that panics, a follower that goes away, and others that wait: nobody is stuck.
#[test]
fn nobody_waits_for_ever() {
    explore(|| {
        Box::pin(async {
            let (world, _) = world(true).await;
            let failing = world.load("k", |_| async {
                yield_now().await;
                Err(terrace_store::Error::new(terrace_store::ErrorKind::Load, "on purpose"))
            });
            let origin = Arc::new(AtomicU64::new(7));
            let (a, b) = (Arc::clone(&world), Arc::clone(&origin));
            let waiting = spawn(async move {
                let flight = a.load("k", move |_| async move { Ok(b.load(Ordering::SeqCst).to_string()) });
                drop(flight.await);
            });
            let gone = world.load("k", |_| async { Ok("7".to_owned()) });
            drop(gone);
            drop(failing.await);
            waiting.await.unwrap();
            // The flight nobody waits for any more lands, too.
            while world.tiers.is_flying() {
                yield_now().await;
            }
        })
    });
}
