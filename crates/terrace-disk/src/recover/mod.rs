//! Recovery: from the files of a log to an index.
//!
//! Decision: the log alone says which files belong to it, the newest list of segments first; what it removed is
//! removed again, what it lacks is reported, and only then is anything applied. `docs/recovery.md` has the order.

mod sources;
mod tail;
mod unborn;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::checkpoint::{Loaded, snapshot_number};
use crate::cipher::cipher_of;
use crate::config::Mode;
use crate::control::{Control, Manifest};
use crate::error::{Error, Result};
use crate::header::{HEADER_LEN, MARK_NAME, id_of, segment_name};
use crate::open::Found;
use crate::point::point;
use crate::replay::{Contents, Item, Part, manifest_of};
use crate::report::{Damage, OpenReport};
use crate::roll::SPARE;
use crate::scan::End;
use crate::segment::{Parts, Segment};
use crate::shared::Shared;
use crate::sorted::order_number;
use crate::writer::Writer;

/// A recovery in progress.
pub(crate) struct Recovery<'a> {
    pub(crate) shared: &'a Shared,
    pub(crate) found: Found,
    pub(crate) loaded: Option<Loaded>,
    pub(crate) now: u64,
}

/// What the log says belongs to it.
struct Expected {
    /// Segments with their lengths, as far as that is written.
    listed: BTreeMap<u64, u64>,
    /// Every segment from here on belongs to it, too.
    from: u64,
    /// Whether anything says so.
    known: bool,
    manifest: Manifest,
}

