//! The tiers of one cache, and what they share.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use terrace_store::{Clock, Error, ErrorKind, Result, Spawn, Store, StoreExt, Tasks, Version, Versions};

use crate::PolicyReport;
use crate::floors::Floors;
use crate::generations::Generations;
use crate::hot::Hot;
use crate::read::Outcome;
use crate::single_flight::Flights;
use crate::stats::is_timed;
use crate::stats::{LoadCounters, TierCounters, TiersStats};
use crate::tier::{Lower, Tier, WriteMode};
use crate::version::HybridClock;

/// Of so many operations on stores that answer in place one is timed.
const TIMED: u32 = 16;

/// How the tiers behave.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// A load that takes longer fails for those who wait; `None` waits for ever.
    pub load_timeout: Option<Duration>,
    /// How many tags have a generation of their own before they share.
    pub tag_limit: usize,
    /// How many deleted keys the hot tier remembers before it refuses whole buckets.
    pub floor_limit: usize,
    /// How often expired entries are removed in the background.
    pub maintenance: Duration,
    /// How long closing waits for loads under way.
    pub close_grace: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            load_timeout: Some(Duration::from_secs(60)),
            tag_limit: 1_000_000,
            floor_limit: 65_536,
            maintenance: Duration::from_millis(250),
            close_grace: Duration::from_secs(5),
        }
    }
}

/// What the tiers of one cache share: made first, because the hot tier needs it too.
#[derive(Clone)]
pub struct Foundation {
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// What deletes left in memory.
    pub floors: Arc<Floors>,
    /// What was invalidated.
    pub generations: Arc<Generations>,
    /// How the tiers behave.
    pub options: Options,
}

impl Foundation {
    /// Nothing deleted, nothing invalidated.
    pub fn new(clock: Arc<dyn Clock>, options: Options) -> Self {
        let floors = Floors::new(options.floor_limit);
        let generations = Arc::new(Generations::new(Arc::clone(&clock), options.tag_limit));
        Self { clock, floors, generations, options }
    }
}

/// The tiers of one cache. A get, a put and an invalidation each have a file of their own: `read.rs`,
/// `write.rs`, `invalidate.rs`.
pub struct Tiers {
    pub(crate) hot: Option<Arc<dyn Hot>>,
    pub(crate) lower: Vec<Lower>,
    /// The lowest tier that writes go through and that assigns versions; without one the hot tier is it.
    pub(crate) authority: Option<usize>,
    pub(crate) base: Foundation,
    pub(crate) versions: HybridClock,
    pub(crate) flights: Arc<Flights<Outcome>>,
    pub(crate) tasks: Tasks,
    pub(crate) loads: LoadCounters,
    /// Whether a read of all stores completes in the call that begins it.
    pub(crate) in_place: bool,
    pub(crate) reclaiming: AtomicBool,
    /// Entries of the authority whose time was over when they were removed.
    pub(crate) expired: AtomicU64,
    closed: AtomicBool,
}

impl Tiers {
    /// Puts the tiers together, takes back what was invalidated before a restart, and starts the maintenance.
    ///
    /// # Errors
    /// `Config` if a tier cannot play its part, or whatever a store answers when asked for its generations.
    pub async fn open(
        base: Foundation,
        hot: Option<Arc<dyn Hot>>,
        lower: Vec<Lower>,
        spawn: Arc<dyn Spawn>,
    ) -> Result<Arc<Self>> {
        check(hot.as_ref(), &lower)?;
        let assigns = |lower: &Lower| {
            lower.mode == WriteMode::Through && lower.store.capabilities().versions == Versions::Assigned
        };
        let authority = lower.iter().rposition(assigns);
        check_writes(&lower, authority)?;
        empty_copies(&lower[..authority.unwrap_or(0)]).await?;
        let in_place = lower.iter().all(|lower| lower.store.capabilities().in_place);
        let versions = HybridClock::new(Arc::clone(&base.clock));
        let tiers = Arc::new(Self {
            hot,
            lower,
            authority,
            base,
            versions,
            flights: Flights::new(),
            tasks: Tasks::new(spawn),
            loads: LoadCounters::default(),
            in_place,
            reclaiming: AtomicBool::new(false),
            expired: AtomicU64::new(0),
            closed: AtomicBool::new(false),
        });
        tiers.restore_generations().await?;
        tiers.start_maintenance();
        Ok(tiers)
    }

