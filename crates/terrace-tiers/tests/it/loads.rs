//! One load a key, owned by nobody.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use terrace_store::fakes::FrozenClock;
use terrace_store::tokio_runtime::TokioSpawn;
use terrace_store::{Error, ErrorKind};
use terrace_tiers::{Tier, WriteMode};
use tokio::sync::oneshot;

use crate::world::{World, gate, loaded, open};

async fn world() -> World {
    let clock = FrozenClock::at_wall_ms(1_000_000);
    let below = vec![(Tier::Cold, gate(&clock, true), WriteMode::Through)];
    open(&clock, &below, Arc::new(TokioSpawn::current().unwrap())).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_callers_of_a_cold_key_share_one_load() {
    let world = world().await;
    let loads = Arc::new(AtomicU32::new(0));
    let (release, released) = oneshot::channel::<()>();
    let counted = Arc::clone(&loads);
    let first = world.load("k", move |_| async move {
        counted.fetch_add(1, Ordering::SeqCst);
        released.await.unwrap();
        Ok("value".to_owned())
    });
    let mut waiting = vec![tokio::spawn(first)];
    for _ in 0..9_999 {
        let counted = Arc::clone(&loads);
        waiting.push(tokio::spawn(world.load("k", move |_| async move {
            counted.fetch_add(1, Ordering::SeqCst);
            Ok("another".to_owned())
        })));
    }
    release.send(()).unwrap();
    for waiter in waiting {
        assert_eq!(loaded(waiter.await.unwrap()).unwrap(), "value");
    }
    assert_eq!(loads.load(Ordering::SeqCst), 1);
    let stats = world.tiers.stats().loads;
    assert_eq!((stats.loads, stats.shared), (1, 9_999));
}

#[tokio::test]
async fn a_caller_that_goes_away_neither_ends_the_load_nor_the_others() {
    let world = world().await;
    let (release, released) = oneshot::channel::<()>();
    let leader = world.load("k", move |_| async move {
        released.await.unwrap();
        Ok("value".to_owned())
    });
    let follower = world.load("k", |_| async { unreachable!("one load a key") });
    drop(leader);
    release.send(()).unwrap();
    assert_eq!(loaded(follower.await).unwrap(), "value");
    assert_eq!(world.in_hot("k").as_deref(), Some("value"));
}

#[tokio::test]
async fn a_loader_that_panics_frees_its_waiters_and_the_key() {
    let world = world().await;
    let leader = world.load("k", |_| async { panic!("on purpose") });
    let follower = world.load("k", |_| async { unreachable!("one load a key") });
    for waiter in [leader, follower] {
        let error = loaded(waiter.await).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Load);
        assert!(error.to_string().contains("on purpose"), "{error}");
    }
    let at_once = world.load("k", |_| -> std::future::Ready<_> { panic!("before the first await") });
    assert_eq!(loaded(at_once.await).unwrap_err().kind(), ErrorKind::Load);
    assert_eq!(loaded(world.load("k", |_| async { Ok("well".to_owned()) }).await).unwrap(), "well");
}

#[tokio::test]
async fn a_loader_that_hangs_frees_its_waiters_when_its_time_is_over() {
    let world = world().await;
    let flight = world.load("k", |_| std::future::pending());
    let clock = world.clock.clone();
    let waiting = tokio::spawn(flight);
    // The load's timer is beside the maintenance's.
    while clock.sleepers() < 2 {
        tokio::task::yield_now().await;
    }
    clock.advance(Duration::from_secs(10));
    assert_eq!(loaded(waiting.await.unwrap()).unwrap_err().kind(), ErrorKind::Timeout);
    assert!(!world.tiers.is_flying());
}

#[tokio::test]
async fn a_loader_that_fails_tells_everybody_and_keeps_nothing() {
    let world = world().await;
    let leader = world.load("k", |_| async { Err(Error::new(ErrorKind::Load, "origin")) });
    let follower = world.load("k", |_| async { unreachable!("one load a key") });
    assert!(loaded(leader.await).is_err() && loaded(follower.await).is_err());
    assert_eq!(world.get("k").await.unwrap(), None);
}

