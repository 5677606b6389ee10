//! Comparing both stores, and making equal what differs.

use std::time::Duration;

use terrace_store::{
    Condition, DeleteOptions, Deleted, Entry, ErrorKind, Key, Namespace, PutOptions, Result, Store,
};

use super::keys::Both;
use super::page::read;
use super::{Phase, Run, count, highest, namespaces};

/// As many entries are compared together.
const TOGETHER: usize = 64;

/// As many bytes of values, as far as those before tell; both stores are read.
const PORTION: u64 = 2 << 20;

/// How often an entry is looked at again: whoever writes to both at once is between the two for a moment.
const LOOKS: u32 = 6;

/// What became of an entry that differed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mended {
    /// It was written, or removed, between the two reads: nothing had to be done.
    Equal,
    Written,
    Removed,
    Different,
    Unreadable,
}

/// Whether two entries are the same to every reader.
pub(super) fn same(a: &Entry, b: &Entry) -> bool {
    let plain = |entry: &Entry| Entry {
        // A store may keep no weight as one, and nothing said as nothing.
        weight: entry.weight.map(|weight| weight.max(1)),
        metadata: entry.metadata.clone().filter(|metadata| !metadata.is_empty()),
        ..entry.clone()
    };
    plain(a) == plain(b)
}

fn equal(a: Option<&Entry>, b: Option<&Entry>) -> bool {
    match (a, b) {
        (Some(a), Some(b)) => same(a, b),
        (a, b) => a.is_none() && b.is_none(),
    }
}

impl Run<'_> {
    /// Compares everything once. Returns whether nothing had to be done.
    pub(super) async fn compare_all(&mut self) -> Result<bool> {
        let phase = Phase::Compare(self.state.pass);
        let mut all = namespaces(self.from).await?;
        if !self.state.merge {
            all.extend(namespaces(self.to).await?);
            all.sort();
            all.dedup();
        }
        self.total = count(self.from, &all).await?;
        self.done = self.state.done;
        self.begin_pass();
        self.tell(phase);
        for namespace in all {
            self.compare_namespace(&namespace, phase).await?;
        }
        self.report.passes = self.state.pass;
        let equal = self.report.changed == 0;
        self.next_pass().await?;
        // What could not be made equal will not be by another pass.
        Ok(equal)
    }

    fn begin_pass(&mut self) {
        // A pass that was interrupted goes on with its counts.
        if self.state.is_at_the_beginning() {
            let report = &mut self.report;
            (report.changed, report.different, report.unreadable, report.compared) = (0, 0, 0, 0);
            report.keys.clear();
        }
    }

    async fn compare_namespace(&mut self, namespace: &Namespace, phase: Phase) -> Result<()> {
        let Some(after) = self.state.place(namespace) else { return Ok(()) };
        let target = (!self.state.merge).then_some(self.to);
        let mut both = Both::new(self.from, target, namespace, after.as_ref());
        let mut together = TOGETHER / 4;
        loop {
            let keys = both.next(together).await?;
            let Some(last) = keys.last().cloned() else { return Ok(()) };
            let bytes = self.compare_keys(&keys).await?;
            let each = (bytes / keys.len() as u64).max(1);
            together = usize::try_from(PORTION / each).unwrap_or(TOGETHER).clamp(1, TOGETHER);
            self.pace.spend(keys.len() as u64, bytes);
            self.pace.keep(&*self.world.clock).await;
            self.done += keys.len() as u64;
            self.tell(phase);
            self.at(namespace, Some(last)).await?;
        }
    }

    /// Compares these, and returns how many bytes of values the source gave.
    async fn compare_keys(&mut self, keys: &[Key]) -> Result<u64> {
        let (ours, theirs) = (read(self.from, keys).await?, read(self.to, keys).await?);
        let mut bytes = 0;
        for ((key, ours), theirs) in keys.iter().zip(ours).zip(theirs) {
            if let (Ok(ours), Ok(theirs)) = (&ours, &theirs)
                && equal(ours.as_ref(), theirs.as_ref())
            {
                bytes += ours.as_ref().map_or(0, |entry| entry.value.len() as u64);
                self.report.compared += 1;
                continue;
            }
            let mended = self.mend(key).await?;
            self.count_mended(key, mended);
        }
        Ok(bytes)
    }

    fn count_mended(&mut self, key: &Key, mended: Mended) {
        let (report, most) = (&mut self.report, self.config.most_told);
        match mended {
            Mended::Equal => report.compared += 1,
            Mended::Written => (report.repaired, report.changed) = (report.repaired + 1, report.changed + 1),
            Mended::Removed => (report.removed, report.changed) = (report.removed + 1, report.changed + 1),
            Mended::Different => {
                report.different += 1;
                report.tell(key, most);
            }
            Mended::Unreadable => {
                report.unreadable += 1;
                report.tell(key, most);
            }
        }
    }

    /// Makes the target's entry what the source's is, and looks again until both are seen to be equal.
    async fn mend(&self, key: &Key) -> Result<Mended> {
        let mut mended = Mended::Equal;
        for look in 0..LOOKS {
            if look > 1 {
                self.world.clock.sleep(Duration::from_millis(1 << look)).await;
            }
            // Before the source is read: what is written after it has a higher version, and wins.
            let floor = highest(self.from).await?;
            let Some(ours) = found(self.from, key).await? else { return Ok(Mended::Unreadable) };
            // An entry of the target that cannot be read is written over.
            let theirs = found(self.to, key).await?;
            match (ours, theirs) {
                (ours, Some(theirs)) if equal(ours.as_ref(), theirs.as_ref()) => return Ok(mended),
                (Some(ours), _) => {
                    let condition = Condition::Newer(ours.version);
                    let options = PutOptions { condition, ..PutOptions::default() };
                    if self.to.put(key, ours, options).await?.version().is_some() {
                        mended = Mended::Written;
                    }
                }
                // The source has it no longer, so what a merge found there before it stays.
                (None, _) if self.state.merge => return Ok(mended),
                (None, theirs) => {
                    let version = theirs.flatten().map(|theirs| theirs.version);
                    let condition = match (floor, version) {
                        (Some(floor), _) => Condition::Newer(floor),
                        (None, Some(version)) => Condition::Match(version),
                        (None, None) => Condition::Any,
                    };
                    let options = DeleteOptions { condition, deferred: false };
                    if let Deleted::Done { .. } = self.to.delete(key, options).await? {
                        mended = Mended::Removed;
                    }
                }
            }
        }
        Ok(Mended::Different)
    }
}

/// What the store has of the key; `None` if it cannot be read.
async fn found(store: &dyn Store, key: &Key) -> Result<Option<Option<Entry>>> {
    match store.get(key).await {
        Ok(found) => Ok(Some(found)),
        Err(error) if error.kind() == ErrorKind::Corrupt => Ok(None),
        Err(error) => Err(error),
    }
}
