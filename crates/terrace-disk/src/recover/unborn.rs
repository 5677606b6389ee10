//! A last segment that was being made when the process ended.
//!
//! Decision: it is removed only if nothing in it can ever have been acknowledged. Records are written once header and list
//! are on the disk, so a segment with neither and no trace of a record never had one; whatever leaves a doubt is kept
//! and reported.

use std::io;
use std::ops::ControlFlow;
use std::sync::Arc;

use super::Recovery;
use crate::cipher::{Seal, cipher_of};
use crate::error::{Error, Result};
use crate::header::{HEADER_LEN, segment_name};
use crate::io::File;
use crate::record::Kind;
use crate::replay::manifest_of;
use crate::scan::{End, Step, any_record, walk};
use crate::segment::{Parts, Segment};

/// Header and list of segments end before this and 20 bytes for each segment.
const HEADER_AND_LIST: u64 = HEADER_LEN + 4096;
/// Without a header the usual length of keys is unknown: all are tried up to this one.
const LONGEST_TRIED: u16 = 255;

/// The file of the last segment.
struct Candidate {
    id: u64,
    base: u64,
    len: u64,
    file: Arc<dyn File>,
}

impl Candidate {
    /// The segment as it would be if it had been written with this cipher and usual key.
    fn written(&self, cipher: Option<Arc<dyn Seal>>, usual_key: u16) -> Segment {
        let Self { id, base, len, ref file } = *self;
        let parts = Parts { slot: 0, id, base, capacity: len, file: Arc::clone(file), cipher, usual_key };
        Segment::new(parts, len, true)
    }

    /// Whether a record begins behind the header and before `until` that checks as one of these.
    fn has_record(
        &self,
        ciphers: &[Option<Arc<dyn Seal>>],
        usual_keys: impl Iterator<Item = u16> + Clone,
        until: u64,
    ) -> Result<bool> {
        for cipher in ciphers {
            for usual_key in usual_keys.clone() {
                let segment = self.written(cipher.clone(), usual_key);
                let found = any_record(&segment, HEADER_LEN + 1..until, self.len);
                if found.map_err(Error::io("read", &segment_name(self.id)))? {
                    return Ok(true);
                }
            }
        }
        Ok(false)
    }
}

impl Recovery<'_> {
    /// Removes a last segment that was being made when the process ended: nothing was ever written to it.
    pub(super) fn drop_unborn(&mut self) -> Result<()> {
        let shared = self.shared;
        let last_sound = self.found.sound.keys().next_back().copied().unwrap_or(0);
        let last_bad = self.found.unreadable.keys().next_back().copied().unwrap_or(0);
        let id = last_sound.max(last_bad);
        if id == 0 {
            return Ok(());
        }
        let name = segment_name(id);
        let file = shared.io.open(&name, false).map_err(Error::io("open", &name))?;
        let len = file.len().map_err(Error::io("read", &name))?;
        let header = self.found.sound.get(&id).map(|(header, _)| header);
        // An encrypted record is longer than it seems. Without a header nobody knows whether any is: both are tried.
        let sealed = match (header, &shared.keys) {
            (Some(header), keys) => cipher_of(keys.as_deref(), header)?,
            (None, Some(keys)) => Some(keys.begin(&[0; 32])?.0),
            (None, None) => None,
        };
        let candidate = Candidate { id, base: header.map_or(0, |header| header.base), len, file };
        let usual_key = header.map_or(0, |header| header.usual_key);
        let segment = candidate.written(sealed.clone(), usual_key);
        if header.is_some() && manifest_of(&segment)?.is_some() {
            return Ok(());
        }
        let mut records = 0;
        let visit = |step: Step<'_>| {
            if let Step::Record(_, record) = step {
                let is_manifest = records == 0 && record.head.kind == Kind::Control;
                records += 1 + u32::from(!is_manifest);
            }
            ControlFlow::Continue(())
        };
        walk(&segment, HEADER_LEN, End::Known(len), visit).map_err(Error::io("read", &name))?;
        let count = self.found.sound.len() + self.found.unreadable.len();
        let behind = HEADER_AND_LIST + 20 * count as u64;
        if records > 1 || has_bytes_behind(&segment, behind, len).map_err(Error::io("read", &name))? {
            return Ok(());
        }
        // Alike without a cipher, should there be none.
        let ciphers = if sealed.is_some() { vec![sealed, None] } else { vec![None] };
        let tried = if header.is_none() { 0..=LONGEST_TRIED } else { usual_key..=usual_key };
        if !candidate.has_record(&ciphers, tried, behind)? {
            shared.io.remove(&name).map_err(Error::io("remove", &name))?;
            self.found.sound.remove(&id);
            self.found.unreadable.remove(&id);
        }
        Ok(())
    }
}

/// Whether there is anything but zeros behind where header and list of segments can be.
fn has_bytes_behind(segment: &Segment, from: u64, len: u64) -> io::Result<bool> {
    let (mut bytes, mut at) = (Vec::new(), from);
    while at < len {
        bytes.clear();
        let Ok(offset) = u32::try_from(at) else { break };
        segment.read(offset, 1 << 20, &mut bytes)?;
        if bytes.is_empty() {
            break;
        }
        if bytes.iter().any(|byte| *byte != 0) {
            return Ok(true);
        }
        at += bytes.len() as u64;
    }
    Ok(false)
}
