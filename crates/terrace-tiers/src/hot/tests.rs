//! The hot tier by itself.

use std::num::NonZeroU64;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use terrace_store::fakes::FrozenClock;
use terrace_store::{BoxFuture, Condition, Entry, Tags};

use super::*;
use crate::generations::{Mode, Scope};

/// A clock that counts how often it is asked the time in milliseconds.
struct Counted {
    clock: FrozenClock,
    asked: AtomicU64,
}

impl Clock for Counted {
    fn now(&self) -> Duration {
        self.clock.now()
    }

    fn wall_ms(&self) -> u64 {
        self.clock.wall_ms()
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        self.clock.sleep(duration)
    }

    fn now_ms(&self) -> u64 {
        self.asked.fetch_add(1, Ordering::Relaxed);
        self.clock.now_ms()
    }
}

struct World {
    hot: HotTier<u64, u64>,
    generations: Arc<Generations>,
    clock: Arc<Counted>,
}

fn world() -> World {
    let frozen = FrozenClock::at_wall_ms(1_000_000);
    let clock = Arc::new(Counted { clock: frozen, asked: AtomicU64::new(0) });
    let generations = Arc::new(Generations::new(clock.clone(), 10));
    let config = HotConfig {
        memory: Config::entries(100),
        namespace: Namespace::new("n").unwrap(),
        hold: |live| live.downcast_ref::<u64>().copied(),
        keep_unexpiring: false,
    };
    let hot = HotTier::new(config, clock.clone(), Floors::new(10), generations.clone());
    World { hot, generations, clock }
}

impl World {
    fn insert(&self, key: u64, entry: &Entry) {
        let flat = u64::flat(&key, self.hot.namespace()).unwrap();
        let next = || Version(key + 1);
        let written = self.hot.insert((key, &flat), key * 10, (entry, 8), Condition::Any, &next);
        assert!(written.unwrap().version().is_some());
    }

    fn tagged(&self, key: u64, tag: &str, stamp: u64) {
        self.insert(key, &Entry { stamp, tags: Tags::new([tag]).unwrap(), ..Entry::new("") });
    }

    fn get(&self, key: u64) -> Option<(u64, Freshness)> {
        self.hot.get(&key, |held, freshness| (held.value, freshness))
    }

    fn invalidate(&self, tag: &'static str, mode: Mode) {
        self.generations.invalidate(&Scope::Tag(tag.into()), mode);
    }
}

#[test]
fn the_time_is_asked_for_entries_that_end_and_for_no_others() {
    let world = world();
    world.insert(1, &Entry::new(""));
    let expires_ms = NonZeroU64::new(world.clock.wall_ms() + 50);
    world.insert(2, &Entry { expires_ms, ..Entry::new("") });
    world.clock.asked.store(0, Ordering::Relaxed);
    let asked = || world.clock.asked.load(Ordering::Relaxed);
    for _ in 0..2000 {
        assert_eq!(world.get(1), Some((10, Freshness::Fresh)));
        assert_eq!(world.get(3), None);
    }
    assert_eq!(asked(), 0);
    world.clock.clock.advance(Duration::from_millis(49));
    assert_eq!((world.get(2), asked()), (Some((20, Freshness::Fresh)), 1));
    world.clock.clock.advance(Duration::from_millis(1));
    assert_eq!((world.get(2), asked()), (None, 2));
}

#[test]
fn what_comes_in_late_is_judged_by_what_was_invalidated_since_its_load_began() {
    let world = world();
    world.invalidate("old", Mode::Purge);
    let before = world.generations.stamp();
    world.invalidate("purged", Mode::Purge);
    world.invalidate("old", Mode::Expire);
    world.tagged(1, "purged", before);
    world.tagged(2, "old", before);
    world.tagged(3, "other", before);
    world.tagged(4, "purged", world.generations.stamp());
    assert_eq!(world.get(1), None);
    assert_eq!(world.get(2), Some((20, Freshness::Stale)), "it was purged before it was loaded");
    assert_eq!(world.get(3), Some((30, Freshness::Fresh)));
    assert_eq!(world.get(4), Some((40, Freshness::Fresh)));
    world.invalidate("other", Mode::Expire);
    world.invalidate("purged", Mode::Purge);
    world.invalidate("old", Mode::Purge);
    assert_eq!(world.get(3), Some((30, Freshness::Stale)));
    assert_eq!([2, 4].map(|key| world.get(key)), [None, None]);
}

#[test]
fn when_invalidations_can_be_numbered_no_more_nothing_that_was_invalidated_is_served() {
    let world = world();
    world.generations.skip_to(u32::MAX - 2);
    let put = |key, tag| world.tagged(key, tag, world.generations.stamp());
    put(1, "a");
    put(2, "b");
    for _ in 0..5 {
        world.invalidate("a", Mode::Purge);
        assert_eq!([world.get(1), world.get(2)], [None, Some((20, Freshness::Fresh))]);
    }
    put(1, "a");
    put(2, "c");
    assert_eq!([world.get(1), world.get(2)], [None, Some((20, Freshness::Fresh))]);
    world.invalidate("c", Mode::Purge);
    assert_eq!(world.get(2), None);
}
