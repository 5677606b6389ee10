//! What was asked of the store, what it acknowledged, and whether what it holds afterwards can be right.
//!
//! The steps stand in the order of the log: one thread wrote them, or their versions sorted them. A recovered store
//! must show exactly what the first `m` steps leave, for some `m` that leaves out no step that was promised
//! to be durable. Every value is written once, so each key says by itself between which steps `m` can lie;
//! the checker intersects what they say, in time linear in the history. A batch is one step, so half of one never fits.
//!
//! A step that was refused for certain is not part of the history. One whose outcome nobody knows may or may not
//! have happened, whatever came after it.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

pub(crate) type Key = Vec<u8>;

/// What a step leaves under a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Value {
    pub(crate) bytes: Arc<[u8]>,
    pub(crate) expires_ms: Option<u64>,
}

impl Value {
    pub(crate) fn is_due(&self, now_ms: u64) -> bool {
        self.expires_ms.is_some_and(|deadline| deadline <= now_ms)
    }
}

#[derive(Clone, Debug)]
pub(crate) struct Step {
    /// Each key once; `None` deletes it.
    pub(crate) writes: Vec<(Key, Option<Value>)>,
    /// When it was asked for, by the clock of the history.
    asked: u64,
    /// When it was acknowledged.
    acked: Option<u64>,
    /// The version that the acknowledgement named, of a step with one write.
    pub(crate) version: Option<u64>,
    /// It failed in a way that leaves open whether it happened.
    doubtful: bool,
}

/// What a recovered store shows under a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) bytes: Vec<u8>,
    pub(crate) expires_ms: Option<u64>,
    pub(crate) version: u64,
}

pub(crate) type View = BTreeMap<Key, Found>;

/// What has to be there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Promise {
    /// Whatever was acknowledged.
    Acknowledged,
    /// Whatever was acknowledged before a sync that was acknowledged.
    Synced,
}

/// How much of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kept {
    Everything,
    /// A cache may have dropped any entry, but what it shows must fit.
    Some,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct History {
    steps: Vec<Step>,
    syncs: Vec<(usize, u64)>,
    /// Counts what was asked and answered; several histories may share it.
    clock: Arc<AtomicU64>,
}

impl History {
    /// A history among others.
    pub(crate) fn with_clock(clock: &Arc<AtomicU64>) -> Self {
        Self { clock: Arc::clone(clock), ..Self::default() }
    }

    /// For whoever takes pictures of the disk meanwhile.
    pub(crate) fn clock(&self) -> &Arc<AtomicU64> {
        &self.clock
    }

    fn tick(&self) -> u64 {
        self.clock.fetch_add(1, Ordering::AcqRel) + 1
    }

    pub(crate) fn len(&self) -> usize {
        self.steps.len()
    }

    pub(crate) fn step(&self, step: usize) -> &Step {
        &self.steps[step]
    }

    /// A step begins; its number.
    pub(crate) fn ask(&mut self, writes: Vec<(Key, Option<Value>)>) -> usize {
        let asked = self.tick();
        self.steps.push(Step { writes, asked, acked: None, version: None, doubtful: false });
        self.steps.len() - 1
    }

    pub(crate) fn ack(&mut self, step: usize, version: Option<u64>) {
        self.steps[step].acked = Some(self.tick());
        self.steps[step].version = version;
    }

    /// It failed, and may have happened all the same.
    pub(crate) fn doubt(&mut self, step: usize) {
        self.tick();
        self.steps[step].doubtful = true;
    }

    /// It was refused before anything was written. Only the last step can be taken back.
    pub(crate) fn refuse(&mut self, step: usize) {
        self.tick();
        assert_eq!(step + 1, self.steps.len(), "a refused step is the last one");
        // What it would have written stays for moments that lie inside it, when it looks like any other.
        self.steps[step].doubtful = true;
        self.steps[step].writes.clear();
    }

    /// A sync that covers all steps so far was acknowledged.
    pub(crate) fn synced(&mut self) {
        self.syncs.push((self.steps.len(), self.tick()));
    }

    /// Whether the outcome of some step is unknown.
    pub(crate) fn has_doubts(&self) -> bool {
        self.steps.iter().any(|step| step.doubtful && !step.writes.is_empty())
    }

