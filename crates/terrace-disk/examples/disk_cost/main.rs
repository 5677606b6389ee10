//! What the log costs: processor time of bulk writes, latency of reads and misses, memory of the index, bytes on the
//! disk, time to open again, time at rest.
//!
//! `cargo run --release -p terrace-disk --example disk_cost [ENTRIES]`, or for opening only
//! `cargo run --release -p terrace-disk --example disk_cost reopen [ENTRIES]` (or `overwrite`, or `list`), or for the ways of reading
//! `cargo run --release -p terrace-disk --features io_uring --example disk_cost reads [MIB]`

mod list;
mod reads;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use terrace_disk::io::{Io, OsIo};
use terrace_disk::{Compression, Config, Disk, Durability, Put, Reads, Unchanged, Write};

const NOW: u64 = 1_700_000_000_000;

/// Processor time of the whole process.
fn cpu() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

struct Rng(u64);

impl Rng {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }
}

fn random(len: usize, rng: &mut Rng) -> Vec<u8> {
    (0..len).map(|_| rng.next() as u8).collect()
}

fn text(len: usize, rng: &mut Rng) -> Vec<u8> {
    let words = ["order", "customer", "status", "pending", "price", "amount", "street", "city", "note", "id"];
    let mut out = Vec::with_capacity(len + 32);
    while out.len() < len {
        let word = words[(rng.next() % 10) as usize];
        out.extend_from_slice(format!("\"{word}\":\"{}\",", rng.next() % 100_000).as_bytes());
    }
    out.truncate(len);
    out
}

fn config(compression: Compression, reads: Reads) -> Config {
    Config { durability: Durability::Never, compression, reads, ..Config::store() }
}

fn key(n: u64) -> [u8; 16] {
    let mut key = *b"key:000000000000";
    key[8..].copy_from_slice(&n.to_be_bytes());
    key
}

fn median(mut times: Vec<u64>) -> (f64, f64) {
    times.sort_unstable();
    let at = |part: usize| times[times.len() * part / 100] as f64 / 1000.0;
    (at(50), at(99))
}

fn write(disk: &Disk, entries: u64, values: &[Vec<u8>]) -> (f64, f64) {
    let (began, wall) = (cpu(), Instant::now());
    for n in 0..entries {
        let value = &values[n as usize % values.len()];
        let put = Put { value, deferred: true, ..Put::default() };
        disk.put(&key(n), &put, NOW).unwrap();
        if n % 128 == 127 {
            disk.commit().unwrap();
        }
        // As whoever looks after the log does, but here it counts as time for writing.
        if n % 1024 == 1023 && disk.wants_training() {
            println!("after {} writes: {:?}", n + 1, disk.train().unwrap());
        }
    }
    disk.commit().unwrap();
    let per = |time: Duration| time.as_nanos() as f64 / 1000.0 / entries as f64;
    (per(cpu() - began), per(wall.elapsed()))
}

