//! What is asked: reads, writes and commits.

use bytes::Bytes;
use terrace_store::capability::Write;
use terrace_store::{
    Compress, Condition, DeleteOptions, Entry, Error, ErrorKind, Key, PutOptions, Result, Version,
};

use super::reader::Reader;
use super::{KEYS, LONGEST, OPERATIONS, writer};

const GET: u8 = 1;
const EXISTS: u8 = 2;
const WRITE: u8 = 3;
const COMMIT: u8 = 4;
const PUT: u8 = 1;
const DELETE: u8 = 2;

/// What is asked of a store.
#[derive(Clone, Debug)]
pub enum Ask {
    /// The live entries of these keys.
    Get(Vec<Key>),
    /// Whether there is one.
    Exists(Key),
    /// To apply these writes in order, each on its own condition.
    Write(Vec<Write>),
    /// To apply these writes at once if these keys have these live versions.
    Commit(Vec<Write>, Vec<(Key, Option<Version>)>),
}

/// Asks for the entries of these keys.
pub fn get(keys: &[Key]) -> Vec<u8> {
    let mut out = vec![GET];
    keys.iter().for_each(|key| writer::key(&mut out, key));
    out
}

/// Asks whether there is an entry.
pub fn exists(key: &Key) -> Vec<u8> {
    let mut out = vec![EXISTS];
    writer::key(&mut out, key);
    out
}

/// Asks to apply a beginning of these writes, as many as one message takes; says how many those are. Values of at least
/// `compress_from` bytes travel compressed.
///
/// # Errors
/// `Invalid` if the first one alone is too long.
pub fn writes(list: &[Write], compress_from: Option<usize>) -> Result<(Vec<u8>, usize)> {
    let mut out = Vec::with_capacity(expected(list));
    out.push(WRITE);
    let mut taken = 0;
    for write in list {
        let start = out.len();
        operation(&mut out, write, compress_from)?;
        if out.len() > LONGEST {
            out.truncate(start);
            break;
        }
        taken += 1;
        if out.len() >= super::FULL || taken == OPERATIONS {
            break;
        }
    }
    if taken == 0 && !list.is_empty() {
        return Err(too_long());
    }
    Ok((out, taken))
}

/// Asks to apply these writes at once if these keys have these live versions.
///
/// # Errors
/// `Invalid` if they are too long for one message.
pub fn commit(
    list: &[Write],
    unchanged: &[(Key, Option<Version>)],
    compress_from: Option<usize>,
) -> Result<Vec<u8>> {
    let mut out = vec![COMMIT];
    out.extend_from_slice(&u32::try_from(unchanged.len()).unwrap_or(u32::MAX).to_le_bytes());
    for (key, version) in unchanged {
        writer::key(&mut out, key);
        writer::optional_version(&mut out, *version);
    }
    for write in list {
        operation(&mut out, write, compress_from)?;
    }
    let fits = out.len() <= LONGEST && list.len() <= OPERATIONS && unchanged.len() <= OPERATIONS;
    if fits { Ok(out) } else { Err(too_long()) }
}

/// About how long the message will be, so that a large value is copied once.
fn expected(list: &[Write]) -> usize {
    let one = |write: &Write| match write {
        Write::Put(key, entry, _) => key.flat().len() + entry.value.len() + 512,
        Write::Delete(key, _) => key.flat().len() + 32,
    };
    list.iter().map(one).fold(1, usize::saturating_add).min(LONGEST)
}

fn too_long() -> Error {
    Error::new(ErrorKind::Invalid, "put").because(format!(
        "a message between two Terraces is at most {LONGEST} bytes long, with all that is said of a value, and has \
         {OPERATIONS} operations at most"
    ))
}

fn operation(out: &mut Vec<u8>, write: &Write, compress_from: Option<usize>) -> Result<()> {
    match write {
        Write::Put(key, entry, options) => {
            out.push(PUT);
            writer::key(out, key);
            condition(out, options.condition);
            out.push(match options.compress {
                Compress::Default => 0,
                Compress::Never => 1,
                Compress::Always => 2,
            });
            writer::record(out, key, entry, compress_from)
        }
        Write::Delete(key, options) => {
            out.push(DELETE);
            writer::key(out, key);
            condition(out, options.condition);
            Ok(())
        }
    }
}

fn condition(out: &mut Vec<u8>, condition: Condition) {
    match condition {
        Condition::Any => out.push(0),
        Condition::Absent => out.push(1),
        Condition::Match(version) => {
            out.push(2);
            writer::number(out, version.0);
        }
        Condition::Newer(version) => {
            out.push(3);
            writer::number(out, version.0);
        }
    }
}

impl Ask {
    /// Reads what was asked.
    ///
    /// # Errors
    /// `Invalid` with the place of what is wrong.
    pub fn decode(message: Bytes) -> Result<Self> {
        let mut reader = Reader::new(message, ErrorKind::Invalid, "batch");
        let ask = match reader.byte()? {
            GET => {
                let mut keys = Vec::new();
                while !reader.is_empty() {
                    if keys.len() == KEYS {
                        return Err(reader.fault("a message asks for 4096 keys at most"));
                    }
                    keys.push(reader.key()?);
                }
                Self::Get(keys)
            }
            EXISTS => Self::Exists(reader.key()?),
            WRITE => Self::Write(operations(&mut reader)?),
            COMMIT => {
                let mut unchanged = Vec::new();
                let count = reader.count()?;
                if count > OPERATIONS {
                    return Err(reader.fault("a commit depends on 65536 keys at most"));
                }
                for _ in 0..count {
                    unchanged.push((reader.key()?, reader.optional_version()?));
                }
                Self::Commit(operations(&mut reader)?, unchanged)
            }
            _ => return Err(reader.fault("it asks for something that this release does not know")),
        };
        reader.end()?;
        Ok(ask)
    }
}

fn operations(reader: &mut Reader) -> Result<Vec<Write>> {
    let mut list = Vec::new();
    while !reader.is_empty() {
        if list.len() == OPERATIONS {
            return Err(reader.fault("a message has 65536 operations at most"));
        }
        let kind = reader.byte()?;
        let key = reader.key()?;
        let condition = read_condition(reader)?;
        list.push(match kind {
            PUT => {
                let compress = match reader.byte()? {
                    0 => Compress::Default,
                    1 => Compress::Never,
                    2 => Compress::Always,
                    _ => return Err(reader.fault("it is no way to compress")),
                };
                let entry: Entry = reader.record(&key)?;
                let options = PutOptions { condition, compress, deferred: false };
                options.validate(&entry)?;
                Write::Put(key, entry, options)
            }
            DELETE => {
                let options = DeleteOptions { condition, deferred: false };
                options.validate()?;
                Write::Delete(key, options)
            }
            _ => return Err(reader.fault("it is neither a put nor a delete")),
        });
    }
    Ok(list)
}

fn read_condition(reader: &mut Reader) -> Result<Condition> {
    Ok(match reader.byte()? {
        0 => Condition::Any,
        1 => Condition::Absent,
        2 => Condition::Match(reader.version()?),
        3 => Condition::Newer(reader.version()?),
        _ => return Err(reader.fault("it is no condition")),
    })
}