    /// What the history leaves if all of it happened: the expected contents of the living store.
    pub(crate) fn expected(&self, now_ms: u64) -> BTreeMap<Key, Value> {
        let mut map = BTreeMap::new();
        for (key, value) in self.steps.iter().flat_map(|step| &step.writes) {
            match value {
                Some(value) => _ = map.insert(key.clone(), value.clone()),
                None => _ = map.remove(key),
            }
        }
        map.retain(|_, value| !value.is_due(now_ms));
        map
    }

    /// Whether these bytes were ever written under the key.
    pub(crate) fn ever(&self, key: &[u8], bytes: &[u8]) -> bool {
        let mut writes = self.steps.iter().flat_map(|step| &step.writes);
        writes.any(|(written, value)| {
            written == key && value.as_ref().is_some_and(|value| value.bytes[..] == *bytes)
        })
    }

    /// How many steps must be there at a time of the history's clock.
    fn floor(&self, time: u64, promise: Promise) -> usize {
        let acked = |(number, step): (usize, &Step)| {
            step.acked.is_some_and(|acked| acked <= time).then_some(number + 1)
        };
        match promise {
            Promise::Acknowledged => self.steps.iter().enumerate().filter_map(acked).max().unwrap_or(0),
            Promise::Synced => {
                let syncs = self.syncs.iter().filter(|(_, when)| *when <= time);
                syncs.map(|(steps, _)| *steps).max().unwrap_or(0)
            }
        }
    }

    /// Whether what a store shows is what a prefix of the steps asked for by `time` leaves at `now_ms`.
    pub(crate) fn check(
        &self,
        view: &View,
        time: u64,
        now_ms: u64,
        promise: Promise,
        kept: Kept,
    ) -> Result<(), String> {
        let asked = self.steps.iter().take_while(|step| step.asked <= time).count();
        let steps = &self.steps[..asked];
        let floor = self.floor(time, promise).min(asked);
        let by_key = writes_by_key(steps);
        if let Some(foreign) = view.keys().find(|key| !by_key.contains_key(key.as_slice())) {
            return Err(format!("key {} was never written", show(foreign)));
        }
        let mut votes = Votes::new(asked);
        let mut voters = Vec::new();
        for (key, writes) in &by_key {
            let found = view.get(*key);
            if found.is_none() && kept == Kept::Some {
                continue;
            }
            let places = places(key, writes, found, steps, now_ms)?;
            votes.add(&places);
            voters.push((*key, places));
        }
        whole_batches(steps, view, kept)?;
        if votes.counts().any(|(m, count)| m >= floor && count == voters.len()) {
            return Ok(());
        }
        Err(explain(&votes, &voters, floor, asked, view))
    }
}

fn show(key: &[u8]) -> String {
    String::from_utf8_lossy(key).into_owned()
}

type Writes<'a> = Vec<(usize, Option<&'a Value>)>;

fn writes_by_key(steps: &[Step]) -> BTreeMap<&[u8], Writes<'_>> {
    let mut by_key: BTreeMap<&[u8], Writes<'_>> = BTreeMap::new();
    for (number, step) in steps.iter().enumerate() {
        for (key, value) in &step.writes {
            by_key.entry(key).or_default().push((number, value.as_ref()));
        }
    }
    by_key
}

