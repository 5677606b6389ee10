//! What is answered to reads and writes.

use bytes::Bytes;
use terrace_store::capability::{Outcome, Write};
use terrace_store::{Deleted, Entry, ErrorKind, Key, Result, Written};

use super::reader::Reader;
use super::{FULL, writer};

const NOTHING: u8 = 0;
const RECORD: u8 = 1;
const MORE: u8 = 2;
const STORED: u8 = 3;
const DELETED: u8 = 4;
const CONFLICT: u8 = 5;

/// The answer to a read of many keys, in the making.
#[derive(Default)]
pub struct EntriesWriter(Vec<u8>);

impl EntriesWriter {
    /// Adds what was found under the next key. `false` if the answer is long enough: the rest has to be asked for again.
    ///
    /// # Errors
    /// `Invalid` if no record can hold it.
    pub fn push(&mut self, key: &Key, entry: Option<&Entry>) -> Result<bool> {
        match entry {
            None => self.0.push(NOTHING),
            Some(entry) => {
                self.0.reserve(entry.value.len() + 256);
                self.0.push(RECORD);
                writer::record(&mut self.0, key, entry, None)?;
            }
        }
        Ok(self.0.len() < FULL)
    }

    /// The answer; `more` if there are keys whose entries are not in it.
    pub fn finish(mut self, more: bool) -> Vec<u8> {
        if more {
            self.0.push(MORE);
        }
        self.0
    }
}

/// The entries of a beginning of these keys, at least of the first one.
///
/// # Errors
/// `Corrupt` if it is no answer to a read of them.
pub fn entries(keys: &[Key], message: Bytes) -> Result<Vec<Option<Entry>>> {
    let mut reader = Reader::new(message, ErrorKind::Corrupt, "get");
    let mut found = Vec::with_capacity(keys.len());
    for key in keys {
        found.push(match reader.byte()? {
            NOTHING => None,
            RECORD => Some(reader.record(key)?),
            MORE if !found.is_empty() => break,
            _ => return Err(reader.fault("it is no answer to a read")),
        });
    }
    reader.end()?;
    Ok(found)
}

/// The answer to writes.
pub fn outcomes(list: &[Outcome]) -> Vec<u8> {
    let mut out = Vec::with_capacity(10 * list.len());
    for outcome in list {
        match *outcome {
            Outcome::Put(Written::Stored { version, replaced }) => {
                out.push(STORED);
                writer::number(&mut out, version.0);
                out.push(u8::from(replaced));
            }
            Outcome::Delete(Deleted::Done { version, existed }) => {
                out.push(DELETED);
                writer::number(&mut out, version.0);
                out.push(u8::from(existed));
            }
            Outcome::Put(Written::Conflict { current }) | Outcome::Delete(Deleted::Conflict { current }) => {
                out.push(CONFLICT);
                writer::optional_version(&mut out, current);
            }
        }
    }
    out
}

/// What became of these writes.
///
/// # Errors
/// `Corrupt` if it is no answer to them.
pub fn read_outcomes(list: &[Write], message: Bytes) -> Result<Vec<Outcome>> {
    let mut reader = Reader::new(message, ErrorKind::Corrupt, "put");
    let mut found = Vec::with_capacity(list.len());
    for write in list {
        let outcome = match (reader.byte()?, write) {
            (STORED, Write::Put(..)) => {
                let (version, replaced) = (reader.version()?, reader.flag()?);
                Outcome::Put(Written::Stored { version, replaced })
            }
            (DELETED, Write::Delete(..)) => {
                let (version, existed) = (reader.version()?, reader.flag()?);
                Outcome::Delete(Deleted::Done { version, existed })
            }
            (CONFLICT, Write::Put(..)) => {
                Outcome::Put(Written::Conflict { current: reader.optional_version()? })
            }
            (CONFLICT, Write::Delete(..)) => {
                Outcome::Delete(Deleted::Conflict { current: reader.optional_version()? })
            }
            _ => return Err(reader.fault("it is no answer to a write")),
        };
        found.push(outcome);
    }
    reader.end()?;
    Ok(found)
}
