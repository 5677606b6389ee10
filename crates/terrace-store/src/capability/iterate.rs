//! Listing, a page at a time.

use bytes::Bytes;

use crate::entry::Entry;
use crate::error::Result;
use crate::key::{Key, Namespace};
use crate::store::BoxFuture;

/// In which order to list.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Order {
    /// By key. Any store can; one that keeps no order pays for each page with a look at every key.
    #[default]
    Key,
    /// Whatever is cheapest for the store.
    Any,
}

/// Where a listing goes on. Opaque; valid for the store and the order it came from, as long as the store is
/// open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cursor(pub Bytes);

/// What to list.
#[derive(Clone, Debug)]
pub struct List {
    /// The namespace.
    pub namespace: Namespace,
    /// Only keys whose bytes begin so; empty for all.
    pub prefix: Bytes,
    /// Only keys whose bytes are at or after this one.
    pub from: Option<Bytes>,
    /// Only keys whose bytes are before this one.
    pub before: Option<Bytes>,
    /// In which order.
    pub order: Order,
    /// Whether to leave out the values, which may cost less: entries then come with an empty value, and with
    /// their version and end; their other fields may be missing.
    pub keys_only: bool,
    /// How many entries a page has at most; 0 counts as 1.
    pub limit: usize,
}

impl List {
    /// Everything in a namespace, by key, 1000 entries a page.
    pub fn all(namespace: Namespace) -> Self {
        Self {
            namespace,
            prefix: Bytes::new(),
            from: None,
            before: None,
            order: Order::Key,
            keys_only: false,
            limit: 1000,
        }
    }

    /// Whether a key of the namespace is in the range and has the prefix.
    pub fn covers(&self, bytes: &[u8]) -> bool {
        bytes.starts_with(&self.prefix)
            && self.from.as_deref().is_none_or(|from| bytes >= from)
            && self.before.as_deref().is_none_or(|before| bytes < before)
    }
}

/// A part of a listing.
#[derive(Clone, Debug, Default)]
pub struct Page {
    /// Its entries. May be fewer than the limit, or none, though more follow.
    pub entries: Vec<(Key, Entry)>,
    /// Where to go on; `None` when the listing is complete.
    pub next: Option<Cursor>,
}

/// Listing.
pub trait Iterate: Send + Sync {
    /// The page after `cursor`, or the first.
    ///
    /// # Consistency
    /// A page is not a snapshot. An entry that was there when the first page was asked for and is there,
    /// unchanged, until the last is returned exactly once. One that is written or deleted meanwhile is returned
    /// at most once in [`Order::Key`], and may be missed or repeated in [`Order::Any`]. Expired entries are
    /// never returned. One whose bytes are damaged is left out, and shows in the store's health.
    fn list<'a>(&'a self, list: &'a List, cursor: Option<&'a Cursor>) -> BoxFuture<'a, Result<Page>>;

    /// How many entries a namespace holds, those included whose time is over but which no
    /// [`sweep`](crate::Store::sweep) has removed yet. Exact, and cheap: no scan.
    fn count<'a>(&'a self, namespace: &'a Namespace) -> BoxFuture<'a, Result<u64>>;

    /// The bytes of keys (without the namespace) and of values (as they were put), summed over the entries that
    /// [`Iterate::count`] counts. Exact, and cheap.
    ///
    /// # Errors
    /// `NotSupported` from a store that changes the length of values on their way, and cannot know.
    fn bytes<'a>(&'a self, namespace: &'a Namespace) -> BoxFuture<'a, Result<u64>>;

    /// The namespaces that hold anything.
    fn namespaces(&self) -> BoxFuture<'_, Result<Vec<Namespace>>>;
}
