//! Expiry under clocks the test turns by hand.

use terrace_memory::{Cause, Config, Lifetime, Memory, Options};

fn cache() -> Memory<u64, u64> {
    Memory::new(Config::entries(1000).shards(4))
}

fn ttl(expires_at: u64) -> Options {
    Options::default().expires_at(expires_at)
}

fn idle(limit: u64) -> Options {
    Options::default().idle(limit)
}

#[test]
fn no_read_returns_an_entry_from_its_millisecond_on() {
    let cache = cache();
    let _ = cache.insert(1, 10, ttl(1000), 0);
    assert_eq!(cache.get(&1, 999), Some(10));
    assert!(cache.contains(&1, 999));
    assert_eq!(cache.peek_with(&1, 999, |_, meta| meta.expires_at), Some(Some(1000)));
    // The wheel has not turned; the entry is dead all the same.
    assert_eq!((cache.get(&1, 1000), cache.peek(&1, 1000)), (None, None));
    assert!(!cache.contains(&1, 1000));
    assert_eq!(cache.get_with(&1, 1000, |_| ()), None);
    assert_eq!(cache.scan(0, 9999, 1000, |_, _, _| panic!("scanned a dead entry")), 0);
    assert_eq!((cache.keys(1000).len(), cache.len()), (0, 1));
    assert_eq!(cache.remove(&1, 1000).map(|gone| gone.value), None);
    assert_eq!((cache.len(), cache.weight(), cache.stats().expired), (0, 0, 1));
}

#[test]
fn advance_returns_the_dead_with_their_cause_and_frees_their_weight() {
    let cache = cache();
    for key in 0..500 {
        let _ = cache.insert(key, key, ttl(1000 + key), 0);
    }
    for key in 500..600 {
        let _ = cache.insert(key, key, idle(300), 0);
    }
    let _ = cache.insert(999, 999, Options::default(), 0);
    assert_eq!(cache.advance(299, usize::MAX).len(), 0);
    let gone = cache.advance(300, usize::MAX);
    assert_eq!(gone.len(), 100);
    assert!(gone.iter().all(|gone| gone.cause == Cause::Idle));
    let mut gone: Vec<u64> = cache.advance(1250, usize::MAX).iter().map(|gone| gone.key).collect();
    gone.sort_unstable();
    assert_eq!(gone, (0..=250).collect::<Vec<_>>());
    assert_eq!((cache.len(), cache.weight()), (250, 250));
    assert_eq!(cache.advance(u64::MAX - 1, usize::MAX).len(), 249);
    assert_eq!(cache.get(&999, u64::MAX - 1), Some(999));
    let stats = cache.stats();
    assert_eq!((stats.expired, stats.idled), (500, 100));
    cache.check().unwrap();
}

#[test]
fn advance_stops_at_its_limit_and_goes_on_in_the_next_call() {
    let cache = cache();
    for key in 0..500 {
        let _ = cache.insert(key, key, ttl(1 + key % 50), 0);
    }
    let mut seen = 0;
    for _ in 0..100 {
        let gone = cache.advance(100, 7);
        assert!(gone.len() <= 7);
        seen += gone.len();
    }
    assert_eq!((seen, cache.len()), (500, 0));
}

#[test]
fn use_prolongs_an_idle_entry_and_looking_does_not() {
    let cache = cache();
    let _ = cache.insert(1, 10, idle(1600), 0);
    let _ = cache.insert(2, 20, idle(1600), 0);
    for now in (0..20_000).step_by(1000) {
        assert_eq!(cache.get(&1, now), Some(10));
        assert_eq!(cache.peek(&2, now).is_some(), now < 1600);
        assert!(cache.advance(now, 100).len() <= 1);
    }
    assert_eq!(cache.get(&2, 20_000), None);
    // The last use at 19,000 is stamped to within a sixteenth of the limit.
    assert_eq!(cache.peek(&1, 20_499), Some(10));
    assert_eq!(cache.peek(&1, 20_600), None);
}

/// A use within a sixteenth of the limit after the last stamp leaves no trace; the next one later does.
#[test]
fn a_use_is_stamped_only_when_the_last_stamp_is_older_than_a_sixteenth_of_the_limit() {
    let cache = cache();
    for (key, used, ends) in [(1, 99, 1600), (2, 100, 1600), (3, 101, 1701)] {
        let _ = cache.insert(key, 10, idle(1600), 0);
        assert_eq!(cache.get(&key, used), Some(10));
        assert_eq!(cache.peek(&key, ends - 1), Some(10), "used at {used}");
        assert_eq!(cache.peek(&key, ends), None, "used at {used}");
    }
}

#[test]
fn whichever_limit_is_reached_first_ends_an_entry() {
    let cache = cache();
    let _ = cache.insert(1, 10, ttl(1000).idle(600), 0);
    let _ = cache.insert(2, 20, ttl(1000).idle(600), 0);
    assert_eq!(cache.get(&1, 500), Some(10));
    let gone = cache.advance(700, 100);
    assert_eq!((gone.len(), gone[0].key, gone[0].cause), (1, 2, Cause::Idle));
    assert_eq!(cache.get(&1, 999), Some(10));
    let gone = cache.advance(1000, 100);
    assert_eq!((gone.len(), gone[0].key, gone[0].cause), (1, 1, Cause::Expired));
}

