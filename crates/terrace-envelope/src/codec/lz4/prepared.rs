//! LZ4 with a dictionary whose tables are prepared once.
//!
//! Decision: an encoder of our own, because the libraries' build the tables of a dictionary anew for each value, which
//! takes several times as long as encoding a kilobyte. What it writes is a plain block of LZ4 that the library decodes. The
//! dictionary's tables are shared and never written to; that of the value is small, and cleared for each. Eight bytes are
//! looked for first, so that a dictionary full of beginnings of words does not hide whole phrases; the first match is
//! taken. Looking one byte further for a longer one made blocks a tenth shorter and took two thirds more time.

use super::{LONGEST_LITERALS_END, MATCH_LIMIT, SHORTEST_MATCH};

/// Offsets have 16 bits, and reach from the value back into the dictionary.
const WINDOW: usize = u16::MAX as usize;
/// No more of a dictionary is used, which leaves half of the window to the value.
const LONGEST: usize = 32 << 10;
/// Logarithms of the sizes of the dictionary's tables.
const LONG_BITS: u32 = 14;
const SHORT_BITS: u32 = 13;
/// The logarithm of the size of a value's table.
const VALUE_BITS: u32 = 12;

/// A dictionary with its tables: for each hash the last place where such bytes begin, plus one.
pub(in crate::codec) struct Prepared {
    content: Box<[u8]>,
    /// By eight bytes.
    long: Box<[u16]>,
    /// By four bytes.
    short: Box<[u16]>,
}

/// A place where the bytes from a position of the value on stood before.
#[derive(Clone, Copy, Default)]
struct Match {
    len: usize,
    offset: usize,
}

fn four(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk().map(|bytes| u32::from_le_bytes(*bytes))
}

fn eight(bytes: &[u8], at: usize) -> Option<u64> {
    bytes.get(at..)?.first_chunk().map(|bytes| u64::from_le_bytes(*bytes))
}

fn hash_four(bytes: u32, bits: u32) -> usize {
    (bytes.wrapping_mul(0x9e37_79b1) >> (32 - bits)) as usize
}

fn hash_eight(bytes: u64, bits: u32) -> usize {
    (bytes.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (64 - bits)) as usize
}

/// How many bytes are the same.
#[inline]
fn common(left: &[u8], right: &[u8]) -> usize {
    let (left_words, right_words) = (left.as_chunks::<8>().0, right.as_chunks::<8>().0);
    let mut same = 0;
    for (one, other) in left_words.iter().zip(right_words) {
        let differ = u64::from_le_bytes(*one) ^ u64::from_le_bytes(*other);
        if differ != 0 {
            return same + (differ.trailing_zeros() / 8) as usize;
        }
        same += 8;
    }
    let rest = left.iter().skip(same).zip(right.iter().skip(same));
    same + rest.take_while(|(one, other)| one == other).count()
}

impl Prepared {
    pub(in crate::codec) fn new(content: &[u8]) -> Self {
        let content: Box<[u8]> =
            content.get(content.len().saturating_sub(LONGEST)..).unwrap_or_default().into();
        let mut long = vec![0; 1 << LONG_BITS].into_boxed_slice();
        let mut short = vec![0; 1 << SHORT_BITS].into_boxed_slice();
        for at in 0..content.len() {
            let place = at as u16 + 1;
            if let Some(bytes) = eight(&content, at)
                && let Some(entry) = long.get_mut(hash_eight(bytes, LONG_BITS))
            {
                *entry = place;
            }
            if let Some(bytes) = four(&content, at)
                && let Some(entry) = short.get_mut(hash_four(bytes, SHORT_BITS))
            {
                *entry = place;
            }
        }
        Self { content, long, short }
    }

    /// The dictionary as a decoder needs it.
    pub(super) fn content(&self) -> &[u8] {
        &self.content
    }

    pub(in crate::codec) fn heap_bytes(&self) -> usize {
        self.content.len() + 2 * (self.long.len() + self.short.len())
    }

    /// Whether the whole dictionary is in reach of every byte of a value of this length.
    pub(super) fn reaches(&self, len: usize) -> bool {
        len + self.content.len() <= WINDOW
    }

    /// Appends the value as a block. The dictionary must reach it.
    pub(super) fn append(&self, value: &[u8], table: &mut Vec<u16>, out: &mut Vec<u8>) {
        // The shorter the value, the less there is to clear.
        let bits = (value.len().max(64).ilog2() - 1).min(VALUE_BITS);
        table.clear();
        table.resize(1 << bits, 0);
        let last = value.len().saturating_sub(MATCH_LIMIT);
        let body = value.get(..value.len().saturating_sub(LONGEST_LITERALS_END)).unwrap_or_default();
        let (mut literals, mut at) = (0, 0);
        while at < last {
            let found = self.find(value, body, at, table, bits);
            if found.len < SHORTEST_MATCH {
                // What does not repeat itself is gone through faster and faster.
                at += 1 + (at - literals) / 32;
                continue;
            }
            let before = self.backwards(value, at, literals, found.offset);
            let passed = value.get(literals..at - before).unwrap_or_default();
            sequence(passed, found.offset, found.len + before, out);
            at += found.len;
            literals = at;
            // Its end is likely to come again, too.
            if let Some(bytes) = four(value, at - 2)
                && let Some(entry) = table.get_mut(hash_four(bytes, bits))
            {
                *entry = (at - 2) as u16 + 1;
            }
        }
        end(value.get(literals..).unwrap_or_default(), out);
    }

