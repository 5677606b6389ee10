//! What is written: values that look like text, and values that nothing makes smaller.

/// What a value looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::suite) enum Kind {
    /// Words of a small vocabulary, as in logs and pages.
    Text,
    /// Random bytes.
    Noise,
}

impl Kind {
    pub(in crate::suite) fn name(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Noise => "noise",
        }
    }
}

const WORDS: [&str; 64] = [
    "the",
    "of",
    "request",
    "and",
    "to",
    "in",
    "user",
    "session",
    "a",
    "is",
    "order",
    "that",
    "for",
    "it",
    "status",
    "was",
    "on",
    "with",
    "as",
    "his",
    "payment",
    "be",
    "at",
    "by",
    "had",
    "delivered",
    "not",
    "are",
    "but",
    "from",
    "or",
    "have",
    "an",
    "they",
    "which",
    "one",
    "you",
    "were",
    "her",
    "all",
    "account",
    "their",
    "there",
    "been",
    "customer",
    "has",
    "when",
    "who",
    "will",
    "more",
    "shipment",
    "no",
    "if",
    "out",
    "so",
    "said",
    "what",
    "up",
    "invoice",
    "its",
    "about",
    "into",
    "than",
    "them",
];

/// A generator of numbers that is good enough for noise and costs next to nothing: xorshift64* (Vigna, 2014).
pub(in crate::suite) struct Chance(u64);

impl Chance {
    pub(in crate::suite) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    pub(in crate::suite) fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }
}

/// The key of this number: 16 bytes, in no order.
pub(in crate::suite) fn key(number: u64) -> [u8; 16] {
    let mut key = *b"item:0000000000a";
    let mixed = number.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    for (at, byte) in key.iter_mut().skip(5).enumerate() {
        *byte = b"0123456789abcdefghijklmnopqrstuv"[(mixed >> (5 * at) & 31) as usize];
    }
    key
}

/// The value of this number, so that whoever reads it can tell whether it is the right one.
pub(in crate::suite) fn value(kind: Kind, size: usize, number: u64, out: &mut Vec<u8>) {
    out.clear();
    let mut chance = Chance::new(number + 1);
    match kind {
        Kind::Noise => {
            while out.len() < size {
                out.extend_from_slice(&chance.next().to_le_bytes());
            }
        }
        Kind::Text => {
            while out.len() < size {
                let draw = chance.next();
                for at in 0..8 {
                    out.extend_from_slice(WORDS[(draw >> (8 * at) & 63) as usize].as_bytes());
                    out.push(b' ');
                }
                out.extend_from_slice(format!("{} ", draw >> 52).as_bytes());
            }
        }
    }
    out.truncate(size);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_differ_and_values_repeat_themselves() {
        let keys: std::collections::HashSet<_> = (0..10_000).map(key).collect();
        assert_eq!(keys.len(), 10_000);
        let (mut first, mut again) = (Vec::new(), Vec::new());
        for kind in [Kind::Text, Kind::Noise] {
            value(kind, 1000, 7, &mut first);
            value(kind, 1000, 7, &mut again);
            assert!(first == again && first.len() == 1000);
            value(kind, 1000, 8, &mut again);
            assert_ne!(first, again);
        }
    }
}
