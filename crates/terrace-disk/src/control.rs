//! The notes that the engine writes to itself, in the log like everything else.
//!
//! Decision: no manifest file. Each segment begins with a list of the segments there were when it was made, and
//! a removal is noted in the log before it happens. So the log alone says which files belong to it: one that is
//! listed and not there is missing, one that is there and not listed was removed before.

use crate::horizon::Horizon;
use crate::record::{HIGHEST_VERSION, Location};
use crate::varint::{self, Bad, Reader};

/// A note.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Control {
    /// The first record of each segment.
    Manifest(Manifest),
    /// The records flagged as of a batch that stand directly before this one are all there are.
    Trailer {
        /// How many.
        count: u64,
        /// A checksum of their checksums.
        crc: u32,
    },
    /// Everything in this segment before the offset was on the disk when this was written.
    Mark { synced: u32 },
    /// This segment is empty of everything anybody needs and may be gone.
    Removed { segment: u64 },
    /// Every entry of the group in the head, or of all, whose version is not above this one's is gone.
    Clear { all: bool, deadline_ms: u64 },
    /// Entries that had expired by this time were seen to be gone.
    Swept { now_ms: u64 },
}

/// What there was when a segment was begun.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Manifest {
    /// What notes said that are of [`Control::Swept`].
    pub(crate) horizons: Vec<Horizon>,
    /// The highest version ever seen.
    pub(crate) max_version: u64,
    /// The segments, with how long they are.
    pub(crate) segments: Vec<(u64, u64)>,
    /// What clears left.
    pub(crate) floors: Vec<Floor>,
}

/// What a clear left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Floor {
    /// The group; `None` for all.
    pub(crate) group: Option<u32>,
    /// No entry of it whose version is not above this is there any more.
    pub(crate) version: u64,
    /// Until when no older version may be written either.
    pub(crate) deadline_ms: u64,
    /// The segment in which the clear stands: what it removed lies there or below.
    pub(crate) origin: u64,
}

const MANIFEST: u8 = 1;
const TRAILER: u8 = 2;
pub(crate) const MARK: u8 = 3;
const REMOVED: u8 = 4;
const CLEAR: u8 = 5;
const SWEPT: u8 = 6;

impl Control {
    /// Appends the note's value.
    pub(crate) fn append(&self, out: &mut Vec<u8>) {
        match self {
            Self::Manifest(manifest) => {
                out.push(MANIFEST);
                manifest.append(out);
            }
            Self::Trailer { count, crc } => {
                out.push(TRAILER);
                varint::put(out, *count);
                out.extend_from_slice(&crc.to_le_bytes());
            }
            Self::Mark { synced } => {
                out.push(MARK);
                out.extend_from_slice(&synced.to_le_bytes());
            }
            Self::Removed { segment } => {
                out.push(REMOVED);
                varint::put(out, *segment);
            }
            Self::Clear { all, deadline_ms } => {
                out.push(CLEAR);
                out.push(u8::from(*all));
                varint::put(out, *deadline_ms);
            }
            Self::Swept { now_ms } => {
                out.push(SWEPT);
                varint::put(out, *now_ms);
            }
        }
    }

    /// The note in this value.
    pub(crate) fn parse(value: &[u8]) -> Result<Self, Bad> {
        let mut reader = Reader::new(value);
        let control = match reader.u8()? {
            MANIFEST => Self::Manifest(Manifest::parse(&mut reader)?),
            TRAILER => Self::Trailer { count: reader.varint()?, crc: reader.u32()? },
            MARK => Self::Mark { synced: reader.u32()? },
            REMOVED => Self::Removed { segment: reader.varint()? },
            CLEAR => Self::Clear { all: reader.u8()? != 0, deadline_ms: reader.varint()? },
            SWEPT => Self::Swept { now_ms: reader.varint()? },
            _ => return Err(Bad::Malformed),
        };
        if reader.is_empty() { Ok(control) } else { Err(Bad::Malformed) }
    }
}

