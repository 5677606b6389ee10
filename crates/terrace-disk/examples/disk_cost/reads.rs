//! The ways of reading beside each other: one key at a time and 128 in one go, by positioned reads, from a mapping, by a
//! ring; with what is read in memory already, and with the operating system made to forget it.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::fs::Advice;
use terrace_disk::io::{Io, OsIo};
use terrace_disk::{Compression, Disk, Reads};

use super::{NOW, Rng, config, cpu, folder, key, random, write};

const BATCH: usize = 128;
const ROUNDS: usize = 9;

/// Makes the operating system forget what it has of the files.
fn forget(path: &Path) {
    for entry in std::fs::read_dir(path).unwrap() {
        let file = std::fs::File::open(entry.unwrap().path()).unwrap();
        let _ = file.sync_all();
        let _ = rustix::fs::fadvise(&file, 0, None, Advice::DontNeed);
    }
}

fn middle(mut times: Vec<Duration>) -> f64 {
    times.sort_unstable();
    times[times.len() / 2].as_nanos() as f64 / 1000.0
}

/// What one way of reading took for each key, by the clock and of the processor.
#[derive(Default)]
struct Taken {
    wall: Vec<Duration>,
    cpu: Vec<Duration>,
}

impl Taken {
    fn time(&mut self, keys: usize, work: impl FnOnce()) {
        let (before, began) = (cpu(), Instant::now());
        work();
        self.wall.push(began.elapsed() / keys as u32);
        self.cpu.push((cpu() - before) / keys as u32);
    }
}

fn one_by_one(disk: &Disk, keys: &[[u8; 16]]) {
    assert!(keys.iter().all(|key| disk.get(key, NOW).unwrap().is_some()));
}

fn together(disk: &Disk, keys: &[[u8; 16]]) {
    for batch in keys.chunks(BATCH) {
        let asked: Vec<&[u8]> = batch.iter().map(<[u8; 16]>::as_slice).collect();
        assert!(disk.get_many(&asked, NOW).unwrap().iter().all(Option::is_some));
    }
}

/// Reads entries of one length in every way, in turns.
fn compare(len: usize, entries: u64) {
    let path = folder("reads");
    let open = |reads| {
        let io: Arc<dyn Io> = Arc::new(OsIo::new(&path).unwrap());
        Disk::open(io, config(Compression::None, reads), NOW).map(|(disk, _)| disk)
    };
    let mut rng = Rng(5);
    let values: Vec<Vec<u8>> = (0..1024).map(|_| random(len, &mut rng)).collect();
    let disk = open(Reads::Positioned).unwrap();
    write(&disk, entries, &values);
    disk.close().unwrap();
    drop(disk);
    for cold in [false, true] {
        let ways = [("positioned", Reads::Positioned), ("mapped", Reads::Mapped), ("ring", Reads::Ring)];
        let mut taken: Vec<[Taken; 2]> = ways.iter().map(|_| Default::default()).collect();
        for _ in 0..ROUNDS {
            for ((_, reads), taken) in ways.iter().zip(&mut taken) {
                let number = if cold { 1024 } else { 16 * 1024 };
                for (at, taken) in taken.iter_mut().enumerate() {
                    // What is mapped is not forgotten, so each begins with nothing mapped.
                    let Ok(disk) = open(*reads) else { continue };
                    let keys: Vec<[u8; 16]> = (0..number).map(|_| key(rng.next() % entries)).collect();
                    if cold {
                        forget(&path);
                    } else {
                        together(&disk, &keys);
                    }
                    taken.time(number, || {
                        if at == 0 { one_by_one(&disk, &keys) } else { together(&disk, &keys) }
                    });
                }
            }
        }
        for ((name, _), [single, many]) in
            ways.iter().zip(taken).filter(|(_, [single, _])| !single.wall.is_empty())
        {
            println!(
                "{len} B, {}, {name}: one by one {:.2} us ({:.2} us cpu), {BATCH} together {:.2} us ({:.2} us cpu)",
                if cold { "forgotten" } else { "in memory" },
                middle(single.wall),
                middle(single.cpu),
                middle(many.wall),
                middle(many.cpu),
            );
        }
    }
    std::fs::remove_dir_all(&path).unwrap();
}

pub(crate) fn reads(bytes: u64) {
    for len in [100, 1024, 10_240] {
        compare(len, (bytes / (len as u64 + 21)).max(1024));
    }
}
