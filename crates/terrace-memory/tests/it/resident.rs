//! Sixteen writers of values of every size, and somebody who watches what the process occupies.
//!
//! What an engine accounts for and what its process occupies part where the allocator keeps what was freed. glibc's
//! does so in two ways. It maps values of 128 KiB and more one by one, but raises that border to the size of whatever
//! mapped value is freed, up to 32 MiB, and from then on they lie among the others. And it gives each of sixteen
//! writers an arena, in which what one of them allocated and another one freed waits for the first. With the border
//! fixed and two arenas neither happens. The README has the figures, and those of other allocators.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use terrace_memory::{Config, Memory, Options};

use crate::random::Random;

const WRITERS: u64 = 16;
/// What a key and a box take in line, with the engine's own overhead added by it.
const IN_LINE: u64 = 24;

/// The largest of what was seen, in bytes.
#[derive(Debug, Default)]
struct Seen {
    samples: u64,
    /// What the process grew by.
    resident: u64,
    weight: u64,
    retired: u64,
}

/// What the process occupies, in bytes; `None` where the system does not say.
fn resident_bytes() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/self/statm").ok()?;
    let pages: u64 = text.split_whitespace().nth(1)?.parse().ok()?;
    Some(pages * rustix::param::page_size() as u64)
}

/// Writes `total` bytes of values of up to two to the power of `most_bits` bytes, each power as likely, through a
/// cache of `capacity` bytes. At each sample the weight is within the capacity, and what is retired within a
/// hundredth of it and a mebibyte beside what calls that are under way hold.
fn write_values_of_every_size(capacity: u64, most_bits: u64, total: u64) -> Seen {
    let before = resident_bytes().unwrap_or(0);
    let cache: Memory<u64, Box<[u8]>> = Memory::new(Config::bytes(capacity));
    // A call holds what it evicted until it is done: no more than it brings, and the last victim.
    let heaviest = (1 << most_bits) + IN_LINE + u64::from(terrace_memory::ENTRY_OVERHEAD);
    let (begun, ended, done) = (AtomicU64::new(0), AtomicU64::new(0), AtomicBool::new(false));
    let mut seen = Seen::default();
    std::thread::scope(|scope| {
        let writers: Vec<_> = (0..WRITERS)
            .map(|writer| {
                let (cache, begun, ended) = (&cache, &begun, &ended);
                scope.spawn(move || {
                    let (mut random, mut written) = (Random(writer + 1), 0);
                    while written < total / WRITERS {
                        let random = random.next();
                        let most = 1u64 << (random % (most_bits + 1));
                        let size = most - (random >> 32) % most.div_ceil(2);
                        let value = vec![writer as u8; size as usize].into_boxed_slice();
                        begun.fetch_add(size + heaviest, Ordering::SeqCst);
                        drop(cache.insert(random >> 40, value, Options::weighing(size + IN_LINE), 0));
                        ended.fetch_add(size + heaviest, Ordering::SeqCst);
                        assert!(cache.weight() <= capacity, "after a call");
                        written += size;
                    }
                })
            })
            .collect();
        let watcher = scope.spawn(|| {
            let mut seen = Seen::default();
            while !done.load(Ordering::SeqCst) {
                let ended = ended.load(Ordering::SeqCst);
                let (weight, retired) = (cache.weight(), cache.retired_weight());
                let under_way = begun.load(Ordering::SeqCst) - ended;
                assert!(weight <= capacity, "{weight} of {capacity}");
                let most = capacity / 100 + (1 << 20) + under_way;
                assert!(retired <= most, "{retired} bytes retired, {under_way} under way");
                seen.samples += 1;
                seen.resident = seen.resident.max(resident_bytes().unwrap_or(0).saturating_sub(before));
                seen.weight = seen.weight.max(weight);
                seen.retired = seen.retired.max(retired);
                std::thread::sleep(std::time::Duration::from_micros(500));
            }
            seen
        });
        for writer in writers {
            let ended = writer.join();
            if ended.is_err() {
                done.store(true, Ordering::SeqCst);
            }
            ended.expect("a writer's assertion");
        }
        done.store(true, Ordering::SeqCst);
        seen = watcher.join().expect("the watcher's assertion");
    });
    cache.check().expect("the books balance");
    cache.reclaim();
    assert_eq!(cache.retired_weight(), 0, "nobody reads");
    seen
}

/// Says to a process that it is the one to be measured.
const MEASURED: &str = "TERRACE_MEASURED_PROCESS";

/// In a process of its own, because other tests need memory too.
fn stays_within_its_memory(name: &str, capacity: u64, most_bits: u64) {
    if resident_bytes().is_none() {
        eprintln!("skipped: the system does not say what a process occupies");
    } else if std::env::var_os(MEASURED).is_some() {
        // Small values are many.
        let times = if most_bits < 16 { 3 } else { 8 } * if cfg!(debug_assertions) { 1 } else { 3 };
        let seen = write_values_of_every_size(capacity, most_bits, times * capacity);
        let most = capacity + capacity * 15 / 100 + (64 << 20);
        println!("{seen:?}, {most} allowed");
        assert!(seen.samples > 20 && seen.weight > capacity / 2 && seen.resident <= most);
    } else {
        let mut process = std::process::Command::new(std::env::current_exe().unwrap());
        process.args([&format!("resident::{name}"), "--exact", "--nocapture"]);
        process.env(MEASURED, "1").env("MALLOC_MMAP_THRESHOLD_", "131072").env("MALLOC_ARENA_MAX", "2");
        let output = process.output().unwrap();
        let told = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && told.contains("1 passed"), "{told}");
        print!("{told}");
    }
}

#[test]
fn values_of_up_to_a_mebibyte() {
    stays_within_its_memory("values_of_up_to_a_mebibyte", 128 << 20, 20);
}

/// Calls that are under way hold next to nothing here, so the limit of what is retired is held closely.
#[test]
fn values_of_up_to_four_kibibytes() {
    stays_within_its_memory("values_of_up_to_four_kibibytes", 64 << 20, 12);
}
