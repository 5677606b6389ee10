//! A drive that says it has written what it has not, or has written it elsewhere.
//!
//! Nothing can be promised of what such a drive has lost. But the store opens, shows no value that was not written
//! under its key, and goes on.

use std::sync::Arc;

use terrace_disk::io::sim::{Chance, Failure, Op};

use super::budget;
use super::history::View;
use super::judge::{Case, Drive};
use super::run::{Run, all_options, fresh};
use super::store::Options;
use super::workload::Mix;

const ACTIONS: usize = 60;

/// One life with a lie in it. False if the store never came to it.
fn life(seed: u64, options: Options, lie: Failure, after: u64) -> Result<bool, String> {
    let disk = fresh(seed ^ after);
    let mut chance = Chance::new(seed ^ after);
    let mut run = Run::new(Arc::new(disk.clone()), options, Mix { evict: options.cache, ..Mix::STORE }, seed);
    disk.fail(&[Op::Sync], after, lie, false);
    run.open()?;
    for _ in 0..ACTIONS {
        // Once the drive has lied, the living store may come across damage.
        if let Err(error) = run.step()
            && disk.struck() == 0
        {
            return Err(error);
        }
    }
    if disk.struck() == 0 {
        return Ok(false);
    }
    let check = |view: &View| {
        let foreign = view.iter().find(|(key, found)| !run.history.ever(key, &found.bytes));
        foreign.map_or(Ok(()), |(key, _)| Err(format!("wrong value under {}", String::from_utf8_lossy(key))))
    };
    let case = Case { options, now_ms: run.now_ms, drive: Drive::Lying, check: &check };
    for _ in 0..4 {
        let cut = chance.bits();
        case.judge(&disk.crash(cut), chance.bits(), 0).map_err(|error| format!("cut {cut}: {error}"))?;
    }
    Ok(true)
}

#[test]
fn a_drive_that_lies_makes_no_value_wrong() {
    let wanted = budget::of("CRASH_PLACEMENTS", 1000) / 4;
    let mut lies = 0;
    for seed in budget::seeds() {
        for (options, lie) in all_options()
            .flat_map(|options| [Failure::Misdirected, Failure::Ignored].map(|lie| (options, lie)))
        {
            for after in 0.. {
                let met = life(seed, options, lie, after).unwrap_or_else(|error| {
                    let again = budget::again("a_drive_that_lies", seed);
                    panic!("seed {seed}, {options:?}, {lie:?} after {after}: {error}\n{again}")
                });
                if !met {
                    break;
                }
                lies += 1;
            }
            if lies >= wanted && !budget::is_one_seed() {
                println!("{lies} lies");
                return;
            }
        }
        if budget::is_one_seed() {
            return;
        }
    }
}
