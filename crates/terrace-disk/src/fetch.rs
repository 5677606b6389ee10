//! A record from its segment: read or mapped, checked, and decrypted.
//!
//! Decision: one way in, whoever asks. What was read is lent to a closure, so that neither a mapping nor a buffer that is
//! used again has to be copied.

use std::sync::Arc;

use crate::codec::Workspace;
use crate::config::Reads;
use crate::error::{Error, Result};
use crate::header::segment_name;
use crate::record::{Head, Record, total_len, unseal};
use crate::segment::Segment;
use crate::shared::Shared;
use crate::varint::Bad;

impl Shared {
    /// Reads and checks the record at a place and hands head and body to the closure.
    pub(crate) fn with_record<T>(
        &self,
        segment: &Arc<Segment>,
        offset: u32,
        most: Option<usize>,
        workspace: &mut Workspace,
        then: impl FnOnce(Head, &[u8], &mut Workspace) -> Result<T>,
    ) -> Result<T> {
        if self.config.reads == Reads::Mapped
            && segment.cipher.is_none()
            && let Some(map) = segment.map()
        {
            let bytes = map.bytes().get(offset as usize..).unwrap_or_default();
            let record = check(segment, offset, bytes)?;
            return then(record.head, record.body(), workspace);
        }
        let mut bytes = std::mem::take(&mut workspace.record);
        bytes.clear();
        let outcome = self
            .read_record(segment, offset, most, &mut bytes)
            .and_then(|()| self.with_bytes(segment, offset, &bytes, workspace, then));
        workspace.record = bytes;
        outcome
    }

    /// Checks the record at the beginning of bytes that were read at a place, and hands head and body to the closure.
    pub(crate) fn with_bytes<T>(
        &self,
        segment: &Segment,
        offset: u32,
        bytes: &[u8],
        workspace: &mut Workspace,
        then: impl FnOnce(Head, &[u8], &mut Workspace) -> Result<T>,
    ) -> Result<T> {
        let record = check(segment, offset, bytes)?;
        let Some(cipher) = segment.cipher.as_ref().filter(|_| record.head.is_sealed()) else {
            return then(record.head, record.body(), workspace);
        };
        let (mut head, mut body) = (std::mem::take(&mut workspace.head), std::mem::take(&mut workspace.body));
        record.clear(&mut head);
        body.clear();
        body.extend_from_slice(record.body());
        let outcome = match unseal(&**cipher, segment.at(offset), &head, &mut body) {
            Ok(()) => then(record.head, &body, workspace),
            Err(what) => Err(Error::Corrupt { segment: segment.id, offset: offset.into(), what }),
        };
        (workspace.head, workspace.body) = (head, body);
        outcome
    }

    /// Appends the bytes of a record, and perhaps more, to `out`.
    pub(crate) fn read_record(
        &self,
        segment: &Segment,
        offset: u32,
        most: Option<usize>,
        out: &mut Vec<u8>,
    ) -> Result<()> {
        let read = |from: u32, len: usize, out: &mut Vec<u8>| {
            let read = segment.read(from, len, out);
            read.map_err(|source| Error::Io { op: "read", name: segment_name(segment.id), source })
        };
        if let Some(most) = most {
            return read(offset, most, out);
        }
        read(offset, 4096, out)?;
        let Ok((head, body_at)) = Head::parse(out, segment.form().usual_key) else { return Ok(()) };
        let rest = total_len(&head, body_at, segment.overhead()).saturating_sub(out.len());
        let Some(next) = offset.checked_add(out.len() as u32).filter(|_| rest > 0) else { return Ok(()) };
        read(next, rest, out)
    }
}

/// The record at the beginning of these bytes.
pub(crate) fn check<'a>(segment: &Segment, offset: u32, bytes: &'a [u8]) -> Result<Record<'a>> {
    Record::check(bytes, segment.at(offset), segment.form()).map_err(|bad| Error::Corrupt {
        segment: segment.id,
        offset: offset.into(),
        what: match bad {
            Bad::Short => "the record is cut short",
            Bad::Malformed => "the checksum does not fit",
        },
    })
}