impl Manifest {
    pub(crate) fn append(&self, out: &mut Vec<u8>) {
        varint::put(out, self.horizons.len() as u64);
        for horizon in &self.horizons {
            varint::put(out, horizon.at.segment);
            varint::put(out, u64::from(horizon.at.offset));
            varint::put(out, horizon.now_ms);
        }
        varint::put(out, self.max_version);
        varint::put(out, self.segments.len() as u64);
        let mut last = 0;
        for (id, len) in &self.segments {
            varint::put(out, id.wrapping_sub(last));
            varint::put(out, *len);
            last = *id;
        }
        varint::put(out, self.floors.len() as u64);
        for floor in &self.floors {
            varint::put(out, floor.group.map_or(0, |group| u64::from(group) + 1));
            varint::put(out, floor.version);
            varint::put(out, floor.deadline_ms);
            varint::put(out, floor.origin);
        }
    }

    pub(crate) fn parse(reader: &mut Reader<'_>) -> Result<Self, Bad> {
        let mut manifest = Self::default();
        for _ in 0..reader.varint()? {
            let segment = reader.varint()?;
            let offset = u32::try_from(reader.varint()?).map_err(|_| Bad::Malformed)?;
            let at = Location { segment, offset };
            manifest.horizons.push(Horizon { at, now_ms: reader.varint()? });
        }
        manifest.max_version = reader.varint()?;
        if manifest.max_version > HIGHEST_VERSION {
            return Err(Bad::Malformed);
        }
        let mut last = 0_u64;
        for _ in 0..reader.varint()? {
            last = last.checked_add(reader.varint()?).ok_or(Bad::Malformed)?;
            manifest.segments.push((last, reader.varint()?));
        }
        for _ in 0..reader.varint()? {
            let group = match reader.varint()? {
                0 => None,
                group => Some(u32::try_from(group - 1).map_err(|_| Bad::Malformed)?),
            };
            let (version, deadline_ms) = (reader.varint()?, reader.varint()?);
            if version > HIGHEST_VERSION {
                return Err(Bad::Malformed);
            }
            // No engine leaves a floor above what it has given; a forged one must not bury what is written next.
            manifest.max_version = manifest.max_version.max(version);
            manifest.floors.push(Floor { group, version, deadline_ms, origin: reader.varint()? });
        }
        Ok(manifest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notes_come_back_and_cut_ones_are_refused() {
        let floor = Floor { group: Some(0), version: 9, deadline_ms: 10, origin: 3 };
        let manifest = Manifest {
            horizons: vec![Horizon { at: Location { segment: 3, offset: 9 }, now_ms: 5 }],
            max_version: 1 << 40,
            segments: vec![(1, 100), (7, 1 << 33)],
            floors: vec![floor, Floor { group: None, ..floor }],
        };
        let notes = [
            Control::Manifest(manifest),
            Control::Trailer { count: 3, crc: 0xdead_beef },
            Control::Mark { synced: 77 },
            Control::Removed { segment: 1 << 40 },
            Control::Clear { all: true, deadline_ms: 12 },
            Control::Swept { now_ms: 1_700_000_000_000 },
        ];
        for note in notes {
            let mut out = Vec::new();
            note.append(&mut out);
            assert_eq!(Control::parse(&out).as_ref(), Ok(&note));
            for len in 0..out.len() {
                assert!(Control::parse(&out[..len]).is_err());
            }
            out.push(0);
            assert_eq!(Control::parse(&out), Err(Bad::Malformed));
        }
    }

    #[test]
    fn a_version_that_no_engine_gives_is_refused() {
        let parsed = |max_version| {
            let mut out = Vec::new();
            Control::Manifest(Manifest { max_version, ..Manifest::default() }).append(&mut out);
            Control::parse(&out)
        };
        assert!(parsed(HIGHEST_VERSION).is_ok());
        assert_eq!(parsed(HIGHEST_VERSION + 1), Err(Bad::Malformed));
    }

    #[test]
    fn what_is_written_after_a_floor_is_above_it_even_if_the_floor_is_forged() {
        let parsed = |version| {
            let floor = Floor { group: None, version, deadline_ms: 9, origin: 1 };
            let mut out = Vec::new();
            Control::Manifest(Manifest { floors: vec![floor], ..Manifest::default() }).append(&mut out);
            Control::parse(&out)
        };
        let Ok(Control::Manifest(manifest)) = parsed(500) else { panic!("it is a manifest") };
        assert_eq!(manifest.max_version, 500);
        assert_eq!(parsed(HIGHEST_VERSION + 1), Err(Bad::Malformed));
    }
}