#[test]
fn entries_dead_on_arrival_are_refused_and_take_the_old_value_along() {
    let cache = cache();
    let _ = cache.insert(1, 10, Options::default(), 0);
    let done = cache.insert(1, 11, ttl(50), 50);
    assert_eq!(
        (done.stored, done.replaced.map(|gone| gone.value), done.evicted[0].cause),
        (false, Some(10), Cause::Expired)
    );
    assert_eq!(cache.get(&1, 50), None);
    let done = cache.insert(2, 20, idle(0), 50);
    assert_eq!((done.stored, done.evicted[0].cause), (false, Cause::Idle));
}

#[test]
fn reschedule_replaces_the_lifetime() {
    let cache = cache();
    let _ = cache.insert(1, 10, ttl(100), 0);
    let at = |expires_at| Lifetime { expires_at: Some(expires_at), idle: None };
    assert!(cache.reschedule(&1, at(500), 50));
    assert_eq!(cache.get(&1, 499), Some(10));
    assert!(cache.reschedule(&1, Lifetime::default(), 499));
    assert_eq!(cache.get(&1, 1 << 50), Some(10));
    assert!(cache.advance(1 << 50, 10).is_empty());
    assert!(cache.reschedule(&1, at(7), 1 << 50));
    assert_eq!(cache.get(&1, 1 << 50), None);
    assert!(!cache.reschedule(&1, at(u64::MAX), 1 << 50));
    let _ = cache.insert(2, 20, Options::default(), 0);
    assert!(cache.reschedule(&2, Lifetime { expires_at: None, idle: Some(0) }, 9));
    assert_eq!(cache.get(&2, 9), None);
}

#[test]
fn replacing_a_value_replaces_its_lifetime() {
    let cache = cache();
    let _ = cache.insert(1, 10, ttl(100), 0);
    let _ = cache.insert(1, 11, Options::default(), 0);
    assert!(cache.advance(1000, 10).is_empty());
    assert_eq!(cache.get(&1, 1000), Some(11));
    let _ = cache.insert(1, 12, ttl(2000), 1000);
    assert_eq!(cache.get(&1, 2000), None);
}

#[test]
fn room_is_made_of_the_dead_before_the_living() {
    let cache: Memory<u64, u64> = Memory::new(Config::entries(10).shards(1));
    for key in 0..10 {
        let options = if key == 7 { ttl(100) } else { Options::default() };
        let _ = cache.insert(key, key, options, 0);
    }
    let done = cache.insert(10, 10, Options::default(), 100);
    assert_eq!((done.evicted.len(), done.evicted[0].key, done.evicted[0].cause), (1, 7, Cause::Expired));
}

#[test]
fn pinned_entries_expire_like_others() {
    let cache = cache();
    let _ = cache.insert(1, 10, ttl(100).pinned(), 0);
    let gone = cache.advance(100, 10);
    assert_eq!((gone.len(), cache.len()), (1, 0));
}

#[test]
fn a_clock_that_jumps_ahead_ends_what_its_time_says_and_back_again_revives_nothing_taken_out() {
    let cache = cache();
    let _ = cache.insert(1, 10, ttl(60_000), 0);
    let _ = cache.insert(2, 20, ttl(1 << 40), 0);
    assert_eq!(cache.advance(3_600_000, 10).len(), 1);
    // Back by an hour: what was taken out is gone, new entries expire by the new clock.
    let _ = cache.insert(3, 30, ttl(61_000), 1000);
    assert_eq!((cache.get(&1, 1000), cache.get(&2, 1000), cache.get(&3, 1000)), (None, Some(20), Some(30)));
    assert!(cache.advance(60_999, 10).is_empty());
    let gone = cache.advance(61_000, 10);
    assert_eq!((gone.len(), gone[0].key), (1, 3));
    assert_eq!(cache.advance(1 << 40, 10).len(), 1);
}

#[test]
fn an_idle_stamp_from_the_future_does_not_outlive_the_jump() {
    let cache = cache();
    let _ = cache.insert(1, 10, idle(1000), 0);
    // A jump ahead within the limit stamps the entry; then the clock is set right again.
    assert_eq!(cache.get(&1, 900), Some(10));
    assert_eq!(cache.get(&1, 100), Some(10));
    assert_eq!(cache.get(&1, 1100), None);
}

#[test]
fn times_at_the_end_of_the_scale_do_not_overflow() {
    let cache = cache();
    let now = u64::MAX - 10;
    let _ = cache.insert(1, 10, ttl(u64::MAX).idle(u64::MAX), now);
    let _ = cache.insert(2, 20, ttl(u64::MAX - 1), now);
    assert_eq!(cache.get(&1, u64::MAX - 2), Some(10));
    assert_eq!(cache.advance(u64::MAX - 1, 10).len(), 1);
    assert_eq!(cache.get(&1, u64::MAX), Some(10));
}
