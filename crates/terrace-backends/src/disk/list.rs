//! Listing: the contract's pages from the log's.

use bytes::Bytes;
use terrace_disk::{Page as Found, Range};
use terrace_store::capability::{Cursor, List, Page};
use terrace_store::{Entry, Key, Result, Version};

use super::shared::entry_of;

/// The range of flat keys that a listing covers.
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
