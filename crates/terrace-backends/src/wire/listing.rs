//! Listings: what is asked, and a page of the answer.
//!
//! Where a page goes on is said by the last key in it, so a server may end a page wherever it is long enough, and forgets
//! nothing when it is started again.

use bytes::Bytes;
use terrace_store::capability::{Cursor, List, Order, Page};
use terrace_store::key::KEY_LIMIT;
use terrace_store::{Entry, ErrorKind, Key, Namespace, Result};

use super::reader::Reader;
use super::{FULL, writer};

const END: u8 = 0;
const ENTRY: u8 = 1;
const MORE: u8 = 2;

/// A listing that somebody asks for.
#[derive(Clone, Debug)]
pub struct Asked {
    /// What to list, and at most how many entries of it.
    pub list: List,
    /// The last key of the page before; `None` for the first page.
    pub after: Option<Bytes>,
}

/// Asks for a page.
pub fn list(list: &List, cursor: Option<&Cursor>) -> Vec<u8> {
    let mut out = Vec::new();
    writer::bytes(&mut out, list.namespace.name());
    writer::bytes(&mut out, &list.prefix);
    writer::optional_bytes(&mut out, list.from.as_deref());
    writer::optional_bytes(&mut out, list.before.as_deref());
    out.push(match list.order {
        Order::Key => 0,
        Order::Any => 1,
    });
    out.push(u8::from(list.keys_only));
    out.extend_from_slice(&u32::try_from(list.limit).unwrap_or(u32::MAX).to_le_bytes());
    writer::optional_bytes(&mut out, cursor.map(|cursor| &cursor.0[..]));
    out
}

impl Asked {
    /// Reads what was asked.
    ///
    /// # Errors
    /// `Invalid` with the place of what is wrong.
    pub fn decode(message: Bytes) -> Result<Self> {
        let mut reader = Reader::new(message, ErrorKind::Invalid, "list");
        let namespace = Namespace::new(reader.bytes()?)?;
        let (prefix, from, before) = (reader.bytes()?, reader.optional_bytes()?, reader.optional_bytes()?);
        let order = match reader.byte()? {
            0 => Order::Key,
            1 => Order::Any,
            _ => return Err(reader.fault("it is no order")),
        };
        let (keys_only, limit) = (reader.flag()?, reader.count()?.max(1));
        let after = reader.optional_bytes()?;
        let bounds = [&from, &before, &after];
        if prefix.len() > KEY_LIMIT || bounds.into_iter().flatten().any(|bound| bound.len() > KEY_LIMIT) {
            return Err(reader.fault("a prefix or a bound is longer than any key"));
        }
        reader.end()?;
        Ok(Self { list: List { namespace, prefix, from, before, order, keys_only, limit }, after })
    }
}

/// A page in the making.
#[derive(Default)]
pub struct PageWriter(Vec<u8>);

impl PageWriter {
    /// Adds an entry. `false` if the page is long enough.
    ///
    /// # Errors
    /// `Invalid` if no record can hold it.
    pub fn push(&mut self, key: &Key, entry: &Entry) -> Result<bool> {
        self.0.reserve(key.flat().len() + entry.value.len() + 256);
        self.0.push(ENTRY);
        writer::key(&mut self.0, key);
        writer::record(&mut self.0, key, entry, None)?;
        Ok(self.0.len() < FULL)
    }

    /// The page, which goes on after this key.
    pub fn finish(mut self, after: Option<&[u8]>) -> Vec<u8> {
        match after {
            None => self.0.push(END),
            Some(after) => {
                self.0.push(MORE);
                writer::bytes(&mut self.0, after);
            }
        }
        self.0
    }
}

/// The page that was answered to this listing.
///
/// # Errors
/// `Corrupt` if it is none, or has what was not asked for.
pub fn page(list: &List, cursor: Option<&Cursor>, message: Bytes) -> Result<Page> {
    let mut reader = Reader::new(message, ErrorKind::Corrupt, "list");
    // Pages that do not go on would be asked for without end.
    let mut last = cursor.map(|cursor| cursor.0.clone());
    let goes_on = |last: &Option<Bytes>, to: &[u8]| last.as_ref().is_none_or(|last| to > &last[..]);
    let mut entries = Vec::new();
    loop {
        match reader.byte()? {
            END => {
                reader.end()?;
                return Ok(Page { entries, next: None });
            }
            MORE => {
                let next = Bytes::copy_from_slice(&reader.bytes()?);
                if !goes_on(&cursor.map(|cursor| cursor.0.clone()), &next)
                    || last.is_some_and(|last| next < last)
                {
                    return Err(reader.fault("the next page is none after this one"));
                }
                reader.end()?;
                return Ok(Page { entries, next: Some(Cursor(next)) });
            }
            ENTRY => {
                let key = reader.key()?;
                let entry = reader.record(&key)?;
                if key.namespace() != list.namespace || !list.covers(key.bytes()) {
                    return Err(reader.fault("a key that was not asked for"));
                }
                if !goes_on(&last, key.bytes()) {
                    return Err(reader.fault("a key that is not after the one before"));
                }
                last = Some(key.shared_bytes());
                if entries.len() >= list.limit.max(1) {
                    return Err(reader.fault("more entries than were asked for"));
                }
                entries.push((key, entry));
            }
            _ => return Err(reader.fault("it is no page")),
        }
    }
}
