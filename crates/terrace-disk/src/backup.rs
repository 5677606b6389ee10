//! Copies of a log, and looking through one.
//!
//! Decision: a backup is a folder like any other, which can be opened where it lies. The file that marks it as a
//! log is written last, so that one that was interrupted is not taken for a whole one.

use std::ops::ControlFlow;
use std::sync::Arc;

use crate::codec::training::dictionary_name;
use crate::error::{Error, Result};
use crate::fetch::check;
use crate::header::{HEADER_LEN, Header, MARK_NAME, Mark, id_of, segment_name};
use crate::io::Io;
use crate::report::Damage;
use crate::scan::{End, Step, walk};
use crate::shared::Shared;
use crate::snapshot::Snapshot;

/// How far something has come: bytes done, and bytes in all.
pub type Progress<'a> = &'a mut dyn FnMut(u64, u64);

/// What a backup or a restoration copied.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Copied {
    /// Files.
    pub files: u64,
    /// Bytes.
    pub bytes: u64,
}

/// What looking through a log found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verified {
    /// Segments that were read.
    pub segments: u64,
    /// Records that check.
    pub records: u64,
    /// Bytes that were read.
    pub bytes: u64,
    /// What does not check.
    pub damaged: Vec<Damage>,
    /// Entries of the index whose record does not check.
    pub unreadable: u64,
}

const CHUNK: u64 = 1 << 20;

/// Copies the beginning of a file, and makes the copy durable but for its name.
fn copy(from: &dyn Io, to: &dyn Io, name: &str, len: u64, done: &mut dyn FnMut(u64)) -> Result<()> {
    let source = from.open(name, false).map_err(Error::io("open", name))?;
    let target = to.create(name).map_err(Error::io("create", name))?;
    let mut bytes = vec![0; CHUNK.min(len) as usize];
    let mut at = 0;
    while at < len {
        let wanted = (len - at).min(CHUNK) as usize;
        let room = bytes.get_mut(..wanted).unwrap_or_default();
        let read = source.read_at(room, at).map_err(Error::io("read", name))?;
        if read == 0 {
            return Err(Error::Foreign(format!("{name} is shorter than it was when the copy began")));
        }
        let chunk = bytes.get(..read).unwrap_or_default();
        target.write_all_at(chunk, at).map_err(Error::io("write", name))?;
        at += read as u64;
        done(read as u64);
    }
    target.sync().map_err(Error::io("sync", name))
}

fn check_empty(to: &dyn Io) -> Result<()> {
    let names = to.list().map_err(Error::io("list", "the target"))?;
    match names.iter().find(|name| *name != "LOCK") {
        None => Ok(()),
        Some(name) => Err(Error::Invalid(format!("the target is not empty: it holds {name}"))),
    }
}

/// Copies files of which the mark is the last, and reports how far it has come.
fn copy_all(
    from: &dyn Io,
    to: &dyn Io,
    mut files: Vec<(String, u64)>,
    progress: Progress<'_>,
) -> Result<Copied> {
    check_empty(to)?;
    files.sort_by_key(|(name, _)| name == MARK_NAME);
    let total = files.iter().map(|(_, len)| len).sum();
    let mut copied = Copied::default();
    for (name, len) in files {
        if name == MARK_NAME {
            to.sync_dir().map_err(Error::io("sync", "the target"))?;
        }
        let mut advance = |bytes: u64| {
            copied.bytes += bytes;
            progress(copied.bytes, total);
        };
        copy(from, to, &name, len, &mut advance)?;
        copied.files += 1;
    }
    to.sync_dir().map_err(Error::io("sync", "the target"))?;
    Ok(copied)
}

/// Copies a log that nobody has open into an empty folder.
///
/// # Errors
/// `Busy` if the log is open; `Invalid` if the target is not empty; `Foreign` if it is no log.
pub fn restore(from: &dyn Io, to: &dyn Io, progress: Progress<'_>) -> Result<Copied> {
    let _lock = from.lock().map_err(|_| Error::Busy)?;
    let names = from.list().map_err(Error::io("list", "the backup"))?;
    if !names.iter().any(|name| name == MARK_NAME) {
        return Err(Error::Foreign("it is no log, or a backup that was not completed".to_owned()));
    }
    let mut files = Vec::new();
    for name in names {
        let ours = name == MARK_NAME
            || id_of(&name, "", ".seg").is_some()
            || crate::checkpoint::snapshot_number(&name).is_some()
            || (name.starts_with("dict-") && !name.ends_with(".new"));
        if ours {
            let file = from.open(&name, false).map_err(Error::io("open", &name))?;
            files.push((name.clone(), file.len().map_err(Error::io("read", &name))?));
        }
    }
    copy_all(from, to, files, progress)
}

impl Shared {
    /// Copies the log as it is at one position into an empty folder, while it is read and written.
    pub(crate) fn backup(self: &Arc<Self>, to: &dyn Io, progress: Progress<'_>) -> Result<Copied> {
        self.check_writable()?;
        // Keeps every file in its place.
        let snapshot = Snapshot::take(self)?;
        self.sync_log()?;
        let position = snapshot.position();
        let mut files = vec![(MARK_NAME.to_owned(), self.mark.to_bytes().len() as u64)];
        for id in self.codecs.dictionary_ids() {
            let name = dictionary_name(id);
            let file = self.io.open(&name, false).map_err(Error::io("open", &name))?;
            files.push((name.clone(), file.len().map_err(Error::io("read", &name))?));
        }
        let doomed: Vec<u64> = self.writer.lock().doomed.iter().map(|(segment, _)| segment.id).collect();
        for segment in self.segments.read().iter().filter(|segment| segment.id <= position.segment) {
            let len = if segment.id == position.segment { u64::from(position.offset) } else { segment.len() };
            if !doomed.contains(&segment.id) {
                files.push((segment_name(segment.id), len));
            }
        }
        copy_all(&*self.io, to, files, progress)
    }

