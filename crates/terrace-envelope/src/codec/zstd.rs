//! Zstandard: one frame without its magic number; the frame's own header says how long the value is.

use zstd::zstd_safe::{CCtx, DCtx, compress_bound, get_frame_content_size};

use super::Dictionary;
use crate::{Error, Result};

/// What every frame begins with, and no stored one does.
const MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];

/// Level 3 without a dictionary, and for what is encoded with one. Higher levels gain a few per cent on small
/// values and cost a multiple.
pub(super) const LEVEL: i32 = 3;

/// A frame holds at most this many times its own length, in runs of one byte: 128 KiB for each block of four
/// bytes.
const BEST_RATIO: usize = 1 << 15;

/// The working memory of encoding and of decoding, each made at its first use.
#[derive(Default)]
pub(super) struct Contexts {
    encoder: Option<CCtx<'static>>,
    decoder: Option<DCtx<'static>>,
    /// A frame with its magic number in front.
    frame: Vec<u8>,
}

impl Contexts {
    pub(super) fn append(
        &mut self,
        dictionary: Option<&Dictionary>,
        value: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<()> {
        if self.encoder.is_none() {
            self.encoder = CCtx::try_create();
        }
        let context = self.encoder.as_mut().ok_or(Error::Compression("no memory for an encoder"))?;
        self.frame.resize(compress_bound(value.len()), 0);
        let room = self.frame.as_mut_slice();
        let written = match dictionary {
            Some(dictionary) => context.compress_using_cdict(room, value, dictionary.encoder()),
            None => context.compress(room, value, LEVEL),
        };
        let written = written.map_err(|_| Error::Compression("Zstandard could not encode it"))?;
        let frame = self.frame.get(..written).unwrap_or_default();
        let stored = frame.strip_prefix(&MAGIC).ok_or(Error::Compression("not a frame of Zstandard"))?;
        out.extend_from_slice(stored);
        self.forget_a_large_frame();
        Ok(())
    }

    pub(super) fn restore(
        &mut self,
        dictionary: Option<&Dictionary>,
        encoded: &[u8],
        len: usize,
        out: &mut Vec<u8>,
    ) -> Result<()> {
        if self.decoder.is_none() {
            self.decoder = DCtx::try_create();
        }
        let context = self.decoder.as_mut().ok_or(Error::Compression("no memory for a decoder"))?;
        self.frame.clear();
        self.frame.extend_from_slice(&MAGIC);
        self.frame.extend_from_slice(encoded);
        let start = out.len();
        out.resize(start + len, 0);
        let room = out.get_mut(start..).unwrap_or_default();
        let restored = match dictionary {
            Some(dictionary) => context.decompress_using_ddict(room, &self.frame, dictionary.decoder()),
            None => context.decompress(room, &self.frame),
        };
        self.forget_a_large_frame();
        match restored {
            Ok(restored) if restored == len => Ok(()),
            _ => Err(Error::Compression("the frame is not valid Zstandard of the length it declares")),
        }
    }

    /// One large value must not leave its size behind in every thread.
    fn forget_a_large_frame(&mut self) {
        if self.frame.capacity() > 1 << 20 {
            self.frame = Vec::new();
        }
    }
}

pub(super) fn decoded_len(encoded: &[u8]) -> Result<usize> {
    // The longest header of a frame is 18 bytes.
    let mut header = [0; 18];
    let (magic, rest) = header.split_at_mut(MAGIC.len());
    magic.copy_from_slice(&MAGIC);
    let known = rest.len().min(encoded.len());
    for (to, from) in rest.iter_mut().zip(encoded) {
        *to = *from;
    }
    let header = header.get(..MAGIC.len() + known).unwrap_or_default();
    let declared = get_frame_content_size(header).ok().flatten();
    let len = declared.and_then(|len| usize::try_from(len).ok());
    let len = len.ok_or(Error::Compression("the frame does not say how long its value is"))?;
    if len > encoded.len().saturating_mul(BEST_RATIO) {
        return Err(Error::Compression("it claims more bytes than Zstandard can hold in its frame"));
    }
    Ok(len)
}
