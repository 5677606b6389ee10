//! The dictionaries of a store: in the store, and those of them that were read.
//!
//! ```text
//! namespace  NUL dictionary
//! key        number: u32, big-endian
//! value      the stored form of a dictionary, with its number and checksum (docs/envelope.md)
//! metadata   namespace: the flat form of the namespace it was trained for, in hexadecimal
//! ```
//!
//! A number is given once, by a put that wants the key to be absent; so two processes never give the same. The newest
//! dictionary of a namespace is what its values are compressed with.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::RwLock;
use terrace_envelope::codec::Dictionary;
use terrace_store::capability::List;
use terrace_store::{
    Condition, Entry, Error, ErrorKind, Key, Metadata, Namespace, PutOptions, Result, Store, StoreExt,
};

/// The name of the namespace that dictionaries lie in.
pub(super) const OWN: &[u8] = b"\0dictionary";

const NAMESPACE: &str = "namespace";

#[derive(Default)]
pub(super) struct Dictionaries(RwLock<Known>);

#[derive(Default)]
struct Known {
    loaded: HashMap<u32, Arc<Dictionary>>,
    /// By the flat form of the namespace.
    current: HashMap<Box<[u8]>, Arc<Dictionary>>,
    /// Those that stood there before everything was cleared, until it is.
    resting: HashMap<Box<[u8]>, Arc<Dictionary>>,
}

fn place(id: u32) -> Result<Key> {
    Key::new(OWN, id.to_be_bytes())
}

fn damaged(error: terrace_envelope::Error) -> Error {
    Error::new(ErrorKind::Corrupt, "dictionary")
        .because("a dictionary that lies in the store is damaged; restore it from a copy")
        .caused_by(error)
}

/// The namespace that an entry says its dictionary is for.
fn owner(entry: &Entry) -> Option<Box<[u8]>> {
    let text = entry.metadata.as_deref()?.map.get(NAMESPACE)?;
    let digit = |byte: u8| char::from(byte).to_digit(16).map(|digit| digit as u8);
    let pairs = text.as_bytes().chunks(2);
    pairs.map(|pair| Some(digit(*pair.first()?)? << 4 | digit(*pair.get(1)?)?)).collect()
}

fn entry(flat: &[u8], dictionary: &Dictionary) -> Result<Entry> {
    let mut stored = Vec::new();
    dictionary.store(&mut stored).map_err(damaged)?;
    let text: String = flat.iter().map(|byte| format!("{byte:02x}")).collect();
    let metadata = Metadata { content_type: None, map: [(NAMESPACE.to_owned(), text)].into() };
    Ok(Entry { metadata: Some(Arc::new(metadata)), ..Entry::new(stored) })
}

impl Dictionaries {
    /// Those that lie in the store. One that cannot list is asked for each when it is needed.
    pub(super) async fn load(store: &dyn Store) -> Result<Self> {
        let mut known = Known::default();
        if store.as_iterate().is_some() {
            let list = List { limit: 16, ..List::all(Namespace::new(OWN)?) };
            // By their numbers: of one namespace the newest comes last.
            for (_, entry) in store.list_all(&list).await? {
                let dictionary = Arc::new(Dictionary::from_stored(&entry.value).map_err(damaged)?);
                known.loaded.insert(dictionary.id(), Arc::clone(&dictionary));
                if let Some(flat) = owner(&entry) {
                    known.current.insert(flat, dictionary);
                }
            }
        }
        Ok(Self(RwLock::new(known)))
    }

    pub(super) fn current(&self, namespace: &Namespace) -> Option<Arc<Dictionary>> {
        let known = self.0.read();
        if known.current.is_empty() {
            return None;
        }
        known.current.get(namespace.flat_prefix()).cloned()
    }

    pub(super) fn loaded(&self, id: u32) -> Option<Arc<Dictionary>> {
        self.0.read().loaded.get(&id).cloned()
    }

    /// Reads one from the store that another process has put there. One that is not there is missed by whoever needs
    /// it.
    pub(super) async fn fetch(&self, store: &dyn Store, id: u32) -> Result<()> {
        if let Some(entry) = store.get(&place(id)?).await? {
            let dictionary = Dictionary::from_stored(&entry.value).map_err(damaged)?;
            self.0.write().loaded.insert(id, Arc::new(dictionary));
        }
        Ok(())
    }

    /// Stores one under a number of its own, and lets values of the namespace use it from then on.
    pub(super) async fn adopt(
        &self,
        store: &dyn Store,
        namespace: &Namespace,
        dictionary: Dictionary,
    ) -> Result<u32> {
        let mut id = self.0.read().loaded.keys().max().copied().unwrap_or(0);
        let mut dictionary = dictionary;
        loop {
            id = id.checked_add(1).ok_or_else(|| {
                Error::new(ErrorKind::Full, "dictionary").because("all numbers for dictionaries are used up")
            })?;
            dictionary = dictionary.with_id(id);
            let options = PutOptions { condition: Condition::Absent, ..PutOptions::default() };
            let entry = entry(namespace.flat_prefix(), &dictionary)?;
            if store.put(&place(id)?, entry, options).await?.version().is_some() {
                break;
            }
        }
        let dictionary = Arc::new(dictionary);
        let mut known = self.0.write();
        known.loaded.insert(id, Arc::clone(&dictionary));
        known.current.insert(namespace.flat_prefix().into(), dictionary);
        Ok(id)
    }

    /// Everything is cleared: no value uses a dictionary while none is stored, and afterwards they are stored again,
    /// for values that were written meanwhile.
    pub(super) async fn cleared(&self, store: &dyn Store, before: bool) -> Result<()> {
        if before {
            let mut known = self.0.write();
            let current = std::mem::take(&mut known.current);
            known.resting.extend(current);
            return Ok(());
        }
        let resting: Vec<_> =
            self.0.read().resting.iter().map(|(flat, kept)| (flat.clone(), Arc::clone(kept))).collect();
        for (flat, dictionary) in resting {
            let entry = entry(&flat, &dictionary)?;
            let _ = store.put(&place(dictionary.id())?, entry, PutOptions::default()).await?;
            let mut known = self.0.write();
            known.resting.remove(&flat);
            known.current.insert(flat, dictionary);
        }
        Ok(())
    }
}
