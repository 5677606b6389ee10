//! Chain: several stores tried in order, as one store.
//!
//! A read asks the members in order and goes on after a miss and after an error, as the chain is set to; it fails only if
//! no member had the entry and one of those asked had failed. Whoever wants to know which member answered asks
//! [`Chain::find`]. Members have a [`Locality`], and a [`Selection`] leaves some out or puts others first: those of one
//! locality only, those that a filter takes, sorted as one likes. It makes another chain of the same members.
//!
//! Decision: one member takes the writes, the first that is said to. An entry further down is hidden by one above; so that
//! a delete does not uncover one, deletes go to every member that takes writes, and a put removes what those below the first
//! have of its key. Conditions hold for what a read would find, and writers of one key take turns, within this chain.
//! Members that do not take writes are sources: what they have shows whenever nothing above has the key.
//!
//! # Consistency
//! Versions of different members say nothing about each other, so a chain of more than one tells equal from different and
//! not newer from older ([`Versions::Opaque`]): it is no authority. What needs one store for all of its steps has one: a
//! listing and a snapshot are those of the member that takes the writes, a lease and a channel those of the first member
//! that has such, a path is followed in the first member that has it. Batches, transactions and watching are lost, since no
//! member sees everything.

mod composite;
mod read;
#[cfg(test)]
mod tests;
mod write;

use std::cmp::Ordering;
use std::sync::Arc;

use terrace_store::capability::{Batch, Iterate, Lock, Paths, Publish, Snapshot, Transact, Watch};
use terrace_store::{
    BoxFuture, Capabilities, DeleteOptions, Deleted, Entry, Error, ErrorKind, Health, Key, PutOptions,
    Result, Store, Swept, Version, Versions, Written,
};

use crate::stripes::Stripes;
use crate::turns::Turns;

/// Where a member is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Locality {
    /// In this process or on this machine.
    Local,
    /// Behind a network.
    Remote,
}

/// A member of a chain.
#[derive(Clone)]
pub struct Member {
    /// Its name, to tell who answered.
    pub name: String,
    /// The store.
    pub store: Arc<dyn Store>,
    /// Where it is.
    pub locality: Locality,
    /// Whether it takes writes.
    pub takes_writes: bool,
}

impl Member {
    /// A local member that takes writes.
    pub fn local(name: impl Into<String>, store: Arc<dyn Store>) -> Self {
        Self { name: name.into(), store, locality: Locality::Local, takes_writes: true }
    }

    /// A remote member that is only read.
    pub fn remote(name: impl Into<String>, store: Arc<dyn Store>) -> Self {
        Self { name: name.into(), store, locality: Locality::Remote, takes_writes: false }
    }
}

/// When a read goes on to the next member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fallback {
    /// After a member had nothing.
    pub on_miss: bool,
    /// After a member failed.
    pub on_error: bool,
}

impl Default for Fallback {
    /// After both.
    fn default() -> Self {
        Self { on_miss: true, on_error: true }
    }
}

/// Which of a chain's members are asked, and in which order.
#[derive(Clone, Copy, Default)]
pub struct Selection<'a> {
    /// Only those that are there; `None` for all.
    pub locality: Option<Locality>,
    /// Only those that it takes.
    pub filter: Option<&'a dyn Fn(&Member) -> bool>,
    /// In this order; equal members stay as they were.
    pub sort: Option<&'a dyn Fn(&Member, &Member) -> Ordering>,
}

/// What was found, and who had it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// The entry.
    pub entry: Entry,
    /// The name of the member that answered.
    pub member: String,
    /// Its place in the chain, from 0 on.
    pub place: usize,
}

/// Several stores, tried in order.
pub struct Chain {
    members: Arc<[Member]>,
    fallback: Fallback,
    /// Writers of one key take turns, also those of selections of this chain.
    turns: Arc<Stripes<Turns>>,
}

const STRIPES: usize = 256;

impl Chain {
    /// These members in this order.
    ///
    /// # Errors
    /// `Config` if there are none, or two have one name.
    pub fn new(members: Vec<Member>, fallback: Fallback) -> Result<Self> {
        let refuse = |why: &str| Err(Error::new(ErrorKind::Config, "chain").because(why));
        if members.is_empty() {
            return refuse("a chain needs a member");
        }
        let twice = |(place, member): (usize, &Member)| {
            members[..place].iter().any(|other| other.name == member.name)
        };
        if members.iter().enumerate().any(twice) {
            return refuse("two members of a chain have one name; give each its own");
        }
        Ok(Self { members: members.into(), fallback, turns: Arc::new(Stripes::new(STRIPES)) })
    }

    /// The members in order.
    pub fn members(&self) -> &[Member] {
        &self.members
    }

    /// A chain of some of the members, in another order.
    ///
    /// # Errors
    /// `Config` if no member is left.
    pub fn select(&self, selection: Selection<'_>) -> Result<Self> {
        let there = |member: &&Member| selection.locality.is_none_or(|wanted| member.locality == wanted);
        let taken = |member: &&Member| selection.filter.is_none_or(|filter| filter(member));
        let mut members: Vec<Member> = self.members.iter().filter(there).filter(taken).cloned().collect();
        if let Some(sort) = selection.sort {
            members.sort_by(sort);
        }
        let chosen = Self::new(members, self.fallback)?;
        Ok(Self { turns: Arc::clone(&self.turns), ..chosen })
    }

    fn first(&self) -> &Arc<dyn Store> {
        // A chain has a member.
        &self.members[0].store
    }

