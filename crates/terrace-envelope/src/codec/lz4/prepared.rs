//! LZ4 with a dictionary whose tables are prepared once.
//!
//! Decision: an encoder of our own, because the libraries' build the tables of a dictionary anew for each value, which
//! takes several times as long as encoding a kilobyte. What it writes is a plain block of LZ4 that the library decodes. The
//! dictionary's tables are shared and never written to; that of the value is small, and cleared for each. Eight bytes are
//! looked for first, so that a dictionary full of beginnings of words does not hide whole phrases; the first match is
//! taken. Looking one byte further for a longer one made blocks a tenth shorter and took two thirds more time.

use lz4_flex::block::get_maximum_output_size;

use super::{LONGEST_LITERALS_END, MATCH_LIMIT, SHORTEST_MATCH};

/// Offsets have 16 bits, and reach from the value back into the dictionary.
const WINDOW: usize = u16::MAX as usize;
/// No more of a dictionary is used, which leaves half of the window to the value.
const LONGEST: usize = 32 << 10;
/// Logarithms of the sizes of the dictionary's tables.
const LONG_BITS: u32 = 14;
const SHORT_BITS: u32 = 13;
/// Bytes that are compared at once.
const WORD: usize = 8;
/// The logarithm of the size of a value's table.
const VALUE_BITS: u32 = 12;

/// A dictionary with its tables: for each hash the last place where such bytes begin, or the first place of all. Whatever
/// a table names is held against the bytes that are looked for, so nothing has to tell that it names nothing.
pub(in crate::codec) struct Prepared {
    /// With [`WORD`] bytes behind it that are not part of it, so that words can be read anywhere in it.
    padded: Box<[u8]>,
    /// By eight bytes.
    long: Box<[u16; 1 << LONG_BITS]>,
    /// By four bytes.
    short: Box<[u16; 1 << SHORT_BITS]>,
}

/// Where the bytes from a position of the value on stood before: in the dictionary, or in the value itself.
#[derive(Clone, Copy)]
struct Match<'a> {
    source: &'a [u8],
    from: usize,
    len: usize,
    /// How far back that is, the dictionary lying before the value.
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

/// How many of the first bytes of two words are the same.
#[inline]
fn same(one: u64, other: u64) -> usize {
    ((one ^ other).trailing_zeros() / 8) as usize
}

/// A table of no places.
fn table<const SIZE: usize>() -> Box<[u16; SIZE]> {
    vec![0; SIZE].into_boxed_slice().try_into().unwrap_or_else(|_| Box::new([0; SIZE]))
}

impl Prepared {
    pub(in crate::codec) fn new(content: &[u8]) -> Self {
        let content = content.get(content.len().saturating_sub(LONGEST)..).unwrap_or_default();
        let (mut long, mut short) = (table(), table());
        for at in 0..content.len() {
            if let Some(bytes) = eight(content, at)
                && let Some(entry) = long.get_mut(hash_eight(bytes, LONG_BITS))
            {
                *entry = at as u16;
            }
            if let Some(bytes) = four(content, at)
                && let Some(entry) = short.get_mut(hash_four(bytes, SHORT_BITS))
            {
                *entry = at as u16;
            }
        }
        Self { padded: [content, &[0; WORD]].concat().into(), long, short }
    }

    /// The dictionary as a decoder needs it.
    pub(super) fn content(&self) -> &[u8] {
        self.padded.get(..self.len()).unwrap_or_default()
    }

    fn len(&self) -> usize {
        self.padded.len() - WORD
    }

    pub(in crate::codec) fn heap_bytes(&self) -> usize {
        self.padded.len() + 2 * (self.long.len() + self.short.len())
    }

    /// Whether the whole dictionary is in reach of every byte of a value of this length.
    pub(super) fn reaches(&self, len: usize) -> bool {
        len + self.len() <= WINDOW
    }

    /// Appends the value as a block. The dictionary must reach it.
    pub(super) fn append(&self, value: &[u8], table: &mut Vec<u16>, out: &mut Vec<u8>) {
        // The shorter the value, the less there is to clear.
        let bits = (value.len().max(64).ilog2() - 1).min(VALUE_BITS);
        table.clear();
        table.resize(1 << bits, 0);
        let mut block = Block::behind(out, value.len());
        let last = value.len().saturating_sub(MATCH_LIMIT);
        let body = value.get(..value.len().saturating_sub(LONGEST_LITERALS_END)).unwrap_or_default();
        let (mut literals, mut at) = (0, 0);
        while at < last {
            let found = self.find(body, at, table, bits).filter(|found| found.len >= SHORTEST_MATCH);
            let Some(found) = found else {
                // What does not repeat itself is gone through faster and faster.
                at += 1 + (at - literals) / 32;
                continue;
            };
            let before = found.backwards(value, at, literals);
            block.sequence(value, literals..at - before, found.offset, found.len + before);
            at += found.len;
            literals = at;
            // Its end is likely to come again, too.
            if let Some(bytes) = four(value, at - 2)
                && let Some(entry) = table.get_mut(hash_four(bytes, bits))
            {
                *entry = (at - 2) as u16;
            }
        }
        block.end(value.get(literals..).unwrap_or_default());
    }