/// The numbers of steps done after which the key would show what was found.
fn places(
    key: &[u8],
    writes: &Writes<'_>,
    found: Option<&Found>,
    steps: &[Step],
    now_ms: u64,
) -> Result<Vec<Range<usize>>, String> {
    let same = |value: Option<&Value>| match (found, value) {
        (None, None) => true,
        (None, Some(value)) => value.is_due(now_ms),
        (Some(_), None) => false,
        (Some(found), Some(value)) => found.bytes[..] == value.bytes[..],
    };
    // Short values are written more than once; then deadline and version tell which it is.
    let fits = |number: usize, value: Option<&Value>| match (found, value) {
        (Some(found), Some(value)) => {
            let version = steps[number].version.is_none_or(|version| version == found.version);
            same(Some(value)) && found.expires_ms == value.expires_ms && !value.is_due(now_ms) && version
        }
        _ => same(value),
    };
    let end_after = |from: usize| {
        let mut later = writes.iter().filter(|(number, _)| *number + 1 > from && !steps[*number].doubtful);
        later.next().map_or(steps.len() + 1, |(number, _)| *number + 1)
    };
    let mut ranges = Vec::new();
    if found.is_none() {
        ranges.push(0..end_after(0));
    }
    let fitting = writes.iter().filter(|(number, value)| fits(*number, *value));
    ranges.extend(fitting.map(|(number, _)| number + 1..end_after(number + 1)));
    if ranges.is_empty() {
        let similar = writes.iter().find(|(_, value)| same(*value));
        let similar =
            similar.map(|(number, value)| (steps[*number].version, value.and_then(|value| value.expires_ms)));
        let shown = found.map(|found| (found.bytes.len(), found.version, found.expires_ms));
        return Err(format!(
            "key {}: shows {shown:?} (length, version, deadline), which was never written under it; most similar is \
             {similar:?} (version, deadline); it is {now_ms}",
            show(key)
        ));
    }
    Ok(ranges)
}

/// A doubtful batch is outside the prefix, so its wholeness is looked at by itself: where one of its values
/// shows, the others show, or something later does.
fn whole_batches(steps: &[Step], view: &View, kept: Kept) -> Result<(), String> {
    for (number, step) in
        steps.iter().enumerate().filter(|(_, step)| step.doubtful && kept == Kept::Everything)
    {
        let shows = |(key, value): &&(Key, Option<Value>)| match (view.get(key), value) {
            (Some(found), Some(value)) => found.bytes[..] == value.bytes[..],
            _ => false,
        };
        if !step.writes.iter().any(|write| shows(&write)) {
            continue;
        }
        let half = step.writes.iter().find(|(key, value)| {
            let later =
                steps[number + 1..].iter().flat_map(|step| &step.writes).any(|(other, _)| other == key);
            value.is_some() && !later && !shows(&&(key.clone(), value.clone()))
        });
        if let Some((key, _)) = half {
            return Err(format!("half of batch {number}: {} is missing", show(key)));
        }
    }
    Ok(())
}

/// For each number of steps done, how many keys it would suit.
struct Votes(Vec<isize>);

impl Votes {
    fn new(steps: usize) -> Self {
        Self(vec![0; steps + 2])
    }

    /// One key; its ranges may overlap, and count once all the same.
    fn add(&mut self, ranges: &[Range<usize>]) {
        let mut sorted: Vec<&Range<usize>> = ranges.iter().collect();
        sorted.sort_by_key(|range| range.start);
        let mut covered = 0;
        for range in sorted {
            let start = range.start.max(covered);
            if start < range.end {
                self.0[start] += 1;
                self.0[range.end] -= 1;
                covered = range.end;
            }
        }
    }

    fn counts(&self) -> impl Iterator<Item = (usize, usize)> {
        let sums = self.0.iter().scan(0_isize, |sum, change| {
            *sum += change;
            Some(usize::try_from(*sum).unwrap_or_default())
        });
        sums.enumerate().take(self.0.len() - 1)
    }
}

fn explain(
    votes: &Votes,
    voters: &[(&[u8], Vec<Range<usize>>)],
    floor: usize,
    asked: usize,
    view: &View,
) -> String {
    let best = |from: usize| votes.counts().filter(|(m, _)| *m >= from).max_by_key(|(_, count)| *count);
    let (anywhere, count) = best(0).unwrap_or_default();
    if count == voters.len() {
        return format!("only the first {anywhere} steps are there; {floor} of {asked} were promised");
    }
    let (m, count) = best(floor).unwrap_or_default();
    let against = voters.iter().filter(|(_, ranges)| !ranges.iter().any(|range| range.contains(&m)));
    let against: BTreeSet<String> = against
        .take(5)
        .map(|(key, ranges)| {
            let state = if view.contains_key(*key) { "shown" } else { "absent" };
            format!("{} ({state}, fits {ranges:?})", show(key))
        })
        .collect();
    format!(
        "no prefix fits: {floor} of {asked} steps were promised; after {m} steps {count} of {} keys fit, but not {against:?}",
        voters.len()
    )
}
