//! Much at once: floods of keys that never come back, and values of every size from many threads.

use std::sync::atomic::{AtomicU64, Ordering};

use terrace_memory::{Config, Memory, Options};

/// What the process occupies, in bytes; `None` where the system does not say.
fn resident_bytes() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/self/statm").ok()?;
    let pages: u64 = text.split_whitespace().nth(1)?.parse().ok()?;
    Some(pages * rustix::param::page_size() as u64)
}

/// Ten million with optimisation, a tenth of that without.
#[test]
fn keys_that_never_come_back_do_not_let_anything_grow() {
    let (capacity, rounds) = (50_000u64, if cfg!(debug_assertions) { 20 } else { 200 });
    let cache: Memory<u64, u64> = Memory::new(Config::entries(capacity));
    let mut footprint = 0;
    for round in 0..rounds {
        for key in round * capacity..(round + 1) * capacity {
            assert!(cache.insert(key, key, Options::default(), 0).stored);
        }
        assert!(cache.weight() <= capacity);
        // Queues, ghosts and cells have their size after a few rounds.
        if round == 8 {
            footprint = cache.footprint();
        }
    }
    assert!(cache.footprint() <= footprint + footprint / 50, "{footprint} grew to {}", cache.footprint());
    let stats = cache.stats();
    assert_eq!(stats.inserts, rounds * capacity);
    assert_eq!(stats.evicted_for_capacity, rounds * capacity - cache.len() as u64);
    cache.check().unwrap();
}

/// Says to a process that it is the one to be measured.
const MEASURED: &str = "TERRACE_MEASURED_PROCESS";

/// In a process of its own, because other tests need memory too, and with one arena: by default glibc gives each of
/// sixteen threads one, and what lies idle in those is as much again, whoever frees it.
#[test]
fn sixteen_writers_of_values_of_every_size_stay_within_the_memory_they_are_given() {
    if std::env::var_os(MEASURED).is_some() {
        write_values_of_every_size();
        return;
    }
    let name = "load::sixteen_writers_of_values_of_every_size_stay_within_the_memory_they_are_given";
    let mut process = std::process::Command::new(std::env::current_exe().unwrap());
    process.args([name, "--exact"]).env(MEASURED, "1").env("MALLOC_ARENA_MAX", "1");
    let output = process.output().unwrap();
    let told = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && told.contains("1 passed"), "{told}");
}

fn write_values_of_every_size() {
    let Some(before) = resident_bytes() else {
        eprintln!("skipped: the system does not say what a process occupies");
        return;
    };
    let capacity = 128u64 << 20;
    let cache: Memory<u64, Box<[u8]>> = Memory::new(Config::bytes(capacity));
    let (peak, retired, written) = (AtomicU64::new(0), AtomicU64::new(0), AtomicU64::new(0));
    let total = if cfg!(debug_assertions) { 8 } else { 24 } * capacity;
    std::thread::scope(|scope| {
        for thread in 0..16u64 {
            let (cache, peak, retired, written) = (&cache, &peak, &retired, &written);
            scope.spawn(move || {
                let mut random = thread + 1;
                while written.load(Ordering::Relaxed) < total {
                    random ^= random << 13;
                    random ^= random >> 7;
                    random ^= random << 17;
                    // Every power of two from one byte to a mebibyte is as likely.
                    let most = 1u64 << (random % 21);
                    let size = most - (random >> 32) % most.div_ceil(2);
                    let value = vec![thread as u8; size as usize].into_boxed_slice();
                    let weight = size + 24;
                    drop(cache.insert(random >> 40, value, Options::weighing(weight), 0));
                    assert!(cache.weight() <= capacity);
                    let now = written.fetch_add(size, Ordering::Relaxed);
                    if now >> 20 != (now + size) >> 20 {
                        peak.fetch_max(resident_bytes().unwrap_or(0), Ordering::Relaxed);
                        retired.fetch_max(cache.retired_weight(), Ordering::Relaxed);
                    }
                }
            });
        }
    });
    let grown = peak.into_inner().saturating_sub(before);
    let most = capacity + capacity * 15 / 100 + (64 << 20);
    assert!(
        grown <= most,
        "{} MiB for {}, {} retired",
        grown >> 20,
        capacity >> 20,
        retired.into_inner() >> 20
    );
    cache.check().unwrap();
}
