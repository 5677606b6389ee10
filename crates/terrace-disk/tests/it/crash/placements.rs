//! The Nth operation of the disk fails, for every N: nothing acknowledged is lost, and nothing else happens than an
//! error that says so.

use std::sync::Arc;

use terrace_disk::io::sim::{Chance, EIO, ENOSPC, EROFS, Failure, Op};

use super::budget;
use super::history::{Promise, View};
use super::judge::{Case, Drive};
use super::run::{Run, all_options, fresh};
use super::store::Options;
use super::workload::Mix;

const ACTIONS: usize = 40;

/// One way to fail.
#[derive(Clone, Copy, Debug)]
struct Fault {
    ops: &'static [Op],
    failure: Failure,
    forever: bool,
}

const FAULTS: [Fault; 6] = [
    Fault { ops: Op::ALL, failure: Failure::Error(EIO), forever: false },
    Fault { ops: Op::CHANGES, failure: Failure::Error(ENOSPC), forever: false },
    Fault { ops: Op::CHANGES, failure: Failure::Error(EROFS), forever: true },
    Fault {
        ops: &[Op::Read, Op::Len, Op::Open, Op::List, Op::Map],
        failure: Failure::Error(EIO),
        forever: true,
    },
    Fault { ops: Op::SYNCS, failure: Failure::KeptDirty(EIO), forever: false },
    Fault { ops: Op::ALL, failure: Failure::Error(EIO), forever: true },
];

/// The failure that databases lost data to: the sync fails once, its pages are marked clean, and the next one
/// succeeds.
const MARKED_CLEAN: Fault = Fault { ops: Op::SYNCS, failure: Failure::Error(EIO), forever: false };

fn mix(options: Options) -> Mix {
    Mix { evict: options.cache, reopen: true, ..Mix::STORE }
}

/// Runs the workload with a failure in waiting, cuts the power and judges. False if it was never met.
fn place(seed: u64, options: Options, fault: Fault, after: u64) -> Result<bool, String> {
    let disk = fresh(seed ^ after);
    let mut chance = Chance::new(seed.wrapping_add(after));
    let mut run = Run::new(Arc::new(disk.clone()), options, mix(options), seed);
    disk.fail(fault.ops, after, fault.failure, fault.forever);
    let mut beyond = 0;
    for action in 0..ACTIONS {
        // A store that does not open says so, and opens when the disk is well again.
        if run.store.is_none() && run.open().is_err() {
            if disk.struck() == 0 {
                return Err("does not open though nothing failed".into());
            }
            disk.heal();
            run.open().map_err(|error| format!("does not open on a healthy disk: {error}"))?;
        }
        let certain = run.step().map_err(|error| format!("action {action}: {error}"));
        match certain {
            Ok(true) => {}
            Ok(false) | Err(_) if disk.struck() == 0 => {
                return certain.and(Err(format!("action {action} is in doubt though nothing failed")));
            }
            Ok(false) | Err(_) => {}
        }
        // Some actions more, to see what a store does that has met a failure.
        beyond += usize::from(disk.struck() > 0);
        if beyond > 6 {
            break;
        }
    }
    if disk.struck() == 0 {
        return Ok(false);
    }
    disk.heal();
    run.check_living().map_err(|error| format!("the living store: {error}"))?;
    let check = |promise| {
        let run = &run;
        move |view: &View| run.history.check(view, u64::MAX, run.now_ms, promise, run.kept())
    };
    let (after_cut, after_kill) = (check(run.promise()), check(Promise::Acknowledged));
    let case = Case { options, now_ms: run.now_ms, drive: Drive::Failing, check: &after_cut };
    for _ in 0..2 {
        let (cut, seed) = (chance.bits(), chance.bits());
        case.judge(&disk.crash(cut), seed, 0).map_err(|error| format!("cut {cut}: {error}"))?;
    }
    let killed = Case { check: &after_kill, ..case };
    killed.judge(&disk.kill(), seed, 0).map_err(|error| format!("only the process died: {error}"))?;
    Ok(true)
}

/// Every place of some faults in one workload after the other, until there were as many as wanted.
fn every_place(test: &str, faults: &[Fault], wanted: u64) {
    let mut placements = 0;
    for seed in budget::seeds() {
        for (options, fault) in
            all_options().flat_map(|options| faults.iter().map(move |fault| (options, *fault)))
        {
            for after in 0.. {
                let met = place(seed, options, fault, after).unwrap_or_else(|error| {
                    let again = budget::again(test, seed);
                    panic!("seed {seed}, {options:?}, {fault:?} after {after}: {error}\n{again}")
                });
                if !met {
                    break;
                }
                placements += 1;
                // Several workloads tell more than one to the end.
                if placements >= wanted && !budget::is_one_seed() {
                    println!("{placements} placements");
                    return;
                }
            }
        }
        if budget::is_one_seed() {
            return;
        }
    }
}

#[test]
fn the_nth_operation_fails_and_nothing_acknowledged_is_lost() {
    every_place("the_nth_operation_fails", &FAULTS, budget::of("CRASH_PLACEMENTS", 1000));
}

#[test]
fn a_sync_that_fails_once_and_marks_its_pages_clean_loses_nothing_acknowledged() {
    every_place("a_sync_that_fails_once", &[MARKED_CLEAN], budget::of("CRASH_PLACEMENTS", 1000) / 2);
}
