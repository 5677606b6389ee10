//! Reading rows in order, and past data blocks that are damaged.
//!
//! An engine's own iterator may end at the first block it cannot read, and may drop the row or two before it that it
//! had read ahead of. It does not say where the block ends either; but reading that begins behind it works, and reading that
//! ends before it works, so both edges are found by bisection. What lies between is left out and counted as damage:
//! even where a row there could be read, an older one might stand for it.
//!
//! # Cost
//! Nothing while all is sound; some hundreds of short reads, which are a few milliseconds, for each damaged block.

use std::collections::VecDeque;

use bytes::Bytes;
use terrace_store::{Error, ErrorKind, Result};

use super::engine::{Read, Space};
use super::folder::Damage;

/// By how much an edge may be longer than what its two sides have in common.
const PRECISION: usize = 32;
/// How often what lies between two places is halved: into so many powers of two.
const DEPTH: u8 = 9;
/// How many prefixes of a row are tried one by one before steps become wider.
const CLOSE_PREFIXES: usize = 32;

/// The entries' rows from one on.
pub(super) struct Rows<'a, R: Read> {
    reader: &'a R,
    damage: &'a Damage,
    iter: R::Rows,
    /// What was read again because it stood too close to a damaged block.
    pending: VecDeque<(Bytes, Bytes)>,
    /// Everything before has been returned or left out.
    at: Vec<u8>,
    /// How many damaged blocks were passed.
    passed: usize,
}

impl<'a, R: Read> Rows<'a, R> {
    /// The rows from this one on.
    pub(super) fn new(reader: &'a R, damage: &'a Damage, from: &[u8]) -> Self {
        let iter = range(reader, from, None);
        Self { reader, damage, iter, pending: VecDeque::new(), at: from.to_vec(), passed: 0 }
    }

    /// How many damaged blocks were passed.
    pub(super) fn passed(&self) -> usize {
        self.passed
    }

    /// The next row, and its value.
    ///
    /// # Errors
    /// Those of the disk; `Corrupt` if no end of the damage is found.
    pub(super) fn next(&mut self) -> Result<Option<(Bytes, Bytes)>> {
        loop {
            if let Some(row) = self.pending.pop_front() {
                return Ok(Some(row));
            }
            match self.iter.next() {
                None => return Ok(None),
                Some(Ok((row, value))) => {
                    self.at.clear();
                    self.at.extend_from_slice(&row);
                    self.at.push(0);
                    return Ok(Some((row, value)));
                }
                Some(Err(error)) => self.pass(error)?,
            }
        }
    }

    /// Goes on behind the block that could not be read.
    fn pass(&mut self, error: Error) -> Result<()> {
        if error.kind() != ErrorKind::Corrupt {
            return Err(error);
        }
        self.damage.note();
        self.passed += 1;
        let Some(behind) = self.behind() else { return Err(error) };
        let (last, next) = bisect(self.at.clone(), behind.clone(), |middle| self.is_sound_before(middle));
        if last > self.at {
            let sound = self.before(&last).map_while(Result::ok);
            self.pending.extend(sound);
        }
        for row in [last, next] {
            let new = row >= self.at && self.pending.back().is_none_or(|(last, _)| last[..] < row[..]);
            if !new || row >= behind {
                continue;
            }
            if let Ok(Some(value)) = lookup(self.reader, self.damage, "list", &row) {
                self.pending.push_back((row.into(), value));
            }
        }
        self.iter = range(self.reader, &behind, None);
        self.at = behind;
        Ok(())
    }

    /// The first place behind the damage from which rows can be read.
    ///
    /// It is looked for in steps that double, from the smallest, and then once more among the places that these passed
    /// over: a wide step may miss the sound rows between two damaged blocks, and a bisection would not know.
    fn behind(&self) -> Option<Vec<u8>> {
        let mut damaged = self.at.clone();
        let mut length = self.at.len();
        for tried in 0.. {
            if length == 0 {
                return None;
            }
            for step in (0..8).map(|bit| 1 << bit) {
                let Some(place) = advanced(&self.at[..length], step) else { continue };
                if place <= damaged {
                    continue;
                }
                if self.is_sound_from(&place) {
                    let width = damaged.len().max(place.len()) + 2;
                    let (damaged, place) =
                        self.first_sound(damaged, &place, width, DEPTH).unwrap_or_else(|low| (low, place));
                    return Some(bisect(damaged, place, |middle| !self.is_sound_from(middle)).1);
                }
                damaged = place;
            }
            length = length.saturating_sub(1 << (tried / CLOSE_PREFIXES).min(16));
        }
        None
    }

    /// The first of evenly spread places between these two that is sound, and the one before it; if none is, the last.
    fn first_sound(
        &self,
        low: Vec<u8>,
        high: &[u8],
        width: usize,
        depth: u8,
    ) -> std::result::Result<(Vec<u8>, Vec<u8>), Vec<u8>> {
        let Some(middle) = middle(&low, high, width).filter(|_| depth != 0) else { return Err(low) };
        match self.first_sound(low, &middle, width, depth - 1) {
            Ok(found) => Ok(found),
            Err(low) if self.is_sound_from(&middle) => Ok((low, middle)),
            Err(_) => self.first_sound(middle, high, width, depth - 1),
        }
    }

