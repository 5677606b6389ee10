//! Under which subjects messages lie in the bucket, and what their headers say.
//!
//! ```text
//! $KV.{B}.e.{namespace}.{key}     the envelope of an entry, or nothing where a delete left a floor
//! $KV.{B}.f.{namespace}           the floor that a clear of it left; `all`: a clear of everything
//! $KV.{B}.c.{write}.{n}           a piece of an envelope that is too long for one message
//! $KV.{B}.l.{channel}.{listener}  somebody listens to a channel
//! $KV.{B}.r                       written to reserve a version
//! $KV.{B}.s                       the base of versions
//! $KV.{B}.v                       the format of all this
//! $KV.{B}.y.{store}               written to learn how far the stream has come
//!
//! terrace.{B}.told.>              what the server says of each of these once it has stored it
//! terrace.{B}.message.{channel}   what is published
//! ```
//!
//! A namespace is `n` and its name in URL-safe base64, a key `k` and its bytes so, or `h` and its BLAKE3 in hexadecimal
//! digits where that is shorter, a channel likewise. The header `Terrace` of an entry or floor is, in base64,
//!
//! ```text
//! 'E' or 'T', 'A' or 'G', number: u64, end: u64 (0: none), bytes of key and value: u64, pieces: u32, write: [u8; 16],
//! ahead: u32, flat key
//! ```
//!
//! all big-endian. A header may have 64 KiB, so a flat key of more than 40,000 bytes is not in it, but so many bytes ahead
//! of the envelope. The version of an 'A'ssigned one is its number, which is the base, and the sequence number of its
//! message; that of a 'G'iven one is the number.

use base64::Engine;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use bytes::Bytes;
use terrace_store::{Error, ErrorKind, Key, Namespace, Result, Version};

/// The name of the header.
pub(super) const HEADER: &str = "Terrace";
/// The longest key that stands in a subject by itself; all subjects of a line of the protocol have to fit into 4 KiB.
const PLAIN: usize = 600;
/// The longest flat key that is in a header.
const IN_HEADER: usize = 40_000;
const FIXED: usize = 50;

/// The subjects of one bucket.
#[derive(Clone)]
pub(super) struct Subjects {
    bucket: String,
}

impl Subjects {
    pub(super) fn new(prefix: &str) -> Self {
        Self { bucket: prefix.to_owned() }
    }

    /// The stream under the bucket.
    pub(super) fn stream(&self) -> String {
        format!("KV_{}", self.bucket)
    }

    fn of(&self, rest: &str) -> String {
        format!("$KV.{}.{rest}", self.bucket)
    }

    pub(super) fn everything(&self) -> String {
        self.of(">")
    }

    pub(super) fn head(&self, key: &Key) -> String {
        self.of(&format!("e.{}.{}", space(&key.namespace()), token('k', key.bytes())))
    }

    /// Those of all keys of a namespace, or of all.
    pub(super) fn heads(&self, namespace: Option<&Namespace>) -> String {
        match namespace {
            Some(namespace) => self.of(&format!("e.{}.>", space(namespace))),
            None => self.of("e.>"),
        }
    }

    pub(super) fn floor(&self, namespace: Option<&Namespace>) -> String {
        self.of(&format!("f.{}", namespace.map_or_else(|| "all".to_owned(), space)))
    }

    pub(super) fn piece(&self, write: &Write, n: u32) -> String {
        self.of(&format!("c.{}.{n}", hex(write)))
    }

    pub(super) fn pieces(&self, write: &Write) -> String {
        self.of(&format!("c.{}.>", hex(write)))
    }

    pub(super) fn listener(&self, channel: &[u8], listener: &str) -> String {
        self.of(&format!("l.{}.{listener}", token('c', channel)))
    }

    pub(super) fn reserved(&self) -> String {
        self.of("r")
    }

    pub(super) fn base(&self) -> String {
        self.of("s")
    }

    pub(super) fn format(&self) -> String {
        self.of("v")
    }

    pub(super) fn mark(&self, store: &str) -> String {
        self.of(&format!("y.{store}"))
    }

