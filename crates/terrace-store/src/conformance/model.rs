//! Long random sequences of operations, each outcome compared with the plainest store there is.
//!
//! The two stores need not assign the same versions, only versions in the same order: the suite keeps the pairs it
//! has seen, checks that they rise together, and translates. The sequences are drawn from seeds, so a failure
//! repeats; the message names the seed and the step.

use std::collections::BTreeMap;
use std::num::NonZeroU64;
use std::sync::Arc;

use bytes::Bytes;

use super::Subject;
use super::trial::{START_MS, Trial, key_in, namespace};
use crate::capability::{List, Outcome, Write};
use crate::clock::Clock;
use crate::entry::{Entry, Tags, Version};
use crate::error::{ErrorKind, Result};
use crate::ext::StoreExt;
use crate::fakes::{FrozenClock, MapStore};
use crate::key::Key;
use crate::rng::{Rng, SplitMix};
use crate::store::{Condition, DeleteOptions, Deleted, PutOptions, Store, Written};

const SPACES: [&str; 3] = ["", "a", "ab"];
const KEYS: [&str; 5] = ["", "k", "k\0", "kk", "\u{ff}"];

/// All of this file: eight seeds, 600 operations each.
pub async fn all(subject: &dyn Subject) {
    for seed in 0..8 {
        outcomes_equal_those_of_a_plain_map(subject, seed, 600).await;
    }
}

/// Runs this many operations drawn from this seed on the store and on a plain map; every outcome, the versions'
/// order included, is the same. A persistent store is closed and opened again in between.
pub async fn outcomes_equal_those_of_a_plain_map(subject: &dyn Subject, seed: u64, operations: u32) {
    let t = Trial::open(subject).await;
    t.rule("every outcome is that of a plain map behind a lock");
    let clock = FrozenClock::at_wall_ms(START_MS);
    let model = MapStore::new(Arc::new(clock.clone()));
    let pairs = BTreeMap::from([(Version::ZERO, Version::ZERO)]);
    let mut run = Run { t, model, clock, pairs, rng: SplitMix::seeded(seed), seed, step: 0, now: "nothing" };
    for step in 0..operations {
        run.step = step;
        run.step().await;
    }
    run.compare_everything().await;
}

struct Run<'a> {
    t: Trial<'a>,
    model: MapStore,
    /// The model's clock; moved together with the trial's.
    clock: FrozenClock,
    /// The model's versions, and those the store gave at the same steps.
    pairs: BTreeMap<Version, Version>,
    rng: SplitMix,
    seed: u64,
    step: u32,
    now: &'static str,
}

/// A condition in the words of the model and in those of the store.
type Pair = (Condition, Condition);