    fn is_sound_from(&self, from: &[u8]) -> bool {
        range(self.reader, from, None).next().is_none_or(|row| row.is_ok())
    }

    fn is_sound_before(&self, end: &[u8]) -> bool {
        self.before(end).all(|row| row.is_ok())
    }

    fn before(&self, end: &[u8]) -> R::Rows {
        range(self.reader, &self.at, Some(end))
    }
}

fn range<R: Read>(reader: &R, from: &[u8], before: Option<&[u8]>) -> R::Rows {
    reader.range("list", Space::Entries, from, before)
}

/// The value of a row.
///
/// A get asks a file's filter first, and fails if that is damaged; reading a range of one row does not need it.
///
/// # Errors
/// `Corrupt` if the row's block is damaged.
pub(super) fn lookup<R: Read>(
    reader: &R,
    damage: &Damage,
    operation: &'static str,
    row: &[u8],
) -> Result<Option<Bytes>> {
    recovered(reader, damage, row, reader.get(operation, Space::Entries, row))
}

/// What a get found, or what the range finds if the get met damage.
pub(super) fn recovered<R: Read>(
    reader: &R,
    damage: &Damage,
    row: &[u8],
    found: Result<Option<Bytes>>,
) -> Result<Option<Bytes>> {
    let error = match found {
        Err(error) if error.kind() == ErrorKind::Corrupt => error,
        value => return value,
    };
    damage.note();
    let behind = [row, &[0]].concat();
    match range(reader, row, Some(&behind)).next() {
        None => Ok(None),
        Some(Ok((_, value))) => Ok(Some(value)),
        Some(Err(_)) => Err(error),
    }
}

/// Two neighbouring places between these two, the first of which is still `low`, which the second is not.
fn bisect(mut low: Vec<u8>, mut high: Vec<u8>, is_low: impl Fn(&[u8]) -> bool) -> (Vec<u8>, Vec<u8>) {
    let common = low.iter().zip(&high).take_while(|(a, b)| a == b).count();
    while let Some(middle) = middle(&low, &high, common + PRECISION) {
        if is_low(&middle) {
            low = middle;
        } else {
            high = middle;
        }
    }
    (low, high)
}

/// The place so many steps of its last byte further on. `None` if there is none.
fn advanced(place: &[u8], step: u8) -> Option<Vec<u8>> {
    let mut place = place.to_vec();
    let mut step = step;
    for byte in place.iter_mut().rev() {
        let (sum, carried) = byte.overflowing_add(step);
        *byte = sum;
        if !carried {
            return Some(place);
        }
        step = 1;
    }
    None
}

/// The place half way between two, both read as fractions of so many bytes. `None` if there is none.
fn middle(low: &[u8], high: &[u8], width: usize) -> Option<Vec<u8>> {
    let digit = |place: &[u8], index: usize| u16::from(place.get(index).copied().unwrap_or(0));
    let mut sum = vec![0_u8; width];
    let mut carry = 0;
    for index in (0..width).rev() {
        let digits = digit(low, index) + digit(high, index) + carry;
        sum[index] = (digits & 0xff) as u8;
        carry = digits >> 8;
    }
    for byte in &mut sum {
        let both = carry << 8 | u16::from(*byte);
        *byte = (both >> 1) as u8;
        carry = both & 1;
    }
    sum.truncate(sum.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1));
    (low < &sum[..] && &sum[..] < high).then_some(sum)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_middle_lies_between_until_there_is_none() {
        assert_eq!(middle(b"a", b"c", 2).unwrap(), b"b");
        assert_eq!(middle(b"a", b"b", 2).unwrap(), b"a\x80");
        assert_eq!(middle(b"\xff\xff", b"\xff\xff\x01", 3), None);
        assert_eq!(middle(b"a\0\0", b"a\0\0\x01", 4), None);
        assert_eq!(middle(b"", b"\xff\xff", 2).unwrap(), b"\x7f\xff");
    }

    #[test]
    fn steps_carry_and_end_with_the_last_place() {
        assert_eq!(advanced(b"a0", 2).unwrap(), b"a2");
        assert_eq!(advanced(b"a\xff", 2).unwrap(), b"b\x01");
        assert_eq!(advanced(b"\xff\xff", 1), None);
        assert_eq!(advanced(b"", 1), None);
    }

    #[test]
    fn bisection_finds_the_edge_to_the_byte() {
        let edge = b"namespace:key:000777".to_vec();
        let (low, high) =
            bisect(b"namespace:key:0000\0".to_vec(), b"nb".to_vec(), |place| *place <= edge[..]);
        assert_eq!(low, edge);
        assert!(high > edge && high.starts_with(&edge) && high.len() == 1 + PRECISION, "{high:?}");
    }
}