    /// Under which subjects the server tells what it has stored.
    pub(super) fn told(&self) -> String {
        format!("terrace.{}.told.>", self.bucket)
    }

    pub(super) fn message(&self, channel: &[u8]) -> String {
        format!("terrace.{}.message.{}", self.bucket, token('c', channel))
    }

    /// What a message in the bucket is.
    pub(super) fn kind(&self, subject: &str) -> Kind {
        let rest = subject.strip_prefix("$KV.").and_then(|rest| rest.strip_prefix(&self.bucket));
        let mut tokens = rest.unwrap_or_default().split('.').skip(1);
        match (tokens.next(), tokens.next()) {
            (Some("e"), Some(_)) => Kind::Head,
            (Some("f"), Some(_)) => Kind::Floor,
            (Some("c"), Some(write)) => unhex(write).map_or(Kind::Other, Kind::Piece),
            _ => Kind::Other,
        }
    }
}

/// What a message is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Head,
    Floor,
    Piece(Write),
    Other,
}

/// What tells the pieces of one write from those of another.
pub(super) type Write = [u8; 16];
/// How many pieces an envelope is in, and whose.
pub(super) type Pieces = (u32, Write);

fn space(namespace: &Namespace) -> String {
    token('n', namespace.name())
}

fn token(letter: char, bytes: &[u8]) -> String {
    match bytes.len() {
        0..=PLAIN => format!("{letter}{}", URL_SAFE_NO_PAD.encode(bytes)),
        _ => format!("h{}", blake3::hash(bytes).to_hex()),
    }
}

pub(super) fn hex(write: &[u8]) -> String {
    write.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> Option<Write> {
    u128::from_str_radix(text, 16).ok().map(u128::to_be_bytes)
}

/// What there is to know of an entry or a floor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) tombstone: bool,
    pub(super) stamp: Stamp,
    /// When the entry ends, or the floor may be forgotten.
    pub(super) ends_ms: u64,
    pub(super) size: u64,
    /// How many pieces the envelope is in, and whose; `None`: it is in the message.
    pub(super) pieces: Option<Pieces>,
    /// Whose it is; of a header alone empty where it is too long for that.
    pub(super) flat: Bytes,
}

/// How a header tells its version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stamp {
    Assigned { base: u64 },
    Given(Version),
}

impl Stamp {
    pub(super) fn version(self, sequence: u64) -> Version {
        match self {
            Self::Assigned { base } => Version(base.saturating_add(sequence)),
            Self::Given(version) => version,
        }
    }
}

impl Head {
    /// What a delete or a clear leaves.
    pub(super) fn floor(flat: Bytes, stamp: Stamp, ends_ms: u64) -> Self {
        Self { tombstone: true, stamp, ends_ms, size: 0, pieces: None, flat }
    }

    /// Whether it is an entry whose time is not over.
    pub(super) fn lives(&self, wall_ms: u64) -> bool {
        !self.tombstone && (self.ends_ms == 0 || wall_ms < self.ends_ms)
    }

    /// How many bytes of the payload are the flat key.
    pub(super) fn ahead(&self) -> usize {
        if self.flat.len() > IN_HEADER { self.flat.len() } else { 0 }
    }

    /// The payload of a message with this envelope, or without one.
    pub(super) fn payload(&self, record: Bytes) -> Bytes {
        if self.ahead() == 0 { record } else { [&self.flat[..], &record[..]].concat().into() }
    }

    pub(super) fn to_header(&self) -> String {
        let (how, number) = match self.stamp {
            Stamp::Assigned { base } => (b'A', base),
            Stamp::Given(version) => (b'G', version.0),
        };
        let (count, write) = self.pieces.unwrap_or_default();
        let mut bytes = vec![if self.tombstone { b'T' } else { b'E' }, how];
        bytes.extend(number.to_be_bytes());
        bytes.extend(self.ends_ms.to_be_bytes());
        bytes.extend(self.size.to_be_bytes());
        bytes.extend(count.to_be_bytes());
        bytes.extend(write);
        bytes.extend((self.ahead() as u32).to_be_bytes());
        if self.ahead() == 0 {
            bytes.extend(&self.flat[..]);
        }
        STANDARD_NO_PAD.encode(bytes)
    }

