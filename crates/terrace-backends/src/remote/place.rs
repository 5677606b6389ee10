//! What a row of a database is found by, since an index takes no key as long as ours may be.

use terrace_store::Key;
use xxhash_rust::xxh3::xxh3_128;

/// How many bytes of a flat key stand in the index; PostgreSQL takes rows of at most 2,704
/// there, InnoDB of 3,072.
pub(crate) const HEAD: usize = 2_000;

/// What a row is found by.
pub(crate) struct Place {
    pub(crate) head: Vec<u8>,
    pub(crate) hash: Vec<u8>,
}

impl Place {
    pub(crate) fn of(key: &Key) -> Self {
        let flat = key.flat();
        if flat.len() <= HEAD {
            return Self { head: flat.to_vec(), hash: Vec::new() };
        }
        Self { head: flat[..HEAD].to_vec(), hash: xxh3_128(flat).to_be_bytes().to_vec() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_keys_have_places_of_their_own() {
        let (a, b) = (Key::new("n", vec![7; 5_000]).unwrap(), Key::new("n", vec![7; 5_001]).unwrap());
        let (a, b) = (Place::of(&a), Place::of(&b));
        assert!(a.head == b.head && a.hash != b.hash);
        assert_eq!(Place::of(&Key::new("n", "k").unwrap()).hash, b"");
    }
}
