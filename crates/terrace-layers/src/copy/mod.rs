//! copy: all entries of one store into another, with versions, times, tags and metadata, while the first is in use.
//!
//! Decision: every entry is written with the version it has ([`Condition::Newer`]), so a copy never overtakes anything
//! newer and any part of it may be done twice. A first pass copies; each further pass reads both stores side by side, and
//! writes what differs and removes what the source no longer has, until one finds nothing to do. How far it is lies in
//! the target, under a namespace of Terrace's own (NUL `copy`), written only after what it tells of was flushed: whoever
//! comes again goes on there, after a kill at any moment.
//!
//! What is not copied: filters that a bloom layer left for its next opening, which are only good where they are.
//!
//! A store that is written to all the time is equal only to one that gets its writes too: see
//! [`Switch`](crate::switch::Switch).

mod compare;
mod keys;
mod page;
mod state;
#[cfg(test)]
mod tests;

use std::time::Duration;

use terrace_store::capability::Iterate;
use terrace_store::{
    Condition, DeleteOptions, Deleted, Error, ErrorKind, Key, Namespace, Result, Store, Version, Versions,
};

use self::page::Pages;
pub use self::state::NAMESPACE;
pub(crate) use self::state::State;
use crate::pace::{Pace, Rate};
use crate::world::World;

/// How a store is copied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CopyConfig {
    /// What the source is called, so that a copy that was begun from another one is not gone on with.
    pub source: String,
    /// Bytes of values a second at most, read of the source.
    pub bytes_per_second: u64,
    /// Entries a second at most.
    pub entries_per_second: u64,
    /// How often both are compared at most before it is said that they are not equal.
    pub passes: u32,
    /// Whether the target may hold entries already. They stay then; otherwise it must be empty, and becomes what the source is.
    pub merge: bool,
    /// Whether to begin anew where an earlier copy did not end.
    pub restart: bool,
    /// How many keys that differ or cannot be read are told by name; the rest is only counted.
    pub most_told: usize,
}

impl CopyConfig {
    /// From a source of this name: as fast as it goes, at most five comparisons, into an empty target, a thousand keys told.
    pub fn new(source: impl Into<String>) -> Self {
        Self {
            source: source.into(),
            bytes_per_second: u64::MAX,
            entries_per_second: u64::MAX,
            passes: 5,
            merge: false,
            restart: false,
            most_told: 1_000,
        }
    }
}

/// What a copy is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Writing everything into the target.
    Copy,
    /// Comparing, for the time of this number, from 1 on.
    Compare(u32),
}

/// How far a copy is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CopyProgress {
    /// What it is doing.
    pub phase: Phase,
    /// Entries that this phase has come by.
    pub done: u64,
    /// As many as there were when the phase began.
    pub total: u64,
}

/// What a copy did, earlier attempts included.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CopyReport {
    /// Whether an earlier attempt was gone on with.
    pub resumed: bool,
    /// Entries that were written.
    pub copied: u64,
    /// Bytes of their values.
    pub bytes: u64,
    /// Entries that the target had already, as new or newer.
    pub present: u64,
    /// How often both were compared.
    pub passes: u32,
    /// Entries that the last comparison found equal.
    pub compared: u64,
    /// Entries that comparisons wrote again.
    pub repaired: u64,
    /// Entries that comparisons removed from the target, since the source no longer had them.
    pub removed: u64,
    /// What the last comparison had to do: 0 if it found both equal.
    pub changed: u64,
    /// Entries that differ and could not be made equal.
    pub different: u64,
    /// Entries that the source could not read.
    pub unreadable: u64,
    /// The first of those that differ or cannot be read.
    pub keys: Vec<Key>,
}

impl CopyReport {
    /// Whether the last comparison found both stores equal.
    pub fn is_equal(&self) -> bool {
        self.passes > 0 && self.changed == 0 && self.different == 0 && self.unreadable == 0
    }

    fn tell(&mut self, key: &Key, most: usize) {
        if self.keys.len() < most && !self.keys.contains(key) {
            self.keys.push(key.clone());
        }
    }
}

/// How often the state is written.
const SAVE_EVERY: Duration = Duration::from_secs(1);

/// Copies everything, or goes on where an earlier attempt ended, and compares.
///
/// # Errors
/// `Config` if a store has opaque versions, if the target is not empty and [`CopyConfig::merge`] is not set, or if a copy
/// from another source was begun in it; `NotSupported` if one of them cannot list; and whatever they answer.
///
/// # Cancellation
/// Dropping the future is as good as an interruption: the next attempt goes on.
pub async fn copy(
    from: &dyn Store,
    to: &dyn Store,
    config: &CopyConfig,
    world: &World,
    progress: &mut (dyn FnMut(CopyProgress) + Send),
) -> Result<CopyReport> {
    let mut run = Run::begin(from, to, config, world, progress).await?;
    if run.state.pass == 0 {
        run.copy_all().await?;
    }
    while run.state.pass <= config.passes.max(1) {
        if run.compare_all().await? {
            break;
        }
    }
    run.finish().await
}

/// The state that an earlier attempt left, or a new one, from which on what is in the target is this copy's; and whether
/// it is an earlier one's.
pub(crate) async fn prepare(to: &dyn Store, config: &CopyConfig) -> Result<(State, bool)> {
    if !config.restart
        && let Some(state) = State::load(to).await?
    {
        return Ok((state.of(config)?, true));
    }
    if !config.merge && !config.restart {
        refuse_full(to).await?;
    }
    let fresh = State::new(config);
    fresh.save(to).await?;
    Ok((fresh, false))
}