    /// The member that takes the writes, or the first: what takes several steps is done by it, so that it shows them.
    fn primary(&self) -> &Arc<dyn Store> {
        self.writers().next().map_or(self.first(), |member| &member.store)
    }

    /// The members that take writes.
    fn writers(&self) -> impl Iterator<Item = &Member> {
        self.members.iter().filter(|member| member.takes_writes)
    }

    fn writer(&self, operation: &'static str) -> Result<&Arc<dyn Store>> {
        let writer = self.writers().next().map(|member| &member.store);
        writer.ok_or_else(|| {
            Error::new(ErrorKind::Denied, operation).because("no member of the chain takes writes")
        })
    }
}

/// Does it with each member, and returns the first error after all had their turn.
async fn each<'a, F>(members: impl Iterator<Item = &'a Member>, mut done: F) -> Result<()>
where
    F: FnMut(&'a Member) -> BoxFuture<'a, Result<()>>,
{
    let mut result = Ok(());
    for member in members {
        let one = done(member).await.map_err(|error| error.with("member", &member.name));
        result = result.and(one);
    }
    result
}

#[deny(clippy::missing_trait_methods)]
impl Store for Chain {
    fn name(&self) -> &str {
        if self.members.len() == 1 { self.first().name() } else { "chain" }
    }

    /// What the member that takes the writes is and can do; of several, their versions are opaque.
    fn capabilities(&self) -> Capabilities {
        let writer = self.primary();
        let one = self.members.len() == 1;
        let of_writer = writer.capabilities();
        Capabilities {
            versions: if one { of_writer.versions } else { Versions::Opaque },
            atomic_batches: false,
            in_place: self.members.iter().all(|member| member.store.capabilities().in_place),
            ..of_writer
        }
    }

    fn get<'a>(&'a self, key: &'a Key) -> BoxFuture<'a, Result<Option<Entry>>> {
        Box::pin(async move { Ok(self.find(key).await?.map(|found| found.entry)) })
    }

    fn put<'a>(&'a self, key: &'a Key, entry: Entry, options: PutOptions) -> BoxFuture<'a, Result<Written>> {
        Box::pin(self.put_first(key, entry, options))
    }

    fn delete<'a>(&'a self, key: &'a Key, options: DeleteOptions) -> BoxFuture<'a, Result<Deleted>> {
        Box::pin(self.delete_all(key, options))
    }

    fn exists<'a>(&'a self, key: &'a Key) -> BoxFuture<'a, Result<bool>> {
        Box::pin(async move {
            self.ask(|store| store.exists(key), |there| *there).await.map(|found| found.is_some())
        })
    }

    fn reserve(&self) -> BoxFuture<'_, Result<Version>> {
        if self.members.len() == 1 {
            return self.first().reserve();
        }
        Box::pin(async move {
            // A closed chain says that it is closed.
            self.first().commit().await?;
            Err(Error::new(ErrorKind::NotSupported, "reserve")
                .because("versions of a chain's members say nothing about each other"))
        })
    }

    fn commit(&self) -> BoxFuture<'_, Result<()>> {
        Box::pin(each(self.members.iter(), |member| member.store.commit()))
    }

    fn flush(&self) -> BoxFuture<'_, Result<()>> {
        Box::pin(each(self.members.iter(), |member| member.store.flush()))
    }

    fn sweep(&self, limit: usize) -> BoxFuture<'_, Result<Swept>> {
        Box::pin(async move {
            let mut swept = Swept::default();
            for member in &*self.members {
                let done = (swept.expired + swept.floors) as usize;
                let one = member.store.sweep(limit.saturating_sub(done)).await?;
                swept.expired += one.expired;
                swept.floors += one.floors;
                swept.more |= one.more;
            }
            Ok(swept)
        })
    }

    /// Down if nothing can be read or nothing written, degraded if a member is not up.
    fn health(&self) -> BoxFuture<'_, Health> {
        Box::pin(async move {
            let (mut told, mut up, mut writes) = (Vec::new(), false, self.writers().next().is_none());
            for member in &*self.members {
                let health = member.store.health().await;
                let works = !matches!(health, Health::Down(_));
                up |= works;
                writes |= works && member.takes_writes;
                if let Health::Down(why) | Health::Degraded(why) = health {
                    told.push(format!("{}: {why}", member.name));
                }
            }
            match (told.is_empty(), up && writes) {
                (true, _) => Health::Up,
                (false, true) => Health::Degraded(told.join("; ")),
                (false, false) => Health::Down(told.join("; ")),
            }
        })
    }

    fn close(&self) -> BoxFuture<'_, Result<()>> {
        Box::pin(each(self.members.iter(), |member| member.store.close()))
    }

    fn as_batch(&self) -> Option<&dyn Batch> {
        None
    }

    fn as_iterate(&self) -> Option<&dyn Iterate> {
        self.primary().as_iterate().map(|_| self as &dyn Iterate)
    }

    fn as_transact(&self) -> Option<&dyn Transact> {
        None
    }

    fn as_snapshot(&self) -> Option<&dyn Snapshot> {
        self.primary().as_snapshot()
    }

    fn as_watch(&self) -> Option<&dyn Watch> {
        None
    }

    fn as_lock(&self) -> Option<&dyn Lock> {
        self.members.iter().find_map(|member| member.store.as_lock())
    }

    fn as_publish(&self) -> Option<&dyn Publish> {
        self.members.iter().find_map(|member| member.store.as_publish())
    }

    fn as_paths(&self) -> Option<&dyn Paths> {
        self.primary().as_paths().map(|_| self as &dyn Paths)
    }
}
