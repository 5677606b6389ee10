//! Power cuts at every sync, in every subset of what was not synced.

use std::sync::Arc;

use terrace_disk::io::sim::{Chance, Moment, Op};

use super::budget;
use super::history::View;
use super::judge::{Case, Drive};
use super::run::{Run, all_options, fresh};
use super::store::Options;
use super::workload::Mix;

/// Images at a moment before a sync; there is less to lose after it.
const BEFORE: u64 = 8;
const AFTER: u64 = 2;

fn images_of(run: &Run, moment: &Moment, chance: &mut Chance) -> Result<u64, String> {
    let check = |view: &View| run.history.check(view, moment.time, run.now_ms, run.promise(), run.kept());
    let case = Case { options: run.options, now_ms: run.now_ms, drive: Drive::Sound, check: &check };
    let mut images = 0;
    for _ in 0..if moment.after { AFTER } else { BEFORE } {
        let (cut, seed) = (chance.bits(), chance.bits());
        let depth = if chance.percent(6) { 2 } else { 0 };
        images += case.judge(&moment.crash(cut), seed, depth).map_err(|error| {
            format!("cut {cut} at {:?} of {:?} (done: {}): {error}", moment.op, moment.name, moment.after)
        })?;
    }
    Ok(images)
}

/// Every other life fills many segments, so that compaction and eviction have more to choose from.
fn mix(seed: u64, options: Options) -> Mix {
    // A cache refuses what is longer than half of a segment.
    let large = if options.cache { 30_000 } else { 60_000 };
    let largest = if seed.is_multiple_of(2) { large } else { Mix::STORE.largest };
    Mix { evict: options.cache, largest, ..Mix::STORE }
}

/// One life of a store of some hundred actions, with cuts all along.
fn life(seed: u64, options: Options, images: &mut u64) -> Result<(), String> {
    let mut chance = Chance::new(seed ^ 0x00c0_ffee);
    let disk = fresh(seed);
    let mut run = Run::new(Arc::new(disk.clone()), options, mix(seed, options), seed);
    // Where syncs are rare, cuts between them tell more.
    let ops: &[Op] = if options.mode.is_durable() { Op::SYNCS } else { Op::CHANGES };
    disk.watch(ops, run.history.clock());
    run.open()?;
    for action in 0..120 {
        if !run.step()? {
            return Err(format!("action {action} is in doubt though nothing failed"));
        }
        for moment in disk.take_moments() {
            let skip = !Op::SYNCS.contains(&moment.op) && !chance.percent(5);
            if !skip {
                *images += images_of(&run, &moment, &mut chance)
                    .map_err(|error| format!("action {action}: {error}"))?;
            }
        }
    }
    run.check_living()
}

#[test]
fn power_cuts_at_every_sync_lose_nothing_promised() {
    let wanted = budget::of("CRASH_IMAGES", 1500);
    let mut images = 0;
    for seed in budget::seeds() {
        for options in all_options() {
            if let Err(error) = life(seed, options, &mut images) {
                panic!(
                    "seed {seed}, {options:?}: {error}\n{}",
                    budget::again("power_cuts_at_every_sync", seed)
                );
            }
            if images >= wanted && !budget::is_one_seed() {
                println!("{images} images");
                return;
            }
        }
        if budget::is_one_seed() {
            return;
        }
    }
}
