//! Under which names things lie in the server, and the header of a record.
//!
//! ```text
//! {P}:e:<flat key>   string   a record: an entry, or the floor that a delete left
//! {P}:k:<namespace>  zset     the names of a namespace's entries, all with score 0, and so in their order
//! {P}:x, {P}:t       zset     flat keys by when their entry ends, or their floor may be forgotten (wall ms)
//! {P}:b              hash     namespace -> bytes of its keys and values; no field, no entries
//! {P}:f              hash     namespace (the empty name: all) -> version and end of what a clear left
//! {P}:h, {P}:g:<n>   hash, zset  heaps of names that clears left to be purged
//! {P}:s              string   the highest version that was used
//! {P}:w              channel  changes: kind, version, flat key
//! {P}:m:<channel>    channel  published messages
//! {P}:l:<name>       hash     a lease: holder, token, and its end by the server's clock (ms)
//! {P}:n              string   the token of the last lease
//! {P}:v              string   the format of all this; in a cluster with the number of parts behind a slash
//! ```
//!
//! The braces keep all of it in one slot of a cluster, since scripts need their keys together. There a store is in parts,
//! each of which is all of this under a name `P` of its own. A namespace is named by
//! its flat prefix, the length byte and the name. Numbers in records and scripts are text of twenty digits.
//!
//! ```text
//! record: 'E' or 'T', version: 20 digits, end: 20 digits (0: none), bytes of key and value: 10 digits, envelope
//! ```

use bytes::Bytes;
use terrace_store::{Error, ErrorKind, Key, Namespace, Result, Version};

/// How long the header of a record is.
pub(super) const HEADER: usize = 51;

/// The names that belong to one prefix.
pub(super) struct Names {
    base: Vec<u8>,
    /// The six keys that every script gets first.
    pub(super) fixed: [Vec<u8>; 6],
    pub(super) changes: Vec<u8>,
    pub(super) format: Vec<u8>,
}

impl Names {
    pub(super) fn new(prefix: &str) -> Self {
        let base = format!("{{{prefix}}}:").into_bytes();
        let name = |tail: &str| [&base[..], tail.as_bytes()].concat();
        let fixed = ["s", "x", "t", "b", "f", "h"].map(name);
        Self { fixed, changes: name("w"), format: name("v"), base: base.clone() }
    }

    fn of(&self, kind: &[u8], rest: &[u8]) -> Vec<u8> {
        [&self.base, kind, rest].concat()
    }

    pub(super) fn record(&self, flat: &[u8]) -> Vec<u8> {
        self.of(b"e:", flat)
    }

    pub(super) fn index(&self, space: &[u8]) -> Vec<u8> {
        self.of(b"k:", space)
    }

    pub(super) fn heap(&self, number: &[u8]) -> Vec<u8> {
        self.of(b"g:", number)
    }

    pub(super) fn channel(&self, channel: &[u8]) -> Vec<u8> {
        self.of(b"m:", channel)
    }

    pub(super) fn lease(&self, name: &[u8]) -> Vec<u8> {
        self.of(b"l:", name)
    }

    pub(super) fn tokens(&self) -> Vec<u8> {
        self.of(b"n", b"")
    }

    pub(super) fn ends(&self) -> &[u8] {
        &self.fixed[1]
    }

    pub(super) fn graves(&self) -> &[u8] {
        &self.fixed[2]
    }

    pub(super) fn sizes(&self) -> &[u8] {
        &self.fixed[3]
    }

    pub(super) fn floors(&self) -> &[u8] {
        &self.fixed[4]
    }

    pub(super) fn heaps(&self) -> &[u8] {
        &self.fixed[5]
    }
}

/// Where the name begins in a flat key.
pub(super) fn split(flat: &[u8]) -> Option<(&[u8], &[u8])> {
    flat.split_at_checked(1 + usize::from(*flat.first()?))
}

/// The namespace of a flat prefix, as it stands in a hash.
pub(super) fn namespace(space: &[u8]) -> Result<Namespace> {
    Namespace::new(space.get(1..).ok_or_else(|| corrupt("a namespace without a length"))?)
}

/// A number as scripts and records have it.
pub(super) fn digits(number: u64) -> String {
    format!("{number:020}")
}

/// What twenty digits say.
pub(super) fn number(digits: &[u8]) -> Result<u64> {
    std::str::from_utf8(digits)
        .ok()
        .filter(|text| text.len() == 20)
        .and_then(|text| text.parse().ok())
        .ok_or_else(|| corrupt("a number that is none"))
}

pub(super) fn version(digits: &[u8]) -> Result<Version> {
    number(digits).map(Version)
}

/// What stands before a record's envelope.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) entry: bool,
    pub(super) version: Version,
    pub(super) ends_ms: u64,
}

impl Header {
    pub(super) fn parse(record: &[u8]) -> Result<Self> {
        let header = record.get(..HEADER).ok_or_else(|| corrupt("a record without a header"))?;
        let entry = match header[0] {
            b'E' => true,
            b'T' => false,
            _ => return Err(corrupt("a record of no known kind")),
        };
        Ok(Self { entry, version: version(&header[1..21])?, ends_ms: number(&header[21..41])? })
    }

    /// Whether it is an entry that exists at this wall time, if nothing has buried it.
    pub(super) fn is_live(&self, wall_ms: u64) -> bool {
        self.entry && (self.ends_ms == 0 || wall_ms < self.ends_ms)
    }
}

/// A key by its flat form, as it stands in a set.
pub(super) fn key(flat: Vec<u8>) -> Result<Key> {
    Key::from_flat(Bytes::from(flat))
}

pub(super) fn corrupt(why: &'static str) -> Error {
    Error::new(ErrorKind::Corrupt, "read").with("store", super::NAME).because(why)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_order_as_their_digits_do() {
        let numbers = [0, 9, 10, u64::MAX / 2, u64::MAX];
        assert!(numbers.map(digits).is_sorted());
        assert!(numbers.iter().all(|n| number(digits(*n).as_bytes()).unwrap() == *n));
        assert!(number(b"1").is_err() && number(b"0000000000000000000x").is_err());
    }

    #[test]
    fn a_header_says_what_was_written_and_damage_is_noticed() {
        let text = format!("E{}{}{:010}rest", digits(7), digits(1000), 3);
        let header = Header::parse(text.as_bytes()).unwrap();
        assert_eq!(header, Header { entry: true, version: Version(7), ends_ms: 1000 });
        assert!(header.is_live(999) && !header.is_live(1000));
        assert!(!Header { entry: false, ..header }.is_live(0));
        for damaged in ["E", &text.replace('E', "X"), &text.replacen('7', "z", 1)] {
            assert_eq!(Header::parse(damaged.as_bytes()).unwrap_err().kind(), ErrorKind::Corrupt);
        }
    }
}
