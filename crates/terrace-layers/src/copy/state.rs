//! How far a copy is, as it lies in the target.
//!
//! ```text
//! 0   magic: 89 'T' 'C' 'P'   4   format: u8 = 1   5   merge: u8   6  two zeros
//! 8   pass: u32, 0 while copying    12  three lengths: u32 each, of source, namespace and key
//! 24  ten counts: u64 each         104  source, namespace, key      last  checksum (XXH3-64) of all before
//! ```
//!
//! All numbers are little-endian. A state that does not check is an error and not a beginning: a target that is not empty
//! must not be taken for one that is.

use bytes::Bytes;
use terrace_store::{Entry, Error, ErrorKind, Key, Namespace, PutOptions, Result, Store};
use xxhash_rust::xxh3::xxh3_64;

use super::{CopyConfig, CopyReport};

/// The name of the namespace in the target that holds how far a copy is.
pub const NAMESPACE: &[u8] = b"\0copy";

const MAGIC: [u8; 5] = [0x89, b'T', b'C', b'P', 1];
const COUNTS: usize = 10;
const HEAD: usize = 24 + COUNTS * 8;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct State {
    pub(super) source: String,
    pub(super) merge: bool,
    /// 0 while copying, then the number of the comparison.
    pub(super) pass: u32,
    /// The place up to which the pass is done.
    namespace: Option<Bytes>,
    after: Bytes,
    /// Entries that the pass has come by.
    pub(super) done: u64,
    counts: [u64; COUNTS - 1],
}

impl State {
    pub(super) fn new(config: &CopyConfig) -> Self {
        Self {
            source: config.source.clone(),
            merge: config.merge,
            pass: 0,
            namespace: None,
            after: Bytes::new(),
            done: 0,
            counts: [0; COUNTS - 1],
        }
    }

    /// Where it lies.
    pub(super) fn place_in_store() -> Result<Key> {
        Key::new(NAMESPACE, "state")
    }

    /// The state that an earlier attempt left.
    pub(super) async fn load(store: &dyn Store) -> Result<Option<Self>> {
        let Some(entry) = store.get(&Self::place_in_store()?).await? else { return Ok(None) };
        Self::decode(&entry.value).map(Some).ok_or_else(|| {
            Error::new(ErrorKind::Corrupt, "copy")
                .because("how far the earlier copy was cannot be read; restart it")
                .with("store", store.name())
        })
    }

    pub(super) async fn save(&self, store: &dyn Store) -> Result<()> {
        let _ = store.put(&Self::place_in_store()?, Entry::new(self.encode()), PutOptions::default()).await?;
        Ok(())
    }

    /// This state, if it is of the copy that is wanted.
    pub(super) fn of(self, config: &CopyConfig) -> Result<Self> {
        let differs = if self.source != config.source {
            format!("from {}", self.source)
        } else if self.merge != config.merge {
            (if self.merge { "that merges" } else { "that does not merge" }).to_owned()
        } else {
            return Ok(self);
        };
        Err(Error::new(ErrorKind::Config, "copy").because(format!(
            "the target is half of another copy, one {differs}; end that one first, or restart"
        )))
    }

    /// The place in this namespace after which to go on; `None` if the namespace is done.
    #[allow(clippy::option_option, reason = "the inner one is the beginning of the namespace")]
    pub(super) fn place(&self, namespace: &Namespace) -> Option<Option<Key>> {
        let Some(reached) = &self.namespace else { return Some(None) };
        // A name that was read back is as short as it was.
        let reached = Namespace::new(reached).ok()?;
        match namespace.cmp(&reached) {
            std::cmp::Ordering::Less => None,
            std::cmp::Ordering::Equal => Some(namespace.key(&self.after).ok()),
            std::cmp::Ordering::Greater => Some(None),
        }
    }

    pub(super) fn is_at_the_beginning(&self) -> bool {
        self.namespace.is_none()
    }

    pub(super) fn at(&mut self, namespace: &Namespace, last: Option<Key>, done: u64) {
        self.namespace = Some(Bytes::copy_from_slice(namespace.name()));
        self.after = last.map(|key| Bytes::copy_from_slice(key.bytes())).unwrap_or_default();
        self.done = done;
    }

    pub(super) fn next_pass(&mut self) {
        self.pass = self.pass.saturating_add(1);
        (self.namespace, self.after, self.done) = (None, Bytes::new(), 0);
    }