impl Recovery<'_> {
    pub(crate) fn run(&mut self, names: &[String], report: &mut OpenReport) -> Result<()> {
        let shared = self.shared;
        let mut writer = shared.writer.lock();
        self.drop_unborn()?;
        self.open_segments()?;
        let expected = self.expected()?;
        let next_id = self.next_id(names, &expected);
        let newest = self.found.sound.keys().next_back().copied();
        // What was removed after the last list of segments was written.
        let mut parsed = BTreeMap::new();
        let mut removed = BTreeSet::new();
        for id in self.found.sound.keys().copied().filter(|id| *id >= expected.from) {
            let Some(part) = self.part(id, newest, &expected)? else { continue };
            let contents = shared.parse(&part)?;
            for item in &contents.items {
                if let Item::Control(_, _, Control::Removed { segment }) = item {
                    removed.insert(*segment);
                }
            }
            parsed.insert(id, contents);
        }
        self.remove_leftovers(&expected, &removed)?;
        self.report_missing(&expected, &removed, &mut writer, report);
        self.restore(&expected, &mut writer);
        self.replay(newest, &expected, parsed, &mut writer, report)?;
        self.finish(&mut writer, next_id, names, report)
    }

    /// Opens the files and gives them their slots: those of the snapshot, if there is one.
    fn open_segments(&self) -> Result<()> {
        let shared = self.shared;
        let mut segments = shared.segments.write();
        let listed: BTreeMap<u64, u16> = self
            .loaded
            .iter()
            .flat_map(|loaded| &loaded.head.segments)
            .map(|listed| (listed.id, listed.slot))
            .collect();
        let newest = self.found.sound.keys().next_back().copied();
        let (old, new): (Vec<_>, Vec<_>) =
            self.found.sound.iter().partition(|(id, _)| listed.contains_key(id));
        for (id, (header, len)) in old.into_iter().chain(new) {
            let name = segment_name(*id);
            let file = shared.io.open(&name, Some(*id) == newest).map_err(Error::io("open", &name))?;
            let mut free = || segments.free_slot().ok_or(Error::Full("there are too many segments"));
            let slot = match listed.get(id) {
                Some(slot) => *slot,
                None => free()?,
            };
            let cipher = cipher_of(shared.keys.as_deref(), header)?;
            let parts = Parts {
                slot,
                id: *id,
                base: header.base,
                capacity: header.capacity,
                file,
                cipher,
                usual_key: header.usual_key,
            };
            segments.insert(Arc::new(Segment::new(parts, *len, true)));
        }
        Ok(())
    }

    /// What belongs to the log: as the newest list says, be it in a segment or in the snapshot.
    fn expected(&self) -> Result<Expected> {
        let segments = self.shared.segments.read();
        let listed = |manifest: &Manifest| manifest.segments.iter().copied().collect();
        let mut newest = None;
        for segment in segments.iter().rev() {
            newest = manifest_of(segment)?.map(|manifest| (segment.id, manifest));
            if newest.is_some() {
                break;
            }
        }
        let position =
            self.loaded.as_ref().map(|loaded| (loaded.head.position.segment, &loaded.head.manifest));
        Ok(match (newest, position) {
            (Some((id, manifest)), position) if position.is_none_or(|(at, _)| at < id) => {
                Expected { listed: listed(&manifest), from: id, known: true, manifest }
            }
            (_, Some((at, manifest))) => {
                Expected { listed: listed(manifest), from: at, known: true, manifest: manifest.clone() }
            }
            _ => Expected { listed: BTreeMap::new(), from: 0, known: false, manifest: Manifest::default() },
        })
    }

    fn next_id(&self, names: &[String], expected: &Expected) -> u64 {
        let seen = names.iter().filter_map(|name| id_of(name, "", ".seg"));
        let listed = expected.listed.keys().copied();
        let position = self.loaded.iter().map(|loaded| loaded.head.position.segment);
        seen.chain(listed).chain(position).max().unwrap_or(0) + 1
    }

    /// What is to be read of a segment; `None` if the snapshot covers it.
    fn part(&self, id: u64, newest: Option<u64>, expected: &Expected) -> Result<Option<Part>> {
        let Some(segment) = self.shared.segments.read().by_id(id).cloned() else { return Ok(None) };
        let position = self.loaded.as_ref().map(|loaded| loaded.head.position);
        let from = match position {
            Some(position) if position.segment == id => u64::from(position.offset).max(HEADER_LEN),
            Some(position) if position.segment > id => return Ok(None),
            _ => HEADER_LEN,
        };
        let end = if Some(id) == newest {
            End::Open(if from > HEADER_LEN { from } else { 0 })
        } else {
            let after = self.shared.segments.read().iter().find(|other| other.id > id).cloned();
            let noted = after.map(|after| manifest_of(&after)).transpose()?.flatten();
            let noted =
                noted.and_then(|noted| noted.segments.iter().find(|(other, _)| *other == id).copied());
            let listed = expected.listed.get(&id).copied();
            End::Known(noted.map(|(_, len)| len).or(listed).unwrap_or_else(|| segment.len()))
        };
        Ok(Some(Part { segment, from, end }))
    }

    /// Removes the files of segments that the log says were removed.
    fn remove_leftovers(&mut self, expected: &Expected, removed: &BTreeSet<u64>) -> Result<()> {
        let gone = |id: &u64| {
            removed.contains(id)
                || (expected.known && *id < expected.from && !expected.listed.contains_key(id))
        };
        let sound: Vec<u64> = self.found.sound.keys().copied().filter(gone).collect();
        let unreadable: Vec<u64> = self.found.unreadable.keys().copied().filter(gone).collect();
        for id in sound.into_iter().chain(unreadable) {
            let segment = self.shared.segments.read().by_id(id).cloned();
            if let Some(segment) = segment {
                self.shared.segments.write().remove(&segment);
            }
            point("open.before_remove_leftover");
            let name = segment_name(id);
            match self.shared.io.remove(&name) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    return Err(Error::io("remove", &name)(error));
                }
                _ => {}
            }
            self.shared.forget_order(id);
            self.found.sound.remove(&id);
            self.found.unreadable.remove(&id);
        }
        Ok(())
    }

    fn report_missing(
        &self,
        expected: &Expected,
        removed: &BTreeSet<u64>,
        writer: &mut Writer,
        report: &mut OpenReport,
    ) {
        for (id, len) in &self.found.unreadable {
            writer.unreadable.push((*id, *len));
            report.damaged.push(Damage { segment: *id, from: 0, to: *len });
            self.shared.note_damage();
        }
        for id in expected.listed.keys().filter(|id| !removed.contains(id)) {
            if !self.found.sound.contains_key(id) && !self.found.unreadable.contains_key(id) {
                report.missing.push(*id);
                self.shared.note_damage();
            }
        }
    }

    /// Puts what the snapshot says into place, as far as its segments are there.
    fn restore(&mut self, expected: &Expected, writer: &mut Writer) {
        let shared = self.shared;
        let mut known = BTreeSet::new();
        if let Some(loaded) = &mut self.loaded {
            let head = &loaded.head;
            head.manifest.horizons.iter().for_each(|horizon| shared.horizons.note(*horizon));
            writer.max_version = head.manifest.max_version;
            head.manifest.floors.iter().for_each(|floor| shared.floors.raise(*floor));
            let segments = shared.segments.read();
            for listed in &head.segments {
                let there = segments.by_id(listed.id).filter(|segment| segment.slot == listed.slot);
                if let Some(segment) = there {
                    if listed.given_versions {
                        segment.note_given_version();
                    }
                    known.insert(listed.slot);
                    for (group, tally) in &listed.groups {
                        writer.tallies.add(listed.slot, *group, *tally);
                    }
                }
            }
            loaded.fill(&shared.index, |slot| known.contains(&slot));
        }
        // Clears after the snapshot whose own record may be gone with its segment.
        for floor in &expected.manifest.floors {
            let before = shared.floors.all().iter().find(|other| other.group == floor.group).copied();
            if before.is_none_or(|before| before.version < floor.version) {
                writer.tallies.clear(floor.group);
            }
            shared.floors.raise(*floor);
        }
        expected.manifest.horizons.iter().for_each(|horizon| shared.horizons.note(*horizon));
        writer.max_version = writer.max_version.max(expected.manifest.max_version);
    }

    fn replay(
        &self,
        newest: Option<u64>,
        expected: &Expected,
        mut parsed: BTreeMap<u64, Contents>,
        writer: &mut Writer,
        report: &mut OpenReport,
    ) -> Result<()> {
        let shared = self.shared;
        report.from_snapshot = self.loaded.is_some();
        if report.damaged.len() + report.missing.len() > 0 {
            // Whatever is lost there may have been newer than what is left.
            shared.forget_older(writer, report);
        }
        let ids: Vec<u64> = self.found.sound.keys().copied().collect();
        let parts: Vec<Part> = ids
            .iter()
            .filter(|id| !parsed.contains_key(id))
            .filter_map(|id| self.part(*id, newest, expected).transpose())
            .collect::<Result<_>>()?;
        shared.parse_all(&parts, shared.config.threads(), |part, contents| {
            shared.apply_items(writer, &part.segment, &contents.items, self.now, report)?;
            if let End::Known(len) = part.end {
                part.segment.set_len(len.min(part.segment.len()));
            }
            Ok(())
        })?;
        for id in ids {
            let Some(contents) = parsed.remove(&id) else { continue };
            let Some(segment) = shared.segments.read().by_id(id).cloned() else { continue };
            shared.apply_items(writer, &segment, &contents.items, self.now, report)?;
            if Some(id) == newest {
                self.cut(&segment, &contents, report)?;
            }
        }
        shared.apply_horizons(writer, self.now)
    }

    fn finish(
        &self,
        writer: &mut Writer,
        next_id: u64,
        names: &[String],
        report: &mut OpenReport,
    ) -> Result<()> {
        let shared = self.shared;
        writer.next_id = next_id;
        let segments = shared.segments.read();
        let ends = segments.iter().map(|segment| segment.base + segment.capacity.max(segment.len()));
        writer.next_base = ends.max().unwrap_or(0).max(writer.max_version) + 1;
        drop(segments);
        if !writer.unreadable.is_empty() || !report.missing.is_empty() {
            // Nobody knows which versions were given there.
            writer.next_base += 1 << 40;
        }
        shared.commit.note_synced(writer.next_base);
        for name in names {
            let known = name == "LOCK" || name == MARK_NAME || name == SPARE;
            let known = known || id_of(name, "", ".seg").is_some() || snapshot_number(name).is_some();
            let order = order_number(name);
            let orphaned = order.is_some_and(|id| !shared.keeps_order_of(id));
            if is_temporary(name) || orphaned {
                let _ = shared.io.remove(name);
            } else if order.is_some() {
                continue;
            } else if !known && !name.starts_with("dict-") {
                report.foreign.push(name.clone());
            }
        }
        self.open_spare(writer, names);
        writer.checkpoint_bytes = shared.snapshot_bytes();
        Ok(())
    }

    /// A store keeps room for deletes and compaction; a cache makes room by evicting.
    fn open_spare(&self, writer: &mut Writer, names: &[String]) {
        let shared = self.shared;
        if matches!(shared.config.mode, Mode::Cache { .. }) {
            let _ = shared.io.remove(SPARE);
            return;
        }
        if names.iter().any(|name| name == SPARE) {
            let spare = shared.io.open(SPARE, true).ok();
            writer.spare = spare.filter(|spare| spare.len().is_ok_and(|len| len >= 64 << 10));
        }
        // Without room for it puts are refused until there is.
        let _ = shared.regain_spare(writer);
    }
}

/// Whether a file is one of ours that was not finished.
fn is_temporary(name: &str) -> bool {
    let Some(of) = name.strip_suffix(".new") else { return false };
    of == MARK_NAME || snapshot_number(of).is_some() || id_of(of, "dict-", "").is_some()
}
