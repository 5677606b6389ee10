//! The log against a plain map: put, get, delete, expire, batch, clear, list, compact, snapshot, evict, restart.
//!
//! `TERRACE_MODEL_OPS` says how many operations in all (by default few enough for a debug build; the short form
//! of the regime asks for a million), `TERRACE_SEED` where to begin.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use terrace_disk::io::{Io, OsIo};
use terrace_disk::{
    Condition, Config, Delete, Deleted, Disk, Durability, Mode, OpenReport, Outcome, Put, Range, Reads,
    Snapshot, Unchanged, Unordered, Write, Written,
};
use terrace_envelope::crypt::{Algorithm, Key, Keyring, Secret};

const HOUR: u64 = 3_600_000;

struct Rng(u64);

impl Rng {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
    fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }
}

fn env(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|value| value.parse().ok()).unwrap_or(default)
}

#[derive(Clone, Debug, PartialEq)]
struct Known {
    value: Vec<u8>,
    meta: Vec<u8>,
    version: u64,
    expires_ms: Option<u64>,
    group: u32,
}

impl Known {
    fn is_live(&self, now: u64) -> bool {
        self.expires_ms.is_none_or(|at| at > now)
    }
}

#[derive(Default)]
struct Model {
    entries: BTreeMap<Vec<u8>, Known>,
    /// The highest version each key ever had, deletes included.
    floors: BTreeMap<Vec<u8>, u64>,
    group_floors: BTreeMap<u32, u64>,
    highest: u64,
    /// Until when the floor of a delete holds for sure.
    deleted_until: BTreeMap<Vec<u8>, u64>,
    /// Until when those of clears do.
    cleared_until: Option<u64>,
}

impl Model {
    /// Whether what the engine still knows of the key's versions is certain: it may forget a floor after its
    /// time, and an entry that expired, and need not.
    fn is_certain(&self, key: &[u8], now: u64) -> bool {
        let known = match self.entries.get(key) {
            Some(known) => known.is_live(now),
            None => match self.floors.get(key) {
                Some(_) => self.deleted_until.get(key).is_some_and(|until| *until > now),
                None => true,
            },
        };
        known && self.cleared_until.is_none_or(|until| until > now)
    }

    fn live(&self, key: &[u8], now: u64) -> Option<&Known> {
        self.entries.get(key).filter(|known| known.is_live(now))
    }
    fn version(&self, key: &[u8], now: u64) -> Option<u64> {
        self.live(key, now).map(|known| known.version)
    }
    fn holds(&self, key: &[u8], group: u32, condition: Condition, now: u64) -> bool {
        match condition {
            Condition::Any => true,
            Condition::Absent => self.live(key, now).is_none(),
            Condition::Match(version) => self.version(key, now) == Some(version),
            Condition::Newer(version) => {
                version > self.floors.get(key).copied().unwrap_or(0)
                    && version > self.group_floors.get(&group).copied().unwrap_or(0)
            }
        }
    }
}

struct View {
    snapshot: Snapshot,
    entries: BTreeMap<Vec<u8>, Known>,
}

struct World {
    rng: Rng,
    io: Arc<OsIo>,
    config: Config,
    keys: Option<Arc<Keyring>>,
    disk: Disk,
    model: Model,
    view: Option<View>,
    now: u64,
    cache: bool,
    restarts: u64,
}

fn value(rng: &mut Rng) -> Vec<u8> {
    let len = match rng.below(20) {
        0 => 0,
        1 => rng.below(9000),
        _ => rng.below(200),
    };
    let word = rng.next().to_le_bytes();
    let random = rng.below(3) == 0;
    (0..len).map(|n| if random { rng.next() as u8 } else { word[n as usize % 8] }).collect()
}

impl World {
    fn key(&mut self) -> Vec<u8> {
        let n = self.rng.below(if self.cache { 4000 } else { 1500 });
        match n {
            0 => Vec::new(),
            n if n % 50 == 0 => format!("a long key, {n:0200}").into_bytes(),
            n => format!("key-{n:05}").into_bytes(),
        }
    }

