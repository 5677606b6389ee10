//! The frame of a value that a layer changed.
//!
//! ```text
//! value    [kind: u8] [codec: u8] [what the layer puts there] ...
//! entry    codec = the value's own codec, with its highest bit set
//! ```
//!
//! Decision: the mark is a bit of the entry's codec. So a value that a layer leaves alone keeps its buffer (no byte is put
//! before it), a value from before the layer was there is told from one that it made, and a reader without the layer meets
//! a codec that it does not know instead of guessing. The value's own codec is kept whole in the frame, and a value whose
//! own codec has the bit is always framed, so there is no codec that a caller may not use.
//!
//! A frame makes a value longer, and the longest value must still fit: what is above the limit of a store moves to the
//! entry's metadata, in hexadecimal, under a name that begins with NUL and has the layer's kind.

use std::fmt::Write as _;
use std::sync::Arc;

use bytes::Bytes;
use terrace_store::store::VALUE_LIMIT;
use terrace_store::{CodecId, Entry, Error, ErrorKind, Key, Metadata, Result};

/// The bit of a codec that says that the value has a frame.
const FRAMED: u8 = 0x80;

/// Bytes of the head of every frame.
pub(crate) const HEAD: usize = 2;

/// Whether the value has a frame, of whichever layer.
pub(crate) fn is_framed(entry: &Entry) -> bool {
    entry.codec.0 & FRAMED != 0
}

/// Whether the value has a frame of this kind.
pub(crate) fn is_of(kind: u8, entry: &Entry) -> bool {
    if !is_framed(entry) {
        return false;
    }
    let spilled = entry.metadata.as_deref().and_then(|metadata| metadata.map.get(&spill_name(kind)));
    spilled.is_some() || entry.value.first() == Some(&kind)
}

fn spill_name(kind: u8) -> String {
    format!("\0{}", char::from(kind))
}

/// Begins the frame of the entry's value; the layer appends to it.
pub(crate) fn begin(kind: u8, entry: &Entry, out: &mut Vec<u8>) {
    out.extend_from_slice(&[kind, entry.codec.0]);
}

/// The entry with a framed value in place of its own.
pub(crate) fn close(kind: u8, mut entry: Entry, framed: impl Into<Bytes>) -> Entry {
    let mut framed = framed.into();
    entry.codec = CodecId(entry.codec.0 | FRAMED);
    if let Some(above) = framed.len().checked_sub(VALUE_LIMIT).filter(|above| *above > 0) {
        let spilled = framed.split_to(above);
        let mut text = String::with_capacity(2 * above);
        for byte in &spilled {
            // Writing to a string cannot fail.
            let _ = write!(text, "{byte:02x}");
        }
        let mut metadata = entry.metadata.as_deref().cloned().unwrap_or_default();
        metadata.map.insert(spill_name(kind), text);
        entry.metadata = Some(Arc::new(metadata));
    }
    entry.value = framed;
    entry
}

/// Takes the frame off: the entry with its own codec, and what the layer had put there, sharing the value's memory.
///
/// # Errors
/// `Corrupt` if there is no such frame.
pub(crate) fn open(kind: u8, key: &Key, mut entry: Entry) -> Result<(Entry, Bytes)> {
    let mut framed = std::mem::take(&mut entry.value);
    if let Some(spilled) = take_spilled(kind, &mut entry) {
        let spilled =
            spilled.ok_or_else(|| corrupt(key, "the part of it that is kept beside it is damaged"))?;
        framed = [&spilled[..], &framed[..]].concat().into();
    }
    if framed.len() < HEAD || framed[0] != kind {
        return Err(corrupt(key, "it has not the frame that it should have"));
    }
    entry.codec = CodecId(framed[1]);
    Ok((entry, framed.split_off(HEAD)))
}

/// What moved to the metadata; `Some(None)` if that is damaged.
fn take_spilled(kind: u8, entry: &mut Entry) -> Option<Option<Vec<u8>>> {
    let name = spill_name(kind);
    let mut metadata: Metadata = entry.metadata.as_deref().filter(|m| m.map.contains_key(&name))?.clone();
    let text = metadata.map.remove(&name)?;
    entry.metadata = (!metadata.is_empty()).then(|| Arc::new(metadata));
    Some(unhex(&text))
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let digit = |byte: u8| char::from(byte).to_digit(16).map(|digit| digit as u8);
    let pairs = text.as_bytes().chunks(2);
    pairs.map(|pair| Some(digit(*pair.first()?)? << 4 | digit(*pair.get(1)?)?)).collect()
}

/// An entry that was listed without its value: the mark says nothing to who gets it.
pub(crate) fn forget(mut entry: Entry) -> Entry {
    if is_framed(&entry) {
        entry.codec = CodecId::RAW;
        let spilled = |metadata: &Arc<Metadata>| metadata.map.keys().any(|name| name.starts_with('\0'));
        if entry.metadata.as_ref().is_some_and(spilled) {
            entry.metadata = None;
        }
    }
    entry
}

/// A value that is not what was stored.
pub(crate) fn corrupt(key: &Key, why: &str) -> Error {
    Error::new(ErrorKind::Corrupt, "get")
        .because(format!("the value is damaged: {why}; write it again, or restore it from a copy"))
        .with("key", key.flat().escape_ascii())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn framed(value: &[u8], codec: u8) -> Entry {
        let entry = Entry { codec: CodecId(codec), ..Entry::new(value.to_vec()) };
        let mut out = Vec::new();
        begin(b'T', &entry, &mut out);
        out.extend_from_slice(value);
        close(b'T', entry, out)
    }

    #[test]
    fn a_frame_brings_the_value_and_any_codec_back() {
        let key = Key::new("n", "k").unwrap();
        for codec in 0..=255 {
            let stored = framed(b"value", codec);
            assert!(is_of(b'T', &stored) && !is_of(b'U', &stored));
            let (entry, value) = open(b'T', &key, stored.clone()).unwrap();
            assert_eq!((entry.codec, &value[..]), (CodecId(codec), &b"value"[..]));
            assert_eq!(open(b'U', &key, stored).unwrap_err().kind(), ErrorKind::Corrupt);
        }
    }

    #[test]
    fn the_longest_value_fits_with_its_frame() {
        let key = Key::new("n", "k").unwrap();
        let value = vec![7; VALUE_LIMIT];
        let stored = framed(&value, 3);
        assert_eq!(stored.value.len(), VALUE_LIMIT);
        assert!(is_of(b'T', &stored));
        let (entry, restored) = open(b'T', &key, stored).unwrap();
        assert!(restored == value && entry.metadata.is_none() && entry.codec == CodecId::JSON);
    }

    #[test]
    fn a_damaged_frame_is_corrupt_and_never_a_panic() {
        let key = Key::new("n", "k").unwrap();
        for value in [&b""[..], b"T", b"X\0", b"\0\0\0"] {
            let entry = Entry { codec: CodecId(0x80), ..Entry::new(value.to_vec()) };
            assert_eq!(open(b'T', &key, entry).unwrap_err().kind(), ErrorKind::Corrupt);
        }
        for text in ["0", "zz", "é", "54é"] {
            let map = [("\0T".to_owned(), text.to_owned())].into();
            let metadata = Some(Arc::new(Metadata { content_type: None, map }));
            let entry = Entry { codec: CodecId(0x80), metadata, ..Entry::new("rest") };
            assert_eq!(open(b'T', &key, entry).unwrap_err().kind(), ErrorKind::Corrupt);
        }
    }
}
