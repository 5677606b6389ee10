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

use std::cell::Cell;
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::marker::PhantomData;
use std::sync::OnceLock;
use std::sync::atomic::{Ordering, compiler_fence, fence};

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
        self.usual_pin().unwrap_or_else(|| self.rare_pin())
    }

    /// The same for a thread with a line among the first that is not pinned, as nearly all are. Whoever treats the others
    /// apart spares a hit everything that it takes to tell how the pin ends.
    #[inline(always)]
    pub(crate) fn usual_pin(&self) -> Option<Pin<'_>> {
        let line = self.first.get(threads::current() as usize)?;
        let sequence = line.sequence.load(Ordering::Relaxed);
        if sequence & 1 == 1 {
            return None;
        }
        self.begin(line, sequence);
        Some(Pin { line, end: End::Outermost, readers: self, local: PhantomData })
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
        Pin { line, end, readers: self, local: PhantomData }
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

/// Where there is no barrier for writers. Not inlined, or it would stand in the way of those who need none.
#[cold]
#[inline(never)]
fn dear_fence() {
    fence(Ordering::SeqCst);
}

/// What the end of a pin ends.
#[derive(Clone, Copy)]
enum End {
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

impl Pin<'_> {
    /// Counts a read that found something. A plain store: no other thread has this line.
    #[inline]
    pub(crate) fn count_hit(&self) {
        let hits = &self.line.hits;
        hits.store(hits.load(Ordering::Relaxed).wrapping_add(1), Ordering::Relaxed);
    }

    /// Counts a read that found nothing.
    #[inline]
    pub(crate) fn count_miss(&self) {
        let misses = &self.line.misses;
        misses.store(misses.load(Ordering::Relaxed).wrapping_add(1), Ordering::Relaxed);
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

/// The number of each thread that ever read: small, and given on when the thread ends.
mod threads {
    use super::{BinaryHeap, Cell, Reverse};

    pub(super) const NONE: u32 = u32::MAX;

    #[derive(Default)]
    struct Numbers {
        free: BinaryHeap<Reverse<u32>>,
        next: u32,
    }

    // Not shuttle's: it is held for a moment only, and never across a point where schedules part.
    static NUMBERS: std::sync::Mutex<Option<Numbers>> = std::sync::Mutex::new(None);

    struct Registration(u32);

    impl Drop for Registration {
        fn drop(&mut self) {
            set(NONE);
            give_back(self.0);
        }
    }

    #[cfg(not(shuttle))]
    thread_local! {
        // Without a destructor, so that reading it is one load. The other one gives the number back.
        static CURRENT: Cell<u32> = const { Cell::new(NONE) };
        static REGISTRATION: Registration = { let number = lend(); set(number); Registration(number) };
    }
    #[cfg(shuttle)]
    shuttle::thread_local! {
        static CURRENT: Cell<u32> = Cell::new(NONE);
        static REGISTRATION: Registration = { let number = lend(); set(number); Registration(number) };
    }

    #[inline]
    pub(super) fn current() -> u32 {
        CURRENT.try_with(Cell::get).unwrap_or(NONE)
    }

    fn set(number: u32) {
        let _ = CURRENT.try_with(|current| current.set(number));
    }

    /// Gives the thread its number, unless it is ending.
    pub(super) fn register() -> Option<u32> {
        REGISTRATION.try_with(|registration| registration.0).ok()
    }

    pub(super) fn lend() -> u32 {
        let mut numbers = NUMBERS.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let numbers = numbers.get_or_insert_default();
        match numbers.free.pop() {
            Some(Reverse(number)) => number,
            None => {
                numbers.next += 1;
                numbers.next - 1
            }
        }
    }

    pub(super) fn give_back(number: u32) {
        let mut numbers = NUMBERS.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        numbers.get_or_insert_default().free.push(Reverse(number));
    }
}

/// The writer's half of the barrier.
mod barrier {
    /// Whether readers may do without a fence.
    pub(super) fn is_asymmetric() -> bool {
        #[cfg(all(target_os = "linux", not(shuttle)))]
        {
            use rustix::thread::{MembarrierCommand, MembarrierQuery, membarrier, membarrier_query};
            static REGISTERED: std::sync::LazyLock<bool> = std::sync::LazyLock::new(|| {
                membarrier_query().contains(MembarrierQuery::PRIVATE_EXPEDITED)
                    && membarrier(MembarrierCommand::RegisterPrivateExpedited).is_ok()
            });
            *REGISTERED
        }
        #[cfg(not(all(target_os = "linux", not(shuttle))))]
        false
    }

    /// A full barrier on every running thread of this process; none is needed on those that do not run.
    pub(super) fn everywhere() -> Option<()> {
        #[cfg(all(target_os = "linux", not(shuttle)))]
        return rustix::thread::membarrier(rustix::thread::MembarrierCommand::PrivateExpedited).ok();
        #[cfg(not(all(target_os = "linux", not(shuttle))))]
        None
    }
}

#[cfg(all(test, not(shuttle)))]
mod tests {
    use super::*;

    #[test]
    fn grace_passes_when_those_pinned_before_it_have_gone_on() {
        let readers = Readers::new();
        assert!(readers.passed(&mut readers.grace().unwrap()));
        let outer = readers.pin();
        let mut grace = readers.grace().unwrap();
        assert!(!readers.passed(&mut grace) && readers.is_pinned());
        drop(readers.pin());
        assert!(!readers.passed(&mut grace), "an inner pin ends nothing");
        drop(outer);
        let _later = readers.pin();
        assert!(readers.passed(&mut grace), "a later pin is not waited for");
    }

    #[test]
    fn far_threads_have_lines_of_their_own() {
        let places: Vec<_> = (FIRST as u32..FIRST as u32 * 8).map(place).collect();
        assert_eq!(places[0], (0, 0));
        let expected = (0..3).flat_map(|block| (0..FIRST << block).map(move |place| (block, place)));
        assert!(places.iter().copied().eq(expected));
        let readers = Readers::new();
        let barrier = std::sync::Barrier::new(100);
        std::thread::scope(|scope| {
            for _ in 0..100 {
                scope.spawn(|| {
                    let pin = readers.pin();
                    barrier.wait();
                    pin.count_hit();
                    pin.count_miss();
                    assert!(readers.is_pinned());
                });
            }
        });
        assert_eq!(readers.counts(), (100, 100));
        assert!(readers.passed(&mut readers.grace().unwrap()));
    }

    #[test]
    fn a_thread_that_is_ending_still_reads() {
        struct Last<'a>(&'a Readers);
        impl Drop for Last<'_> {
            fn drop(&mut self) {
                self.0.pin().count_hit();
            }
        }
        thread_local!(static LAST: std::cell::RefCell<Option<Last<'static>>> = const { std::cell::RefCell::new(None) });
        static READERS: OnceLock<Readers> = OnceLock::new();
        let readers = READERS.get_or_init(Readers::new);
        for _ in 0..10 {
            std::thread::spawn(move || {
                LAST.with(|last| *last.borrow_mut() = Some(Last(readers)));
                drop(readers.pin());
            })
            .join()
            .unwrap();
        }
        assert_eq!(readers.counts(), (10, 0));
        assert!(readers.passed(&mut readers.grace().unwrap()));
    }
}
