//! Under which keys rows lie in the cluster, and what is in them.
//!
//! ```text
//! {P}/d<flat key>                 the envelope of an entry
//! {P}/e<flat key>                 a header: what there is to know of an entry, or the floor that a delete left
//! {P}/f<namespace>                a header: the floor that a clear left; the empty name: of all
//! {P}/g                           written at the end of a watch
//! {P}/c<namespace><part>          how many entries, and bytes of keys and values, in one of sixteen parts
//! {P}/l<name>                     a lease, attached to one of etcd's
//! {P}/r                           written to reserve a version
//! {P}/s                           the base of versions
//! {P}/v                           the format of all this
//! {P}/x<kind><end><flat key>      what is due when: 0 an entry, 1 a tombstone, 2 a floor
//! ```
//!
//! A namespace is named by its flat prefix, the length byte and the name. Numbers are big-endian. The rows that tell of
//! changes, `e` to `g`, stand together, so that one watch sees them in one order.
//!
//! ```text
//! header: 'E' or 'T', 'A' or 'G', number: u64, step: u16, end: u64 (0: none), bytes of key and value: u64
//! ```
//!
//! The version of an 'A'ssigned header is `number + (mod_revision << 12 | step)`, where the number is the base and the
//! step tells writes of one transaction apart; that of a 'G'iven one is the number.

use terrace_store::{Error, ErrorKind, Key, Result, Version};
use xxhash_rust::xxh3::xxh3_64;

/// Into how many parts the amounts of a namespace are cut.
pub(super) const PARTS: usize = 16;
/// How many bits of a version tell the writes of one transaction apart.
pub(super) const STEP_BITS: u32 = 12;
const HEADER: usize = 28;

/// The names that belong to one prefix.
pub(super) struct Rows(Vec<u8>);

impl Rows {
    pub(super) fn new(prefix: &str) -> Self {
        Self(format!("{prefix}/").into_bytes())
    }

    fn of(&self, kind: u8, rest: &[u8]) -> Vec<u8> {
        [&self.0[..], &[kind], rest].concat()
    }

    pub(super) fn data(&self, flat: &[u8]) -> Vec<u8> {
        self.of(b'd', flat)
    }

    pub(super) fn head(&self, flat: &[u8]) -> Vec<u8> {
        self.of(b'e', flat)
    }

    pub(super) fn floor(&self, space: &[u8]) -> Vec<u8> {
        self.of(b'f', space)
    }

    pub(super) fn bye(&self) -> Vec<u8> {
        self.of(b'g', b"")
    }

    /// Where the rows that tell of changes begin, and before which they end.
    pub(super) fn told(&self) -> (Vec<u8>, Vec<u8>) {
        (self.of(b'e', b""), self.of(b'h', b""))
    }

    pub(super) fn amount(&self, space: &[u8], part: usize) -> Vec<u8> {
        let mut row = self.amounts(space);
        row.push(part as u8);
        row
    }

    pub(super) fn amounts(&self, space: &[u8]) -> Vec<u8> {
        self.of(b'c', space)
    }

    pub(super) fn lease(&self, name: &[u8]) -> Vec<u8> {
        self.of(b'l', name)
    }

    pub(super) fn reserved(&self) -> Vec<u8> {
        self.of(b'r', b"")
    }

    pub(super) fn base(&self) -> Vec<u8> {
        self.of(b's', b"")
    }

    pub(super) fn format(&self) -> Vec<u8> {
        self.of(b'v', b"")
    }

    pub(super) fn due(&self, due: Due, ends: u64, what: &[u8]) -> Vec<u8> {
        self.of(b'x', &[&[due as u8], &ends.to_be_bytes()[..], what].concat())
    }

    /// What a row in `x` says.
    pub(super) fn parse_due<'a>(&self, row: &'a [u8]) -> Option<(u64, &'a [u8])> {
        let (ends, what) = row.get(self.0.len() + 2..)?.split_first_chunk::<8>()?;
        Some((u64::from_be_bytes(*ends), what))
    }

    /// What stands behind the prefix and the kind of a row.
    pub(super) fn strip<'a>(&self, kind: u8, row: &'a [u8]) -> Option<&'a [u8]> {
        row.strip_prefix(&self.0[..])?.strip_prefix(&[kind])
    }
}

/// What is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Due {
    Entry = 0,
    Tombstone = 1,
    Floor = 2,
}

/// In which part of a namespace's amounts a key is counted.
pub(super) fn part(key: &Key) -> usize {
    (xxh3_64(key.flat()) % PARTS as u64) as usize
}

/// The version of a write at this revision.
pub(super) fn assigned(base: u64, revision: i64, step: u16) -> Version {
    Version(base.saturating_add((revision.cast_unsigned() << STEP_BITS) | u64::from(step)))
}

