//! What concerns a database as a whole: how many keys it has, listing them, any one of them, and clearing it.

use std::ops::Range;
use std::sync::{Mutex, PoisonError};

use bytes::Bytes;
use terrace::tiers::{Hot, Mode, Scope};
use terrace_store::capability::{Cursor, Iterate, List, Order, Page};
use terrace_store::{DeleteOptions, Error, ErrorKind, Result, Rng};

use super::{DATABASES, Keyspace};

/// How many keys one is drawn from.
const DRAW: usize = 16;

/// Where the next draw of a random key begins, by database.
#[derive(Default)]
pub(super) struct Places([Mutex<Option<Cursor>>; DATABASES]);

impl Keyspace {
    /// The authority's listing.
    ///
    /// # Errors
    /// `NotSupported` if it has none.
    pub fn iterate(&self) -> Result<&dyn Iterate> {
        self.authority.as_iterate().ok_or_else(|| {
            Error::new(ErrorKind::NotSupported, "list").because("the store that decides cannot list its keys")
        })
    }

    /// How many keys a database has. Keys whose time is over count until they are swept. No scan.
    ///
    /// # Errors
    /// Those of the authority.
    pub async fn count(&self, database: usize) -> Result<u64> {
        self.iterate()?.count(&self.namespaces[database]).await
    }

    /// The bytes of all keys and values. No scan.
    ///
    /// # Errors
    /// Those of the authority.
    pub async fn bytes(&self) -> Result<u64> {
        let mut bytes = 0;
        for namespace in &self.namespaces {
            bytes += self.iterate()?.bytes(namespace).await?;
        }
        Ok(bytes)
    }

    /// Some keys of a database, without their values, in the order that is cheapest for the authority.
    ///
    /// # Errors
    /// Those of the authority.
    pub async fn page(&self, database: usize, cursor: Option<&Cursor>, limit: usize) -> Result<Page> {
        let namespace = self.namespaces[database].clone();
        let list = List { order: Order::Any, keys_only: true, limit, ..List::all(namespace) };
        self.iterate()?.list(&list, cursor).await
    }

    /// Any key of a database. Goes round through all of them, and draws one of every few by chance.
    ///
    /// # Errors
    /// Those of the authority.
    ///
    /// # Cost
    /// A page of a few keys, however many there are.
    pub async fn random_key(&self, database: usize, rng: &dyn Rng) -> Result<Option<Bytes>> {
        let place = || self.places.0[database].lock().unwrap_or_else(PoisonError::into_inner);
        let mut anew = 0;
        while anew < 2 {
            let cursor = place().take();
            anew += usize::from(cursor.is_none());
            let page = self.page(database, cursor.as_ref(), DRAW).await?;
            *place() = page.next.clone();
            let drawn = rng.below(page.entries.len() as u64) as usize;
            if let Some((key, _)) = page.entries.get(drawn) {
                return Ok(Some(key.shared_bytes()));
            }
        }
        Ok(None)
    }

    /// Removes every key of these databases. The caller holds all locks, exclusively, so nothing is written
    /// meanwhile; and no read that began before brings anything back.
    ///
    /// # Errors
    /// Those of the authority; what of the databases is then gone is unknown.
    pub async fn clear(&self, databases: Range<usize>) -> Result<()> {
        for database in databases {
            self.touch_all(database).await?;
            self.clear_authority(database).await?;
            // What a read took from the authority before, it offers to the hot tier with an older stamp.
            let scope = Scope::Namespace(self.namespaces[database].clone());
            let _ = self.tiers.generations().invalidate(&scope, Mode::Purge);
        }
        if let Some(hot) = &self.hot {
            hot.reclaim();
        }
        Ok(())
    }

    /// Tells the watchers of keys that are about to go.
    async fn touch_all(&self, database: usize) -> Result<()> {
        for key in self.watches.of(&self.namespaces[database]) {
            if self.authority.exists(&key).await? {
                self.watches.touch(&key);
            }
        }
        Ok(())
    }

    async fn clear_authority(&self, database: usize) -> Result<()> {
        if let Some(batch) = self.authority.as_batch() {
            return batch.clear(Some(&self.namespaces[database])).await.map(drop);
        }
        let mut cursor = None;
        loop {
            let page = self.page(database, cursor.as_ref(), 1000).await?;
            for (key, _) in page.entries {
                let options = DeleteOptions { deferred: true, ..DeleteOptions::default() };
                let _ = self.authority.delete(&key, options).await?;
            }
            cursor = page.next;
            if cursor.is_none() {
                return Ok(());
            }
        }
    }
}