    /// The store that decides: the lowest that writes go through. `None` if the hot tier decides.
    pub fn authority(&self) -> Option<&Arc<dyn Store>> {
        self.authority.map(|index| &self.lower[index].store)
    }

    /// The tiers below the hot one, from the top.
    pub fn lower(&self) -> &[Lower] {
        &self.lower
    }

    /// The time.
    pub fn clock(&self) -> &Arc<dyn Clock> {
        &self.base.clock
    }

    /// What was invalidated.
    pub fn generations(&self) -> &Arc<Generations> {
        &self.base.generations
    }

    /// The background tasks of this cache.
    pub fn tasks(&self) -> &Tasks {
        &self.tasks
    }

    /// Whether all stores answer in place: a read without a loader then seldom has to be waited for.
    pub fn is_in_place(&self) -> bool {
        self.in_place
    }

    /// Whether a load or read for some key is under way.
    pub fn is_flying(&self) -> bool {
        self.flights.active() > 0
    }

    /// The time, if this operation is to be timed: each where a store has to be waited for, some where not.
    #[inline]
    pub(crate) fn begin(&self) -> Option<Duration> {
        (!self.in_place || is_timed(TIMED)).then(|| self.base.clock.now())
    }

    /// How long it took since then.
    #[inline]
    pub(crate) fn took(&self, began: Option<Duration>) -> Option<Duration> {
        began.map(|began| self.base.clock.now().saturating_sub(began))
    }

    pub(crate) fn open_for(&self, operation: &'static str) -> Result<()> {
        if self.closed.load(Ordering::Acquire) {
            return Err(Error::new(ErrorKind::Closed, operation).because("the cache was closed"));
        }
        Ok(())
    }

    /// The next version where the hot tier is the authority.
    pub(crate) fn next_version(&self) -> Version {
        self.versions.tick()
    }

    async fn restore_generations(&self) -> Result<()> {
        let Some(store) = self.authority() else { return Ok(()) };
        if store.as_iterate().is_none() {
            // Nowhere to have kept them: whatever is stored may have been invalidated.
            self.base.generations.distrust();
            return Ok(());
        }
        let list = terrace_store::capability::List::all(Generations::namespace());
        for (key, entry) in store.list_all(&list).await? {
            if self.base.generations.restore(&key, &entry).is_err() {
                // One mark is lost, and nobody can say which: everything that was stored is given up.
                self.base.generations.distrust();
            }
        }
        Ok(())
    }

    /// What happened so far.
    pub fn stats(&self) -> TiersStats {
        let usage = self.hot.as_ref().map(|hot| hot.usage()).unwrap_or_default();
        let mut tiers = Vec::new();
        if self.hot.is_some() {
            let mut hot = TierCounters::default().snapshot(Tier::Hot);
            (hot.hits, hot.misses, hot.writes) = (usage.hits, usage.misses, usage.inserts);
            hot.read_latency = usage.latency;
            tiers.push(hot);
        }
        tiers.extend(self.lower.iter().map(|lower| lower.counters.snapshot(lower.tier)));
        TiersStats {
            tiers,
            loads: self.loads.snapshot(),
            flights: self.flights.active(),
            hot_entries: usage.entries,
            hot_bytes: usage.bytes,
            hot_capacity: usage.capacity,
        }
    }

    /// The hot tier's counters by cause of leaving, as `(cause, count)`.
    pub fn hot_left(&self) -> Vec<(&'static str, u64)> {
        let usage = self.hot.as_ref().map(|hot| hot.usage()).unwrap_or_default();
        terrace_memory::Cause::ALL.iter().map(|cause| cause.name()).zip(usage.left).collect()
    }