    /// The group of a key: the same each time.
    fn group(key: &[u8]) -> u32 {
        u32::from(key.last().copied().unwrap_or(0) % 3) * 200
    }

    fn condition(&mut self, key: &[u8]) -> Condition {
        match self.rng.below(10) {
            0 => Condition::Absent,
            1 => Condition::Match(self.model.version(key, self.now).unwrap_or(7) + self.rng.below(2)),
            2 if !self.cache => {
                let near = self.model.floors.get(key).copied().unwrap_or(0).max(1);
                let certain = self.model.is_certain(key, self.now);
                Condition::Newer(match if certain { self.rng.below(3) } else { 2 } {
                    0 => self.disk.reserve(self.now).unwrap(),
                    1 => near + self.rng.below(3) - 1,
                    _ => self.model.highest + 1 + self.rng.below(100_000),
                })
            }
            _ => Condition::Any,
        }
    }

    fn wrote(&mut self, key: Vec<u8>, known: Option<Known>, version: u64, given: Option<u64>) {
        let before = self.model.floors.get(&key).copied().unwrap_or(0);
        assert!(version > before || self.cache, "versions grow: {version} after {before}");
        match given {
            Some(given) => assert_eq!(version, given),
            None => assert!(version > self.model.highest, "{version} is not above {}", self.model.highest),
        }
        self.model.highest = self.model.highest.max(version);
        self.model.floors.insert(key.clone(), version);
        match known {
            Some(known) => drop(self.model.entries.insert(key, Known { version, ..known })),
            None => {
                self.model.entries.remove(&key);
                self.model.deleted_until.insert(key, self.now + HOUR);
            }
        }
    }

    fn known(&mut self, key: &[u8]) -> Known {
        let expires_ms = match self.rng.below(6) {
            0 => Some(self.now + self.rng.below(3000)),
            1 => Some(self.now + self.rng.below(100_000)),
            _ => None,
        };
        let meta = if self.rng.below(4) == 0 { vec![1; self.rng.below(30) as usize] } else { Vec::new() };
        Known { value: value(&mut self.rng), meta, version: 0, expires_ms, group: Self::group(key) }
    }

    fn put(&mut self) {
        let key = self.key();
        let known = self.known(&key);
        let condition = self.condition(&key);
        let deferred = self.rng.below(2) == 0;
        let (holds, live) =
            (self.model.holds(&key, known.group, condition, self.now), self.model.version(&key, self.now));
        let put = Put {
            value: &known.value,
            meta: &known.meta,
            group: known.group,
            expires_ms: known.expires_ms,
            condition,
            deferred,
            ..Put::default()
        };
        match self.disk.put(&key, &put, self.now).unwrap() {
            Written::Stored { version, replaced } => {
                assert!(holds || self.cache);
                assert!(replaced == live.is_some() || self.cache && live.is_some());
                let given = match condition {
                    Condition::Newer(version) => Some(version),
                    _ => None,
                };
                self.wrote(key, Some(known), version, given);
            }
            Written::Conflict { current } => {
                assert!(!holds || self.cache, "{condition:?} {current:?}");
                assert!(current == live || self.cache);
                if current.is_none() && self.cache {
                    self.model.entries.remove(&key);
                }
            }
            Written::NotAdmitted => panic!("nothing is refused here"),
        }
    }

    fn delete(&mut self) {
        let key = self.key();
        let condition = match self.condition(&key) {
            Condition::Absent => Condition::Any,
            other => other,
        };
        let group = Self::group(&key);
        let (holds, live) =
            (self.model.holds(&key, group, condition, self.now), self.model.version(&key, self.now));
        let floor_deadline_ms = self.now + HOUR;
        let deferred = self.rng.below(2) == 0;
        let delete = Delete { group, condition, floor_deadline_ms, deferred };
        match self.disk.delete(&key, &delete, self.now).unwrap() {
            Deleted::Done { version, existed } => {
                assert!(holds || self.cache);
                assert!(existed == live.is_some() || self.cache);
                let given = match condition {
                    Condition::Newer(version) => Some(version),
                    _ => None,
                };
                self.wrote(key, None, version, given);
            }
            Deleted::Conflict { current } => {
                assert!(!holds || self.cache);
                assert!(current == live || self.cache);
            }
        }
    }

