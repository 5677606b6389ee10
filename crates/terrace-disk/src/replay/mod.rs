//! From records to an index: what recovery does with each segment.
//!
//! Decision: segments are parsed in parallel and applied in the order of the log, by the same rule as every
//! write: the later record of a key wins. A batch counts when its trailer is reached.

mod queue;

use std::ops::ControlFlow;
use std::sync::Arc;

use crate::codec::with_workspace;
use crate::config::Mode;
use crate::control::Control;
use crate::error::{Error, Result};
use crate::fetch::check;
use crate::header::segment_name;
use crate::horizon::Horizon;
use crate::index::{Hash, SHARDS, Slot};
use crate::lookup::Old;
use crate::read::version_of;
use crate::record::{Head, Kind, Location, Record, split, unseal};
use crate::report::{Damage, OpenReport};
use crate::scan::{End, Ended, Step, walk};
use crate::segment::Segment;
use crate::shared::Shared;
use crate::write::tally_of;
use crate::writer::Writer;

/// A record as far as the index cares.
#[derive(Clone, Copy)]
pub(crate) struct Parsed {
    hash: Hash,
    offset: u32,
    len: u32,
    head: Head,
}

/// One thing that a segment holds.
pub(crate) enum Item {
    Record(Parsed),
    Control(u32, Head, Control),
    Damage(Damage),
}

/// What a segment holds, and where it ends.
pub(crate) struct Contents {
    pub(crate) items: Vec<Item>,
    pub(crate) ended: Ended,
    /// Where a batch begins whose trailer is not there, if it is the last thing in the segment.
    pub(crate) unfinished: Option<u32>,
}

/// A segment to be read: from where, and to where.
#[derive(Clone)]
pub(crate) struct Part {
    pub(crate) segment: Arc<Segment>,
    pub(crate) from: u64,
    pub(crate) end: End,
}

