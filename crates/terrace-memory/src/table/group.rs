//! A group of the index: twelve tags, twelve cells and four counts on a cache line.

use std::sync::atomic::Ordering;

use crate::slab::NIL;
use crate::sync::{AtomicU32, AtomicU64};

/// Entries to a group.
pub(super) const WIDTH: usize = 12;
/// Of a tag byte in use. Zero is an empty place.
const USED: u8 = 0x80;
/// In the second word, above its tags, stand the counts of those that went on: one for each class of hashes.
const COUNTS: u32 = 32;
const CLASSES: u32 = 4;
/// A count that was ever this high stays, because it says no more how many there are.
const STUCK: u64 = 0xff;

/// Twelve places of the table, on a cache line.
#[repr(C, align(64))]
pub(super) struct Group {
    pub(super) tags: [AtomicU64; 2],
    pub(super) cells: [AtomicU32; WIDTH],
}

/// Whether [`matching`] names no place whose tag is another one.
const EXACT: bool = cfg!(all(target_arch = "x86_64", not(shuttle)));

/// What a look into one group tells.
pub(super) enum Look<T> {
    Found(T),
    Absent,
    Further,
}

impl Group {
    pub(super) fn empty() -> Self {
        Group { tags: [const { AtomicU64::new(0) }; 2], cells: [const { AtomicU32::new(NIL) }; WIDTH] }
    }

    #[inline]
    pub(super) fn find<T>(&self, hash: u32, accept: impl Fn(u32) -> Option<T>) -> Look<T> {
        let mut candidates = matching(&self.tags, tag(hash));
        while candidates != 0 {
            let place = candidates.trailing_zeros() as usize;
            if let Some(cell) = self.cells.get(place).map(|cell| cell.load(Ordering::Acquire))
                && let Some(found) = accept(cell)
            {
                return Look::Found(found);
            }
            candidates &= candidates - 1;
        }
        if self.sends_on(class(hash)) { Look::Further } else { Look::Absent }
    }

    pub(super) fn tag(&self, place: usize) -> u8 {
        (self.tags[place / 8].load(Ordering::Relaxed) >> (place % 8 * 8)) as u8
    }

    /// Published last: a reader that sees the tag sees the cell.
    #[inline(always)]
    pub(super) fn set_tag(&self, place: usize, tag: u8) {
        let (word, shift) = (&self.tags[place / 8], place % 8 * 8);
        let cleared = word.load(Ordering::Relaxed) & !(0xff << shift);
        word.store(cleared | u64::from(tag) << shift, Ordering::Release);
    }

    /// Whether a hash of this class may stand further on.
    #[inline]
    pub(super) fn sends_on(&self, shift: u32) -> bool {
        self.tags[1].load(Ordering::Acquire) >> shift & STUCK != 0
    }

    /// Whether any may.
    pub(super) fn sends_any_on(&self) -> bool {
        self.tags[1].load(Ordering::Relaxed) >> COUNTS != 0
    }

    pub(super) fn one_goes_on(&self, shift: u32) {
        let word = self.tags[1].load(Ordering::Relaxed);
        if word >> shift & STUCK != STUCK {
            self.tags[1].store(word + (1 << shift), Ordering::Release);
        }
    }

    pub(super) fn one_goes_no_more(&self, shift: u32) {
        let word = self.tags[1].load(Ordering::Relaxed);
        if word >> shift & STUCK != STUCK {
            self.tags[1].store(word - (1 << shift), Ordering::Release);
        }
    }

    /// The place of a cell that stands here with this tag.
    #[inline(always)]
    pub(super) fn place_of(&self, tag: u8, cell: u32) -> Option<usize> {
        let mut candidates = matching(&self.tags, tag);
        while candidates != 0 {
            let place = candidates.trailing_zeros() as usize;
            let stands_here = self.cells.get(place).is_some_and(|at| at.load(Ordering::Relaxed) == cell);
            if stands_here && (EXACT || self.tag(place) == tag) {
                return Some(place);
            }
            candidates &= candidates - 1;
        }
        None
    }

    /// Puts a cell into an empty place, if there is one.
    #[inline(always)]
    pub(super) fn take_in(&self, hash: u32, cell: u32) -> bool {
        let place = matching(&self.tags, 0).trailing_zeros() as usize;
        let Some(at) = self.cells.get(place) else { return false };
        at.store(cell, Ordering::Release);
        self.set_tag(place, tag(hash));
        true
    }
}

/// The places whose tag is `tag`, a bit each.
#[cfg(all(target_arch = "x86_64", not(shuttle)))]
#[inline]
#[allow(unsafe_code, reason = "vector instructions; UNSAFE.md")]
pub(super) fn matching(tags: &[AtomicU64; 2], tag: u8) -> u32 {
    use std::arch::x86_64::_mm_set1_epi8;
    let places: u32;
    // SAFETY: every x86-64 processor has these instructions. They read the two words, which are aligned to
    // sixteen bytes at the beginning of a group, as two relaxed atomic loads would: each half is read at once,
    // and loads are not reordered with later ones.
    unsafe {
        std::arch::asm!(
            "pcmpeqb {tags}, xmmword ptr [{group}]",
            "pmovmskb {places:e}, {tags}",
            tags = inout(xmm_reg) _mm_set1_epi8(tag as i8) => _,
            group = in(reg) tags.as_ptr(),
            places = lateout(reg) places,
            options(readonly, nostack, preserves_flags),
        );
    }
    places & ((1 << WIDTH) - 1)
}

/// The places whose tag is `tag`, a bit each. May name others too; whoever asks compares the keys.
#[cfg(not(all(target_arch = "x86_64", not(shuttle))))]
#[inline]
pub(super) fn matching(tags: &[AtomicU64; 2], tag: u8) -> u32 {
    const LOW: u64 = 0x0101_0101_0101_0101;
    const HIGH: u64 = 0x8080_8080_8080_8080;
    // One bit for each zero byte of the difference, gathered into the lowest eight.
    let zeros = |word: u64| {
        let difference = word ^ (LOW * u64::from(tag));
        let bits = difference.wrapping_sub(LOW) & !difference & HIGH;
        ((bits >> 7).wrapping_mul(0x0102_0408_1020_4080) >> 56) as u32
    };
    let [first, second] = [0, 1].map(|word: usize| zeros(tags[word].load(Ordering::Acquire)));
    first | (second & 0xf) << 8
}

/// Where the count of this hash's class stands.
#[inline]
pub(super) fn class(hash: u32) -> u32 {
    COUNTS + (hash >> 7) % CLASSES * 8
}

#[inline]
pub(super) fn tag(hash: u32) -> u8 {
    hash as u8 | USED
}

#[cfg(all(test, not(shuttle)))]
mod tests {
    use super::*;

    #[test]
    fn matching_names_the_places_of_a_tag_and_no_others() {
        let bytes: [u8; 16] =
            [0x80, 0x81, 0, 0xff, 0x81, 0, 0, 0x81, 0x81, 0x80, 0, 0x81, 0x81, 0x81, 0x81, 0x81];
        let first = u64::from_le_bytes(*bytes.first_chunk().unwrap());
        let second = u64::from_le_bytes(*bytes.last_chunk().unwrap());
        let group = Group { tags: [AtomicU64::new(first), AtomicU64::new(second)], ..Group::empty() };
        assert_eq!(matching(&group.tags, 0x81), 0b1001_1001_0010);
        assert_eq!(matching(&group.tags, 0xff), 0b1000);
        assert_eq!(matching(&group.tags, 0x90), 0);
    }
}