    /// A match that the tables know of, if any, of at most all of `body` from `at` on. That is a word at least.
    #[inline(always)]
    fn find<'a>(&'a self, body: &'a [u8], at: usize, table: &mut [u16], bits: u32) -> Option<Match<'a>> {
        let words = eight(body, at)?;
        let entry = table.get_mut(hash_four(words as u32, bits))?;
        let near = usize::from(std::mem::replace(entry, at as u16));
        let long = usize::from(*self.long.get(hash_eight(words, LONG_BITS))?);
        if eight(&self.padded, long)? == words {
            return Some(self.within(body, at, long, WORD));
        }
        let known = if near < at { same(words, eight(body, near)?) } else { 0 };
        if known >= SHORTEST_MATCH {
            let len = if known < WORD { known } else { common(body.get(at..)?, body.get(near..)?) };
            return Some(Match { source: body, from: near, len, offset: at - near });
        }
        let short = usize::from(*self.short.get(hash_four(words as u32, SHORT_BITS))?);
        let known = same(words, eight(&self.padded, short)?);
        (known >= SHORTEST_MATCH).then(|| self.within(body, at, short, known))
    }

    /// A match with the dictionary, of which so many bytes are known to be the same.
    #[inline]
    fn within(&self, body: &[u8], at: usize, from: usize, known: usize) -> Match<'_> {
        let content = self.content();
        let len = match (body.get(at..), content.get(from..)) {
            (Some(rest), Some(source)) if known == WORD => common(rest, source),
            _ => known.min(content.len() - from),
        };
        Match { source: content, from, len, offset: at + content.len() - from }
    }
}

impl Match<'_> {
    /// By how many bytes it can begin earlier.
    #[inline]
    fn backwards(&self, value: &[u8], at: usize, literals: usize) -> usize {
        let most = (at - literals).min(self.from);
        let mut before = 0;
        while before < most && value.get(at - before - 1) == self.source.get(self.from - before - 1) {
            before += 1;
        }
        before
    }
}

/// A block that is being written, in room that is large enough for any.
struct Block<'a> {
    out: &'a mut Vec<u8>,
    at: usize,
}

/// Literals of which a sequence has so many or fewer are copied as if it had as many: that is two moves.
const FEW: usize = 14;
const COPIED: usize = 16;

impl<'a> Block<'a> {
    fn behind(out: &'a mut Vec<u8>, value: usize) -> Self {
        let at = out.len();
        out.resize(at + get_maximum_output_size(value) + COPIED + SHORTEST_MATCH, 0);
        Block { out, at }
    }

    /// Adds these bytes of the value and, after them, a match.
    #[inline]
    fn sequence(&mut self, value: &[u8], literals: std::ops::Range<usize>, offset: usize, len: usize) {
        let (count, len) = (literals.len(), len - SHORTEST_MATCH);
        let token = (count.min(15) << 4 | len.min(15)) as u8;
        let offset = (offset as u16).to_le_bytes();
        if count <= FEW
            && let Some(bytes) = value.get(literals.start..).and_then(<[u8]>::first_chunk::<COPIED>)
            && let Some(room) =
                self.out.get_mut(self.at..).and_then(<[u8]>::first_chunk_mut::<{ COPIED + 1 }>)
        {
            room[0] = token;
            room[1..].copy_from_slice(bytes);
            room[1 + count..3 + count].copy_from_slice(&offset);
            self.at += 3 + count;
        } else {
            self.put(&[token]);
            self.more(count);
            self.put(value.get(literals).unwrap_or_default());
            self.put(&offset);
        }
        self.more(len);
    }

    /// Appends a number of which the token has the first 15.
    #[inline]
    fn more(&mut self, count: usize) {
        if let Some(mut rest) = count.checked_sub(15) {
            while rest >= 255 {
                self.put(&[255]);
                rest -= 255;
            }
            self.put(&[rest as u8]);
        }
    }

    #[inline]
    fn put(&mut self, bytes: &[u8]) {
        if let Some(room) = self.out.get_mut(self.at..self.at + bytes.len()) {
            room.copy_from_slice(bytes);
        }
        self.at += bytes.len();
    }

    /// Adds the last literals. Then nothing is behind the block.
    fn end(mut self, literals: &[u8]) {
        self.put(&[(literals.len().min(15) << 4) as u8]);
        self.more(literals.len());
        self.put(literals);
        self.out.truncate(self.at);
    }
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
