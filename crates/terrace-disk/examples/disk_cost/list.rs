//! The first page in the order of keys, of a log that was just opened: with the orders of its segments beside them, and
//! without.

use std::sync::Arc;
use std::time::{Duration, Instant};

use terrace_disk::io::{Io, OsIo};
use terrace_disk::{Compression, Disk, Range, Reads};

use super::{NOW, Rng, config, cpu, folder, random, write};

pub(crate) fn list(entries: u64) {
    for len in [100, 1024] {
        compare(len, entries * 100 / len as u64);
    }
}

fn compare(len: usize, entries: u64) {
    let path = folder("list");
    let open = || {
        let io: Arc<dyn Io> = Arc::new(OsIo::new(&path).unwrap());
        Disk::open(io, config(Compression::None, Reads::Positioned), NOW).unwrap().0
    };
    let mut rng = Rng(5);
    let values: Vec<Vec<u8>> = (0..1024).map(|_| random(len, &mut rng)).collect();
    let disk = open();
    write(&disk, entries, &values);
    disk.close().unwrap();
    drop(disk);
    let mut times = [const { Vec::<(Duration, Duration)>::new() }; 3];
    for _ in 0..5 {
        for kept in [false, true] {
            if !kept {
                orders(&path).for_each(|order| std::fs::remove_file(order).unwrap());
            }
            let disk = open();
            let page = || {
                let (began, before) = (Instant::now(), cpu());
                let range = Range { from: b"key:", ..Range::default() };
                assert_eq!(disk.list(&range, 100, NOW).unwrap().entries.len(), 100);
                (began.elapsed(), cpu() - before)
            };
            times[usize::from(kept)].push(page());
            times[2].push(page());
            disk.close().unwrap();
        }
    }
    let bytes: u64 = orders(&path).map(|order| order.metadata().unwrap().len()).sum();
    let names = ["first page, nothing kept", "first page, orders kept", "a page after that"];
    for (name, mut times) in names.into_iter().zip(times) {
        times.sort_unstable();
        let (wall, worked) = times[times.len() / 2];
        let ms = |time: Duration| time.as_secs_f64() * 1000.0;
        println!("{entries} entries of {len} B: {name} of 100: {:.2} ms, {:.2} ms cpu", ms(wall), ms(worked));
    }
    println!("{entries} entries of {len} B: {:.2} bytes an entry for orders", bytes as f64 / entries as f64);
    std::fs::remove_dir_all(&path).unwrap();
}

fn orders(path: &std::path::Path) -> impl Iterator<Item = std::path::PathBuf> {
    let files = std::fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path());
    files.filter(|file| file.extension().is_some_and(|ending| ending == "order"))
}
