//! Under which names objects lie.
//!
//! ```text
//! {P}head                                    the sequence of versions, and what was cleared
//! {P}d/{cleared}/{namespace}/{key}           an entry, or the tombstone that a delete left
//! {P}x/{end}-{hash}                          what is due when: the key of an entry or tombstone with an end
//! {P}probe-{random}                          for a moment: whether the server judges conditions
//! ```
//!
//! `cleared` and `end` are sixteen hexadecimal digits, so that names are in the order of the numbers. A namespace of up
//! to 64 bytes is `n` and its bytes in hexadecimal, a longer one `h` and its hash. A key is its bytes in hexadecimal, a
//! `/` after every hundredth byte, and a `-` at the end, which stands before `/` and all digits: so names are in the
//! order of keys, whatever bytes they have, and none is a folder of another. Of a key of more than 300 bytes the first
//! 300 are such folders, and its hash stands for the rest; the whole key is in its object.

use object_store::path::Path;
use terrace_store::{Key, Namespace};
use xxhash_rust::xxh3::xxh3_128;

/// The longest namespace that a name tells.
const SPACE_LIMIT: usize = 64;
/// How many bytes of a key stand between two `/`: file systems take names of at most 255 bytes.
const SEGMENT: usize = 100;
/// After how many such parts the hash stands for the rest: S3 takes names of at most 1024 bytes.
const SEGMENTS: usize = 3;
/// How many bytes a prefix has at most, for the same reason.
pub(super) const PREFIX_LIMIT: usize = 200;

/// The names that belong to one prefix.
pub(super) struct Names(String);

/// What the name of an object tells of its key.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Named {
    /// All its bytes.
    Whole(Vec<u8>),
    /// Its first bytes.
    Head(Vec<u8>),
}

impl Names {
    pub(super) fn new(prefix: &str) -> Self {
        Self(if prefix.is_empty() { String::new() } else { format!("{prefix}/") })
    }

    fn of(&self, rest: &str) -> Path {
        Path::from(format!("{}{rest}", self.0))
    }

    pub(super) fn head(&self) -> Path {
        self.of("head")
    }

    pub(super) fn probe(&self, number: u64) -> Path {
        self.of(&format!("probe-{number:016x}"))
    }

    /// Where everything lies that is of entries.
    pub(super) fn data(&self) -> Path {
        self.of("d")
    }

    /// Where the entries of a namespace lie that were written after it was cleared with this version.
    pub(super) fn space(&self, cleared: u64, flat_prefix: &[u8]) -> Path {
        self.of(&format!("d/{cleared:016x}/{}", space(flat_prefix)))
    }

    pub(super) fn object(&self, cleared: u64, key: &Key) -> Path {
        let space = space(key.namespace().flat_prefix());
        self.of(&format!("d/{cleared:016x}/{space}/{}", name(key.bytes())))
    }

    /// Behind which, in a namespace's folder, the keys from this one on stand, and perhaps some before it.
    pub(super) fn behind(&self, space: &Path, from: &[u8]) -> Path {
        match from {
            [] => space.clone(),
            from => Path::from(format!("{space}/{}", segments(from))),
        }
    }

    pub(super) fn markers(&self) -> Path {
        self.of("x")
    }

    pub(super) fn marker(&self, ends_ms: u64, cleared: u64, key: &Key) -> Path {
        let hash = xxh3_128(&[&cleared.to_be_bytes(), key.flat()].concat());
        self.of(&format!("x/{ends_ms:016x}-{hash:032x}"))
    }
}

/// When what a marker is about is due.
pub(super) fn due(marker: &Path) -> Option<u64> {
    let (ends, _) = marker.filename()?.split_once('-')?;
    u64::from_str_radix(ends, 16).ok()
}

/// With which version what lies in this folder of data was cleared before.
pub(super) fn cleared(folder: &Path) -> Option<u64> {
    u64::from_str_radix(folder.filename()?, 16).ok()
}

/// Whether the names of objects do not tell their whole keys, so that it stands in them.
pub(super) fn is_hidden(key: &Key) -> bool {
    key.namespace_name().len() > SPACE_LIMIT || key.bytes().len() > SEGMENT * SEGMENTS
}

