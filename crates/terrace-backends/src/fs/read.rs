//! The reads: what the index knows, and the values in their files.

use std::fs;
use std::io;
use std::num::NonZeroU64;

use terrace_store::capability::{Cursor, List, Page};
use terrace_store::{Entry, Error, ErrorKind, Key, Result, Version};

use super::Shared;
use super::folder::failed;
use super::index::{Found, Slot};
use super::object::{self, Flaw, Kind, Name};

/// How many bytes of values a page of a listing holds before it ends.
const PAGE_BYTES: u64 = 8 << 20;

impl Shared {
    /// The place of a key's live entry.
    ///
    /// # Errors
    /// `Corrupt` if the key's file is so damaged that nothing is known of it.
    pub(super) fn find_live(&self, key: &Key) -> Result<Option<Slot>> {
        let found = self.index().find(key);
        match found {
            Found::Entry(slot) => Ok(Some(slot).filter(|slot| slot.is_live(self.clock.wall_ms()))),
            Found::Nothing => Ok(None),
            Found::Damaged => Err(corrupt(key, "the head of its file is damaged")),
        }
    }

    /// The live entry of a key.
    pub(super) fn read(&self, key: &Key) -> Result<Option<Entry>> {
        self.check_open("get")?;
        let Some(mut slot) = self.find_live(key)? else { return Ok(None) };
        loop {
            let path = self.folder.object(&Name::new(key, slot.version, Kind::Entry));
            match fs::read(&path) {
                Ok(bytes) => {
                    let entry = object::open(key, slot.version, bytes);
                    return entry.map(Some).map_err(|flaw| self.damaged(key, slot.version, flaw));
                }
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(failed("get", &path, error));
                }
                Err(_) => {}
            }
            // It was replaced between the look at the index and the look at the disk, or it is gone.
            match self.find_live(key)? {
                None => return Ok(None),
                Some(now) if now.version == slot.version => {
                    return Err(self.damaged(key, slot.version, "its file is gone"));
                }
                Some(now) => slot = now,
            }
        }
    }

    fn damaged(&self, key: &Key, version: Version, flaw: Flaw) -> Error {
        self.index_mut().note_damage(key, version);
        corrupt(key, flaw)
    }

    /// A page of a listing. Entries that were deleted meanwhile, or whose files are damaged, are left out.
    pub(super) fn page(&self, list: &List, cursor: Option<&Cursor>) -> Result<Page> {
        self.check_open("list")?;
        let (slots, next) = self.index().page(list, cursor, self.clock.wall_ms(), PAGE_BYTES)?;
        let mut page = Page { entries: Vec::with_capacity(slots.len()), next };
        for (key, slot) in slots {
            if list.keys_only {
                page.entries.push((key, outline(&slot)));
                continue;
            }
            match self.read(&key) {
                Ok(entry) => page.entries.extend(entry.map(|entry| (key, entry))),
                Err(error) if error.kind() == ErrorKind::Corrupt => {}
                Err(error) => return Err(error),
            }
        }
        Ok(page)
    }
}

/// What the index knows of an entry.
fn outline(slot: &Slot) -> Entry {
    let expires_ms: Option<NonZeroU64> = slot.expires_ms;
    Entry { version: slot.version, expires_ms, ..Entry::new("") }
}

fn corrupt(key: &Key, flaw: Flaw) -> Error {
    Error::new(ErrorKind::Corrupt, "get")
        .because(format!("the stored entry is damaged: {flaw}"))
        .with("store", super::NAME)
        .with("key", format_args!("{key:?}"))
}
