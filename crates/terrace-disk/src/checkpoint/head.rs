//! What stands in an index snapshot in front of the shards.

use crate::control::Manifest;
use crate::record::Location;
use crate::tally::Tally;
use crate::varint::{self, Bad, Reader};

/// What stands in front of the shards.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Head {
    /// Whether the log was closed here, and nothing may be missing before this position.
    pub(crate) clean: bool,
    /// Everything before is in the snapshot.
    pub(crate) position: Location,
    pub(crate) manifest: Manifest,
    /// Slots of segments, with what is alive in them.
    pub(crate) segments: Vec<Listed>,
}

/// One segment in a snapshot.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Listed {
    pub(crate) slot: u16,
    pub(crate) id: u64,
    /// Whether versions were given in it.
    pub(crate) given_versions: bool,
    pub(crate) groups: Vec<(u32, Tally)>,
}

impl Head {
    pub(super) fn append(&self, out: &mut Vec<u8>) {
        out.push(u8::from(self.clean));
        varint::put(out, self.position.segment);
        varint::put(out, self.position.offset.into());
        self.manifest.append(out);
        varint::put(out, self.segments.len() as u64);
        for segment in &self.segments {
            varint::put(out, segment.slot.into());
            varint::put(out, segment.id);
            out.push(u8::from(segment.given_versions));
            varint::put(out, segment.groups.len() as u64);
            for (group, tally) in &segment.groups {
                varint::put(out, (*group).into());
                varint::put(out, tally.count);
                varint::put(out, tally.bytes);
                varint::put(out, tally.stored);
            }
        }
    }

    pub(super) fn parse(bytes: &[u8]) -> Result<Self, Bad> {
        let mut reader = Reader::new(bytes);
        let clean = reader.u8()? != 0;
        let position = Location { segment: reader.varint()?, offset: reader.varint32()? };
        let manifest = Manifest::parse(&mut reader)?;
        let mut head = Self { clean, position, manifest, segments: Vec::new() };
        for _ in 0..reader.varint()? {
            let slot = u16::try_from(reader.varint()?).map_err(|_| Bad::Malformed)?;
            let (id, given_versions) = (reader.varint()?, reader.u8()? != 0);
            let mut listed = Listed { slot, id, given_versions, groups: Vec::new() };
            for _ in 0..reader.varint()? {
                let group = reader.varint32()?;
                let (count, bytes) = (reader.varint()?, reader.varint()?);
                listed.groups.push((group, Tally { count, bytes, stored: reader.varint()? }));
            }
            head.segments.push(listed);
        }
        if reader.is_empty() { Ok(head) } else { Err(Bad::Malformed) }
    }
}