    /// What the hot tier's eviction policy has learned: which rules it follows, how others would have done, and
    /// what more memory would bring.
    pub fn hot_policy(&self) -> Option<PolicyReport> {
        self.hot.as_ref().map(|hot| hot.policy())
    }

    /// How many entries the maintenance removed from the authority because their time was over, since the start.
    pub fn expired(&self) -> u64 {
        self.expired.load(Ordering::Relaxed)
    }

    /// Changes how many bytes the hot tier may hold.
    pub fn set_hot_capacity(&self, capacity: u64) {
        if let Some(hot) = &self.hot {
            hot.set_capacity(capacity);
        }
    }

    /// Waits for deferred writes: see [`Store::commit`].
    ///
    /// # Errors
    /// What the authority answers.
    pub async fn commit(&self) -> Result<()> {
        match self.authority() {
            Some(store) => store.commit().await,
            None => Ok(()),
        }
    }

    /// Makes everything written so far as durable as it can be.
    ///
    /// # Errors
    /// The first error of a tier, after all were asked.
    pub async fn flush(&self) -> Result<()> {
        let mut result = Ok(());
        for lower in &self.lower {
            result = result.and(lower.store.flush().await);
        }
        result
    }

    /// Ends loads and maintenance, waiting at most the close grace, and closes the stores. Later calls answer
    /// `Closed`.
    ///
    /// # Errors
    /// The first error of a store; all are closed nevertheless.
    pub async fn close(&self) -> Result<()> {
        // A second call does it all again, which costs nothing: the first may have been dropped midway.
        self.closed.store(true, Ordering::Release);
        self.tasks.close(&*self.base.clock, self.base.options.close_grace).await;
        let mut result = Ok(());
        for lower in &self.lower {
            result = result.and(lower.store.close().await);
        }
        result
    }
}

/// Writes must reach every tier that is to be kept current: none may stand below the one that decides.
fn check_writes(lower: &[Lower], authority: Option<usize>) -> Result<()> {
    let out_of_reach = |index: usize| authority.is_none_or(|authority| index > authority);
    let found =
        lower.iter().enumerate().find(|(index, lower)| lower.mode != WriteMode::None && out_of_reach(*index));
    let Some((_, lower)) = found else { return Ok(()) };
    Err(Error::new(ErrorKind::Config, "open").with("store", lower.store.name()).because(format!(
        "writes would not reach the {} tier: the lowest tier must be written through and assign versions",
        lower.tier
    )))
}

/// A copy that outlived the process may have missed the last writes of the store that decides: it begins empty.
async fn empty_copies(copies: &[Lower]) -> Result<()> {
    for copy in copies.iter().filter(|copy| copy.store.capabilities().persistent) {
        let Some(batch) = copy.store.as_batch() else {
            return Err(Error::new(ErrorKind::Config, "open").with("store", copy.store.name()).because(format!(
                "the {} tier outlives the process and cannot be emptied, so it may not stand above another",
                copy.tier
            )));
        };
        batch.clear(None).await?;
    }
    Ok(())
}

fn check(hot: Option<&Arc<dyn Hot>>, lower: &[Lower]) -> Result<()> {
    let config = |reason: String| Err(Error::new(ErrorKind::Config, "open").because(reason));
    if hot.is_none() && lower.is_empty() {
        return config("a cache needs at least one tier".into());
    }
    if let Some(pair) = lower.windows(2).find(|pair| pair[0].tier > pair[1].tier) {
        let (above, below) = (pair[0].tier, pair[1].tier);
        return config(format!(
            "the {above} tier stands above the {below} tier: the order is hot, warm, cold, shared, durable"
        ));
    }
    for lower in lower {
        if matches!(lower.tier, Tier::Hot | Tier::Origin) {
            return config(format!("a store cannot be the {} tier", lower.tier));
        }
        if lower.tier == Tier::Durable && lower.store.capabilities().versions != Versions::Assigned {
            return config(format!(
                "{} assigns no versions, so it cannot be the durable tier",
                lower.store.name()
            ));
        }
    }
    Ok(())
}
