//! What a log says of itself while it is open.

use std::sync::atomic::Ordering;

use crate::config::Mode;
use crate::disk::Disk;
use crate::stats::{Health, Stats};

impl Disk {
    /// What it holds and what it did.
    #[must_use]
    pub fn stats(&self) -> Stats {
        let shared = &*self.shared;
        let writer = shared.writer.lock();
        let total = writer.tallies.total();
        let mut stats = Stats {
            entries: total.count,
            bytes: total.bytes,
            stored_bytes: total.stored,
            file_bytes: shared.file_bytes(&writer),
            retired_segments: writer.doomed.len() as u64,
            low: writer.low,
            ..Stats::default()
        };
        drop(writer);
        stats.segments = shared.segments.read().len() as u64;
        stats.index_slots = shared.index.len() as u64;
        stats.index_bytes = shared.index.heap_bytes() as u64;
        stats.not_admitted = shared.gate.refused();
        stats.damaged = shared.damaged.load(Ordering::Relaxed);
        shared.counters.fill(&mut stats);
        stats
    }

    /// How it is doing.
    #[must_use]
    pub fn health(&self) -> Health {
        let shared = &*self.shared;
        if let Err(error) = shared.check_writable() {
            return Health::Down(error.to_string());
        }
        match shared.damaged.load(Ordering::Relaxed) {
            0 if shared.writer.lock().low && matches!(shared.config.mode, Mode::Store { .. }) => {
                Health::Degraded(
                    "there is no room: puts are refused, deletes and compaction go on".to_owned(),
                )
            }
            0 => Health::Up,
            times => Health::Degraded(format!("damage was come across {times} times: verify it")),
        }
    }
}