impl Shared {
    /// Reads what a segment holds.
    pub(crate) fn parse(&self, part: &Part) -> Result<Contents> {
        let segment = &part.segment;
        let mut items = Vec::new();
        let mut batch: Vec<(Parsed, u64)> = Vec::new();
        let mut failed = None;
        let visit = |step: Step<'_>| {
            match step {
                Step::Record(offset, record) => {
                    if let Err(error) = self.parse_record(segment, offset, &record, &mut batch, &mut items) {
                        failed = Some(error);
                        return ControlFlow::Break(());
                    }
                }
                Step::Damage { from, to } => {
                    batch.clear();
                    items.push(Item::Damage(Damage { segment: segment.id, from, to }));
                }
            }
            ControlFlow::Continue(())
        };
        let ended = walk(segment, part.from, part.end, visit)
            .map_err(Error::io("read", &segment_name(segment.id)))?;
        match failed {
            Some(error) => Err(error),
            None => Ok(Contents { items, ended, unfinished: batch.first().map(|(first, _)| first.offset) }),
        }
    }

    fn parse_record(
        &self,
        segment: &Segment,
        offset: u32,
        record: &Record<'_>,
        batch: &mut Vec<(Parsed, u64)>,
        items: &mut Vec<Item>,
    ) -> Result<()> {
        let head = record.head;
        if head.kind == Kind::Control {
            let control = Control::parse(record.body());
            if let Ok(Control::Trailer { count, crc }) = control {
                let versions = batch.iter().map(|(_, version)| version);
                let found =
                    versions.fold(0, |crc, version| crc32c::crc32c_append(crc, &version.to_le_bytes()));
                if count == batch.len() as u64 && crc == found {
                    items.extend(batch.drain(..).map(|(parsed, _)| Item::Record(parsed)));
                } else {
                    items.push(Item::Damage(damage_of(segment, offset, record)));
                }
                batch.clear();
                return Ok(());
            }
            batch.clear();
            items.push(match control {
                Ok(control) => Item::Control(offset, head, control),
                Err(_) => Item::Damage(damage_of(segment, offset, record)),
            });
            return Ok(());
        }
        let Some(hash) = self.hash_in(segment, offset, record)? else {
            items.push(Item::Damage(damage_of(segment, offset, record)));
            return Ok(());
        };
        if head.version_delta.is_some() {
            segment.note_given_version();
        }
        let parsed = Parsed { hash, offset, len: record.bytes.len() as u32, head };
        if head.in_batch {
            batch.push((parsed, version_of(segment, offset, &head)));
        } else {
            batch.clear();
            items.push(Item::Record(parsed));
        }
        Ok(())
    }

    /// The hash of a record's key.
    fn hash_in(&self, segment: &Segment, offset: u32, record: &Record<'_>) -> Result<Option<Hash>> {
        let Some(cipher) = &segment.cipher else {
            return Ok(split(&record.head, record.body()).map(|(key, ..)| self.index.hash(key)));
        };
        with_workspace(|workspace| {
            record.clear(&mut workspace.head);
            workspace.body.clear();
            workspace.body.extend_from_slice(record.body());
            let opened = unseal(&**cipher, segment.at(offset), &workspace.head, &mut workspace.body);
            // The checksum fits, so it is not damage.
            opened.map_err(|why| Error::Denied(why.to_owned()))?;
            Ok(split(&record.head, &workspace.body).map(|(key, ..)| self.index.hash(key)))
        })
    }

    /// Applies what a segment holds.
    pub(crate) fn apply_items(
        &self,
        writer: &mut Writer,
        segment: &Arc<Segment>,
        items: &[Item],
        now: u64,
        report: &mut OpenReport,
    ) -> Result<()> {
        for item in items {
            match item {
                Item::Record(parsed) => {
                    report.replayed += 1;
                    self.apply_record(writer, segment, parsed, now)?;
                }
                Item::Control(offset, head, control) => {
                    let version = version_of(segment, *offset, head);
                    if head.version_delta.is_some() {
                        // Also a mark's, which says how far versions may have been given without a write.
                        writer.max_version = writer.max_version.max(version);
                    }
                    self.apply_control(writer, segment.at(*offset), version, head, control);
                }
                Item::Damage(damage) => self.apply_damage(writer, *damage, report),
            }
        }
        Ok(())
    }

    fn apply_record(
        &self,
        writer: &mut Writer,
        segment: &Arc<Segment>,
        parsed: &Parsed,
        now: u64,
    ) -> Result<()> {
        let Parsed { hash, offset, len, head } = *parsed;
        let version = version_of(segment, offset, &head);
        writer.max_version = writer.max_version.max(version);
        let old = self.find_old(segment, parsed, now)?;
        if let Some(old) = old.filter(|old| old.counted) {
            writer.tallies.subtract(old.place.slot, old.group, old.tally);
        }
        let place = crate::index::Place { slot: segment.slot, offset };
        let slot = Slot::new(hash.tag(), place, len as usize, head.expires_ms, head.kind == Kind::Tombstone);
        let gone = match head.kind {
            // What has expired counts until it is swept, as it did before.
            Kind::Put => self.floors.bury(head.group, version),
            _ => segment.is_over(head.expires_ms, now),
        };
        let mut table = self.index.write(hash.shard());
        let position = old.and_then(|old| table.find(hash.tag(), old.place)).map(|(position, _)| position);
        match (position, gone) {
            (Some(position), false) => table.replace(position, slot),
            (Some(position), true) => table.remove(position),
            (None, false) => table.insert(slot),
            (None, true) => {}
        }
        if head.kind == Kind::Put && !gone {
            writer.tallies.add(segment.slot, head.group, tally_of(&head, len as usize));
        }
        Ok(())
    }

    /// What the index has for the key of a record that is being applied.
    fn find_old(&self, segment: &Arc<Segment>, parsed: &Parsed, now: u64) -> Result<Option<Old>> {
        let slots: Vec<Slot> = {
            let table = self.index.read(parsed.hash.shard());
            table.candidates(parsed.hash.tag()).map(|(_, slot)| slot).collect()
        };
        if slots.is_empty() {
            return Ok(None);
        }
        let key = with_workspace(|workspace| {
            self.with_record(segment, parsed.offset, Some(parsed.len as usize), workspace, |head, body, _| {
                Ok(split(&head, body).map(|(key, ..)| key.to_vec()).unwrap_or_default())
            })
        })?;
        for slot in slots {
            if let Some(old) = with_workspace(|workspace| self.compare(slot, &key, now, workspace))? {
                return Ok(Some(old));
            }
        }
        Ok(None)
    }

    fn apply_control(&self, writer: &mut Writer, at: Location, version: u64, head: &Head, control: &Control) {
        match control {
            Control::Manifest(manifest) => {
                manifest.horizons.iter().for_each(|horizon| self.horizons.note(*horizon));
                writer.max_version = writer.max_version.max(manifest.max_version);
            }
            Control::Clear { all, deadline_ms } => {
                let group = (!all).then_some(head.group);
                writer.max_version = writer.max_version.max(version);
                let deadline_ms = *deadline_ms;
                self.floors.raise(crate::control::Floor { group, version, deadline_ms, origin: at.segment });
                writer.tallies.clear(group);
                if *all {
                    (0..SHARDS).for_each(|shard| self.index.write(shard).retain(|_| false));
                }
            }
            Control::Swept { now_ms } => {
                self.horizons.note(Horizon { at, now_ms: *now_ms });
            }
            Control::Trailer { .. } | Control::Mark { .. } | Control::Removed { .. } => {}
        }
    }

    /// In a cache, an entry older than the damage may have been overwritten or deleted there: it is forgotten.
    pub(crate) fn apply_damage(&self, writer: &mut Writer, damage: Damage, report: &mut OpenReport) {
        report.damaged.push(damage);
        self.note_damage();
        self.forget_older(writer, report);
    }

    /// Forgets, in a cache, everything that was applied so far.
    pub(crate) fn forget_older(&self, writer: &mut Writer, report: &mut OpenReport) {
        if matches!(self.config.mode, Mode::Cache { .. }) {
            report.dropped += writer.tallies.clear(None).count;
            (0..SHARDS).for_each(|shard| self.index.write(shard).retain(|_| false));
        }
    }
}

fn damage_of(segment: &Segment, offset: u32, record: &Record<'_>) -> Damage {
    let from = u64::from(offset);
    Damage { segment: segment.id, from, to: from + record.bytes.len() as u64 }
}

/// The first record of a segment, if it is the list it should be.
///
/// An error of the device is no reason to think otherwise: whoever asks may decide on it what is to be removed.
pub(crate) fn manifest_of(segment: &Segment) -> Result<Option<crate::control::Manifest>> {
    let mut bytes = Vec::new();
    let from = crate::header::HEADER_LEN as u32;
    let read = |len: usize, bytes: &mut Vec<u8>| {
        bytes.clear();
        segment.read(from, len, bytes).map_err(Error::io("read", &segment_name(segment.id)))
    };
    read(64 << 10, &mut bytes)?;
    let Ok((head, body_at)) = Head::parse(&bytes, segment.form().usual_key) else { return Ok(None) };
    let len = crate::record::total_len(&head, body_at, segment.overhead());
    if len > bytes.len() {
        read(len, &mut bytes)?;
    }
    let record = check(segment, from, &bytes).ok().filter(|record| record.head.kind == Kind::Control);
    match record.map(|record| Control::parse(record.body())) {
        Some(Ok(Control::Manifest(manifest))) => Ok(Some(manifest)),
        _ => Ok(None),
    }
}
