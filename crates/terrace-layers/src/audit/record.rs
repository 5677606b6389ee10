//! A record, and its bytes.
//!
//! ```text
//! [format: u8 = 1] [number: u64] [hash of the record before: 32, zeros for the first] [wall time, ms: u64]
//! [phase: u8 = 1 before, 2 after, 3 only] [number of the record before the call, or 0: u64]
//! [caller] [operation] [outcome]: each u32 length and text     [keys: u32, each u32 length and bytes]
//! ```
//!
//! All numbers are little-endian. The hash of a record is that of all these bytes.

/// When a record was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Before a write was made.
    Before,
    /// After it, with the number of the record before it.
    After(u64),
    /// Of a read or a denial, after it.
    Only,
}

/// Who did what, and how it ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Its place in the log, from 1 on.
    pub number: u64,
    /// When, in milliseconds since the Unix epoch.
    pub wall_ms: u64,
    /// Before or after.
    pub phase: Phase,
    /// The name of the identity that asked; empty for nobody.
    pub caller: String,
    /// The operation, as [`Operation::name`](crate::call::Operation::name) has it.
    pub operation: String,
    /// What it was about: flat keys, prefixes, names or paths.
    pub keys: Vec<Vec<u8>>,
    /// How it ended: `ok`, `conflict` or the kind of the error; empty before.
    pub outcome: String,
}

const FORMAT: u8 = 1;

fn append(out: &mut Vec<u8>, bytes: &[u8]) {
    // What a call is about is limited far below that.
    let len = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
    out.extend_from_slice(&len.to_le_bytes());
    out.extend_from_slice(&bytes[..len as usize]);
}

impl Record {
    pub(super) fn write(&self, before: &[u8; 32]) -> Vec<u8> {
        let mut out = vec![FORMAT];
        out.extend_from_slice(&self.number.to_le_bytes());
        out.extend_from_slice(before);
        out.extend_from_slice(&self.wall_ms.to_le_bytes());
        let (phase, begun) = match self.phase {
            Phase::Before => (1, 0),
            Phase::After(begun) => (2, begun),
            Phase::Only => (3, 0),
        };
        out.push(phase);
        out.extend_from_slice(&begun.to_le_bytes());
        for text in [&self.caller, &self.operation, &self.outcome] {
            append(&mut out, text.as_bytes());
        }
        out.extend_from_slice(&u32::try_from(self.keys.len()).unwrap_or(u32::MAX).to_le_bytes());
        for key in self.keys.iter().take(u32::MAX as usize) {
            append(&mut out, key);
        }
        out
    }

    /// The record, and the hash of the one before it; `None` if these bytes are no record.
    pub(super) fn read(bytes: &[u8]) -> Option<(Self, [u8; 32])> {
        let mut left = Left(bytes);
        if left.bytes(1)? != [FORMAT] {
            return None;
        }
        let number = left.u64()?;
        let before = left.bytes(32)?.try_into().ok()?;
        let wall_ms = left.u64()?;
        let phase = left.bytes(1)?.first().copied()?;
        let phase = match (phase, left.u64()?) {
            (1, 0) => Phase::Before,
            (2, begun) => Phase::After(begun),
            (3, 0) => Phase::Only,
            _ => return None,
        };
        let (caller, operation, outcome) = (left.text()?, left.text()?, left.text()?);
        let count = left.u32()?;
        let mut keys = Vec::new();
        for _ in 0..count {
            let len = left.u32()? as usize;
            keys.push(left.bytes(len)?.to_vec());
        }
        let record = Self { number, wall_ms, phase, caller, operation, keys, outcome };
        left.0.is_empty().then_some((record, before))
    }
}

struct Left<'a>(&'a [u8]);

impl<'a> Left<'a> {
    fn bytes(&mut self, len: usize) -> Option<&'a [u8]> {
        let (bytes, left) = self.0.split_at_checked(len)?;
        self.0 = left;
        Some(bytes)
    }

    fn u32(&mut self) -> Option<u32> {
        Some(u32::from_le_bytes(self.bytes(4)?.try_into().ok()?))
    }

    fn u64(&mut self) -> Option<u64> {
        Some(u64::from_le_bytes(self.bytes(8)?.try_into().ok()?))
    }

    fn text(&mut self) -> Option<String> {
        let len = self.u32()? as usize;
        Some(std::str::from_utf8(self.bytes(len)?).ok()?.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_record_comes_back_and_no_bytes_make_the_reader_panic(
            number in any::<u64>(),
            begun in any::<u64>(),
            caller in ".{0,20}",
            keys in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..20), 0..5),
            noise in proptest::collection::vec(any::<u8>(), 0..200),
        ) {
            let phase = Phase::After(begun);
            let record = Record { number, wall_ms: 7, phase, caller, operation: "put".into(), keys, outcome: "ok".into() };
            let bytes = record.write(&[9; 32]);
            prop_assert_eq!(Record::read(&bytes), Some((record, [9; 32])));
            prop_assert_eq!(Record::read(&bytes[..bytes.len() - 1]), None);
            let _ = Record::read(&noise);
            let _ = Record::read(&[&[FORMAT][..], &noise].concat());
        }
    }
}
