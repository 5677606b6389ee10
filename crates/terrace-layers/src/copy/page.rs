//! Keys of a namespace, a page at a time, and entries for them, in portions that fit in memory.

use terrace_store::capability::{Cursor, List, Write};
use terrace_store::{Condition, Entry, ErrorKind, Key, Namespace, PutOptions, Result, Store, StoreExt};

use super::{Run, listing};

/// As many entries are read together at most.
const MOST: usize = 128;

/// As many bytes of values are read together, as far as those before tell.
const PORTION: u64 = 4 << 20;

/// The keys of a namespace in order.
pub(super) struct Pages<'a> {
    store: &'a dyn Store,
    list: List,
    after: Option<Key>,
    cursor: Option<Cursor>,
    ended: bool,
    portion: usize,
}

impl<'a> Pages<'a> {
    /// Those after this key.
    pub(super) fn new(store: &'a dyn Store, namespace: Namespace, after: Option<Key>) -> Self {
        let from = after.as_ref().map(|key| bytes::Bytes::copy_from_slice(key.bytes()));
        let list = List { keys_only: true, from, limit: MOST, ..List::all(namespace) };
        Self { store, list, after, cursor: None, ended: false, portion: MOST / 4 }
    }

    /// The next keys, at least one; `None` at the end.
    pub(super) async fn next(&mut self) -> Result<Option<Vec<Key>>> {
        while !self.ended {
            let page = listing(self.store)?.list(&self.list, self.cursor.as_ref()).await?;
            self.ended = page.next.is_none();
            self.cursor = page.next;
            let mut keys: Vec<Key> = page.entries.into_iter().map(|(key, _)| key).collect();
            keys.retain(|key| self.after.as_ref() != Some(key));
            if !keys.is_empty() {
                return Ok(Some(keys));
            }
        }
        Ok(None)
    }

    /// How many entries to read together.
    pub(super) fn portion(&self) -> usize {
        self.portion
    }

    /// So many entries had so many bytes: the next portion is as large as it should be.
    pub(super) fn learn(&mut self, entries: usize, bytes: u64) {
        let each = (bytes / entries.max(1) as u64).max(1);
        self.portion = usize::try_from(PORTION / each).unwrap_or(MOST).clamp(1, MOST);
    }
}

/// Reads these entries; one that cannot be read is an error of its own.
pub(super) async fn read(store: &dyn Store, keys: &[Key]) -> Result<Vec<Result<Option<Entry>>>> {
    match StoreExt::get_many(store, keys).await {
        Ok(entries) => return Ok(entries.into_iter().map(Ok).collect()),
        // One of them is damaged, or all together take too long: one by one it shows which.
        Err(error) if error.kind() == ErrorKind::Corrupt || error.kind() == ErrorKind::NotSupported => {}
        Err(error) => return Err(error),
    }
    let mut entries = Vec::with_capacity(keys.len());
    for key in keys {
        match store.get(key).await {
            Err(error) if error.kind() != ErrorKind::Corrupt => return Err(error),
            found => entries.push(found),
        }
    }
    Ok(entries)
}

/// The write that copies an entry.
pub(super) fn write_of(key: &Key, entry: Entry) -> Write {
    let condition = Condition::Newer(entry.version);
    Write::Put(key.clone(), entry, PutOptions { condition, deferred: true, ..PutOptions::default() })
}

impl Run<'_> {
    /// Copies these entries.
    pub(super) async fn copy_keys(&mut self, keys: &[Key], pages: &mut Pages<'_>) -> Result<()> {
        let mut rest = keys;
        while !rest.is_empty() {
            let (now, later) = rest.split_at(pages.portion().min(rest.len()));
            rest = later;
            let (mut writes, mut bytes) = (Vec::with_capacity(now.len()), Vec::with_capacity(now.len()));
            for (key, entry) in now.iter().zip(read(self.from, now).await?) {
                match entry {
                    Ok(Some(entry)) => {
                        bytes.push(entry.value.len() as u64);
                        writes.push(write_of(key, entry));
                    }
                    // It was deleted, or its time is over.
                    Ok(None) => {}
                    // The comparison tells of it.
                    Err(_) => {}
                }
            }
            let sum: u64 = bytes.iter().sum();
            pages.learn(now.len(), sum);
            let outcomes = StoreExt::apply(self.to, writes).await?;
            self.to.commit().await?;
            for (outcome, bytes) in outcomes.iter().zip(bytes) {
                self.count_write(outcome, bytes);
            }
            self.pace.spend(now.len() as u64, sum);
            self.pace.keep(&*self.world.clock).await;
        }
        Ok(())
    }

    fn count_write(&mut self, outcome: &terrace_store::capability::Outcome, bytes: u64) {
        use terrace_store::Written;
        use terrace_store::capability::Outcome;
        match outcome {
            Outcome::Put(Written::Stored { .. }) => {
                self.report.copied += 1;
                self.report.bytes += bytes;
            }
            Outcome::Put(Written::Conflict { .. }) | Outcome::Delete(_) => self.report.present += 1,
        }
    }
}
