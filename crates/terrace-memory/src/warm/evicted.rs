//! What left, as it lay: keys and encoded values in one piece of memory, decoded by whoever wants them.

use std::sync::Arc;

use terrace_envelope::codec::{Coder, Dictionary};

use super::record::Record;
use crate::Cause;

/// The entries that one call made leave, with their causes.
///
/// They are no longer part of the engine's weight. Dropping them costs one deallocation.
#[derive(Default)]
pub struct Evicted {
    records: Vec<u8>,
    entries: Vec<Gone>,
    dictionaries: Vec<Arc<Dictionary>>,
}

struct Gone {
    offset: usize,
    base: u64,
    cause: Cause,
    /// Which of the dictionaries it was encoded with.
    dictionary: Option<u8>,
}

impl std::fmt::Debug for Evicted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Evicted").field("len", &self.len()).field("bytes", &self.records.len()).finish()
    }
}

impl Evicted {
    /// How many entries left.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether none did.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The bytes it holds on the heap, beside dictionaries that it shares.
    #[must_use]
    pub fn heap_bytes(&self) -> usize {
        self.records.capacity()
            + self.entries.capacity() * size_of::<Gone>()
            + self.dictionaries.capacity() * size_of::<Arc<Dictionary>>()
    }

    /// The entries, in the order in which they left.
    pub fn iter(&self) -> impl Iterator<Item = EvictedEntry<'_>> {
        self.entries.iter().filter_map(|gone| {
            let (record, _) = Record::read(self.records.get(gone.offset..)?, gone.base)?;
            let dictionary = gone.dictionary.and_then(|at| self.dictionaries.get(usize::from(at)));
            Some(EvictedEntry { record, cause: gone.cause, dictionary: dictionary.map(Arc::as_ref) })
        })
    }

    pub(super) fn push(
        &mut self,
        record: &[u8],
        base: u64,
        cause: Cause,
        dictionary: Option<&Arc<Dictionary>>,
    ) {
        let dictionary = dictionary.map(|wanted| {
            let known = self.dictionaries.iter().position(|known| Arc::ptr_eq(known, wanted));
            let at = known.unwrap_or_else(|| {
                self.dictionaries.push(Arc::clone(wanted));
                self.dictionaries.len() - 1
            });
            // There are a few dictionaries at a time, and one call sees no more than two sets of them.
            at as u8
        });
        self.entries.push(Gone { offset: self.records.len(), base, cause, dictionary });
        self.records.extend_from_slice(record);
    }
}

/// An entry that left.
#[derive(Clone, Copy)]
pub struct EvictedEntry<'a> {
    record: Record<'a>,
    cause: Cause,
    dictionary: Option<&'a Dictionary>,
}

impl std::fmt::Debug for EvictedEntry<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EvictedEntry").field("record", &self.record).field("cause", &self.cause).finish()
    }
}

impl<'a> EvictedEntry<'a> {
    /// Why it left.
    #[must_use]
    pub fn cause(&self) -> Cause {
        self.cause
    }

    /// Its key.
    #[must_use]
    pub fn key(&self) -> &'a [u8] {
        self.record.key
    }

    /// The bytes that were attached to it.
    #[must_use]
    pub fn attached(&self) -> &'a [u8] {
        self.record.attached
    }

    /// Its version; 0 if it had none.
    #[must_use]
    pub fn version(&self) -> u64 {
        self.record.version
    }

    /// When it expires, if it does.
    #[must_use]
    pub fn expires_at(&self) -> Option<u64> {
        self.record.expires_at
    }

    /// The length of its value as it was stored, in bytes.
    #[must_use]
    pub fn stored_len(&self) -> usize {
        self.record.stored.len()
    }

    /// Appends its value to `out`, if it is no longer than `limit`.
    ///
    /// # Errors
    /// As those of [`Coder::decode`].
    pub fn decode(
        &self,
        coder: &mut Coder,
        limit: usize,
        out: &mut Vec<u8>,
    ) -> terrace_envelope::Result<usize> {
        coder.decode(self.record.how, self.dictionary, self.record.stored, limit, out)
    }
}
