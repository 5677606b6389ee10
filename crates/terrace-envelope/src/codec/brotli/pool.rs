//! Memory that one call gives back and the next one takes.
//!
//! Decision: pieces are kept by the type of what they hold, and the shortest that is long enough is taken. A piece
//! gives itself back when it is dropped, so nothing depends on the library freeing what it took.

use std::any::{Any, TypeId};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use brotli::enc::BrotliAlloc;
use brotli::{Allocator, SliceWrapper, SliceWrapperMut};

/// Bytes that are kept at most.
const MOST_KEPT: usize = 8 << 20;

/// A handle to the pool. Every piece of memory that is in use holds one.
#[derive(Clone, Default)]
pub(super) struct Pool {
    shelf: Arc<Mutex<Shelf>>,
}

#[derive(Default)]
struct Shelf {
    pieces: Vec<Kept>,
    bytes: usize,
}

struct Kept {
    holds: TypeId,
    bytes: usize,
    memory: Box<dyn Any + Send>,
}

impl Pool {
    fn shelf(&self) -> MutexGuard<'_, Shelf> {
        // Whatever happened, the pieces on the shelf are whole.
        self.shelf.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Shelf {
    fn take<T: Send + 'static>(&mut self, len: usize) -> Option<Box<Memory<T>>> {
        let bytes = len * size_of::<T>();
        let fits = |kept: &Kept| kept.holds == TypeId::of::<T>() && kept.bytes >= bytes;
        let candidates = self.pieces.iter().enumerate().filter(|(_, kept)| fits(kept));
        let (at, _) = candidates.min_by_key(|(_, kept)| kept.bytes)?;
        let kept = self.pieces.swap_remove(at);
        self.bytes -= kept.bytes;
        kept.memory.downcast().ok()
    }

    fn put<T: Send + 'static>(&mut self, memory: Box<Memory<T>>) {
        let bytes = memory.0.capacity() * size_of::<T>();
        if self.bytes + bytes <= MOST_KEPT {
            self.bytes += bytes;
            self.pieces.push(Kept { holds: TypeId::of::<T>(), bytes, memory });
        }
    }
}

/// Always in a box, so that going to the shelf and back allocates nothing.
struct Memory<T>(Vec<T>);

/// A piece of memory in use.
pub(super) struct Piece<T: Send + 'static> {
    memory: Option<Box<Memory<T>>>,
    pool: Option<Pool>,
}

impl<T: Send + 'static> Default for Piece<T> {
    fn default() -> Self {
        Self { memory: None, pool: None }
    }
}

impl<T: Send + 'static> Drop for Piece<T> {
    fn drop(&mut self) {
        if let (Some(pool), Some(memory)) = (&self.pool, self.memory.take()) {
            pool.shelf().put(memory);
        }
    }
}

impl<T: Send + 'static> SliceWrapper<T> for Piece<T> {
    fn slice(&self) -> &[T] {
        self.memory.as_deref().map(|memory| memory.0.as_slice()).unwrap_or_default()
    }
}

impl<T: Send + 'static> SliceWrapperMut<T> for Piece<T> {
    fn slice_mut(&mut self) -> &mut [T] {
        self.memory.as_deref_mut().map(|memory| memory.0.as_mut_slice()).unwrap_or_default()
    }
}

impl<T: Clone + Default + Send + 'static> Allocator<T> for Pool {
    type AllocatedMemory = Piece<T>;

    fn alloc_cell(&mut self, len: usize) -> Piece<T> {
        if len == 0 {
            return Piece::default();
        }
        let taken = self.shelf().take::<T>(len);
        let memory = match taken {
            Some(mut memory) => {
                memory.0.clear();
                memory.0.resize(len, T::default());
                memory
            }
            None => Box::new(Memory(vec![T::default(); len])),
        };
        Piece { memory: Some(memory), pool: Some(self.clone()) }
    }

    fn free_cell(&mut self, data: Piece<T>) {
        drop(data);
    }
}

impl BrotliAlloc for Pool {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_given_back_is_taken_again_and_is_as_new() {
        let mut pool = Pool::default();
        let mut long: Piece<u32> = pool.alloc_cell(100);
        long.slice_mut().fill(7);
        let short: Piece<u32> = pool.alloc_cell(10);
        let at = short.slice().as_ptr();
        drop((long, short));
        assert_eq!(pool.shelf().bytes, 440);

        let other: Piece<u8> = pool.alloc_cell(4);
        assert_eq!(pool.shelf().pieces.len(), 2, "of another type");
        let again: Piece<u32> = pool.alloc_cell(8);
        assert_eq!((again.slice(), again.slice().as_ptr()), (&[0; 8][..], at), "the shortest that is enough");
        let long: Piece<u32> = pool.alloc_cell(90);
        assert_eq!(long.slice(), [0; 90]);
        drop((other, again, long));
        assert_eq!(pool.shelf().pieces.len(), 3);
    }

    #[test]
    fn only_so_much_is_kept() {
        let mut pool = Pool::default();
        let pieces: Vec<Piece<u8>> = (0..5).map(|_| pool.alloc_cell(MOST_KEPT / 4)).collect();
        drop(pieces);
        assert_eq!(pool.shelf().bytes, MOST_KEPT);
        assert_eq!(Allocator::<u8>::alloc_cell(&mut pool, 0).slice(), &[] as &[u8]);
    }
}