    pub(super) fn count(&mut self, report: &CopyReport) {
        self.counts = [
            report.copied,
            report.bytes,
            report.present,
            u64::from(report.passes),
            report.compared,
            report.repaired,
            report.removed,
            report.changed,
            // Told by name only within one attempt.
            report.different + report.unreadable,
        ];
    }

    pub(super) fn report(&self) -> CopyReport {
        let [copied, bytes, present, passes, compared, repaired, removed, changed, different] = self.counts;
        let passes = u32::try_from(passes).unwrap_or(u32::MAX);
        CopyReport {
            copied,
            bytes,
            present,
            passes,
            compared,
            repaired,
            removed,
            changed,
            different,
            ..CopyReport::default()
        }
    }

    fn encode(&self) -> Vec<u8> {
        let namespace = self.namespace.as_ref();
        // A namespace may have the empty name: its length counts from one.
        let named = namespace.map_or(0, |name| name.len() as u32 + 1);
        let mut out = MAGIC.to_vec();
        out.extend_from_slice(&[u8::from(self.merge), 0, 0]);
        for number in [self.pass, self.source.len() as u32, named, self.after.len() as u32] {
            out.extend_from_slice(&number.to_le_bytes());
        }
        for count in std::iter::once(&self.done).chain(&self.counts) {
            out.extend_from_slice(&count.to_le_bytes());
        }
        out.extend_from_slice(self.source.as_bytes());
        out.extend_from_slice(namespace.map_or(&[], |name| &name[..]));
        out.extend_from_slice(&self.after);
        out.extend_from_slice(&xxh3_64(&out).to_le_bytes());
        out
    }

    fn decode(value: &[u8]) -> Option<Self> {
        let (covered, sum) = value.split_last_chunk::<8>()?;
        if !covered.starts_with(&MAGIC)
            || covered.len() < HEAD
            || xxh3_64(covered) != u64::from_le_bytes(*sum)
        {
            return None;
        }
        let short = |at: usize| Some(u32::from_le_bytes(covered.get(at..at + 4)?.try_into().ok()?));
        let long = |at: usize| Some(u64::from_le_bytes(covered.get(at..at + 8)?.try_into().ok()?));
        let (source, named, key) = (short(12)? as usize, short(16)? as usize, short(20)? as usize);
        let rest = covered.get(HEAD..)?;
        let (source, rest) = rest.split_at_checked(source)?;
        let (namespace, rest) = rest.split_at_checked(named.saturating_sub(1))?;
        let mut counts = [0; COUNTS - 1];
        for (n, count) in counts.iter_mut().enumerate() {
            *count = long(32 + n * 8)?;
        }
        Some(Self {
            source: String::from_utf8(source.to_vec()).ok()?,
            merge: covered[5] != 0,
            pass: short(8)?,
            namespace: (named > 0).then(|| Bytes::copy_from_slice(namespace)),
            after: (rest.len() == key).then(|| Bytes::copy_from_slice(rest))?,
            done: long(24)?,
            counts,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_is_read_back_as_it_was_and_damage_is_found() {
        let mut state = State::new(&CopyConfig::new("fjall:/a"));
        assert_eq!(State::decode(&state.encode()), Some(state.clone()));
        state.count(&CopyReport { copied: 5, bytes: 7, different: 2, ..CopyReport::default() });
        for namespace in ["", "n"] {
            let namespace = Namespace::new(namespace).unwrap();
            state.at(&namespace, Some(namespace.key([0, 255]).unwrap()), 9);
            assert_eq!(State::decode(&state.encode()), Some(state.clone()));
            assert_eq!(state.place(&namespace), Some(Some(namespace.key([0, 255]).unwrap())));
        }
        assert_eq!(state.place(&Namespace::root()), None, "it is done");
        assert_eq!(state.place(&Namespace::new("later").unwrap()), Some(None));
        assert_eq!((state.report().copied, state.report().different), (5, 2));
        let encoded = state.encode();
        for bit in 0..encoded.len() * 8 {
            let mut damaged = encoded.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(State::decode(&damaged), None, "bit {bit}");
        }
        for len in 0..encoded.len() {
            assert_eq!(State::decode(&encoded[..len]), None, "cut to {len}");
        }
    }
}
