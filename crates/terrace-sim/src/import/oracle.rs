//! libCacheSim's `oracleGeneral`.

use std::io::Read;

use super::{Fault, Requests, text};

/// u32 seconds, u64 object, u32 size, i64 number of the next request for it.
const RECORD_BYTES: usize = 24;

pub(super) fn read(source: &mut impl Read, place: &mut u64, requests: &mut Requests) -> Result<(), Fault> {
    let mut bytes = [0; RECORD_BYTES];
    loop {
        *place += 1;
        let mut filled = 0;
        while filled < RECORD_BYTES {
            match source.read(&mut bytes[filled..]) {
                Ok(0) if filled == 0 => return Ok(()),
                Ok(0) => return Err(text("the file ends in the middle of a record")),
                Ok(count) => filled += count,
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) => return Err(Fault::Io(error)),
            }
        }
        let word = |at: usize| u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
        let key = u64::from(word(4)) | u64::from(word(8)) << 32;
        requests.read(key, u64::from(word(12)), u64::from(word(0)), 1)?;
    }
}
