//! The chain of records in a store.

use std::sync::Arc;

use parking_lot::Mutex;
use terrace_store::{Condition, Entry, Error, ErrorKind, Namespace, PutOptions, Result, Store, Written};

use super::record::Record;
use crate::turns::Turns;

/// The last record of a log: how many there are, and what the last one's hash is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Head {
    /// Its number; 0 for an empty log.
    pub number: u64,
    /// Its hash; zeros for an empty log.
    pub hash: [u8; 32],
}

pub(super) struct Log {
    store: Arc<dyn Store>,
    namespace: Namespace,
    key: Option<[u8; 32]>,
    turns: Turns,
    head: Mutex<Head>,
}

fn hash(key: Option<&[u8; 32]>, bytes: &[u8]) -> [u8; 32] {
    match key {
        Some(key) => *blake3::keyed_hash(key, bytes).as_bytes(),
        None => *blake3::hash(bytes).as_bytes(),
    }
}

fn broken(number: u64, why: &str) -> Error {
    Error::new(ErrorKind::Corrupt, "audit")
        .because(format!("the log is not what was written: {why}"))
        .with("record", number)
}

/// Reads the record of this number, with its hash; `None` if there is none.
async fn read(
    store: &dyn Store,
    namespace: &Namespace,
    key: Option<&[u8; 32]>,
    number: u64,
) -> Result<Option<(Record, [u8; 32], [u8; 32])>> {
    let Some(entry) = store.get(&namespace.key(number.to_be_bytes())?).await? else { return Ok(None) };
    match Record::read(&entry.value) {
        Some((record, before)) if record.number == number => {
            Ok(Some((record, before, hash(key, &entry.value))))
        }
        _ => Err(broken(number, "this is no record of this number")),
    }
}

impl Log {
    pub(super) async fn open(
        store: Arc<dyn Store>,
        namespace: Namespace,
        key: Option<[u8; 32]>,
    ) -> Result<Self> {
        let there = async |number: u64| store.exists(&namespace.key(number.to_be_bytes())?).await;
        // The last one lies between a record that is there and one that is not.
        let (mut present, mut absent) = (0, 1);
        while there(absent).await? {
            present = absent;
            absent *= 2;
        }
        while absent - present > 1 {
            let middle = present + (absent - present) / 2;
            if there(middle).await? { present = middle } else { absent = middle }
        }
        let head = match read(&*store, &namespace, key.as_ref(), present).await? {
            Some((_, _, hash)) => Head { number: present, hash },
            None => Head::default(),
        };
        Ok(Self { store, namespace, key, turns: Turns::default(), head: Mutex::new(head) })
    }

    pub(super) fn head(&self) -> Head {
        *self.head.lock()
    }

    /// Adds a record and returns its number. An outcome that is unknown is found out before the next is added.
    pub(super) async fn append(&self, mut record: Record) -> Result<u64> {
        let _turn = self.turns.take().await;
        loop {
            let head = self.head();
            record.number = head.number + 1;
            let bytes = record.write(&head.hash);
            let next = Head { number: record.number, hash: hash(self.key.as_ref(), &bytes) };
            let place = self.namespace.key(record.number.to_be_bytes())?;
            let options = PutOptions { condition: Condition::Absent, ..PutOptions::default() };
            match self.store.put(&place, Entry::new(bytes), options).await? {
                Written::Stored { .. } => {
                    *self.head.lock() = next;
                    return Ok(next.number);
                }
                Written::Conflict { .. } => self.catch_up(record.number).await?,
            }
        }
    }

    /// There is a record where the next was to be: one of this log whose outcome was unknown, or another process's.
    async fn catch_up(&self, number: u64) -> Result<()> {
        match read(&*self.store, &self.namespace, self.key.as_ref(), number).await? {
            Some((_, before, hash)) if before == self.head().hash => {
                *self.head.lock() = Head { number, hash };
                Ok(())
            }
            _ => Err(broken(number, "it does not follow the record before it")),
        }
    }
}

/// Walks over a whole log and returns its head and records, if each follows the one before, none is missing and, if a head
/// was noted earlier, that one is among them.
///
/// # Errors
/// `Corrupt`, with the first record that is not what was written; whatever the store answers.
pub async fn verify(
    store: &dyn Store,
    namespace: &Namespace,
    key: Option<[u8; 32]>,
    noted: Option<Head>,
) -> Result<(Head, Vec<Record>)> {
    let (mut head, mut records) = (Head::default(), Vec::new());
    while let Some((record, before, hash)) = read(store, namespace, key.as_ref(), head.number + 1).await? {
        if before != head.hash {
            return Err(broken(record.number, "it does not follow the record before it"));
        }
        head = Head { number: record.number, hash };
        if noted.is_some_and(|noted| noted.number == head.number && noted != head) {
            return Err(broken(head.number, "its hash is not the one that was noted"));
        }
        records.push(record);
    }
    if noted.is_some_and(|noted| noted.number > head.number) {
        return Err(broken(head.number, "it ends before the record that was noted"));
    }
    if let Some(iterate) = store.as_iterate()
        && iterate.count(namespace).await? != head.number
    {
        return Err(broken(head.number + 1, "there are records behind one that is missing"));
    }
    Ok((head, records))
}
