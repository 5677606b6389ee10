//! Taking a message apart, with nothing trusted.

use bytes::{Buf, Bytes};
use terrace_store::{Entry, Error, ErrorKind, Key, Result, Version};

use super::{FULL, LONGEST};
use crate::record::{self, Record};

/// What is left of a message.
pub(super) struct Reader {
    rest: Bytes,
    /// The length of the whole.
    whole: usize,
    /// What the values that are still to come may take in memory, all together.
    room: usize,
    kind: ErrorKind,
    operation: &'static str,
}

impl Reader {
    /// Of a message whose faults are of this kind: `Invalid` where a stranger asks, `Corrupt` where a server answers.
    pub(super) fn new(message: Bytes, kind: ErrorKind, operation: &'static str) -> Self {
        // What the longest message has if nothing in it is compressed: little that was compressed is not to become much.
        Self { whole: message.len(), rest: message, room: FULL + LONGEST, kind, operation }
    }

    pub(super) fn fault(&self, why: &str) -> Error {
        Error::new(self.kind, self.operation).with("at", self.whole - self.rest.len()).because(why)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// # Errors
    /// If anything is left.
    pub(super) fn end(&self) -> Result<()> {
        if self.is_empty() { Ok(()) } else { Err(self.fault("something follows the end of the message")) }
    }

    fn take(&mut self, length: usize) -> Result<Bytes> {
        if length > self.rest.len() {
            return Err(self.fault("the message is cut"));
        }
        Ok(self.rest.split_to(length))
    }

    pub(super) fn byte(&mut self) -> Result<u8> {
        self.take(1).map(|mut byte| byte.get_u8())
    }

    pub(super) fn flag(&mut self) -> Result<bool> {
        match self.byte()? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(self.fault("a flag is neither 0 nor 1")),
        }
    }

    pub(super) fn count(&mut self) -> Result<usize> {
        self.take(4).map(|mut count| count.get_u32_le() as usize)
    }

    pub(super) fn version(&mut self) -> Result<Version> {
        self.take(8).map(|mut version| Version(version.get_u64_le()))
    }

    pub(super) fn bytes(&mut self) -> Result<Bytes> {
        let length = self.count()?;
        self.take(length)
    }

    pub(super) fn optional_bytes(&mut self) -> Result<Option<Bytes>> {
        self.flag()?.then(|| self.bytes()).transpose()
    }

    pub(super) fn optional_version(&mut self) -> Result<Option<Version>> {
        self.flag()?.then(|| self.version()).transpose()
    }

    /// A key in memory of its own: it may outlive the message.
    pub(super) fn key(&mut self) -> Result<Key> {
        let flat = self.bytes()?;
        Key::from_flat(Bytes::copy_from_slice(&flat)).map_err(|_| self.fault("what should be a key is none"))
    }

    /// The entry of this key.
    pub(super) fn record(&mut self, key: &Key) -> Result<Entry> {
        let sealed = self.bytes()?;
        match record::open(key, &sealed) {
            Ok(Record::Live(entry)) => {
                let left = self.room.checked_sub(entry.value.len());
                self.room =
                    left.ok_or_else(|| self.fault("its values together are longer than any message"))?;
                Ok(self.own(entry))
            }
            Ok(Record::Tombstone { .. }) => Err(self.fault("a record is one of a delete")),
            Err(source) => Err(self.fault("a record does not check").caused_by(source)),
        }
    }

    /// A value that is a small part of the message does not keep all of it in memory.
    fn own(&self, entry: Entry) -> Entry {
        if entry.value.len() * 2 >= self.whole {
            return entry;
        }
        Entry { value: Bytes::copy_from_slice(&entry.value), ..entry }
    }
}
