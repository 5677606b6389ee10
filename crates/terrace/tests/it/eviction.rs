//! Who is told of evictions, and what priorities do.

use std::future::{Future, IntoFuture};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use terrace::store::Clock;
use terrace::store::fakes::FrozenClock;
use terrace::store::tokio_runtime::TokioSpawn;
use terrace::{Builder, Cache, Cause, ErrorKind, Priority, Size};

type Told = Arc<Mutex<Vec<(u64, u64, Cause)>>>;

fn told() -> (Told, impl Fn(&u64, &u64, Cause) + Send + Sync + 'static) {
    let told = Told::default();
    let teller = Arc::clone(&told);
    (told, move |key: &u64, value: &u64, cause| teller.lock().unwrap().push((*key, *value, cause)))
}

fn drain(told: &Told) -> Vec<(u64, u64, Cause)> {
    std::mem::take(&mut *told.lock().unwrap())
}

fn numbers() -> Builder<u64, u64> {
    Cache::builder("n")
}

#[tokio::test]
async fn each_eviction_is_told_once_and_removals_and_replacements_are_not() {
    let (told, listener) = told();
    let cache = numbers().hot_entries(100).on_evict(listener).build().await.unwrap();
    for key in 0..1000u64 {
        cache.put(key, key).await.unwrap();
    }
    cache.put(999u64, 7).await.unwrap();
    assert!(cache.remove(&999).await.unwrap());
    let mut gone = drain(&told);
    assert!(gone.iter().all(|(key, value, cause)| key == value && *cause == Cause::Capacity));
    gone.sort_unstable_by_key(|(key, ..)| *key);
    let left: Vec<u64> = gone.iter().map(|(key, ..)| *key).collect();
    let mut here = Vec::new();
    for key in 0..1000 {
        if !cache.contains(&key).await.unwrap() && key != 999 {
            here.push(key);
        }
    }
    assert_eq!(left, here, "told of exactly those that are not there");
    let by_cause = cache.tiers().hot_left();
    assert!(by_cause.contains(&("capacity", left.len() as u64)), "{by_cause:?}");
}

#[tokio::test]
async fn the_cause_is_told_whoever_finds_the_dead_entry() {
    let clock = Arc::new(FrozenClock::default());
    let (told, listener) = told();
    let cache = numbers()
        .on_evict(listener)
        .clock(Arc::clone(&clock) as Arc<dyn Clock>)
        .spawn(Arc::new(TokioSpawn::current().unwrap()))
        .build()
        .await
        .unwrap();
    for key in 0..4u64 {
        cache.put(key, key).ttl("10s").await.unwrap();
    }
    cache.put(4u64, 4).idle("10s").await.unwrap();
    clock.advance(Duration::from_secs(11));
    // A put finds the first, a removal the second, the reclaiming after an invalidation or the timers the rest.
    cache.put(0u64, 10).await.unwrap();
    assert_eq!(drain(&told), [(0, 0, Cause::Expired)]);
    assert!(!cache.remove(&1).await.unwrap());
    assert_eq!(drain(&told), [(1, 1, Cause::Expired)]);
    cache.tiers().reclaim().await;
    cache.tiers().maintain().await;
    let mut rest = drain(&told);
    rest.sort_unstable_by_key(|(key, ..)| *key);
    assert_eq!(rest, [(2, 2, Cause::Expired), (3, 3, Cause::Expired), (4, 4, Cause::Idle)]);
    cache.clear().await.unwrap();
    cache.tiers().reclaim().await;
    assert_eq!(drain(&told), [], "what was invalidated is not evicted");
}

#[tokio::test]
async fn a_refused_value_is_told_of() {
    let told: Arc<Mutex<Vec<(u64, usize, Cause)>>> = Arc::default();
    let teller = Arc::clone(&told);
    let cache = Cache::<u64, String>::builder("n")
        .hot(10.kib())
        .weigher(|_, value| value.len() as u64)
        .on_evict(move |key, value, cause| teller.lock().unwrap().push((*key, value.len(), cause)))
        .build()
        .await
        .unwrap();
    let error = cache.put(1u64, "x".repeat(20_000)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Full);
    assert_eq!(*told.lock().unwrap(), [(1, 20_000, Cause::TooHeavy)]);
}

#[tokio::test]
async fn a_listener_that_panics_harms_nobody_and_is_told_of_the_next() {
    let calls = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&calls);
    let cache = numbers()
        .hot_entries(10)
        .on_evict(move |key, _, _| {
            counted.fetch_add(1, Ordering::SeqCst);
            assert!(key % 2 == 0, "on purpose");
        })
        .build()
        .await
        .unwrap();
    for key in 0..50u64 {
        cache.put(key, key).await.unwrap();
    }
    assert_eq!(calls.load(Ordering::SeqCst), 40);
    let mut here = 0;
    for key in 0..50 {
        here += u64::from(cache.get(&key).await.unwrap().is_some());
    }
    assert_eq!((here, cache.stats().hot_entries), (10, 10));
}

