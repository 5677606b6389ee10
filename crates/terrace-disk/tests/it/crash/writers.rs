//! Several writers at once, whose acknowledgements share syncs, and power cuts meanwhile.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use terrace_disk::io::sim::{Chance, Op};

use super::budget;
use super::history::{History, Kept, Promise, View};
use super::judge::{Case, Drive};
use super::run::{fresh, writes};
use super::store::{Mode, Options, Outcome, Store};
use super::workload::{Action, BEGIN_MS, Mix, Workload};

const WRITERS: u64 = 4;
const ACTIONS: usize = 40;

fn mix(writer: u64) -> Mix {
    Mix { keys: 8, largest: 6000, own: Some(writer), ..Mix::STORE }
}

/// One writer's part; its history and where its clock ended.
fn write(store: &Store, seed: u64, writer: u64, clock: &Arc<AtomicU64>) -> Result<(History, u64), String> {
    let mut history = History::with_clock(clock);
    let mut workload = Workload::new(seed * WRITERS + writer, mix(writer));
    let mut now_ms = BEGIN_MS;
    for number in 0..ACTIONS {
        let action = workload.next();
        if let Action::Sweep { pass_ms } = &action {
            now_ms += pass_ms;
        }
        let writes = writes(&action, mix(writer));
        let step = (!writes.is_empty()).then(|| history.ask(writes));
        let outcome = store.act(&action, now_ms);
        match (step, outcome) {
            (Some(step), Outcome::Done(version)) => history.ack(step, version),
            (Some(step), Outcome::Refused) => history.refuse(step),
            (_, Outcome::Doubtful) => {
                return Err(format!("action {number} is in doubt though nothing failed"));
            }
            (None, _) => {}
        }
    }
    Ok((history, now_ms))
}

fn own(view: &View, writer: u64) -> View {
    let prefix = Mix::prefix(writer);
    view.iter()
        .filter(|(key, _)| key.starts_with(&prefix))
        .map(|(key, found)| (key.clone(), found.clone()))
        .collect()
}

fn life(seed: u64, mode: Mode, images: &mut u64) -> Result<(), String> {
    let options = Options { mode, cache: false, sealed: false };
    let (disk, clock) = (fresh(seed), Arc::default());
    disk.watch(Op::SYNCS, &clock);
    let store = Store::open(Arc::new(disk.clone()), options, BEGIN_MS)?;
    let parts: Vec<Result<(History, u64), String>> = std::thread::scope(|scope| {
        let writers = (0..WRITERS).map(|writer| {
            let (store, clock) = (&store, &clock);
            scope.spawn(move || write(store, seed, writer, clock))
        });
        let writers: Vec<_> = writers.collect();
        writers.into_iter().map(|writer| writer.join().map_err(|_| "a writer panicked")?).collect()
    });
    drop(store);
    let histories = parts.into_iter().collect::<Result<Vec<_>, String>>()?;
    let now_ms = histories.iter().map(|(_, now_ms)| *now_ms).max().unwrap_or(BEGIN_MS);
    let mut chance = Chance::new(seed);
    for moment in disk.take_moments() {
        let check = |view: &View| {
            (0..).zip(&histories).try_for_each(|(writer, (history, _))| {
                let own = own(view, writer);
                let verdict =
                    history.check(&own, moment.time, now_ms, Promise::Acknowledged, Kept::Everything);
                verdict.map_err(|error| format!("writer {writer}: {error}"))
            })
        };
        let case = Case { options, now_ms, drive: Drive::Sound, check: &check };
        for _ in 0..if moment.after { 1 } else { 4 } {
            let cut = chance.bits();
            *images += case.judge(&moment.crash(cut), chance.bits(), 0).map_err(|error| {
                format!("cut {cut} at {:?} of {:?} (done: {}): {error}", moment.op, moment.name, moment.after)
            })?;
        }
    }
    Ok(())
}

/// The threads run as they like, so a failure need not come back with its seed.
#[test]
fn writers_that_share_a_sync_lose_nothing_acknowledged() {
    let wanted = budget::of("CRASH_IMAGES", 1500) / 4;
    let mut images = 0;
    for seed in budget::seeds() {
        for mode in [Mode::Always, Mode::Group] {
            life(seed, mode, &mut images).unwrap_or_else(|error| panic!("seed {seed}, {mode:?}: {error}"));
        }
        if images >= wanted || budget::is_one_seed() {
            println!("{images} images");
            return;
        }
    }
}
