//! LZ4: the length of the value, then one block.

mod prepared;

use lz4_flex::block::{
    CompressTable, compress_into_with_table, decompress_into, decompress_into_with_dict,
    get_maximum_output_size,
};

pub(super) use self::prepared::Prepared;
use super::length;
use crate::{Error, Result};

/// One byte of a block stands for at most 255 bytes of output, in the tail of a long match.
const BEST_RATIO: usize = 255;
/// No match is shorter, none begins in the last bytes of a value, and the very last are always literals.
const SHORTEST_MATCH: usize = 4;
const MATCH_LIMIT: usize = 12;
const LONGEST_LITERALS_END: usize = 5;

/// The tables of encoding, each made at its first use: one for short values and one for long ones, because a table
/// that has served for a long value finds other matches in a short one, and slower.
#[derive(Default)]
pub(super) struct Tables {
    short: Option<CompressTable>,
    long: Option<CompressTable>,
    /// For what is encoded with a dictionary.
    with_dictionary: Vec<u16>,
}

impl Tables {
    pub(super) fn append(
        &mut self,
        dictionary: Option<&Prepared>,
        value: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<()> {
        length::append(value.len(), out);
        if let Some(dictionary) = dictionary.filter(|dictionary| dictionary.reaches(value.len())) {
            dictionary.append(value, &mut self.with_dictionary, out);
            return Ok(());
        }
        let start = out.len();
        out.resize(start + get_maximum_output_size(value.len()), 0);
        let room = out.get_mut(start..).unwrap_or_default();
        let table = if value.len() < usize::from(u16::MAX) {
            self.short.get_or_insert_with(CompressTable::small)
        } else {
            self.long.get_or_insert_with(CompressTable::large)
        };
        let written = compress_into_with_table(value, room, table)
            .map_err(|_| Error::Compression("LZ4 found too little room"))?;
        out.truncate(start + written);
        Ok(())
    }
}

pub(super) fn restore(
    dictionary: Option<&Prepared>,
    encoded: &[u8],
    len: usize,
    out: &mut Vec<u8>,
) -> Result<()> {
    let (_, block) = length::split(encoded)?;
    let start = out.len();
    out.resize(start + len, 0);
    let room = out.get_mut(start..).unwrap_or_default();
    let restored = match dictionary.filter(|dictionary| dictionary.reaches(len)) {
        Some(dictionary) => decompress_into_with_dict(block, room, dictionary.content()),
        None => decompress_into(block, room),
    };
    match restored {
        Ok(restored) if restored == len => Ok(()),
        _ => Err(Error::Compression("the block is not valid LZ4 of the length that was declared")),
    }
}

pub(super) fn decoded_len(encoded: &[u8]) -> Result<usize> {
    length::plausible(encoded, BEST_RATIO, "it claims more bytes than LZ4 can hold in its block")
}