#[tokio::test]
async fn a_loader_says_what_its_value_needs() {
    let world = world().await;
    let value = world.load("k", |loading| async move {
        loading.ttl(Duration::from_millis(500));
        loading.tag("t");
        Ok("value".to_owned())
    });
    loaded(value.await).unwrap();
    let about = world.hot.get("k", |held, _| held.entry()).unwrap();
    assert_eq!(about.expires_ms.map(std::num::NonZero::get), Some(1_000_500));
    assert_eq!(about.tags.as_slice(), ["t"]);

    let fleeting = world.load("f", |loading| async move {
        loading.do_not_store();
        Ok("value".to_owned())
    });
    assert_eq!(loaded(fleeting.await).unwrap(), "value");
    assert_eq!(world.get("f").await.unwrap(), None);
}

#[tokio::test]
async fn a_follower_with_a_loader_is_not_content_with_a_flight_that_had_none() {
    let clock = FrozenClock::at_wall_ms(0);
    let cold = gate(&clock, false);
    let below = vec![(Tier::Cold, Arc::clone(&cold), WriteMode::Through)];
    let world = open(&clock, &below, Arc::new(TokioSpawn::current().unwrap())).await;
    let hold = Arc::new(tokio::sync::Notify::new());
    let until = Arc::clone(&hold);
    cold.before_answer(move || {
        let until = Arc::clone(&until);
        Box::pin(async move { until.notified().await })
    });
    let plain = world.get("k");
    let both = async {
        tokio::task::yield_now().await;
        let with_loader = world.load("k", |_| async { Ok("loaded".to_owned()) });
        cold.before_answer(|| Box::pin(async {}));
        hold.notify_one();
        loaded(with_loader.await)
    };
    let (plain, with_loader) = tokio::join!(plain, both);
    assert_eq!((plain.unwrap(), with_loader.unwrap().as_str()), (None, "loaded"));
}

#[test]
fn waiters_are_freed_when_the_runtime_of_the_load_ends() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let (world, flight) = runtime.block_on(async {
        let world = world().await;
        let flight = world.load("k", |_| std::future::pending());
        (world, flight)
    });
    runtime.shutdown_timeout(Duration::from_secs(5));
    let error = loaded(terrace_store::block_on(flight)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(!world.tiers.is_flying());
}

#[tokio::test]
async fn closing_frees_waiters_and_later_calls_are_told() {
    let world = world().await;
    let flight = world.load("k", |_| std::future::pending());
    let clock = world.clock.clone();
    let closing = async {
        let advance = async {
            while clock.sleepers() < 3 {
                tokio::task::yield_now().await;
            }
            clock.advance(Duration::from_secs(6));
        };
        let (closed, ()) = tokio::join!(world.tiers.close(), advance);
        closed.unwrap();
    };
    let (outcome, ()) = tokio::join!(flight, closing);
    assert_eq!(loaded(outcome).unwrap_err().kind(), ErrorKind::Unavailable);
    assert_eq!(world.get("k").await.unwrap_err().kind(), ErrorKind::Closed);
    assert_eq!(world.put("k", "v").await.unwrap_err().kind(), ErrorKind::Closed);
}

#[tokio::test]
async fn a_plain_reader_does_not_share_the_failure_of_somebody_elses_loader() {
    let clock = FrozenClock::at_wall_ms(0);
    let below = vec![(Tier::Cold, gate(&clock, false), WriteMode::Through)];
    let world = open(&clock, &below, Arc::new(TokioSpawn::current().unwrap())).await;
    let failing = world.load("k", |_| async { Err(Error::new(ErrorKind::Load, "origin")) });
    let (failed, plain) = tokio::join!(failing, world.get("k"));
    assert!(loaded(failed).is_err());
    assert_eq!(plain.unwrap(), None);
}
