//! Listing: the contract's pages from the log's.
//!
//! Decision: in the order of the index where any order will do, which needs no sorted view and finds its place at once. But
//! the index knows no namespaces: one that is a small part of the log is listed in the order of keys, so that its pages
//! do not cost a look at everybody else's entries.
//!
//! A cursor is a byte that says which order it is (for [`Order::Any`] only) and what the log named.

use bytes::{BufMut, Bytes, BytesMut};
use terrace_disk::{Page as Found, Range, Unordered};
use terrace_store::capability::{Cursor, List, Order, Page};
use terrace_store::{Entry, Error, ErrorKind, Key, Result, Version};

use super::error::translate;
use super::shared::{Shared, entry_of};

/// A namespace with less than this share of all entries is listed in the order of keys.
const SHARE: u64 = 16;
/// Pages of at most so many entries, in the order of the index, are read in place.
const IN_PLACE: usize = 128;
/// So many entries are looked at for each that a page may have.
const LOOKS: usize = 2 * SHARE as usize;

const BY_KEY: u8 = 0;
const BY_HASH: u8 = 1;

/// How a page is come by.
pub(super) enum Way {
    /// In the order of keys; whether the cursor is marked.
    Sorted(Bounds, bool),
    /// In the order of the index, behind what a page before named.
    Hashed(Option<Bytes>),
}

impl Way {
    /// Whether the page is read soon enough not to go to a thread that may block.
    pub(super) fn is_short(&self, list: &List) -> bool {
        matches!(self, Self::Hashed(_)) && list.limit <= IN_PLACE
    }
}

impl Shared {
    /// How this page is to be come by.
    ///
    /// # Errors
    /// `Corrupt` if the cursor is not one of this store's.
    pub(super) fn way(&self, list: &List, cursor: Option<&Cursor>) -> Result<Way> {
        if list.order == Order::Key {
            return Ok(Way::Sorted(Bounds::of(list, cursor)?, false));
        }
        let foreign = || Error::new(ErrorKind::Corrupt, "list").because("the cursor is none of this store");
        let Some(cursor) = cursor else {
            let hashed = list.prefix.is_empty() && list.from.is_none() && list.before.is_none();
            let group = self.groups.known(list.namespace.flat_prefix());
            let count = group.map_or(0, |group| self.disk.tally(group).count);
            return Ok(match hashed && count >= self.disk.total().count / SHARE {
                true => Way::Hashed(None),
                false => Way::Sorted(Bounds::of(list, None)?, true),
            });
        };
        match cursor.0.first() {
            Some(&BY_KEY) => Ok(Way::Sorted(Bounds::of(list, Some(&Cursor(cursor.0.slice(1..))))?, true)),
            Some(&BY_HASH) => Ok(Way::Hashed(Some(cursor.0.slice(1..)))),
            _ => Err(foreign()),
        }
    }

    /// The page.
    pub(super) fn page(&self, list: &List, way: &Way) -> Result<Page> {
        let (limit, now) = (list.limit.max(1), self.clock.wall_ms());
        let (found, mark) = match way {
            Way::Sorted(bounds, marked) => {
                (self.disk.list(&bounds.range(), limit, now), marked.then_some(BY_KEY))
            }
            Way::Hashed(after) => {
                let prefix = list.namespace.flat_prefix();
                let wanted = |flat: &[u8]| flat.strip_prefix(prefix).is_some_and(|bytes| list.covers(bytes));
                let what = Unordered {
                    wanted: &wanted,
                    after: after.as_deref(),
                    keys_only: list.keys_only,
                    limit,
                    steps: limit.saturating_mul(LOOKS),
                };
                (self.disk.list_unordered(&what, now), Some(BY_HASH))
            }
        };
        let mut page = page_of(found.map_err(|error| translate("list", error))?, list.keys_only)?;
        if let (Some(mark), Some(next)) = (mark, &mut page.next) {
            let mut marked = BytesMut::with_capacity(1 + next.0.len());
            marked.put_u8(mark);
            marked.put_slice(&next.0);
            *next = Cursor(marked.freeze());
        }
        Ok(page)
    }
}

/// The range of flat keys that a listing covers.
#[derive(Debug)]
pub(super) struct Bounds {
    from: Bytes,
    after: bool,
    before: Option<Bytes>,
    keys_only: bool,
}

impl Bounds {
    /// # Errors
    /// `Corrupt` if the cursor is not one of this store's, `Invalid` if `from` is too long for a key.
    pub(super) fn of(list: &List, cursor: Option<&Cursor>) -> Result<Self> {
        let prefix = list.namespace.flat_prefix();
        let from = match cursor {
            Some(cursor) => Key::from_flat(cursor.0.clone())?.flat_bytes().clone(),
            None => {
                let from = list.from.as_deref().unwrap_or_default().max(&list.prefix[..]);
                list.namespace.key(from)?.flat_bytes().clone()
            }
        };
        let ends =
            [list.before.as_ref().map(|before| [prefix, before].concat()), following(prefix, &list.prefix)];
        let before = ends.into_iter().flatten().min().map(Bytes::from);
        Ok(Self { from, after: cursor.is_some(), before, keys_only: list.keys_only })
    }

    pub(super) fn range(&self) -> Range<'_> {
        Range {
            from: &self.from,
            after: self.after,
            before: self.before.as_deref(),
            keys_only: self.keys_only,
        }
    }
}

/// The first bytes after all that begin with both; `None` if nothing comes after.
fn following(namespace: &[u8], prefix: &[u8]) -> Option<Vec<u8>> {
    let mut end = [namespace, prefix].concat();
    while let Some(last) = end.pop() {
        if last < u8::MAX {
            end.push(last + 1);
            return Some(end);
        }
    }
    None
}

/// The contract's page. Entries that cannot be understood are left out.
pub(super) fn page_of(found: Found, keys_only: bool) -> Result<Page> {
    let mut page = Page { next: found.next.map(Cursor), ..Page::default() };
    for (flat, stored) in found.entries {
        let key = Key::from_flat(flat)?;
        if keys_only {
            let version = Version(stored.found.version);
            let expires_ms = stored.found.expires_ms.and_then(std::num::NonZeroU64::new);
            page.entries.push((key, Entry { version, expires_ms, ..Entry::new(Bytes::new()) }));
        } else if let Ok(entry) = entry_of("list", stored) {
            page.entries.push((key, entry));
        }
    }
    Ok(page)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_follows_a_prefix_is_after_everything_that_begins_with_it() {
        assert_eq!(following(&[1, b'n'], b"ab"), Some(vec![1, b'n', b'a', b'c']));
        assert_eq!(following(&[1, b'n'], &[255, 255]), Some(vec![1, b'o']));
        assert_eq!(following(&[0], b""), Some(vec![1]));
        assert_eq!(following(&[255; 256], b""), None);
    }
}
