use terrace_store::block_on::poll_once;
use terrace_store::capability::Batch;
use terrace_store::fakes::{Fault, Flaky, FrozenClock, MapStore, Operation as On, Recording, Slow, When};
use terrace_store::{StoreExt, block_on};

use super::*;
use crate::world::tests::world;

struct Scene {
    clock: FrozenClock,
    map: Arc<MapStore>,
    flaky: Arc<Flaky>,
    slow: Arc<Slow>,
    recording: Arc<Recording>,
    cache: Cache,
}

fn scene(config: CacheConfig) -> Scene {
    let clock = FrozenClock::at_wall_ms(1_000_000);
    let map = Arc::new(MapStore::new(Arc::new(clock.clone())));
    let flaky = Arc::new(Flaky::over(map.clone()));
    let slow = Arc::new(Slow::over(flaky.clone(), Arc::new(clock.clone())));
    let recording = Arc::new(Recording::over(slow.clone()));
    let cache = Cache::over(recording.clone(), config, &world(&clock));
    Scene { clock, map, flaky, slow, recording, cache }
}

fn key(name: impl AsRef<[u8]>) -> Key {
    Key::new("n", name).unwrap()
}

impl Scene {
    fn put(&self, value: &'static str) {
        let _ = block_on(self.cache.put_with(&key("k"), value)).unwrap();
    }

    fn value(&self) -> Option<bytes::Bytes> {
        block_on(self.cache.get(&key("k"))).unwrap().map(|entry| entry.value)
    }

    fn asked(&self) -> usize {
        self.recording.control().count(On::Get)
    }
}

const POLICIES: [CachePolicy; 4] =
    [CachePolicy::Lru, CachePolicy::Lfu, CachePolicy::Arc, CachePolicy::Adaptive];

#[test]
fn what_was_written_or_read_is_not_asked_for_again() {
    for policy in POLICIES {
        let scene = scene(CacheConfig { policy, ..CacheConfig::default() });
        scene.put("1");
        assert_eq!((scene.value().unwrap(), scene.asked()), ("1".into(), 0));
        let _ = block_on(scene.map.put_with(&key("other"), "2")).unwrap();
        for _ in 0..3 {
            assert_eq!(block_on(scene.cache.get(&key("other"))).unwrap().unwrap().value, "2");
        }
        assert_eq!(scene.asked(), 1);
        let written = block_on(scene.map.get(&key("k"))).unwrap();
        assert_eq!(block_on(scene.cache.get(&key("k"))).unwrap(), written, "the version is the store's");
        assert!(block_on(scene.cache.exists(&key("k"))).unwrap());
        assert_eq!(scene.recording.control().count(On::Exists), 0);
        let stats = scene.cache.stats();
        assert_eq!((stats.hits, stats.misses, stats.entries), (5, 1, 2));
    }
}

#[test]
fn a_value_that_was_read_before_a_write_is_not_cached_after_it() {
    let scene = scene(CacheConfig::default());
    let _ = block_on(scene.map.put_with(&key("k"), "1")).unwrap();
    scene.slow.control().hold(&[On::Get]);
    let k = key("k");
    let early = poll_once(scene.cache.get(&k)).expect_err("it hangs");
    scene.put("2");
    scene.slow.control().release();
    // The fake asks the map only now; what counts is that the read began before the write.
    assert!(block_on(early).is_ok());
    assert_eq!(scene.value().unwrap(), "2");
    let begun = scene.cache.shared.before_read(&key("k"));
    scene.put("3");
    scene.cache.shared.fill(&key("k"), begun, &Entry::new("2"));
    assert_eq!(scene.value().unwrap(), "3");
}

#[test]
fn of_two_writes_at_once_neither_leaves_a_copy() {
    let scene = scene(CacheConfig::default());
    let (one, two) = (scene.cache.shared.write(&key("k")), scene.cache.shared.write(&key("k")));
    two.keep(&key("k"), Entry::new("two"));
    one.keep(&key("k"), Entry::new("one"));
    assert_eq!(scene.cache.stats().entries, 0);
    scene.put("three");
    assert_eq!((scene.value().unwrap(), scene.asked()), ("three".into(), 0));
}

