//! What is sealed beside a value, drawn in the [module's documentation](super).

use std::num::NonZeroU64;
use std::sync::Arc;

use terrace_store::{CodecId, Entry, Error, ErrorKind, Metadata, Result, Tags};

const NO_TEXT: u32 = u32::MAX;

fn times(entry: &Entry) -> [u64; 5] {
    let end = |time: Option<NonZeroU64>| time.map_or(0, NonZeroU64::get);
    [entry.created_ms, end(entry.expires_ms), end(entry.fresh_until_ms), end(entry.idle_ms), entry.stamp]
}

fn length(len: usize) -> Result<[u8; 4]> {
    match u32::try_from(len) {
        Ok(len) if len != NO_TEXT => Ok(len.to_le_bytes()),
        _ => Err(Error::new(ErrorKind::Invalid, "put").because("metadata is too long to be encrypted")),
    }
}

fn text(text: &str, out: &mut Vec<u8>) -> Result<()> {
    out.extend_from_slice(&length(text.len())?);
    out.extend_from_slice(text.as_bytes());
    Ok(())
}

/// Appends what is sealed beside the entry's value.
pub(super) fn append(entry: &Entry, out: &mut Vec<u8>) -> Result<()> {
    let start = out.len();
    out.extend_from_slice(&[0; 4]);
    out.push(entry.codec.0);
    out.extend_from_slice(&entry.type_fingerprint.to_le_bytes());
    out.extend(times(entry).iter().flat_map(|time| time.to_le_bytes()));
    out.push(entry.tags.as_slice().len() as u8);
    for tag in entry.tags.iter() {
        out.push(tag.len() as u8);
        out.extend_from_slice(tag);
    }
    let none = Metadata::default();
    let metadata = entry.metadata.as_deref().unwrap_or(&none);
    match &metadata.content_type {
        Some(content_type) => text(content_type, out)?,
        None => out.extend_from_slice(&NO_TEXT.to_le_bytes()),
    }
    out.extend_from_slice(&length(metadata.map.len())?);
    for (name, value) in &metadata.map {
        text(name, out)?;
        text(value, out)?;
    }
    let len = length(out.len() - start - 4)?;
    out[start..start + 4].copy_from_slice(&len);
    Ok(())
}

/// Puts back what was sealed beside the value, and says where the value begins.
pub(super) fn restore(entry: &mut Entry, sealed: &[u8]) -> Result<usize, &'static str> {
    const SHORT: &str = "what was sealed contradicts itself";
    let mut left = Left(sealed);
    let len = left.u32().ok_or(SHORT)? as usize;
    let mut left = Left(left.bytes(len).ok_or(SHORT)?);
    entry.codec = CodecId(left.bytes(1).ok_or(SHORT)?[0]);
    entry.type_fingerprint = left.u64().ok_or(SHORT)?;
    for time in times(entry) {
        if left.u64().ok_or(SHORT)? != time {
            return Err("its times are not those that it was written with");
        }
    }
    let count = left.bytes(1).ok_or(SHORT)?[0];
    let mut tags = Vec::with_capacity(usize::from(count));
    for _ in 0..count {
        let len = left.bytes(1).ok_or(SHORT)?[0];
        tags.push(left.bytes(usize::from(len)).ok_or(SHORT)?);
    }
    entry.tags = Tags::new(tags).map_err(|_| SHORT)?;
    let mut metadata = Metadata { content_type: left.text().ok_or(SHORT)?, ..Metadata::default() };
    for _ in 0..left.u32().ok_or(SHORT)? {
        let (name, value) = (left.text().flatten().ok_or(SHORT)?, left.text().flatten().ok_or(SHORT)?);
        metadata.map.insert(name, value);
    }
    entry.metadata = (!metadata.is_empty()).then(|| Arc::new(metadata));
    if left.0.is_empty() { Ok(4 + len) } else { Err(SHORT) }
}

struct Left<'a>(&'a [u8]);

impl<'a> Left<'a> {
    fn bytes(&mut self, len: usize) -> Option<&'a [u8]> {
        let (bytes, left) = self.0.split_at_checked(len)?;
        self.0 = left;
        Some(bytes)
    }

    fn u32(&mut self) -> Option<u32> {
        Some(u32::from_le_bytes(self.bytes(4)?.try_into().ok()?))
    }

    fn u64(&mut self) -> Option<u64> {
        Some(u64::from_le_bytes(self.bytes(8)?.try_into().ok()?))
    }

    /// A text, or that there is none; `None` if it is cut short.
    fn text(&mut self) -> Option<Option<String>> {
        match self.u32()? {
            NO_TEXT => Some(None),
            len => Some(Some(std::str::from_utf8(self.bytes(len as usize)?).ok()?.to_owned())),
        }
    }
}
