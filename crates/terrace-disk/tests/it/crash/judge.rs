//! A disk after the worst moment is opened, and what it shows is judged.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use terrace_disk::io::sim::{Chance, Op, SimDisk};

use super::history::View;
use super::store::{Options, Store};

/// What a disk is judged by.
#[derive(Clone, Copy)]
pub(crate) struct Case<'a> {
    pub(crate) options: Options,
    pub(crate) now_ms: u64,
    /// The disk did what it said, so nothing may be called damaged.
    pub(crate) healthy: bool,
    /// Whether what it shows can be right.
    pub(crate) check: &'a dyn Fn(&View) -> Result<(), String>,
}

fn open(disk: &SimDisk, case: &Case<'_>) -> Result<Store, String> {
    Store::open(Arc::new(disk.clone()), case.options, case.now_ms)
        .map_err(|error| format!("does not open: {error}"))
}

impl Case<'_> {
    /// Recovers the disk and checks what it shows. `depth` is how many more times recovery itself is cut off.
    /// Returns how many images that were.
    pub(crate) fn judge(&self, disk: &SimDisk, seed: u64, depth: u32) -> Result<u64, String> {
        let mut chance = Chance::new(seed);
        let again = chance.percent(15);
        let clock = Arc::new(AtomicU64::new(0));
        if depth > 0 {
            disk.watch(Op::CHANGES, &clock);
        }
        let store = open(disk, self)?;
        let moments = disk.take_moments();
        if self.healthy && store.reports_damage() {
            return Err(format!("a healthy disk is called damaged: {}", store.report()));
        }
        let view = store
            .view(self.now_ms)
            .or_else(|error| if self.healthy { Err(error) } else { Ok(View::new()) })?;
        (self.check)(&view)?;
        if self.healthy && chance.percent(20) {
            store.counters_fit(&view, self.now_ms)?;
        }
        drop(store);
        let mut images = 1;
        if again {
            let second = open(&disk.kill(), self)?.view(self.now_ms)?;
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