/// The name of a namespace's folder.
pub(super) fn space(flat_prefix: &[u8]) -> String {
    let name = flat_prefix.get(1..).unwrap_or_default();
    match name.len() <= SPACE_LIMIT {
        true => format!("n{}", hex(name)),
        false => format!("h{:032x}", xxh3_128(name)),
    }
}

/// The namespace whose folder this is; `None` if only a key in it tells.
pub(super) fn namespace(folder: &Path) -> Option<Namespace> {
    Namespace::new(bytes(folder.filename()?.strip_prefix('n')?)?).ok()
}

/// What the name of an object in a namespace's folder tells.
pub(super) fn named(space: &Path, object: &Path) -> Option<Named> {
    let rest = object.as_ref().strip_prefix(space.as_ref())?.strip_prefix('/')?.strip_suffix('-')?;
    let parts: Vec<&str> = rest.split('/').collect();
    match parts.len() <= SEGMENTS {
        true => bytes(&parts.concat()).map(Named::Whole),
        false => bytes(&parts[..SEGMENTS].concat()).map(Named::Head),
    }
}

fn name(key: &[u8]) -> String {
    match key.len() <= SEGMENT * SEGMENTS {
        true => format!("{}-", segments(key)),
        false => format!("{}/{:032x}-", segments(key), xxh3_128(key)),
    }
}

fn segments(key: &[u8]) -> String {
    key.chunks(SEGMENT).take(SEGMENTS).map(hex).collect::<Vec<_>>().join("/")
}

fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digits = |byte: &u8| [DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]];
    bytes.iter().flat_map(digits).map(char::from).collect()
}

fn bytes(hex: &str) -> Option<Vec<u8>> {
    let digits = hex.as_bytes().chunks(2);
    digits.map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(bytes: &[u8]) -> Key {
        Key::new("n", bytes).unwrap()
    }

    #[test]
    fn names_are_in_the_order_of_keys_and_tell_them() {
        let names = Names::new("some/where");
        let mut keys: Vec<Vec<u8>> = vec![vec![], vec![0], vec![0, 0], vec![b'a'], b"a/".to_vec(), vec![255]];
        for length in [99, 100, 101, 199, 200, 201, 299, 300] {
            keys.push(vec![b'k'; length]);
            keys.push([&vec![b'k'; length - 1][..], b"l"].concat());
        }
        keys.sort();
        let space = names.space(7, key(b"").namespace().flat_prefix());
        let objects: Vec<Path> = keys.iter().map(|bytes| names.object(7, &key(bytes))).collect();
        assert!(objects.is_sorted_by(|a, b| a < b), "{objects:?}");
        for (bytes, object) in keys.iter().zip(&objects) {
            assert_eq!(named(&space, object), Some(Named::Whole(bytes.clone())));
            assert!(names.behind(&space, bytes) < *object);
            assert!(!is_hidden(&key(bytes)));
        }
        assert_eq!(namespace(&space), Some(Namespace::new("n").unwrap()));
    }

    #[test]
    fn long_keys_and_namespaces_have_names_within_what_servers_take() {
        let names = Names::new(&"p".repeat(PREFIX_LIMIT));
        let (a, b) = (vec![7; 65_536], [vec![7; 65_535], vec![8]].concat());
        let of = |bytes: &[u8]| names.object(u64::MAX, &Key::new(vec![b'n'; 255], bytes).unwrap());
        assert!(of(&a) != of(&b) && of(&a).as_ref().len() <= 1024, "{}", of(&a).as_ref().len());
        assert!(of(&a).parts().all(|part| part.as_ref().len() <= 255));
        let space = names.space(u64::MAX, Namespace::new(vec![b'n'; 255]).unwrap().flat_prefix());
        assert_eq!(named(&space, &of(&a)), Some(Named::Head(vec![7; 300])));
        assert!(names.behind(&space, &a) < of(&a) && namespace(&space).is_none());
        assert!(is_hidden(&key(&a)) && is_hidden(&Key::new(vec![b'n'; 65], "").unwrap()));
    }

    #[test]
    fn markers_are_in_the_order_of_their_time() {
        let names = Names::new("");
        let markers = [1, 255, 256, u64::MAX].map(|ends| names.marker(ends, 0, &key(b"a")));
        assert!(markers.is_sorted());
        assert_eq!(markers.map(|marker| due(&marker)), [1, 255, 256, u64::MAX].map(Some));
    }
}