impl Run<'_> {
    fn fail(&self, detail: impl std::fmt::Display) -> ! {
        self.t.broken(format_args!("seed {}, step {}, {}: {detail}", self.seed, self.step, self.now))
    }

    #[allow(clippy::needless_pass_by_value, reason = "it reads like assert_eq")]
    fn same<T: PartialEq + std::fmt::Debug>(&self, found: T, expected: T) {
        if found != expected {
            self.fail(format_args!("found {found:?}, expected {expected:?}"));
        }
    }

    fn ok<T>(&self, result: Result<T>) -> T {
        match result {
            Ok(value) => value,
            Err(error) => self.fail(format_args!("it failed: {error:?}")),
        }
    }

    async fn step(&mut self) {
        match self.rng.below(100) {
            0..30 => self.put().await,
            30..42 => self.delete().await,
            42..62 => self.read().await,
            62..72 => self.pass_time().await,
            72..77 => self.sweep().await,
            77..82 => self.reserve().await,
            82..88 => self.batch().await,
            88..90 => self.clear().await,
            90..92 => self.reopen().await,
            92..98 => self.list().await,
            _ => self.ok(self.t.store.flush().await),
        }
    }

    fn key(&self) -> Key {
        let space = SPACES[self.rng.below(SPACES.len() as u64) as usize];
        key_in(space, KEYS[self.rng.below(KEYS.len() as u64) as usize])
    }

    fn entry(&self) -> Entry {
        let wall_ms = self.clock.wall_ms();
        let mut entry = Entry::new(vec![self.rng.next_u64() as u8; self.rng.below(3) as usize * 40]);
        entry.created_ms = wall_ms;
        if self.rng.below(3) == 0 {
            // Some are over before they are written.
            entry.expires_ms = NonZeroU64::new(wall_ms + self.rng.below(400));
        }
        if self.rng.below(8) == 0 {
            entry.idle_ms = NonZeroU64::new(1 + self.rng.below(300));
        }
        if self.rng.below(4) == 0 {
            entry.tags = Tags::new([[self.rng.below(9) as u8]]).unwrap_or_default();
        }
        entry
    }

    /// The store's word for a version of the model.
    fn translate(&self, version: Version) -> Version {
        match self.pairs.get(&version) {
            Some(version) => *version,
            None => self.fail(format_args!("the suite never saw its own version {version}")),
        }
    }

    /// Both stores gave these versions at one step: they must stand in the same order among all others.
    fn pair(&mut self, found: Version, expected: Version) {
        let below = self.pairs.range(..expected).next_back().map(|(_, version)| *version);
        let above = self.pairs.range(expected..).next().map(|(m, version)| (*m == expected, *version));
        let sound = below.is_none_or(|below| below < found)
            && above.is_none_or(|(same, above)| if same { above == found } else { found < above });
        if !sound {
            self.fail(format_args!("version {found} is out of order: between {below:?} and {above:?}"));
        }
        self.pairs.insert(expected, found);
    }

    /// Any condition but a jump ahead.
    fn condition(&self) -> Pair {
        let known = |run: &Self| {
            // Recent versions are the interesting ones.
            let back = run.rng.below(12).min(run.pairs.len() as u64 - 1) as usize;
            run.pairs.iter().nth_back(back).map(|(m, s)| (*m, *s)).unwrap_or_default()
        };
        match self.rng.below(9) {
            0..4 => (Condition::Any, Condition::Any),
            4 => (Condition::Absent, Condition::Absent),
            5 | 6 => {
                let (m, s) = known(self);
                (Condition::Match(m), Condition::Match(s))
            }
            _ => {
                let (m, s) = known(self);
                (Condition::Newer(m), Condition::Newer(s))
            }
        }
    }

    /// A version above all that either store has given.
    fn ahead(&mut self) -> Pair {
        let ahead = 1 + self.rng.below(5);
        let (m, s) = self.pairs.last_key_value().map(|(m, s)| (m.0 + ahead, s.0 + ahead)).unwrap_or_default();
        self.pair(Version(s), Version(m));
        (Condition::Newer(Version(m)), Condition::Newer(Version(s)))
    }

    /// The live version of a key, as a condition that holds.
    async fn matching(&mut self, key: &Key) -> Pair {
        match self.ok(self.model.get(key).await) {
            Some(entry) => (Condition::Match(entry.version), Condition::Match(self.translate(entry.version))),
            None => (Condition::Absent, Condition::Absent),
        }
    }

    async fn some_condition(&mut self, key: &Key) -> Pair {
        match self.rng.below(12) {
            0..3 => self.matching(key).await,
            3 => self.ahead(),
            _ => self.condition(),
        }
    }

    fn written(&mut self, found: Written, expected: Written) {
        match (found, expected) {
            (
                Written::Stored { version: found, replaced: a },
                Written::Stored { version: expected, replaced: b },
            ) => {
                self.same(a, b);
                self.pair(found, expected);
            }
            (Written::Conflict { current: found }, Written::Conflict { current: expected }) => {
                self.same(found, expected.map(|version| self.translate(version)));
            }
            _ => self.fail(format_args!("found {found:?}, expected {expected:?}")),
        }
    }

    fn deleted(&mut self, found: Deleted, expected: Deleted) {
        match (found, expected) {
            (
                Deleted::Done { version: found, existed: a },
                Deleted::Done { version: expected, existed: b },
            ) => {
                self.same(a, b);
                self.pair(found, expected);
            }
            (Deleted::Conflict { current: found }, Deleted::Conflict { current: expected }) => {
                self.same(found, expected.map(|version| self.translate(version)));
            }
            _ => self.fail(format_args!("found {found:?}, expected {expected:?}")),
        }
    }

    async fn put(&mut self) {
        self.now = "put";
        let (key, entry) = (self.key(), self.entry());
        let (m, s) = self.some_condition(&key).await;
        let options = |condition| PutOptions { condition, ..PutOptions::default() };
        let expected = self.ok(self.model.put(&key, entry.clone(), options(m)).await);
        let found = self.ok(self.t.store.put(&key, entry, options(s)).await);
        self.written(found, expected);
    }

    async fn delete(&mut self) {
        self.now = "delete";
        let key = self.key();
        let (m, s) = self.some_condition(&key).await;
        let options = |condition| DeleteOptions { condition, ..DeleteOptions::default() };
        let found = self.t.store.delete(&key, options(s)).await;
        match self.model.delete(&key, options(m)).await {
            Ok(expected) => {
                let found = self.ok(found);
                self.deleted(found, expected);
            }
            Err(error) => {
                self.same(error.kind(), ErrorKind::Invalid);
                self.same(found.err().map(|error| error.kind()), Some(ErrorKind::Invalid));
            }
        }
    }

    fn translated(&self, entry: Option<Entry>) -> Option<Entry> {
        entry.map(|entry| Entry { version: self.translate(entry.version), ..entry })
    }

    async fn read(&mut self) {
        self.now = "get";
        self.compare_key(&self.key()).await;
    }

    async fn compare_key(&self, key: &Key) {
        let expected = self.translated(self.ok(self.model.get(key).await));
        self.same(self.ok(self.t.store.exists(key).await), expected.is_some());
        self.same(self.ok(self.t.store.get(key).await), expected);
    }

    async fn pass_time(&mut self) {
        let ms = self.rng.below(150);
        if self.rng.below(10) == 0 {
            // What is over and not yet swept may come back or not: sweep it first.
            self.sweep().await;
            let wall_ms = self.clock.wall_ms() - ms;
            self.clock.set_wall_ms(wall_ms);
            self.t.clock.set_wall_ms(wall_ms);
        } else {
            self.clock.advance_ms(ms);
            self.t.clock.advance_ms(ms);
        }
    }

    async fn sweep(&mut self) {
        self.now = "sweep";
        let expected = self.ok(self.model.sweep(1_000).await);
        let found = self.ok(self.t.store.sweep(1_000).await);
        self.same((found.expired, found.more), (expected.expired, expected.more));
    }

    async fn reserve(&mut self) {
        self.now = "reserve";
        let expected = self.ok(self.model.reserve().await);
        let found = self.ok(self.t.store.reserve().await);
        self.pair(found, expected);
    }

    async fn batch(&mut self) {
        self.now = "batch";
        if self.t.store.as_batch().is_none() {
            return;
        }
        let (mut expected, mut found) = (Vec::new(), Vec::new());
        for _ in 0..1 + self.rng.below(6) {
            let (key, entry) = (self.key(), self.entry());
            let (m, s) = self.condition();
            if self.rng.below(3) == 0 && m != Condition::Absent {
                let options = |condition| DeleteOptions { condition, ..DeleteOptions::default() };
                expected.push(Write::Delete(key.clone(), options(m)));
                found.push(Write::Delete(key, options(s)));
            } else {
                let options = |condition| PutOptions { condition, ..PutOptions::default() };
                expected.push(Write::Put(key.clone(), entry.clone(), options(m)));
                found.push(Write::Put(key, entry, options(s)));
            }
        }
        let expected = self.ok(self.model.apply(expected).await);
        let found = self.ok(self.t.batch().apply(found).await);
        self.same(found.len(), expected.len());
        for pair in found.into_iter().zip(expected) {
            match pair {
                (Outcome::Put(found), Outcome::Put(expected)) => self.written(found, expected),
                (Outcome::Delete(found), Outcome::Delete(expected)) => self.deleted(found, expected),
                (found, expected) => self.fail(format_args!("found {found:?}, expected {expected:?}")),
            }
        }
    }

    async fn clear(&mut self) {
        self.now = "clear";
        if self.t.store.as_batch().is_none() {
            return;
        }
        let space = namespace(SPACES[self.rng.below(SPACES.len() as u64) as usize]);
        let space = (self.rng.below(4) > 0).then_some(&space);
        let expected = self.ok(crate::capability::Batch::clear(&self.model, space).await);
        self.same(self.ok(self.t.batch().clear(space).await), expected);
        // Each took a version for the floor; what follows stands above it in both.
        self.reserve().await;
    }

    async fn reopen(&mut self) {
        self.now = "reopen";
        if self.t.store.capabilities().persistent && !self.t.reopen(self.clock.wall_ms()).await {
            self.fail("it is persistent, and cannot be opened again");
        }
        // A store may go on far above where it stopped; from here on its jump is known.
        self.reserve().await;
    }

    async fn list(&mut self) {
        self.now = "list";
        if self.t.store.as_iterate().is_none() {
            return;
        }
        let space = namespace(SPACES[self.rng.below(SPACES.len() as u64) as usize]);
        let end = |run: &Self| {
            let bytes = KEYS[run.rng.below(KEYS.len() as u64) as usize];
            (run.rng.below(3) == 0).then(|| Bytes::from_static(bytes.as_bytes()))
        };
        let (from, before, prefix) = (end(self), end(self), end(self).unwrap_or_default());
        let limit = 1 + self.rng.below(6) as usize;
        let list = List { from, before, prefix, limit, ..List::all(space) };
        self.compare_list(&list).await;
    }

    async fn compare_list(&self, list: &List) {
        let expected = self.ok(self.model.list_all(list).await);
        let expected: Vec<_> =
            expected.into_iter().map(|(key, entry)| (key, self.translated(Some(entry)))).collect();
        let found = self.ok(self.t.store.list_all(list).await);
        self.same(found.into_iter().map(|(key, entry)| (key, Some(entry))).collect::<Vec<_>>(), expected);
        let of = crate::capability::Iterate::count(&self.model, &list.namespace).await;
        let bytes = crate::capability::Iterate::bytes(&self.model, &list.namespace).await;
        let usage = self.t.usage(&list.namespace).await;
        let bytes = self.ok(bytes);
        self.same(usage, (self.ok(of), usage.1.map(|_| bytes)));
    }

    async fn compare_everything(&mut self) {
        self.now = "at the end";
        for space in SPACES {
            for bytes in KEYS {
                self.compare_key(&key_in(space, bytes)).await;
            }
            if self.t.store.as_iterate().is_some() {
                self.compare_list(&List::all(namespace(space))).await;
            }
        }
    }
}