    fn batch(&mut self) {
        let mut keys: Vec<(Vec<u8>, Option<Known>)> = Vec::new();
        for _ in 0..1 + self.rng.below(12) {
            let key = self.key();
            let known = (self.rng.below(4) > 0).then(|| self.known(&key));
            if self.rng.below(8) == 0 {
                keys.push((key.clone(), known.clone()));
            }
            keys.push((key, known));
        }
        let floor_deadline_ms = self.now + HOUR;
        let writes: Vec<Write<'_>> = keys
            .iter()
            .map(|(key, known)| match known {
                Some(known) => Write::Put(
                    key,
                    Put {
                        value: &known.value,
                        meta: &known.meta,
                        group: known.group,
                        expires_ms: known.expires_ms,
                        ..Put::default()
                    },
                ),
                None => Write::Delete(
                    key,
                    Delete { group: Self::group(key), floor_deadline_ms, ..Delete::default() },
                ),
            })
            .collect();
        let watched = self.key();
        let wrong = self.rng.below(10) == 0;
        let version = self.model.version(&watched, self.now);
        let version = if wrong { Some(version.unwrap_or(0) + 1) } else { version };
        let unchanged = [Unchanged { key: &watched, version }];
        let unchanged = if self.cache { &[][..] } else { &unchanged };
        let done = self.disk.apply(&writes, unchanged, self.now).unwrap();
        if wrong && !self.cache {
            assert_eq!(done, None);
            return;
        }
        for ((key, known), outcome) in keys.into_iter().zip(done.unwrap()) {
            let live = self.model.version(&key, self.now).is_some();
            match outcome {
                Outcome::Put(Written::Stored { version, replaced }) => {
                    assert!(replaced == live || self.cache);
                    self.wrote(key, known, version, None);
                }
                Outcome::Delete(Deleted::Done { version, existed }) => {
                    assert!(existed == live || self.cache);
                    self.wrote(key, None, version, None);
                }
                other => panic!("{other:?}"),
            }
        }
    }

    fn get(&mut self) {
        let key = self.key();
        let found = self.disk.get(&key, self.now).unwrap();
        let peeked = self.disk.peek(&key, self.now).unwrap();
        assert_eq!(found.as_ref().map(|entry| entry.found), peeked);
        let other = self.key();
        let many = self.disk.get_many(&[&other, &key, &other], self.now).unwrap();
        assert_eq!((&many[1], &many[0]), (&found, &many[2]));
        let known = self.model.live(&key, self.now);
        match (found, known) {
            (Some(entry), Some(known)) => {
                assert_eq!((&entry.value[..], &entry.meta[..]), (&known.value[..], &known.meta[..]));
                assert_eq!((entry.found.version, entry.found.group), (known.version, known.group));
                assert_eq!(entry.found.expires_ms, known.expires_ms);
            }
            (None, None) => {}
            (None, Some(_)) if self.cache => drop(self.model.entries.remove(&key)),
            (found, known) => panic!("{:?}: {found:?}, {known:?}", String::from_utf8_lossy(&key)),
        }
    }

    fn clear(&mut self) {
        let group = (self.rng.below(3) > 0).then(|| self.rng.below(3) as u32 * 200);
        self.disk.clear(group, self.now + HOUR, self.now).unwrap();
        self.model.entries.retain(|_, known| group.is_some_and(|group| known.group != group));
        self.model.cleared_until.get_or_insert(self.now + HOUR);
        let floor = self.disk.reserve(self.now).unwrap() - 1;
        for other in [0, 200, 400].into_iter().filter(|other| group.is_none_or(|group| group == *other)) {
            // A key's next version is above what the clear had.
            self.model.group_floors.insert(other, floor);
        }
        self.model.highest = self.model.highest.max(floor);
    }

    fn sweep_all(&self) {
        if self.view.is_none() {
            while self.disk.sweep(1000, self.now).unwrap().more {}
        }
    }