/// A copy that is under way.
struct Run<'a> {
    from: &'a dyn Store,
    to: &'a dyn Store,
    config: &'a CopyConfig,
    world: &'a World,
    progress: &'a mut (dyn FnMut(CopyProgress) + Send),
    pace: Pace,
    saved: Duration,
    state: State,
    report: CopyReport,
    done: u64,
    total: u64,
}

impl<'a> Run<'a> {
    async fn begin(
        from: &'a dyn Store,
        to: &'a dyn Store,
        config: &'a CopyConfig,
        world: &'a World,
        progress: &'a mut (dyn FnMut(CopyProgress) + Send),
    ) -> Result<Self> {
        for store in [from, to] {
            if store.capabilities().versions == Versions::Opaque {
                return Err(Error::new(ErrorKind::Config, "copy")
                    .because("its versions do not say which is newer, so nothing can be copied by them")
                    .with("store", store.name()));
            }
            listing(store)?;
        }
        let (state, resumed) = prepare(to, config).await?;
        let rate =
            Rate { bytes_per_second: config.bytes_per_second, entries_per_second: config.entries_per_second };
        let report = CopyReport { resumed, ..state.report() };
        Ok(Self {
            pace: Pace::new(rate, &*world.clock),
            saved: world.clock.now(),
            from,
            to,
            config,
            world,
            progress,
            state,
            report,
            done: 0,
            total: 0,
        })
    }

    /// The first pass.
    async fn copy_all(&mut self) -> Result<()> {
        let namespaces = namespaces(self.from).await?;
        self.total = count(self.from, &namespaces).await?;
        self.done = self.state.done;
        self.tell(Phase::Copy);
        for namespace in namespaces {
            let Some(after) = self.state.place(&namespace) else { continue };
            let mut pages = Pages::new(self.from, namespace.clone(), after);
            while let Some(keys) = pages.next().await? {
                let last = keys.last().cloned();
                self.copy_keys(&keys, &mut pages).await?;
                self.done += keys.len() as u64;
                self.tell(Phase::Copy);
                self.at(&namespace, last).await?;
            }
        }
        self.next_pass().await
    }

    /// Ends a pass and begins the next.
    async fn next_pass(&mut self) -> Result<()> {
        self.state.next_pass();
        self.done = 0;
        self.save().await
    }

    /// Notes where it is, and now and then writes it down.
    async fn at(&mut self, namespace: &Namespace, last: Option<Key>) -> Result<()> {
        self.state.at(namespace, last, self.done);
        if self.world.clock.now() >= self.saved.saturating_add(SAVE_EVERY) {
            self.save().await?;
        }
        Ok(())
    }

    async fn save(&mut self) -> Result<()> {
        self.state.count(&self.report);
        // The state must never tell of more than outlives a power cut.
        self.to.flush().await?;
        self.state.save(self.to).await?;
        self.saved = self.world.clock.now();
        Ok(())
    }

    fn tell(&mut self, phase: Phase) {
        let total = self.total.max(self.done);
        (self.progress)(CopyProgress { phase, done: self.done, total });
    }

    /// Removes the state if all is done, and lifts the target's versions above all that the source ever gave.
    async fn finish(mut self) -> Result<CopyReport> {
        if !self.report.is_equal() {
            // Whoever comes again compares again, and has as many passes as the first time.
            self.state.pass = 1;
            self.save().await?;
            return Ok(self.report);
        }
        let place = State::place_in_store()?;
        let condition = highest(self.from).await?.map_or(Condition::Any, Condition::Newer);
        let deleted = self.to.delete(&place, DeleteOptions { condition, deferred: false }).await?;
        if let Deleted::Conflict { .. } = deleted {
            // Its own versions are above them already.
            let _ = self.to.delete(&place, DeleteOptions::default()).await?;
        }
        self.to.flush().await?;
        Ok(self.report)
    }
}

/// A version above all that the store has given; `None` if it gives none.
async fn highest(store: &dyn Store) -> Result<Option<Version>> {
    match store.capabilities().versions {
        Versions::Assigned => {
            store.reserve().await.map(|version| Some(version).filter(|v| *v < Version::LIMIT))
        }
        Versions::Given | Versions::Opaque => Ok(None),
    }
}

fn listing(store: &dyn Store) -> Result<&dyn Iterate> {
    store.as_iterate().ok_or_else(|| {
        Error::new(ErrorKind::NotSupported, "copy")
            .because("the store cannot list its entries")
            .with("store", store.name())
    })
}

/// What there is to copy, in order.
async fn namespaces(store: &dyn Store) -> Result<Vec<Namespace>> {
    let mut namespaces = listing(store)?.namespaces().await?;
    namespaces.retain(|namespace| ![NAMESPACE, crate::bloom::NAMESPACE].contains(&namespace.name()));
    namespaces.sort();
    Ok(namespaces)
}

async fn count(store: &dyn Store, namespaces: &[Namespace]) -> Result<u64> {
    let iterate = listing(store)?;
    let mut count = 0;
    for namespace in namespaces {
        count += iterate.count(namespace).await?;
    }
    Ok(count)
}

/// What was there before would be lost or taken for copied.
async fn refuse_full(to: &dyn Store) -> Result<()> {
    match count(to, &namespaces(to).await?).await? {
        0 => Ok(()),
        there => Err(Error::new(ErrorKind::Config, "copy")
            .because(format!(
                "the target holds {there} entries already; take an empty one, or merge, which leaves them there"
            ))
            .with("store", to.name())),
    }
}
