//! Vectors with a place for each cell of a slab.
//!
//! Decision: they grow by a part, not to twice their size: there are several, and memory an entry is counted in bytes.

/// From so many items on a vector grows by a sixteenth: the allocator moves pages then, not bytes.
const LARGE: usize = 1 << 16;

/// Makes room for one more item: a quarter more, or a sixteenth once the vector is large.
pub(crate) fn make_room<T>(items: &mut Vec<T>) {
    let len = items.len();
    if len == items.capacity() {
        items.reserve_exact(if len < LARGE { (len / 4).max(16) } else { len / 16 });
    }
}

/// Lengthens a vector that runs parallel to a slab so that it has a place for `slot`.
#[inline]
pub(crate) fn cover<T: Default>(items: &mut Vec<T>, slot: u32) {
    if items.len() <= slot as usize {
        lengthen(items, slot);
    }
}

#[cold]
fn lengthen<T: Default>(items: &mut Vec<T>, slot: u32) {
    while items.len() <= slot as usize {
        make_room(items);
        items.push(T::default());
    }
}