/// What a call answers at once, as it does without tiers below: a listener may not wait on a runtime's thread.
fn now<F: IntoFuture>(call: F) -> F::Output {
    let mut call = Box::pin(call.into_future());
    match call.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(answer) => answer,
        Poll::Pending => panic!("it would have to wait"),
    }
}

/// Also while a load brings the value in, which holds the flight's lock.
#[test]
fn a_listener_may_use_the_cache() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let this: Arc<OnceLock<Cache<u64, u64>>> = Arc::default();
    let (handle, calls) = (Arc::clone(&this), Arc::new(AtomicUsize::new(0)));
    let counted = Arc::clone(&calls);
    let listener = move |key: &u64, value: &u64, _: Cause| {
        let cache = handle.get().unwrap();
        // The last one that came in, whose flight has not landed yet, and the one that left.
        for key in [*key, *key + 4, 1000] {
            assert!(now(cache.get(&key)).unwrap().is_none_or(|value| value == key));
            assert!(!now(cache.remove(&(key + 5000))).unwrap());
        }
        assert_eq!(key, value);
        counted.fetch_add(1, Ordering::SeqCst);
        if counted.load(Ordering::SeqCst) == 3 {
            // It makes another one leave, which is told within this.
            now(cache.put(1000u64, 1000)).unwrap();
        }
    };
    let cache = runtime.block_on(numbers().hot_entries(4).on_evict(listener).build()).unwrap();
    assert!(this.set(cache.clone()).is_ok());
    runtime.block_on(async {
        for key in 0..20u64 {
            let load = move |_| async move { Ok::<_, std::io::Error>(key) };
            let got = tokio::time::timeout(Duration::from_secs(20), cache.get_or_load(&key, load)).await;
            assert_eq!(got.expect("nobody waits for a lock").unwrap(), key);
        }
    });
    // Told in the task that loaded, which may end a little after its value was handed on.
    let left: u64 = cache.tiers().hot_left().iter().map(|(_, count)| count).sum();
    for _ in 0..200 {
        if calls.load(Ordering::SeqCst) as u64 == left {
            return;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    panic!("{} told, {left} left", calls.load(Ordering::SeqCst));
}

#[tokio::test]
async fn low_priority_leaves_first_and_high_stays() {
    let (told, listener) = told();
    let cache = numbers().hot_entries(20).on_evict(listener).build().await.unwrap();
    for key in 0..5u64 {
        cache.put(key, key).priority(Priority::High).await.unwrap();
        cache.put(key + 10, key + 10).priority(Priority::Low).await.unwrap();
    }
    for key in 100..115u64 {
        cache.put(key, key).await.unwrap();
    }
    let mut gone: Vec<u64> = drain(&told).iter().map(|(key, ..)| *key).collect();
    gone.sort_unstable();
    assert_eq!(gone, [10, 11, 12, 13, 14]);
    for key in 200..400u64 {
        cache.put(key, key).await.unwrap();
    }
    assert!(drain(&told).iter().all(|(key, ..)| *key >= 100));
}

/// What a weigher may do wrong: other answers at each call, none, far too much, a panic.
#[tokio::test]
async fn a_weigher_that_lies_harms_only_the_weight() {
    static CALLS: AtomicUsize = AtomicUsize::new(0);
    let lies = |_: &u64, value: &String| match CALLS.fetch_add(1, Ordering::Relaxed) % 4 {
        0 => 0,
        1 => u64::MAX,
        2 => 1,
        _ => value.len() as u64 * 1000,
    };
    let cache = Cache::<u64, String>::builder("n").hot(100.kib()).weigher(lies).build().await.unwrap();
    for key in 0..2000u64 {
        if let Err(error) = cache.put(key % 300, "x".repeat(50)).await {
            assert_eq!(error.kind(), ErrorKind::Full);
        }
        let stats = cache.stats();
        assert!(stats.hot_bytes <= stats.hot_capacity, "{stats:?}");
    }
    for key in 0..300 {
        assert!(cache.remove(&key).await.is_ok());
    }
    assert_eq!((cache.stats().hot_entries, cache.stats().hot_bytes), (0, 0));
}

#[tokio::test]
async fn a_weigher_that_panics_ends_its_own_call_only() {
    let weigh = |key: &u64, _: &u64| if *key == 3 { panic!("on purpose") } else { 8 };
    let cache = numbers().weigher(weigh).build().await.unwrap();
    let other = cache.clone();
    let put = tokio::spawn(async move { other.put(3u64, 3).await });
    assert!(put.await.unwrap_err().is_panic());
    let load = cache.get_or_load(&3, |_| async { Ok::<_, std::io::Error>(3) }).await;
    assert_eq!(load.unwrap_err().kind(), ErrorKind::Load);
    cache.put(4u64, 4).await.unwrap();
    assert_eq!((cache.get(&3).await.unwrap(), cache.get(&4).await.unwrap()), (None, Some(4)));
}