    /// Reads every record of every segment, and every one that the index refers to.
    pub(crate) fn verify(&self, progress: Progress<'_>) -> Result<Verified> {
        self.check_open()?;
        let mut verified = Verified::default();
        let segments: Vec<_> = self.segments.read().iter().cloned().collect();
        let total = segments.iter().map(|segment| segment.len()).sum();
        for segment in segments {
            let len = segment.len();
            let visit = |step: Step<'_>| {
                match step {
                    Step::Record(..) => verified.records += 1,
                    Step::Damage { from, to } => {
                        verified.damaged.push(Damage { segment: segment.id, from, to });
                    }
                }
                ControlFlow::Continue(())
            };
            walk(&segment, HEADER_LEN, End::Known(len), visit)
                .map_err(Error::io("read", &segment_name(segment.id)))?;
            let header = self.header_of(&segment)?;
            if !header {
                verified.damaged.push(Damage { segment: segment.id, from: 0, to: HEADER_LEN });
            }
            verified.segments += 1;
            verified.bytes += len;
            progress(verified.bytes, total);
        }
        verified.unreadable = self.unreadable_slots()?;
        let found = verified.damaged.len() as u64 + verified.unreadable;
        if found > 0 {
            self.note_damage();
        }
        Ok(verified)
    }

    fn header_of(&self, segment: &crate::segment::Segment) -> Result<bool> {
        let mut bytes = Vec::new();
        segment
            .read(0, HEADER_LEN as usize, &mut bytes)
            .map_err(Error::io("read", &segment_name(segment.id)))?;
        Ok(Header::parse(&bytes)?.is_some_and(|header| header.id == segment.id))
    }

    fn unreadable_slots(&self) -> Result<u64> {
        let mut unreadable = 0;
        let mut bytes = Vec::new();
        for shard in 0..crate::index::SHARDS {
            let slots: Vec<_> = self.index.read(shard).iter().collect();
            for slot in slots {
                let place = slot.place();
                let Some(segment) = self.segments.read().by_slot(place.slot).cloned() else { continue };
                bytes.clear();
                self.read_record(&segment, place.offset, slot.most_bytes(), &mut bytes)?;
                unreadable += u64::from(check(&segment, place.offset, &bytes).is_err());
            }
        }
        Ok(unreadable)
    }
}

/// A log from outside: what its files say, read without opening it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Inspection {
    /// The log's number.
    pub store: u64,
    /// Its segments, the oldest first.
    pub segments: Vec<SegmentInfo>,
    /// Index snapshots, with their length in bytes.
    pub snapshots: Vec<(String, u64)>,
    /// Dictionaries.
    pub dictionaries: u64,
}

/// A segment from outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SegmentInfo {
    /// Its number.
    pub id: u64,
    /// The length of its file.
    pub bytes: u64,
    /// When it was begun, in milliseconds since 1970; `None` if its header does not check.
    pub created_ms: Option<u64>,
    /// The number of the key it is encrypted with.
    pub key_id: Option<u32>,
}

/// Looks at the files of a log, which may be open elsewhere.
///
/// # Errors
/// `Foreign` if it is no log, `Newer` for a later format.
pub fn inspect(io: &dyn Io) -> Result<Inspection> {
    let names = io.list().map_err(Error::io("list", "the folder"))?;
    let read = |name: &str, most: usize| {
        let file = io.open(name, false).map_err(Error::io("open", name))?;
        let mut bytes = vec![0; most];
        let read = file.read_at(&mut bytes, 0).map_err(Error::io("read", name))?;
        bytes.truncate(read);
        Ok((bytes, file.len().map_err(Error::io("read", name))?))
    };
    if !names.iter().any(|name| name == MARK_NAME) {
        return Err(Error::Foreign(format!("there is no file {MARK_NAME}")));
    }
    let mark = Mark::parse(&read(MARK_NAME, 4096)?.0)?;
    let mut inspection = Inspection { store: mark.store, ..Inspection::default() };
    for name in &names {
        if let Some(id) = id_of(name, "", ".seg") {
            let (bytes, len) = read(name, HEADER_LEN as usize)?;
            let header = Header::parse(&bytes)?;
            inspection.segments.push(SegmentInfo {
                id,
                bytes: len,
                created_ms: header.as_ref().map(|header| header.created_ms),
                key_id: header.and_then(|header| header.key).map(|(id, _)| id),
            });
        } else if crate::checkpoint::snapshot_number(name).is_some() {
            inspection.snapshots.push((name.clone(), read(name, 0)?.1));
        } else if name.starts_with("dict-") {
            inspection.dictionaries += 1;
        }
    }
    inspection.segments.sort_by_key(|segment| segment.id);
    inspection.snapshots.sort();
    Ok(inspection)
}
