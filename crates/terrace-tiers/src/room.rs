//! Making room in a disk tier that is only a cache: when it is full, some entries leave.
//!
//! The victims are taken in the store's own order, from where the last round ended, and those that are in the hot
//! tier are passed by: what was used lately is there, so this is a second chance on the whole disk (CLOCK, with
//! the hot tier as its reference bits).

use terrace_store::capability::{Cursor, List, Order};
use terrace_store::{
    Condition, DeleteOptions, Deleted, Entry, ErrorKind, Key, Namespace, PutOptions, Result, StoreExt,
    Written,
};

use crate::generations::Generations;
use crate::sync::{Mutex, lock};
use crate::tier::{Lower, Tier};
use crate::tiers::Tiers;

/// How many entries leave at once.
const VICTIMS: usize = 32;
/// How many entries a page of candidates has.
const PAGE: usize = 128;
/// How often a write is tried again after room was made.
const ATTEMPTS: usize = 64;

/// Where the last search for victims ended.
#[derive(Default)]
pub(crate) struct Hand(Mutex<Option<(Namespace, Option<Cursor>)>>);

impl Tiers {
    /// Writes an entry into a tier; if that is a cache and full, after others have left.
    pub(crate) async fn put_with_room(
        &self,
        lower: &Lower,
        key: &Key,
        entry: &Entry,
        options: PutOptions,
    ) -> Result<Written> {
        for _ in 0..ATTEMPTS {
            match lower.store.put(key, entry.clone(), options).await {
                Err(error) if error.kind() == ErrorKind::Full && lower.tier == Tier::Cold => {
                    if self.make_room(lower).await? == 0 {
                        return Err(error);
                    }
                }
                other => return other,
            }
        }
        lower.store.put(key, entry.clone(), options).await
    }

    /// Removes some entries, and returns how many.
    async fn make_room(&self, lower: &Lower) -> Result<usize> {
        let mut removed = 0;
        // Once around at most, and once more for what is in the hot tier too.
        for spare_hot in [true, false] {
            let mut wraps = 0;
            while removed < VICTIMS && wraps < 2 {
                let (page, wrapped) = self.next_candidates(lower).await?;
                wraps += usize::from(wrapped);
                for (key, entry) in page {
                    let is_hot =
                        spare_hot && self.hot.as_ref().is_some_and(|hot| hot.version(&key).is_some());
                    if !is_hot && removed < VICTIMS {
                        let condition = Condition::Match(entry.version);
                        let deleted =
                            lower.store.delete(&key, DeleteOptions { condition, deferred: true }).await?;
                        removed += usize::from(matches!(deleted, Deleted::Done { .. }));
                    }
                }
            }
            if removed > 0 {
                break;
            }
        }
        lower.counters.evicted(removed as u64);
        Ok(removed)
    }

    /// The next page of candidates, and whether the search began again from the start.
    async fn next_candidates(&self, lower: &Lower) -> Result<(Vec<(Key, Entry)>, bool)> {
        let Some(iterate) = lower.store.as_iterate() else { return Ok((Vec::new(), true)) };
        let mut namespaces = iterate.namespaces().await?;
        // The marks of invalidations are not for eviction: without them the dead would be served.
        namespaces.retain(|namespace| *namespace != Generations::namespace());
        let at = lock(&lower.hand.0).take();
        let known = at.and_then(|(namespace, cursor)| {
            namespaces.iter().position(|n| *n == namespace).map(|i| (i, cursor))
        });
        let (index, cursor) = known.unwrap_or((0, None));
        let Some(namespace) = namespaces.get(index) else { return Ok((Vec::new(), true)) };
        let list = List { order: Order::Any, keys_only: true, limit: PAGE, ..List::all(namespace.clone()) };
        let page = lower.store.list(&list, cursor.as_ref()).await?;
        let last = index + 1 >= namespaces.len();
        let next = match page.next {
            Some(cursor) => Some((namespace.clone(), Some(cursor))),
            None if last => None,
            None => Some((namespaces[index + 1].clone(), None)),
        };
        let wrapped = next.is_none();
        *lock(&lower.hand.0) = next;
        Ok((page.entries, wrapped))
    }
}
