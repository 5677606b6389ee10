//! Twitter's traces ("A large scale analysis of hundreds of in-memory cache clusters at Twitter", Yang et al.,
//! OSDI 2020). Keys may contain commas, so the other columns are counted from both ends.

use super::{Fault, Requests, key, number, text};

pub(super) fn line(line: &[u8], requests: &mut Requests) -> Result<(), Fault> {
    let comma = |byte: &u8| *byte == b',';
    let mut fields = line.rsplitn(6, comma);
    let mut next = || fields.next().ok_or_else(|| text("a line needs seven columns"));
    let (_ttl, operation, _client, value_size, key_size, start) =
        (next()?, next()?, next()?, next()?, next()?, next()?);
    let mut start = start.splitn(2, comma);
    let (Some(time), Some(name)) = (start.next(), start.next()) else {
        return Err(text("a line needs seven columns"));
    };
    let (time, key, value_size) = (number(time)?, key(name), number(value_size)?);
    let size = if value_size == 0 { 0 } else { value_size.saturating_add(number(key_size)?) };
    match operation {
        b"get" | b"gets" => requests.read(key, size, time, 1),
        b"set" | b"add" | b"replace" | b"cas" | b"append" | b"prepend" => {
            requests.wrote(key, size);
            Ok(())
        }
        b"delete" | b"incr" | b"decr" => Ok(()),
        other => Err(Fault::Text(format!("`{}` is no operation", String::from_utf8_lossy(other)))),
    }
}
