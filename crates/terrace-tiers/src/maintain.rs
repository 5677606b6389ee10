//! What happens by itself: expired entries leave memory and the stores.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};

use crate::tiers::Tiers;

/// How many entries a round removes from a tier before it lets others run.
const LIMIT: usize = 1024;

impl Tiers {
    /// Starts the maintenance task. It holds the tiers weakly, and ends with them.
    pub(crate) fn start_maintenance(self: &Arc<Self>) {
        let tiers = Arc::downgrade(self);
        let (clock, every) = (Arc::clone(self.clock()), self.base.options.maintenance);
        self.tasks.spawn("maintenance", async move {
            loop {
                clock.sleep(every).await;
                let Some(tiers) = Weak::upgrade(&tiers) else { return };
                if tiers.tasks.is_closing() {
                    return;
                }
                tiers.maintain().await;
            }
        });
    }

    /// One round of maintenance: removes what is expired. Runs by itself; tests with a frozen clock call it.
    pub async fn maintain(&self) {
        if let Some(hot) = &self.hot {
            let idled = hot.advance(LIMIT);
            self.delete_idle(idled).await;
        }
        for (index, lower) in self.lower.iter().enumerate() {
            lower.heal().await;
            // Bounded, so that a flood of expiries cannot keep the round from ending.
            for _ in 0..64 {
                let swept = lower.store.sweep(LIMIT).await;
                if let (Ok(swept), true) = (&swept, self.authority == Some(index)) {
                    self.expired.fetch_add(swept.expired, Ordering::Relaxed);
                }
                match swept {
                    Ok(swept) if swept.more => {}
                    Ok(_) => break,
                    Err(_) => {
                        lower.counters.error();
                        break;
                    }
                }
            }
        }
    }
}
