//! The disk runs full, at every size, and gets space back.

use std::sync::Arc;

use terrace_disk::io::sim::{Chance, SimDisk};

use super::budget;
use super::history::{Promise, View};
use super::judge::{Case, Drive};
use super::run::{Run, fresh};
use super::store::{Mode, Options, Outcome};
use super::workload::{Action, Mix};

const OPTIONS: Options = Options { mode: Mode::Always, cache: false, sealed: false };
/// Not more than so many puts until the disk must be full.
const PUTS: usize = 4000;

fn put_until_full(run: &mut Run) -> Result<usize, String> {
    for done in 0..PUTS {
        match run.put()? {
            Outcome::Done(_) => {}
            Outcome::Refused => return Ok(done),
            Outcome::Doubtful => return Err(format!("put {done} is in doubt; a full disk is no doubt")),
        }
    }
    Err("it never became full".into())
}

fn delete_all(run: &mut Run) -> Result<(), String> {
    let keys: Vec<_> = run.history.expected(run.now_ms).into_keys().collect();
    for (number, key) in keys.into_iter().enumerate() {
        let group = Mix::STORE.group_of(&key);
        let outcome = run.act(&Action::Delete { group, key })?;
        if !matches!(outcome, Outcome::Done(_)) {
            return Err(format!("delete {number} on a full disk: {outcome:?}"));
        }
    }
    Ok(())
}

fn judge(run: &Run, disk: &SimDisk, chance: &mut Chance) -> Result<(), String> {
    run.check_living().map_err(|error| format!("the living store: {error}"))?;
    let check =
        |view: &View| run.history.check(view, u64::MAX, run.now_ms, Promise::Acknowledged, run.kept());
    let case = Case { options: OPTIONS, now_ms: run.now_ms, drive: Drive::Sound, check: &check };
    for _ in 0..3 {
        let image = disk.crash(chance.bits());
        case.judge(&image, chance.bits(), 1)?;
    }
    // A disk that is still full when the store is opened again.
    let image = disk.kill();
    image.set_budget(Some(disk.used()));
    case.judge(&image, chance.bits(), 0).map(|_| ()).map_err(|error| format!("opened while full: {error}"))
}

fn fill_and_free(seed: u64, budget: u64) -> Result<usize, String> {
    let disk = fresh(seed);
    disk.set_budget(Some(budget));
    let mut chance = Chance::new(seed ^ budget);
    let mut run = Run::new(Arc::new(disk.clone()), OPTIONS, Mix::STORE, seed);
    if run.open().is_err() {
        // There was not even room to begin; then there must be with more.
        disk.set_budget(None);
        return run.open().map(|()| 0);
    }
    let puts = put_until_full(&mut run)?;
    judge(&run, &disk, &mut chance).map_err(|error| format!("full after {puts} puts: {error}"))?;
    delete_all(&mut run)?;
    judge(&run, &disk, &mut chance).map_err(|error| format!("after the deletes: {error}"))?;
    disk.set_budget(Some(budget + (16 << 20)));
    for _ in 0..4 {
        run.act(&Action::Compact)?;
    }
    for number in 0..30 {
        match run.put()? {
            Outcome::Done(_) => {}
            outcome => return Err(format!("put {number} with space again: {outcome:?}")),
        }
    }
    judge(&run, &disk, &mut chance).map_err(|error| format!("with space again: {error}"))?;
    Ok(puts)
}

#[test]
fn a_full_disk_refuses_puts_takes_deletes_and_goes_on_when_space_returns() {
    let sizes = budget::of("CRASH_FULL", 12);
    let (mut fullest, first) = (0, budget::seeds().next().unwrap_or(1));
    for size in 0..sizes {
        // Uneven steps, so that it becomes full in the midst of everything; the keys there are have room in more.
        let bytes = 16_384 + size * (11 << 18) / sizes;
        let puts = fill_and_free(first + size, bytes).unwrap_or_else(|error| {
            panic!("{bytes} bytes, seed {}: {error}", first + size);
        });
        fullest = fullest.max(puts);
    }
    assert!(fullest > 50, "no disk took more than {fullest} puts");
}
