//! What the log needs done now and then: syncs, compaction, index snapshots, dictionaries.
//!
//! Decision: one task, which sleeps between looks at numbers that are in memory; an idle store costs a wake-up a second.
//! Each piece of work is done on a thread that may block, in steps, and compaction keeps to its rate.

use std::sync::{Arc, Weak};
use std::time::Duration;

use terrace_store::Durability;
use terrace_store::spawn::offload;

use super::shared::Shared;

/// How often it looks, unless the interval between syncs is shorter.
const EVERY: Duration = Duration::from_secs(1);

/// Looks after the log until the store is gone.
pub(super) fn keep(shared: &Arc<Shared>) -> impl Future<Output = ()> + Send + use<> {
    let clock = Arc::clone(&shared.clock);
    let every = match shared.durability {
        Durability::Interval(interval) => interval.min(EVERY),
        _ => EVERY,
    };
    let shared = Arc::downgrade(shared);
    async move {
        loop {
            clock.sleep(every).await;
            if round(&shared, every).await.is_none() {
                return;
            }
        }
    }
}

/// One look. `None` if the store is gone.
async fn round(shared: &Weak<Shared>, every: Duration) -> Option<()> {
    let shared = shared.upgrade()?;
    if shared.progress.failure().is_some() {
        return Some(());
    }
    let spawn = Arc::clone(shared.tasks.runtime());
    if shared.is_idle() {
        return Some(());
    }
    offload(&*spawn, "disk upkeep", move || shared.work(every)).await;
    Some(())
}

impl Shared {
    /// Whether there is nothing to do.
    fn is_idle(&self) -> bool {
        let sync = matches!(self.durability, Durability::Interval(_)) && self.disk.sync_due();
        !(sync || self.disk.compaction_due() || self.disk.checkpoint_due() || self.disk.wants_training())
    }

    /// Does what is due. Failures are remembered by the log, and told to whoever writes next.
    fn work(&self, every: Duration) {
        if matches!(self.durability, Durability::Interval(_)) && self.disk.sync_due() {
            let _ = self.progress.sync(self);
        }
        self.hold_floors();
        let now = self.clock.wall_ms();
        let budget = (self.compaction_bytes_per_second as f64 * every.as_secs_f64()) as u64;
        let mut read = 0;
        while read < budget.max(1) && self.disk.compaction_due() {
            match self.disk.compact_step(budget.min(1 << 20), now) {
                Ok(step) if step.more || step.read > 0 => read += step.read.max(1),
                _ => break,
            }
        }
        let _ = self.disk.evict_step(now);
        if self.disk.checkpoint_due() {
            let _ = self.disk.checkpoint();
        }
        if self.disk.wants_training() {
            let _ = self.disk.train();
        }
    }
}