/// A row that is a number; none is zero.
pub(super) fn number(row: Option<&[u8]>) -> Result<u64> {
    let Some(row) = row else { return Ok(0) };
    row.try_into().map(u64::from_be_bytes).map_err(|_| corrupt("a number that is none"))
}

/// How many entries, and how many bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Amount {
    pub(super) count: i64,
    pub(super) bytes: i64,
}

impl Amount {
    pub(super) fn parse(row: &[u8]) -> Result<Self> {
        let (count, bytes) = row.split_at_checked(8).ok_or_else(|| corrupt("an amount that is none"))?;
        let number = |bytes| number(Some(bytes)).map(u64::cast_signed);
        Ok(Self { count: number(count)?, bytes: number(bytes)? })
    }

    pub(super) fn to_row(self) -> Vec<u8> {
        [self.count.to_be_bytes(), self.bytes.to_be_bytes()].concat()
    }
}

/// What there is to know of an entry or a floor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) tombstone: bool,
    pub(super) stamp: Stamp,
    /// When the entry ends, or the floor may be forgotten.
    pub(super) ends_ms: u64,
    pub(super) size: u64,
}

/// How a header tells its version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stamp {
    Assigned { base: u64, step: u16 },
    Given(Version),
}

impl Stamp {
    pub(super) fn version(self, revision: i64) -> Version {
        match self {
            Self::Assigned { base, step } => assigned(base, revision, step),
            Self::Given(version) => version,
        }
    }
}

impl Header {
    pub(super) fn version(&self, revision: i64) -> Version {
        self.stamp.version(revision)
    }

    /// Whether it is an entry that exists at this wall time.
    pub(super) fn is_live(&self, wall_ms: u64) -> bool {
        !self.tombstone && (self.ends_ms == 0 || wall_ms < self.ends_ms)
    }

    pub(super) fn due(&self) -> Option<Due> {
        match (self.tombstone, self.ends_ms) {
            (_, 0) => None,
            (true, _) => Some(Due::Tombstone),
            (false, _) => Some(Due::Entry),
        }
    }

    pub(super) fn to_row(self) -> Vec<u8> {
        let (how, number, step) = match self.stamp {
            Stamp::Assigned { base, step } => (b'A', base, step),
            Stamp::Given(version) => (b'G', version.0, 0),
        };
        let mut row = vec![if self.tombstone { b'T' } else { b'E' }, how];
        row.extend(number.to_be_bytes());
        row.extend(step.to_be_bytes());
        row.extend(self.ends_ms.to_be_bytes());
        row.extend(self.size.to_be_bytes());
        row
    }

    pub(super) fn parse(row: &[u8]) -> Result<Self> {
        let row: &[u8; HEADER] = row.try_into().map_err(|_| corrupt("a header of another length"))?;
        let number = |at: usize| number(row.get(at..at + 8));
        let tombstone = match row[0] {
            b'E' => false,
            b'T' => true,
            _ => return Err(corrupt("a header of no known kind")),
        };
        let stamp = match row[1] {
            b'A' => Stamp::Assigned { base: number(2)?, step: u16::from_be_bytes([row[10], row[11]]) },
            b'G' => Stamp::Given(Version(number(2)?)),
            _ => return Err(corrupt("a version of no known kind")),
        };
        Ok(Self { tombstone, stamp, ends_ms: number(12)?, size: number(20)? })
    }
}

pub(super) fn corrupt(why: &'static str) -> Error {
    Error::new(ErrorKind::Corrupt, "read").with("store", super::NAME).because(why)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_says_what_was_written_and_damage_is_noticed() {
        for stamp in [Stamp::Given(Version(u64::MAX)), Stamp::Assigned { base: 7, step: 4095 }] {
            let header = Header { tombstone: true, stamp, ends_ms: 1, size: 9 };
            let mut row = header.to_row();
            assert_eq!(Header::parse(&row).unwrap(), header);
            row[1] = b'?';
            assert_eq!(Header::parse(&row).unwrap_err().kind(), ErrorKind::Corrupt);
            assert_eq!(Header::parse(&row[1..]).unwrap_err().kind(), ErrorKind::Corrupt);
        }
        let amount = Amount { count: 3, bytes: -1 };
        assert_eq!(Amount::parse(&amount.to_row()).unwrap(), amount);
    }

    #[test]
    fn versions_rise_with_revisions_and_steps() {
        let versions =
            [(1, 0), (1, 1), (1, 4095), (2, 0)].map(|(revision, step)| assigned(5, revision, step));
        assert!(versions.is_sorted_by(|a, b| a < b));
    }

    #[test]
    fn what_is_due_first_stands_first_and_is_read_back() {
        let rows = Rows::new("p");
        let due = [1, 255, 256].map(|ends| rows.due(Due::Entry, ends, b"flat"));
        assert!(due.is_sorted());
        assert_eq!(rows.parse_due(&due[2]), Some((256, &b"flat"[..])));
        assert_eq!(rows.strip(b'x', b"q/x"), None);
    }
}