    /// What a header says, and how many bytes of the payload are the flat key that it leaves out.
    pub(super) fn parse(header: &str) -> Result<(Self, usize)> {
        let bytes = STANDARD_NO_PAD.decode(header).map_err(|source| corrupt("a header").caused_by(source))?;
        let (fixed, flat) =
            bytes.split_first_chunk::<FIXED>().ok_or_else(|| corrupt("a header that is too short"))?;
        let number = |at: usize| fixed[at..at + 8].iter().fold(0, |sum, byte| sum << 8 | u64::from(*byte));
        let tombstone = match fixed[0] {
            b'E' => false,
            b'T' => true,
            _ => return Err(corrupt("a header of no known kind")),
        };
        let stamp = match fixed[1] {
            b'A' => Stamp::Assigned { base: number(2) },
            b'G' => Stamp::Given(Version(number(2))),
            _ => return Err(corrupt("a version of no known kind")),
        };
        let count = u32::from_be_bytes([fixed[26], fixed[27], fixed[28], fixed[29]]);
        let mut write = Write::default();
        write.copy_from_slice(&fixed[30..46]);
        let ahead = u32::from_be_bytes([fixed[46], fixed[47], fixed[48], fixed[49]]) as usize;
        let head = Self {
            tombstone,
            stamp,
            ends_ms: number(10),
            size: number(18),
            pieces: (count > 0).then_some((count, write)),
            flat: Bytes::copy_from_slice(flat),
        };
        Ok((head, ahead))
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
        for stamp in [Stamp::Given(Version(u64::MAX)), Stamp::Assigned { base: 7 }] {
            let head = Head {
                tombstone: false,
                stamp,
                ends_ms: 1,
                size: 9,
                pieces: Some((3, [7; 16])),
                flat: Bytes::from_static(b"\x01na\r\n\0"),
            };
            assert_eq!(Head::parse(&head.to_header()).unwrap(), (head.clone(), 0));
            // As long as no header may be.
            let long = Head { flat: vec![7; 65_000].into(), ..head };
            assert!(long.to_header().len() < 1_000);
            let (found, ahead) = Head::parse(&long.to_header()).unwrap();
            assert_eq!((ahead, found.flat.len(), long.payload(Bytes::new())), (65_000, 0, long.flat));
        }
        for wrong in ["", "?", "RQ", &STANDARD_NO_PAD.encode([b'?'; FIXED])] {
            assert_eq!(Head::parse(wrong).unwrap_err().kind(), ErrorKind::Corrupt, "{wrong}");
        }
    }

    #[test]
    fn any_key_has_a_subject_of_its_own_that_a_line_can_hold() {
        let subjects = Subjects::new("b");
        let mut all = std::collections::HashSet::new();
        for space in ["", "a", "ab", ".", "*"] {
            for key in
                [&b""[..], b"\0", b".", b">", b"a b", b"\r\n", b"\xff\xff", &[7; 600], &[7; 601], &[7; 602]]
            {
                let subject = subjects.head(&Key::new(space, key).unwrap());
                assert!(
                    subject.len() < 2_000 && subject.split('.').all(|token| !token.is_empty()),
                    "{subject}"
                );
                assert!(!subject.contains([' ', '*', '>', '\r', '\n']), "{subject}");
                assert_eq!(subjects.kind(&subject), Kind::Head);
                assert!(all.insert(subject));
            }
        }
        let write = [0xab; 16];
        assert_eq!(subjects.kind(&subjects.piece(&write, 3)), Kind::Piece(write));
        assert_eq!(subjects.kind(&subjects.floor(None)), Kind::Floor);
        assert_eq!(subjects.kind(&subjects.base()), Kind::Other);
        assert_eq!(subjects.kind("$KV.other.e.n.k"), Kind::Other);
    }
}