#[test]
fn an_unknown_outcome_keeps_its_key_out_of_the_cache_until_it_is_settled() {
    for dropped in [false, true] {
        let scene = scene(CacheConfig::default());
        scene.put("1");
        if dropped {
            scene.slow.control().hold(&[On::Put]);
            let put = Box::pin(async { scene.cache.put_with(&key("k"), "2").await });
            drop(poll_once(put).expect_err("it hangs"));
            scene.slow.control().release();
        } else {
            scene.flaky.control().inject(Fault::lose_answer().of(&[On::Put]).when(When::Nth(1)));
            assert!(block_on(scene.cache.put_with(&key("k"), "2")).is_err());
        }
        for n in 1..=3 {
            assert!(scene.value().is_some());
            assert_eq!(scene.asked(), n, "the store is asked each time");
        }
        scene.clock.advance(UNSETTLED);
        assert!(scene.value().is_some() && scene.value().is_some());
        assert_eq!(scene.asked(), 4);
    }
}

#[test]
fn a_copy_ends_with_its_entry_and_with_its_age() {
    let scene = scene(CacheConfig { max_age: Some(Duration::from_secs(10)), ..CacheConfig::default() });
    let now = scene.clock.wall_ms();
    let _ = block_on(scene.cache.put_with(&key("k"), "1").ttl_from(now, 5_000)).unwrap();
    scene.clock.advance_ms(4_999);
    assert!(scene.value().is_some() && scene.asked() == 0);
    scene.clock.advance_ms(1);
    assert!(scene.value().is_none());
    scene.put("2");
    // Somebody writes round the cache.
    let _ = block_on(scene.map.put_with(&key("k"), "3")).unwrap();
    assert_eq!(scene.value().unwrap(), "2");
    scene.clock.advance_ms(10_000);
    assert_eq!(scene.value().unwrap(), "3");
}

#[test]
fn it_never_weighs_more_than_it_may_and_leaves_long_values_alone() {
    for policy in POLICIES {
        let config = CacheConfig {
            policy,
            capacity: Capacity::Bytes(100_000),
            longest: 5_000,
            ..CacheConfig::default()
        };
        let scene = scene(config);
        for n in 0..500_u32 {
            let len = if n % 50 == 0 { 6_000 } else { n as usize * 2 };
            let _ = block_on(scene.cache.put_with(&key(n.to_be_bytes()), vec![7; len])).unwrap();
            assert!(scene.cache.stats().weight <= 100_000);
        }
        assert!(scene.cache.stats().entries > 20);
        for n in 0..500_u32 {
            assert!(block_on(scene.cache.exists(&key(n.to_be_bytes()))).unwrap());
        }
        assert!(scene.cache.shared.cached(&key(450_u32.to_be_bytes())).is_none());
    }
}

#[test]
fn a_batch_asks_only_for_what_is_not_there_and_drops_what_it_writes() {
    let scene = scene(CacheConfig::default());
    let keys: Vec<Key> = (0..10_u8).map(|n| key([n])).collect();
    for key in &keys {
        let _ = block_on(scene.map.put_with(key, "1")).unwrap();
    }
    for key in &keys[..5] {
        assert!(block_on(scene.cache.get(key)).unwrap().is_some());
    }
    let found = block_on(Batch::get_many(&scene.cache, &keys)).unwrap();
    assert!(found.iter().all(Option::is_some));
    assert_eq!(scene.recording.control().bytes_out(), 10, "five one by one, five together");
    assert!(block_on(Batch::get_many(&scene.cache, &keys)).is_ok());
    assert_eq!(scene.recording.control().count(On::GetMany), 1);
    let _ = block_on(Batch::clear(&scene.cache, None)).unwrap();
    assert!(block_on(Batch::get_many(&scene.cache, &keys)).unwrap().iter().all(Option::is_none));
}
