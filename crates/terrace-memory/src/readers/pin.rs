//! What stands for a thread that is reading.
//!
//! Decision: three types for one thing, because what a hit does is counted in instructions. The [`Usual`] pin, which
//! nearly all reads have, is one word and ends in one way; a [`Pin`] may also be one inside another, or of a thread
//! that has no number; and [`Pinned`] is what both are to those who look things up.

use std::marker::PhantomData;
use std::mem::ManuallyDrop;
use std::sync::atomic::Ordering;

use super::{Line, Readers};

/// What the end of a pin ends.
#[derive(Clone, Copy)]
pub(super) enum End {
    /// The thread's reading.
    Outermost,
    /// Nothing: another pin is around it.
    Inner,
    /// The thread's reading, and its having a number.
    Lent,
}

/// While this lives, nothing that this thread could have found in the engine is freed.
pub(crate) struct Pin<'a> {
    line: &'a Line,
    end: End,
    readers: &'a Readers,
    /// It stands for this thread only.
    local: PhantomData<*const ()>,
}

impl<'a> Pin<'a> {
    pub(super) fn of(line: &'a Line, end: End, readers: &'a Readers) -> Self {
        Pin { line, end, readers, local: PhantomData }
    }

    /// What says that this thread is pinned.
    #[inline(always)]
    pub(crate) fn token(&self) -> Pinned<'_> {
        Pinned { line: self.line, local: PhantomData }
    }
}

impl Drop for Pin<'_> {
    #[inline(always)]
    fn drop(&mut self) {
        match self.end {
            End::Outermost => self.line.end(),
            End::Inner => {}
            End::Lent => self.readers.give_back(self.line),
        }
    }
}

/// The pin of a thread with a line among the first that was not pinned before.
pub(crate) struct Usual<'a> {
    line: &'a Line,
    local: PhantomData<*const ()>,
}

impl<'a> Usual<'a> {
    #[inline(always)]
    pub(super) fn of(line: &'a Line) -> Self {
        Usual { line, local: PhantomData }
    }

    /// The same among those that may end in other ways.
    #[inline(always)]
    pub(super) fn into_pin(self, readers: &'a Readers) -> Pin<'a> {
        // It ends when the other one does.
        let this = ManuallyDrop::new(self);
        Pin::of(this.line, End::Outermost, readers)
    }

    /// What says that this thread is pinned.
    #[inline(always)]
    pub(crate) fn token(&self) -> Pinned<'_> {
        Pinned { line: self.line, local: PhantomData }
    }
}

impl Drop for Usual<'_> {
    #[inline(always)]
    fn drop(&mut self) {
        self.line.end();
    }
}

/// Says that this thread is pinned, for as long as the pin is borrowed. One word, handed on by value: a pin whose
/// address is known anywhere has to be kept in memory on every hit, for the sake of the few that go on elsewhere.
#[derive(Clone, Copy)]
pub(crate) struct Pinned<'p> {
    line: &'p Line,
    local: PhantomData<*const ()>,
}

impl Pinned<'_> {
    /// Counts a read that found something. A plain store: no other thread has this line.
    #[inline]
    pub(crate) fn count_hit(self) {
        let hits = &self.line.hits;
        hits.store(hits.load(Ordering::Relaxed).wrapping_add(1), Ordering::Relaxed);
    }

    /// Counts a read that found nothing.
    #[inline]
    pub(crate) fn count_miss(self) {
        let misses = &self.line.misses;
        misses.store(misses.load(Ordering::Relaxed).wrapping_add(1), Ordering::Relaxed);
    }
}