    /// Every entry, the order, and the tallies.
    fn check_all(&mut self) {
        let (mut after, mut listed) = (None::<bytes::Bytes>, Vec::new());
        loop {
            let from = after.clone().unwrap_or_default();
            let range = Range { from: &from, after: after.is_some(), ..Range::default() };
            let page = self.disk.list(&range, 1 + self.rng.below(300) as usize, self.now).unwrap();
            listed.extend(page.entries);
            let Some(next) = page.next else { break };
            after = Some(next);
        }
        let wanted = |_: &[u8]| true;
        let (limit, mut after, mut hashed) =
            (1 + self.rng.below(300) as usize, None::<bytes::Bytes>, Vec::new());
        loop {
            let after_it = after.as_deref();
            let what = Unordered { wanted: &wanted, after: after_it, keys_only: false, limit, steps: limit };
            let page = self.disk.list_unordered(&what, self.now).unwrap();
            hashed.extend(page.entries);
            let Some(next) = page.next else { break };
            after = Some(next);
        }
        hashed.sort_by(|(a, _), (b, _)| a.cmp(b));
        assert_eq!(hashed, listed, "both orders have the same");
        if self.cache {
            self.check_cache(&listed);
            return;
        }
        let live: Vec<_> = self.model.entries.iter().filter(|(_, known)| known.is_live(self.now)).collect();
        assert_eq!(listed.len(), live.len());
        for ((key, entry), (wanted, known)) in listed.iter().zip(&live) {
            assert_eq!(&key[..], &wanted[..]);
            assert_eq!((&entry.value[..], entry.found.version), (&known.value[..], known.version));
        }
        if self.view.is_some() {
            return;
        }
        self.sweep_all();
        for group in [0, 200, 400] {
            let of_group = || live.iter().filter(|(_, known)| known.group == group);
            let bytes: usize = of_group().map(|(key, known)| key.len() + known.value.len()).sum();
            let tally = self.disk.tally(group);
            assert_eq!(
                (tally.count, tally.bytes),
                (of_group().count() as u64, bytes as u64),
                "group {group}"
            );
        }
        assert_eq!(self.disk.stats().entries, live.len() as u64);
    }

    fn check_cache(&mut self, listed: &[(bytes::Bytes, terrace_disk::Entry)]) {
        for (key, entry) in listed {
            let known = self.model.live(key, self.now).expect("a cache invents nothing");
            assert_eq!((&entry.value[..], entry.found.version), (&known.value[..], known.version));
        }
        self.sweep_all();
        assert_eq!(self.disk.stats().entries, listed.len() as u64);
        let Mode::Cache { budget } = self.config.mode else { return };
        let files: u64 = std::fs::read_dir(self.io.path())
            .unwrap()
            .map(|entry| entry.unwrap().metadata().unwrap().len())
            .sum();
        assert!(files <= budget, "{files} bytes of {budget}");
    }

    fn look_back(&mut self) {
        let key = self.key();
        let Some(view) = &self.view else { return };
        if self.rng.below(50) == 0 {
            let page = view.snapshot.list(&Range::default(), 1 << 20, self.now).unwrap();
            let live = view.entries.iter().filter(|(_, known)| known.is_live(self.now));
            let wanted: Vec<_> = live.map(|(key, known)| (key.clone(), known.version)).collect();
            let listed: Vec<_> =
                page.entries.iter().map(|(key, entry)| (key.to_vec(), entry.found.version)).collect();
            assert_eq!(listed, wanted);
        }
        let found = view.snapshot.get(&key, self.now).unwrap();
        let known = view.entries.get(&key).filter(|known| known.is_live(self.now));
        assert_eq!(found.map(|entry| entry.value.to_vec()), known.map(|known| known.value.clone()));
    }

    fn restart(&mut self) {
        self.view = None;
        self.restarts += 1;
        if self.rng.below(2) == 0 {
            self.disk.close().unwrap();
        } else {
            self.disk.commit().unwrap();
        }
        // The old one has to be gone before the folder can be opened again.
        let folder = tempfile::tempdir().unwrap();
        let other: Arc<dyn Io> = Arc::new(OsIo::new(folder.path()).unwrap());
        self.disk = Disk::open(other, Config::store(), self.now).unwrap().0;
        let (disk, report) = open(&self.io, &self.config, self.keys.as_ref(), self.now);
        assert!(report.is_sound() && report.cut_bytes == 0, "{report:?}");
        self.disk = disk;
    }

