//! The floors that clears left: for a namespace, or for all. There are as many as namespaces were ever cleared,
//! until a clear of everything makes them one.
//!
//! The file `cleared` is replaced as a whole, before anything that it buries is removed: a clear is done, or not
//! begun, whenever the power is cut.
//!
//! ```text
//! offset  size  what
//!      0     4  "TRFC"
//!      4     4  format: 1
//!      8     8  the floor of everything; 0 if everything was never cleared
//!     16        for each cleared namespace: its length (1), its name, its floor (8)
//!   last     8  XXH3-64 of everything before
//! ```

use std::collections::BTreeMap;
use std::io;

use terrace_store::{Error, ErrorKind, Key, Namespace, Result, Version};
use xxhash_rust::xxh3::xxh3_64;

use super::folder::{Folder, failed};

const FILE: &str = "cleared";
const HEAD: &[u8; 8] = b"TRFC\x01\0\0\0";

/// The floors of clears.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Cleared {
    all: Version,
    spaces: BTreeMap<Namespace, Version>,
}

impl Cleared {
    /// The floor that clears left for this key.
    pub(super) fn floor(&self, key: &Key) -> Version {
        if self.spaces.is_empty() {
            return self.all;
        }
        self.all.max(self.spaces.get(&key.namespace()).copied().unwrap_or_default())
    }

    /// The floor for every key.
    pub(super) fn of_all(&self) -> Version {
        self.all
    }

    /// With one more clear.
    pub(super) fn with(mut self, namespace: Option<&Namespace>, version: Version) -> Self {
        match namespace {
            Some(namespace) => _ = self.spaces.insert(namespace.clone(), version),
            None => self = Self { all: version, spaces: BTreeMap::new() },
        }
        self
    }

    /// The greatest of them.
    pub(super) fn greatest(&self) -> Version {
        self.spaces.values().copied().fold(self.all, Version::max)
    }

    pub(super) fn write(&self, folder: &Folder) -> Result<()> {
        folder.replace(FILE, &self.encode())
    }

    fn encode(&self) -> Vec<u8> {
        let mut out = HEAD.to_vec();
        out.extend_from_slice(&self.all.0.to_le_bytes());
        for (namespace, version) in &self.spaces {
            out.extend_from_slice(namespace.flat_prefix());
            out.extend_from_slice(&version.0.to_le_bytes());
        }
        let sum = xxh3_64(&out);
        out.extend_from_slice(&sum.to_le_bytes());
        out
    }

    /// # Errors
    /// `Corrupt` if the file is damaged: what it buried cannot be told from the living without it.
    pub(super) fn read(folder: &Folder) -> Result<Self> {
        let path = folder.path(FILE);
        let bytes = match std::fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Self::default()),
            Err(error) => return Err(failed("open", &path, error)),
        };
        Self::decode(&bytes).ok_or_else(|| {
            Error::new(ErrorKind::Corrupt, "open")
                .because("the file of the cleared namespaces is damaged; without it, remove it only if nothing was ever cleared")
                .with("path", path.display())
        })
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let (covered, sum) = bytes.split_last_chunk::<8>()?;
        if xxh3_64(covered) != u64::from_le_bytes(*sum) {
            return None;
        }
        let rest = covered.strip_prefix(HEAD)?;
        let (all, mut rest) = rest.split_first_chunk::<8>()?;
        let mut cleared = Self { all: Version(u64::from_le_bytes(*all)), ..Self::default() };
        while let Some((length, after)) = rest.split_first() {
            let (name, after) = after.split_at_checked(usize::from(*length))?;
            let (version, after) = after.split_first_chunk::<8>()?;
            cleared.spaces.insert(Namespace::new(name).ok()?, Version(u64::from_le_bytes(*version)));
            rest = after;
        }
        Some(cleared)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_floors_come_back_and_damage_is_noticed() {
        let [a, b] = ["a", ""].map(|name| Namespace::new(name).unwrap());
        let cleared =
            Cleared::default().with(None, Version(3)).with(Some(&a), Version(9)).with(Some(&b), Version(7));
        let bytes = cleared.encode();
        assert_eq!(Cleared::decode(&bytes), Some(cleared.clone()));
        for bit in 0..bytes.len() * 8 {
            let mut damaged = bytes.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(Cleared::decode(&damaged), None, "bit {bit}");
        }
        for length in 0..bytes.len() {
            assert_eq!(Cleared::decode(&bytes[..length]), None, "cut at {length}");
        }
        let floor = |space: &str| cleared.floor(&Key::new(space, "k").unwrap());
        assert_eq!((floor("a"), floor(""), floor("c")), (Version(9), Version(7), Version(3)));
        assert_eq!(cleared.greatest(), Version(9));
        assert_eq!(cleared.with(None, Version(10)).encode().len(), 24);
    }
}
