//! The `.lis` files of the ARC paper.

use super::{Fault, Requests, number, text};

pub(super) fn line(line: &[u8], requests: &mut Requests) -> Result<(), Fault> {
    let mut fields = line.split(u8::is_ascii_whitespace).filter(|field| !field.is_empty());
    let (Some(first), Some(count)) = (fields.next(), fields.next()) else {
        return Err(text("a line needs a first block and a number of blocks"));
    };
    let (first, count) = (number(first)?, number(count)?);
    for block in 0..count {
        requests.read(first.wrapping_add(block), 1, 0, 1)?;
        if block >= super::MOST_A_LINE {
            return Err(text("so many blocks in one request are a mistake"));
        }
    }
    Ok(())
}
