//! Lifetimes and invalidation through the typed API, on a frozen clock.

use std::sync::Arc;

use terrace::store::fakes::FrozenClock;
use terrace::{Cache, Lookup, Prefix, Tag};

async fn cache(clock: &FrozenClock) -> Cache<String, u64> {
    Cache::builder("n").clock(Arc::new(clock.clone())).build().await.unwrap()
}

#[tokio::test]
async fn lifetimes_end_to_the_millisecond() {
    let clock = FrozenClock::at_wall_ms(1_000_000);
    let cache = cache(&clock).await;
    cache.put("short", 1).ttl("100ms").await.unwrap();
    cache.put("long", 2).await.unwrap();
    clock.advance_ms(99);
    assert_eq!(cache.get("short").await.unwrap(), Some(1));
    clock.advance_ms(1);
    assert_eq!((cache.get("short").await.unwrap(), cache.get("long").await.unwrap()), (None, Some(2)));
}

#[tokio::test]
async fn the_lifetime_of_the_builder_holds_where_a_call_says_nothing() {
    let clock = FrozenClock::at_wall_ms(1_000_000);
    let built = Cache::<String, u64>::builder("n").clock(Arc::new(clock.clone())).ttl("1s").idle("200ms");
    let cache = built.build().await.unwrap();
    cache.put("used", 1).await.unwrap();
    cache.put("unused", 1).await.unwrap();
    cache.get_or_load("loaded", |_| async { Ok::<_, std::io::Error>(1) }).await.unwrap();
    for _ in 0..5 {
        clock.advance_ms(150);
        assert_eq!(cache.get("used").await.unwrap(), Some(1));
    }
    assert_eq!(cache.get("unused").await.unwrap(), None);
    clock.advance_ms(250);
    assert_eq!((cache.get("used").await.unwrap(), cache.get("loaded").await.unwrap()), (None, None));
}

#[tokio::test]
async fn a_value_past_its_soft_expiry_is_stale_for_a_lookup_and_absent_for_a_get() {
    let clock = FrozenClock::at_wall_ms(1_000_000);
    let cache = cache(&clock).await;
    cache.put("k", 1).fresh("100ms").ttl("1s").await.unwrap();
    assert!(matches!(cache.lookup("k").await.unwrap(), Lookup::Hit(_)));
    clock.advance_ms(100);
    assert!(matches!(cache.lookup("k").await.unwrap(), Lookup::Stale(_)));
    assert_eq!((cache.get("k").await.unwrap(), cache.contains("k").await.unwrap()), (None, false));
    let loaded = cache.get_or_load("k", |_| async { Ok::<_, std::io::Error>(2) });
    assert_eq!(loaded.await.unwrap(), 2);
}

#[tokio::test]
async fn tags_and_prefixes_take_what_they_name() {
    let clock = FrozenClock::at_wall_ms(1_000_000);
    let cache = cache(&clock).await;
    cache.put("user:1", 1).tag("a").await.unwrap();
    cache.put("user:2", 2).tag("b").await.unwrap();
    cache.put("order:1", 3).tag("b").await.unwrap();
    cache.invalidate(Tag("a")).await.unwrap();
    assert_eq!(cache.get_many(["user:1", "user:2", "order:1"]).await.unwrap(), [None, Some(2), Some(3)]);
    cache.expire(Tag("b")).await.unwrap();
    assert!(matches!(cache.lookup("order:1").await.unwrap(), Lookup::Stale(_)));
    cache.invalidate(Prefix("user:")).await.unwrap();
    assert_eq!(cache.lookup("user:2").await.unwrap(), Lookup::Miss);
}