    /// A match that the tables know of, if any.
    #[inline]
    fn find(&self, value: &[u8], body: &[u8], at: usize, table: &mut [u16], bits: u32) -> Match {
        let (Some(word), Some(words)) = (four(value, at), eight(value, at)) else { return Match::default() };
        let rest = body.get(at..).unwrap_or_default();
        let entry = table.get_mut(hash_four(word, bits));
        let near = entry.map_or(0, |entry| std::mem::replace(entry, at as u16 + 1));
        let long = self.long.get(hash_eight(words, LONG_BITS)).copied().unwrap_or(0);
        let best = self.longer(rest, at, long, Match::default());
        if best.len >= 8 {
            return best;
        }
        if let Some(from) = usize::from(near).checked_sub(1)
            && four(value, from) == Some(word)
        {
            let len = common(rest, body.get(from..).unwrap_or_default());
            return Match { len, offset: at - from };
        }
        let short = self.short.get(hash_four(word, SHORT_BITS)).copied().unwrap_or(0);
        self.longer(rest, at, short, best)
    }

    #[inline]
    fn longer(&self, rest: &[u8], at: usize, place: u16, best: Match) -> Match {
        let Some(from) = usize::from(place).checked_sub(1) else { return best };
        let len = common(rest, self.content.get(from..).unwrap_or_default());
        if len > best.len { Match { len, offset: at + self.content.len() - from } } else { best }
    }

    /// By how many bytes a match can begin earlier.
    fn backwards(&self, value: &[u8], at: usize, literals: usize, offset: usize) -> usize {
        let byte = |position: usize| match (position + self.content.len()).checked_sub(offset) {
            Some(from) if from >= self.content.len() => value.get(from - self.content.len()),
            Some(from) => self.content.get(from),
            None => None,
        };
        (literals..at).rev().take_while(|position| byte(*position) == value.get(*position)).count()
    }
}

/// Appends a number of which the token has the first 15.
fn more(count: usize, out: &mut Vec<u8>) {
    if let Some(mut rest) = count.checked_sub(15) {
        while rest >= 255 {
            out.push(255);
            rest -= 255;
        }
        out.push(rest as u8);
    }
}

fn sequence(literals: &[u8], offset: usize, len: usize, out: &mut Vec<u8>) {
    let len = len - SHORTEST_MATCH;
    out.push((literals.len().min(15) << 4 | len.min(15)) as u8);
    more(literals.len(), out);
    out.extend_from_slice(literals);
    out.extend_from_slice(&(offset as u16).to_le_bytes());
    more(len, out);
}

fn end(literals: &[u8], out: &mut Vec<u8>) {
    out.push((literals.len().min(15) << 4) as u8);
    more(literals.len(), out);
    out.extend_from_slice(literals);
}

#[cfg(test)]
mod tests {
    use super::*;
    use lz4_flex::block::decompress_into_with_dict;

    fn noise(len: usize, seed: u64) -> Vec<u8> {
        let mut state = seed;
        let next = || {
            state = state.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(0x1405_7b7e_f767_814f);
            (state >> 56) as u8
        };
        std::iter::repeat_with(next).take(len).collect()
    }

    fn encoded(prepared: &Prepared, value: &[u8]) -> usize {
        let (mut table, mut out) = (Vec::new(), Vec::new());
        prepared.append(value, &mut table, &mut out);
        let mut back = vec![0; value.len()];
        let len = decompress_into_with_dict(&out, &mut back, prepared.content()).unwrap();
        assert_eq!(&back[..len], value);
        out.len()
    }

    #[test]
    fn the_library_decodes_every_block() {
        let text = include_bytes!("prepared.rs");
        for content in [&text[..], &text[..5], &[], &[7; 300]] {
            let prepared = Prepared::new(content);
            for len in (0..300).chain([1000, 4096, 20_000, 32_000]) {
                let run = vec![7; len];
                let mixed: Vec<u8> = text
                    .iter()
                    .copied()
                    .cycle()
                    .skip(len / 3)
                    .take(len / 2)
                    .chain(noise(len / 2, 3))
                    .collect();
                let start: Vec<u8> = content.iter().copied().cycle().take(len).collect();
                for value in [run, mixed, noise(len, 5), start] {
                    assert!(prepared.reaches(value.len()));
                    assert!(encoded(&prepared, &value) <= value.len() + value.len() / 255 + 16);
                }
            }
        }
    }

    #[test]
    fn a_value_like_the_dictionary_becomes_short_and_one_out_of_reach_is_told() {
        let text = include_bytes!("prepared.rs");
        let prepared = Prepared::new(text);
        assert!(encoded(&prepared, &text[1000..2000]) < 30);
        assert!(prepared.reaches(WINDOW - prepared.content().len()));
        assert!(!prepared.reaches(WINDOW - prepared.content().len() + 1));
        assert_eq!(Prepared::new(&noise(100_000, 1)).content().len(), LONGEST);
    }
}