fn write_batches(disk: &Disk, entries: u64, values: &[Vec<u8>]) -> f64 {
    let began = cpu();
    for from in (0..entries).step_by(128) {
        let keys: Vec<[u8; 16]> = (from..from + 128).map(key).collect();
        let writes: Vec<Write<'_>> = keys
            .iter()
            .enumerate()
            .map(|(n, key)| {
                let value = &values[n % values.len()];
                Write::Put(key, Put { value, ..Put::default() })
            })
            .collect();
        disk.apply(&writes, &[] as &[Unchanged<'_>], NOW).unwrap();
    }
    (cpu() - began).as_nanos() as f64 / 1000.0 / entries as f64
}

fn read(disk: &Disk, entries: u64, missing: bool) -> (f64, f64) {
    let (mut rng, mut out, mut times) = (Rng(9), Vec::with_capacity(1 << 16), Vec::new());
    for round in 0..300_000_u64 {
        let n = rng.next() % entries + if missing { entries * 2 } else { 0 };
        out.clear();
        let began = Instant::now();
        let found = disk.get_into(&key(n), NOW, &mut out).unwrap();
        if round > 50_000 {
            times.push(began.elapsed().as_nanos() as u64);
        }
        assert_eq!(found.is_some(), !missing);
    }
    median(times)
}

fn folder(name: &str) -> PathBuf {
    let path = std::env::temp_dir().join(format!("terrace-disk-cost-{}-{name}", std::process::id()));
    let _ = std::fs::remove_dir_all(&path);
    path
}

fn bytes_in(path: &PathBuf) -> u64 {
    let files = std::fs::read_dir(path).unwrap().map(|entry| entry.unwrap());
    let segments = files.filter(|file| file.file_name().to_string_lossy().ends_with("seg"));
    segments.filter(|file| file.file_name() != "spare.seg").map(|file| file.metadata().unwrap().len()).sum()
}

fn case(
    name: &str,
    len: usize,
    make: fn(usize, &mut Rng) -> Vec<u8>,
    compression: Compression,
    entries: u64,
) {
    let mut rng = Rng(0x1234_5678_9abc_def1);
    let values: Vec<Vec<u8>> = (0..4096).map(|_| make(len, &mut rng)).collect();
    let path = folder(name);
    let open = |reads| {
        let io: Arc<dyn Io> = Arc::new(OsIo::new(&path).unwrap());
        let began = Instant::now();
        let (disk, report) = Disk::open(io, config(compression, reads), NOW).unwrap();
        (disk, report, began.elapsed())
    };
    let (disk, ..) = open(Reads::Positioned);
    let (cpu, wall) = write(&disk, entries, &values);
    disk.close().unwrap();
    let (p50, p99);
    let (disk, report, opened) = open(Reads::Positioned);
    assert!(report.from_snapshot && report.replayed == 0);
    (p50, p99) = read(&disk, entries, false);
    let (miss, _) = read(&disk, entries, true);
    let stats = disk.stats();
    assert_eq!(stats.entries, entries);
    let logical = entries as f64 * (len + 16) as f64;
    println!(
        "{name}: write {cpu:.2} us cpu ({wall:.2} us); read p50 {p50:.2} us, p99 {p99:.2} us; miss {miss:.2} us; \
         {:.1} B an entry; disk/logical {:.3}; opened in {:.1} ms",
        stats.index_bytes as f64 / stats.index_slots as f64,
        (bytes_in(&path) as f64) / logical,
        opened.as_secs_f64() * 1000.0
    );
    drop(disk);
    let (disk, ..) = open(Reads::Mapped);
    let (p50, p99) = read(&disk, entries, false);
    println!("{name}: mapped read p50 {p50:.2} us, p99 {p99:.2} us");
    drop(disk);
    let _ = std::fs::remove_file(path.join("index-00000001.snap"));
    let (disk, report, opened) = open(Reads::Positioned);
    println!(
        "{name}: opened without a snapshot in {:.0} ms, {} records",
        opened.as_secs_f64() * 1000.0,
        report.replayed
    );
    drop(disk);
    std::fs::remove_dir_all(&path).unwrap();
}

/// Opens a log of many small entries some times, and looks for each of them.
fn reopen(entries: u64) {
    let path = folder("reopen");
    let open = || {
        let io: Arc<dyn Io> = Arc::new(OsIo::new(&path).unwrap());
        let (began, before) = (Instant::now(), cpu());
        let (disk, report) = Disk::open(io, config(Compression::None, Reads::Positioned), NOW).unwrap();
        (disk, report, began.elapsed(), cpu() - before)
    };
    let (disk, ..) = open();
    let mut rng = Rng(7);
    let values: Vec<Vec<u8>> = (0..4096).map(|_| random(16, &mut rng)).collect();
    write(&disk, entries, &values);
    disk.close().unwrap();
    let mut times = Vec::new();
    for round in 0..7 {
        let (disk, report, opened, worked) = open();
        assert!(report.from_snapshot && report.replayed == 0);
        times.push((opened, worked));
        if round == 0 {
            assert_eq!(disk.stats().entries, entries);
            assert!((0..entries).all(|n| disk.peek(&key(n), NOW).unwrap().is_some()), "all are found");
        }
        disk.close().unwrap();
    }
    times.sort_unstable();
    let ms = |time: Duration| time.as_secs_f64() * 1000.0;
    println!(
        "{entries} entries: opened in {:.1} ms at best, {:.1} ms in the middle, {:.1} ms at worst; {:.1} ms of \
         processor; all found",
        ms(times[0].0),
        ms(times[3].0),
        ms(times[6].0),
        ms(times[0].1)
    );
    std::fs::remove_dir_all(&path).unwrap();
}

fn main() {
    let number = std::env::args().nth(2).and_then(|n| n.parse().ok());
    match std::env::args().nth(1).as_deref() {
        Some("reopen") => return reopen(number.unwrap_or(1_000_000)),
        Some("overwrite") => return overwrite(number.unwrap_or(250_000)),
        Some("list") => return list::list(number.unwrap_or(1_000_000)),
        Some("reads") => return reads::reads(number.unwrap_or(256) << 20),
        _ => {}
    }
    let entries = std::env::args().nth(1).and_then(|n| n.parse().ok()).unwrap_or(250_000);
    case("1 KiB, incompressible, none", 1024, random, Compression::None, entries);
    case("1 KiB, text, none", 1024, text, Compression::None, entries);
    case("1 KiB, text, lz4", 1024, text, Compression::Lz4, entries / 4);
    case("1 KiB, text, zstd", 1024, text, Compression::Zstd, entries / 4);
    case("1 KiB, text, adaptive", 1024, text, Compression::Adaptive, entries / 4);
    case("1 KiB, incompressible, adaptive", 1024, random, Compression::Adaptive, entries / 4);
    case("100 B, incompressible, none", 100, random, Compression::None, entries);
    case("100 B, text, lz4", 100, text, Compression::Lz4, entries);
    case("100 B, text, zstd", 100, text, Compression::Zstd, entries);
    case("10 KiB, text, lz4", 10_240, text, Compression::Lz4, entries / 40);
    case("10 KiB, text, zstd", 10_240, text, Compression::Zstd, entries / 40);
    case("16 B, four times as many", 16, random, Compression::None, entries * 4);
    case("10 KiB, incompressible, none", 10_240, random, Compression::None, entries / 10);
    overwrite(entries);
}

/// Batches, the same again over what is there, and nothing at all.
fn overwrite(entries: u64) {
    let path = folder("batches");
    let io: Arc<dyn Io> = Arc::new(OsIo::new(&path).unwrap());
    let (disk, _) = Disk::open(io, config(Compression::None, Reads::Positioned), NOW).unwrap();
    let mut rng = Rng(3);
    let values: Vec<Vec<u8>> = (0..4096).map(|_| random(1024, &mut rng)).collect();
    println!(
        "batches of 128: {:.2} us cpu a 1 KiB value",
        write_batches(&disk, entries / 128 * 128, &values)
    );
    let again: Vec<String> =
        (0..3).map(|_| format!("{:.2}", write_batches(&disk, entries / 128 * 128, &values))).collect();
    println!("overwriting: {} us cpu a 1 KiB value", again.join(", "));
    let began = cpu();
    std::thread::sleep(Duration::from_secs(2));
    println!("at rest: {:.3} % of a processor", (cpu() - began).as_secs_f64() / 2.0 * 100.0);
    drop(disk);
    std::fs::remove_dir_all(&path).unwrap();
}
