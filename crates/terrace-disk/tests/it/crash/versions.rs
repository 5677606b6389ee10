//! No version is given twice, however large the ones were that came with writes.

use std::collections::BTreeSet;
use std::sync::Arc;

use terrace_disk::io::sim::{Chance, SimDisk};
use terrace_disk::{
    Condition, Config, Delete, Deleted, Disk, Durability, Error, Outcome, Put, Write, Written,
};

use super::budget;
use super::run::fresh;

const NOW: u64 = 1_700_000_000_000;

fn config(seed: u64) -> Config {
    let durability =
        [Durability::Always, Durability::Interval(std::time::Duration::from_secs(1)), Durability::Never]
            [(seed % 3) as usize];
    Config { durability, segment_bytes: Some(64 << 10), open_threads: 1, ..Config::store() }
}

fn put(chance: &mut Chance, given: Option<u64>) -> Put<'static> {
    let condition = given.map_or(Condition::Any, Condition::Newer);
    Put { value: &[7; 300][..1 + chance.index(299)], condition, ..Put::default() }
}

/// A version that comes with a write: mostly far above every other, as those of a clock are.
fn large(chance: &mut Chance) -> u64 {
    1 << (20 + chance.below(43))
}

/// Does something and returns the versions that the log chose.
fn act(disk: &Disk, chance: &mut Chance) -> Result<Vec<u64>, Error> {
    let key = [chance.below(30) as u8];
    let delete = Delete { floor_deadline_ms: NOW + 9000, ..Delete::default() };
    let of_put = |written| match written {
        Written::Stored { version, .. } => Some(version),
        _ => None,
    };
    Ok(match chance.below(20) {
        0..4 => {
            let version = large(chance);
            disk.put(&key, &put(chance, Some(version)), NOW)?;
            Vec::new()
        }
        4..11 => of_put(disk.put(&key, &put(chance, None), NOW)?).into_iter().collect(),
        11..14 => match disk.delete(&key, &delete, NOW)? {
            Deleted::Done { version, .. } => vec![version],
            Deleted::Conflict { .. } => Vec::new(),
        },
        14..17 => {
            // One that is given a version, and others behind it that are not.
            let writes: Vec<Write<'_>> = (0..1 + chance.below(4))
                .map(|n| {
                    let given = (n == 0 && chance.percent(50)).then(|| large(chance));
                    Write::Put(b"batch", put(chance, given))
                })
                .collect();
            let outcomes = disk.apply(&writes, &[], NOW)?.unwrap_or_default();
            let chosen = writes.iter().zip(outcomes).filter_map(|(write, outcome)| match (write, outcome) {
                (Write::Put(_, Put { condition: Condition::Any, .. }), Outcome::Put(written)) => {
                    of_put(written)
                }
                _ => None,
            });
            chosen.collect()
        }
        17 => vec![disk.reserve(NOW)?],
        18 => {
            disk.checkpoint()?;
            Vec::new()
        }
        _ => {
            disk.sync()?;
            Vec::new()
        }
    })
}

/// Some lives of a log, each ended by a power cut that keeps what it likes of what was not synced.
fn lives(seed: u64) -> Result<usize, String> {
    let mut chance = Chance::new(seed ^ 0x7e51);
    let (mut disk, mut told): (SimDisk, BTreeSet<u64>) = (fresh(seed), BTreeSet::new());
    for life in 0..6 {
        let open = Disk::open(Arc::new(disk.clone()), config(seed), NOW);
        let (log, _) = open.map_err(|error| format!("life {life}: {error}"))?;
        for _ in 0..chance.below(40) {
            for version in act(&log, &mut chance).map_err(|error| format!("life {life}: {error}"))? {
                if !told.insert(version) {
                    return Err(format!("life {life}: {version} is given again"));
                }
            }
        }
        disk = disk.crash(chance.bits());
    }
    Ok(told.len())
}

#[test]
fn no_version_is_given_twice_whatever_was_lost() {
    let wanted = budget::of("CRASH_IMAGES", 1500) / 6;
    let mut told = 0;
    for (done, seed) in budget::seeds().enumerate() {
        if done as u64 >= wanted && !budget::is_one_seed() {
            break;
        }
        told += lives(seed)
            .unwrap_or_else(|error| panic!("{error}\n{}", budget::again("no_version_is_given_twice", seed)));
        if budget::is_one_seed() {
            break;
        }
    }
    assert!(told > 100, "only {told} versions were given");
}