    fn step(&mut self) {
        match self.rng.below(2000) {
            0 => self.restart(),
            1 => self.clear(),
            2..6 => self.check_all(),
            6..16 => self.disk.checkpoint().unwrap(),
            16..26 if self.view.is_none() && !self.cache => {
                let entries = self.model.entries.clone();
                self.view = Some(View { snapshot: self.disk.snapshot().unwrap(), entries });
            }
            26..30 => self.view = None,
            30..60 => drop(self.disk.sweep(self.rng.below(200) as usize, self.now).unwrap()),
            60..120 => drop(self.disk.compact_step(self.rng.below(100_000), self.now).unwrap()),
            120..130 => self.disk.sync().unwrap(),
            130..132 => self.now += HOUR / 2,
            132..160 => self.batch(),
            160..170 => drop(self.disk.evict_step(self.now).unwrap()),
            170..190 => self.look_back(),
            190..500 => self.delete(),
            500..1100 => self.put(),
            _ => self.get(),
        }
        self.now += self.rng.below(20);
    }
}

fn open(io: &Arc<OsIo>, config: &Config, keys: Option<&Arc<Keyring>>, now: u64) -> (Disk, OpenReport) {
    let io = Arc::clone(io) as Arc<dyn Io>;
    match keys {
        None => Disk::open(io, config.clone(), now).unwrap(),
        Some(keys) => Disk::open_encrypted(io, config.clone(), Arc::clone(keys), now).unwrap(),
    }
}

fn run(config: Config, keys: Option<Arc<Keyring>>, ops: u64, seed: u64) {
    let folder = tempfile::tempdir().unwrap();
    let io = Arc::new(OsIo::new(folder.path()).unwrap());
    let now = 1_700_000_000_000;
    let (disk, report) = open(&io, &config, keys.as_ref(), now);
    assert!(report.created);
    let cache = matches!(config.mode, Mode::Cache { .. });
    let model = Model::default();
    let rng = Rng(seed);
    let mut world = World { rng, io, config, keys, disk, model, view: None, now, cache, restarts: 0 };
    for _ in 0..ops {
        world.step();
    }
    world.check_all();
    world.restart();
    world.check_all();
    let verified = world.disk.verify(&mut |_, _| {}).unwrap();
    assert!(verified.damaged.is_empty() && verified.unreadable == 0, "{verified:?}");
}

fn small(config: Config) -> Config {
    Config { segment_bytes: Some(64 << 10), durability: Durability::Never, ..config }
}

#[test]
fn a_store_does_what_a_map_does() {
    let (ops, seed) = (env("TERRACE_MODEL_OPS", 60_000), env("TERRACE_SEED", 1));
    println!("seed {seed}, {ops} operations");
    run(small(Config::store()), None, ops / 2, seed);
    let interval = Durability::Interval(Duration::from_secs(1));
    run(
        Config { reads: Reads::Mapped, durability: interval, ..small(Config::store()) },
        None,
        ops / 4,
        seed + 1,
    );
}

#[test]
fn a_store_that_is_read_by_a_ring_does_what_a_map_does() {
    let (ops, seed) = (env("TERRACE_MODEL_OPS", 60_000), env("TERRACE_SEED", 1));
    run(Config { reads: Reads::Auto, ..small(Config::store()) }, None, ops / 4, seed + 4);
}

#[test]
fn a_cache_forgets_but_does_not_invent() {
    let (ops, seed) = (env("TERRACE_MODEL_OPS", 60_000), env("TERRACE_SEED", 1));
    run(small(Config::cache(1 << 20)), None, ops / 8, seed + 2);
}

#[test]
fn an_encrypted_store_does_what_a_map_does() {
    let (ops, seed) = (env("TERRACE_MODEL_OPS", 60_000), env("TERRACE_SEED", 1));
    let key = Key::new(3, Algorithm::XChaCha20Poly1305, Secret::random().unwrap());
    run(small(Config::store()), Some(Arc::new(Keyring::new(key))), ops / 8, seed + 3);
}
