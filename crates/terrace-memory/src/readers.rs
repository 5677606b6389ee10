//! Who is reading: what lets a reader look at an entry without a lock, and a writer free one without a crash.
//!
//! Decision: an asymmetric barrier. A reader *pins* with a plain store to a line of its own, reads, and unpins
//! with another plain store: no atomic read-modify-write, no fence, nothing shared is written. The price is the
//! writer's, once for hundreds of retired entries: `membarrier(2)` makes every running thread's stores visible,
//! and whoever is not pinned then cannot know anything that was unlinked before. Where the system has no such
//! call, readers pay a fence.
//!
//! Each engine has a line per thread, chosen by a small number that the thread has for as long as it lives; the
//! line also counts the thread's hits and misses, since it is written anyway.

mod barrier;
mod pin;
mod threads;

use std::sync::OnceLock;
use std::sync::atomic::{Ordering, compiler_fence, fence};

use self::barrier::dear_fence;
use self::pin::End;
pub(crate) use self::pin::{Pin, Pinned, Usual};
use crate::sync::AtomicU64;

/// Threads with a line that is there from the beginning; those beyond find theirs a step slower.
#[cfg(not(shuttle))]
const FIRST: usize = 32;
#[cfg(shuttle)]
const FIRST: usize = 4;
/// Blocks of lines for further threads, each twice as large as the one before.
const BLOCKS: usize = 24;

/// The line of one thread in one engine.
#[repr(align(128))]
#[derive(Default)]
pub(crate) struct Line {
    /// Odd while the thread is pinned.
    sequence: AtomicU64,
    hits: std::sync::atomic::AtomicU64,
    misses: std::sync::atomic::AtomicU64,
}

impl Line {
    #[inline(always)]
    fn end(&self) {
        // Nobody else changes it.
        self.sequence.store(self.sequence.load(Ordering::Relaxed) + 1, Ordering::Release);
    }
}

/// The lines of one engine.
pub(crate) struct Readers {
    first: [Line; FIRST],
    more: [OnceLock<Box<[Line]>>; BLOCKS],
    asymmetric: bool,
}

/// Readers that were pinned when something was unlinked, and in which of their reads.
#[derive(Default)]
pub(crate) struct Grace(Vec<(u32, u64)>);

impl Readers {
    pub(crate) fn new() -> Self {
        Readers {
            first: std::array::from_fn(|_| Line::default()),
            more: [const { OnceLock::new() }; BLOCKS],
            asymmetric: barrier::is_asymmetric(),
        }
    }

    /// Marks this thread as reading until the pin is dropped. May be nested.
    #[inline]
    pub(crate) fn pin(&self) -> Pin<'_> {
        self.usual_pin().map_or_else(|| self.rare_pin(), |pin| pin.into_pin(self))
    }

    /// The same for a thread with a line among the first that is not pinned, as nearly all are. Whoever treats the others
    /// apart spares a hit everything that it takes to tell how the pin ends.
    #[inline(always)]
    pub(crate) fn usual_pin(&self) -> Option<Usual<'_>> {
        let line = self.first.get(threads::current() as usize)?;
        let sequence = line.sequence.load(Ordering::Relaxed);
        if sequence & 1 == 1 {
            return None;
        }
        self.begin(line, sequence);
        Some(Usual::of(line))
    }

    #[inline(always)]
    fn begin(&self, line: &Line, sequence: u64) {
        line.sequence.store(sequence + 1, Ordering::Relaxed);
        // The store must not be put off until after what is read next. The writer's half sees to that.
        compiler_fence(Ordering::SeqCst);
        if !self.asymmetric {
            dear_fence();
        }
    }

    /// A pin inside another, or of a thread without a line among the first.
    #[cold]
    fn rare_pin(&self) -> Pin<'_> {
        let (thread, lent) = match threads::current() {
            threads::NONE => match threads::register() {
                Some(thread) => (thread, false),
                // The thread is ending and keeps no number any more.
                None => (threads::lend(), true),
            },
            thread => (thread, false),
        };
        let line = self.line(thread);
        let sequence = line.sequence.load(Ordering::Relaxed);
        let end = match (sequence & 1 == 1, lent) {
            (true, _) => End::Inner,
            (false, true) => End::Lent,
            (false, false) => End::Outermost,
        };
        if !matches!(end, End::Inner) {
            self.begin(line, sequence);
        }
        Pin::of(line, end, self)
    }

    fn line(&self, thread: u32) -> &Line {
        if let Some(line) = self.first.get(thread as usize) {
            return line;
        }
        let (block, place) = place(thread);
        // The blocks before it too: a line is known by its place among all lines.
        let lines = |block: usize| {
            self.more[block].get_or_init(|| (0..FIRST << block).map(|_| Line::default()).collect())
        };
        for before in 0..block {
            let _ = lines(before);
        }
        &lines(block)[place]
    }

    fn lines(&self) -> impl Iterator<Item = &Line> {
        self.first.iter().chain(self.more.iter().filter_map(OnceLock::get).flatten())
    }

    /// Begins to wait for the readers of what was unlinked before. `None` if the system refuses the barrier; the
    /// caller tries again later.
    pub(crate) fn grace(&self) -> Option<Grace> {
        if self.asymmetric {
            barrier::everywhere()?;
        } else {
            fence(Ordering::SeqCst);
        }
        let pinned = self.lines().enumerate().filter_map(|(number, line)| {
            let sequence = line.sequence.load(Ordering::Acquire);
            (sequence & 1 == 1).then_some((number as u32, sequence))
        });
        Some(Grace(pinned.collect()))
    }

    /// Whether all of them have gone on.
    pub(crate) fn passed(&self, grace: &mut Grace) -> bool {
        if grace.0.is_empty() {
            return true;
        }
        let lines: Vec<&Line> = self.lines().collect();
        grace.0.retain(|(number, sequence)| {
            lines.get(*number as usize).is_some_and(|line| line.sequence.load(Ordering::Acquire) == *sequence)
        });
        grace.0.is_empty()
    }

    /// Ends a read of a thread whose number was only lent to it.
    #[cold]
    fn give_back(&self, line: &Line) {
        line.end();
        let number = self.lines().position(|other| std::ptr::eq(other, line));
        if let Some(number) = number {
            threads::give_back(number as u32);
        }
    }

    /// Whether this very thread is pinned, so that it would wait for itself.
    pub(crate) fn is_pinned(&self) -> bool {
        match threads::current() {
            threads::NONE => false,
            thread => self.line(thread).sequence.load(Ordering::Relaxed) & 1 == 1,
        }
    }

    /// Hits and misses of all threads.
    pub(crate) fn counts(&self) -> (u64, u64) {
        self.lines().fold((0, 0), |(hits, misses), line| {
            (hits + line.hits.load(Ordering::Relaxed), misses + line.misses.load(Ordering::Relaxed))
        })
    }

    pub(crate) fn heap_bytes(&self) -> usize {
        self.lines().count() * size_of::<Line>()
    }
}

/// Where the line of a far thread stands. Blocks are in the order of the numbers, so lines are too.
fn place(thread: u32) -> (usize, usize) {
    let beyond = thread as usize - FIRST;
    let block = (beyond / FIRST + 1).ilog2() as usize;
    (block, beyond - FIRST * ((1 << block) - 1))
}

#[cfg(all(test, not(shuttle)))]
mod tests;
