//! Building the index from what lies in the folder.
//!
//! Only heads are read. Where a crash left several files of one key, the latest whole one counts and the others
//! go: that is the one place where values are read and verified at open.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::Path;

use terrace_store::store::FLOOR_RETENTION;
use terrace_store::{Result, Version};

use super::cleared::Cleared;
use super::folder::{Folder, failed};
use super::index::{Index, Slot};
use super::object::{self, Flaw, HEAD_LIMIT, Hash, Head, Kind, Name};

/// Enough for the head of a file with an ordinary key.
const FIRST_READ: u64 = 1024;

/// What lies in the folder.
pub(super) struct Scan {
    pub(super) index: Index,
    /// The greatest version in any name; `None` if there is no file.
    pub(super) greatest: Option<Version>,
    /// Files that are not the store's.
    pub(super) strangers: Vec<String>,
}

struct Found {
    name: Name,
    head: Result<Head, Flaw>,
    /// Whether the file has the length its head says.
    whole: bool,
}

/// Reads the heads of all files.
///
/// # Cost
/// A few system calls for each file.
pub(super) fn scan(folder: &Folder, cleared: Cleared, wall_ms: u64, now_ms: u64) -> Result<Scan> {
    let greatest = Some(cleared.greatest()).filter(|version| *version > Version::ZERO);
    let strangers = folder.strangers().map_err(|error| failed("open", &folder.path(""), error))?;
    let mut scan = Scan { index: Index::new(cleared), greatest, strangers };
    let objects = folder.objects();
    for entry in fs::read_dir(&objects).map_err(|error| failed("open", &objects, error))? {
        let name = entry.map_err(|error| failed("open", &objects, error))?.file_name();
        let byte =
            name.to_str().filter(|text| text.len() == 2).and_then(|text| u8::from_str_radix(text, 16).ok());
        match byte.filter(|byte| name == *format!("{byte:02x}")) {
            Some(byte) => scan.scan_one(folder, byte, wall_ms, now_ms)?,
            None => scan.strangers.push(name.to_string_lossy().into_owned()),
        }
    }
    Ok(scan)
}

impl Scan {
    fn scan_one(&mut self, folder: &Folder, byte: u8, wall_ms: u64, now_ms: u64) -> Result<()> {
        let path = folder.objects().join(format!("{byte:02x}"));
        let failed = |error| failed("open", &path, error);
        let mut groups: BTreeMap<Hash, Vec<Found>> = BTreeMap::new();
        for entry in fs::read_dir(&path).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let file_name = entry.file_name();
            let named = file_name.to_str().and_then(Name::parse).filter(|name| name.hash[0] == byte);
            let Some(name) = named.filter(|_| entry.file_type().is_ok_and(|kind| kind.is_file())) else {
                self.strangers.push(file_name.to_string_lossy().into_owned());
                continue;
            };
            let (head, whole) = match read_head(&entry.path()) {
                Ok((head, len)) => (Ok(head.clone()), len == head.file_len() as u64),
                Err(flaw) => (Err(flaw), false),
            };
            if !plausible(&name, &head) {
                self.strangers.push(file_name.to_string_lossy().into_owned());
                continue;
            }
            self.greatest = self.greatest.max(Some(name.version));
            groups.entry(name.hash).or_default().push(Found { name, head, whole });
        }
        groups.into_values().for_each(|group| self.accept(folder, group, wall_ms, now_ms));
        Ok(())
    }

    /// Takes the one file of a key that counts into the index, and removes the others.
    fn accept(&mut self, folder: &Folder, mut group: Vec<Found>, wall_ms: u64, now_ms: u64) {
        group.sort_by_key(|found| (found.name.version, found.name.kind));
        group.reverse();
        let sound = |found: &Found| group.len() == 1 || is_whole(folder, found);
        let counts = group.iter().position(sound);
        let chosen = counts.unwrap_or(0);
        for (n, found) in group.iter().enumerate() {
            if n != chosen && counts.is_some() {
                // The one that counts is at hand, whether or not this one can be removed.
                let _ = folder.remove_object(&found.name);
            }
        }
        let Some(found) = group.get(chosen) else { return };
        let Ok(head) = &found.head else {
            self.accept_damaged(folder, &found.name);
            return;
        };
        if head.version <= self.index.cleared().floor(&head.key) {
            let _ = folder.remove_object(&found.name);
            return;
        }
        match head.kind {
            Kind::Entry => {
                let _ = self.index.insert(&head.key, Slot::read(head));
                if !found.whole {
                    self.index.note_damage(&head.key, head.version);
                }
            }
            Kind::Floor => {
                let retention = u64::try_from(FLOOR_RETENTION.as_millis()).unwrap_or(u64::MAX);
                // A clock that went back must not keep a floor for ever, nor one that jumped drop it at once
                // more than once.
                let left = head.deadline_ms.unwrap_or(0).saturating_sub(wall_ms).min(retention);
                let _ = self.index.insert_floor(&head.key, head.version, now_ms.saturating_add(left));
            }
        }
    }

    fn accept_damaged(&mut self, folder: &Folder, name: &Name) {
        if name.version <= self.index.cleared().of_all() {
            let _ = folder.remove_object(name);
        } else {
            self.index.damage(name);
        }
    }
}

/// Whether the file is what its name says, or is damaged so that this cannot be told.
fn plausible(name: &Name, head: &Result<Head, Flaw>) -> bool {
    match head {
        Ok(head) => {
            head.version == name.version && head.kind == name.kind && object::hash(&head.key) == name.hash
        }
        // No store of ours counts that far; believing it would use up the sequence.
        Err(_) => name.version.0 < Version::LIMIT.0 + (1 << 62),
    }
}

fn read_head(path: &Path) -> Result<(Head, u64), Flaw> {
    const UNREADABLE: Flaw = "it cannot be read";
    let file = File::open(path).map_err(|_| UNREADABLE)?;
    let len = file.metadata().map_err(|_| UNREADABLE)?.len();
    let mut bytes = Vec::with_capacity(FIRST_READ as usize);
    (&file).take(FIRST_READ).read_to_end(&mut bytes).map_err(|_| UNREADABLE)?;
    let mut head = Head::parse(&bytes);
    if head.is_err() && len > FIRST_READ {
        (&file).take(HEAD_LIMIT as u64 - FIRST_READ).read_to_end(&mut bytes).map_err(|_| UNREADABLE)?;
        head = Head::parse(&bytes);
    }
    head.map(|head| (head, len))
}

/// Whether every byte of a file is as it was written.
fn is_whole(folder: &Folder, found: &Found) -> bool {
    let Ok(head) = &found.head else { return false };
    match head.kind {
        Kind::Floor => found.whole,
        Kind::Entry => {
            let bytes: io::Result<Vec<u8>> = fs::read(folder.object(&found.name));
            bytes.is_ok_and(|bytes| object::open(&head.key, head.version, bytes).is_ok())
        }
    }
}
