//! A disk after the worst moment is opened, and what it shows is judged.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use terrace_disk::io::sim::{Chance, Op, SimDisk};

use super::history::View;
use super::store::{Options, Store};

/// What is known of a disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Drive {
    /// It did what it said, so nothing may be called damaged.
    Sound,
    /// It said what it could not do.
    Failing,
    /// It said that it did what it did not.
    Lying,
}

/// What a disk is judged by.
#[derive(Clone, Copy)]
pub(crate) struct Case<'a> {
    pub(crate) options: Options,
    pub(crate) now_ms: u64,
    pub(crate) drive: Drive,
    /// Whether what it shows can be right.
    pub(crate) check: &'a dyn Fn(&View) -> Result<(), String>,
}

fn open(disk: &SimDisk, case: &Case<'_>) -> Result<Store, String> {
    Store::open(Arc::new(disk.clone()), case.options, case.now_ms)
        .map_err(|error| format!("does not open: {error}"))
}

impl Case<'_> {
    fn view(&self, store: &Store) -> Result<View, String> {
        if self.drive == Drive::Sound { store.view(self.now_ms) } else { store.readable(self.now_ms) }
    }

    /// Recovers the disk and checks what it shows. `depth` is how many more times recovery itself is cut off.
    /// Returns how many images that were.
    pub(crate) fn judge(&self, disk: &SimDisk, seed: u64, depth: u32) -> Result<u64, String> {
        let mut chance = Chance::new(seed);
        let again = chance.percent(15);
        let clock = Arc::new(AtomicU64::new(0));
        if depth > 0 {
            disk.watch(Op::CHANGES, &clock);
        }
        let store = match open(disk, self) {
            // What the store is known by may be lost as well, and then it says so.
            Err(error) if self.drive == Drive::Lying && error.contains("not a log of ours") => return Ok(1),
            opened => opened?,
        };
        let moments = disk.take_moments();
        if self.drive == Drive::Sound && store.reports_damage() {
            return Err(format!("a healthy disk is called damaged: {}", store.report()));
        }
        let view = store
            .view(self.now_ms)
            .or_else(|error| if self.drive == Drive::Sound { Err(error) } else { Ok(View::new()) })?;
        (self.check)(&view)?;
        if self.drive == Drive::Sound && chance.percent(20) {
            store.counters_fit(&view, self.now_ms)?;
        }
        drop(store);
        let mut images = 1;
        if again {
            let second = self.view(&open(&disk.kill(), self)?)?;
            if second != view {
                return Err("opened twice it shows two different things".into());
            }
            images += 1;
        }
        if depth > 0 && !moments.is_empty() {
            for _ in 0..3 {
                let moment = &moments[chance.index(moments.len())];
                let (op, name, after) = (moment.op, &moment.name, moment.after);
                let image = moment.crash(chance.bits());
                images += self.judge(&image, chance.bits(), depth - 1).map_err(|error| {
                    format!("after a cut in recovery at {op:?} of {name:?} (done: {after}): {error}")
                })?;
            }
        }
        Ok(images)
    }
}
