//! The place of one entry, and the rules by which it may be looked at.
//!
//! Decision: key and value stand beside what a hit needs to know of them, so that a hit touches one line. Everything
//! that changes while readers may look is atomic; the pair does not change from being filled to being emptied.

#![allow(unsafe_code, reason = "cells are shared with readers who hold no lock; UNSAFE.md argues each use")]

use std::cell::UnsafeCell;
use std::mem::MaybeUninit;
use std::sync::atomic::{AtomicU8, Ordering};

use crate::slab::NIL;
use crate::sync::AtomicU32;

/// A key and its value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pair<K, V> {
    /// The key.
    pub key: K,
    /// The value.
    pub value: V,
}

/// Bits of a cell's flags.
pub(crate) mod flag {
    /// There is a pair in it.
    pub(crate) const FILLED: u8 = 1;
    /// The table knows it.
    pub(crate) const LIVE: u8 = 2;
    /// The policy does not know it.
    pub(crate) const PINNED: u8 = 4;
    /// It may expire.
    pub(crate) const TIMED: u8 = 8;
    /// It was unlinked, and whoever held it since has given it up.
    pub(crate) const GIVEN_UP: u8 = 16;
    /// Its priority is low.
    pub(crate) const LOW: u8 = 32;
    /// Its priority is high.
    pub(crate) const HIGH: u8 = 64;
}

/// The place of one entry.
pub(crate) struct Cell<K, V> {
    pair: UnsafeCell<MaybeUninit<Pair<K, V>>>,
    /// The part of the key's hash that the table goes by; while the cell is in a list, the next one.
    word: AtomicU32,
    /// What the policy knows of its use.
    pub(crate) mark: AtomicU8,
    flags: AtomicU8,
}

impl<K, V> Cell<K, V> {
    pub(crate) fn free() -> Self {
        Cell {
            pair: UnsafeCell::new(MaybeUninit::uninit()),
            word: AtomicU32::new(NIL),
            mark: AtomicU8::new(0),
            flags: AtomicU8::new(0),
        }
    }

    #[inline]
    pub(crate) fn is(&self, flag: u8) -> bool {
        self.flags.load(Ordering::Relaxed) & flag != 0
    }

    /// Whether nothing was asked for its entry: no end, no pin, no priority.
    #[inline]
    pub(crate) fn is_plain(&self) -> bool {
        !self.is(flag::PINNED | flag::TIMED | flag::LOW | flag::HIGH)
    }

    /// Under the shard's lock, or by whoever unlinked the cell.
    #[inline]
    pub(crate) fn set(&self, flag: u8, on: bool) {
        let flags = self.flags.load(Ordering::Relaxed);
        self.flags.store(if on { flags | flag } else { flags & !flag }, Ordering::Release);
    }

    /// Whether nobody holds it any more; whoever did saw it for the last time before that.
    #[inline]
    pub(crate) fn is_given_up(&self) -> bool {
        self.flags.load(Ordering::Acquire) & flag::GIVEN_UP != 0
    }

    /// The hash of a live entry, or the next cell of a list.
    #[inline]
    pub(crate) fn word(&self) -> u32 {
        self.word.load(Ordering::Relaxed)
    }

    #[inline]
    pub(crate) fn set_word(&self, word: u32) {
        self.word.store(word, Ordering::Release);
    }

    /// What is in the cell.
    ///
    /// # Safety
    ///
    /// The cell has been filled, as the caller knows by having found it in the table or by having unlinked it;
    /// and for as long as the reference lives the caller holds the shard's lock, or a pin from before it found
    /// the cell, or is the one who unlinked it and has not yet given it up.
    #[inline]
    pub(crate) unsafe fn pair(&self) -> &Pair<K, V> {
        // SAFETY: a filled cell holds a pair, and nothing writes to it until it has been given up and its time
        // of grace is over, which the caller holds off.
        unsafe { (*self.pair.get()).assume_init_ref() }
    }

    /// Puts a pair into a free cell.
    ///
    /// # Safety
    ///
    /// The cell came from the list of free ones, and nobody else has been told its number since.
    #[inline(always)]
    pub(crate) unsafe fn fill(&self, pair: Pair<K, V>, hash: u32, mark: u8, flags: u8) {
        // SAFETY: nobody else knows the cell, so nobody looks at it while it is written.
        unsafe { (*self.pair.get()).write(pair) };
        self.word.store(hash, Ordering::Relaxed);
        self.mark.store(mark, Ordering::Relaxed);
        self.flags.store(flags | flag::FILLED, Ordering::Release);
    }

    /// Takes the pair out and leaves the cell empty.
    ///
    /// # Safety
    ///
    /// The cell is filled, was unlinked, and nobody can look at it any more.
    pub(crate) unsafe fn empty(&self) -> Pair<K, V> {
        self.flags.store(0, Ordering::Relaxed);
        // SAFETY: it is filled, and read this once, because it counts as empty from now on.
        unsafe { (*self.pair.get()).assume_init_read() }
    }
}
