//! Bits flip, bytes are missing, sectors hold what belongs elsewhere: never a wrong value, and nothing is lost in silence.
//!
//! What stands in the log before the damage is served as if nothing had happened. What the damage took, or may have
//! hidden, is either still right or the store says that something is damaged.

use std::collections::BTreeMap;
use std::sync::Arc;

use terrace_disk::io::sim::{Chance, SimDisk};

use super::budget;
use super::history::{Key, Value};
use super::run::{Run, fresh};
use super::store::{Mode, Options, Store};
use super::workload::Mix;

const OPTIONS: Options = Options { mode: Mode::Always, cache: false, sealed: false };
const MIX: Mix = Mix { keys: 16, largest: 900, ..Mix::STORE };
/// The file without which nothing says that the folder is a log: damage there is refused in words.
const MARK: &str = "terrace-disk";
/// Where a segment's header says which version its first byte stands for.
const BASE: std::ops::Range<usize> = 32..40;
const HEADER: u64 = 100;

/// A store that was closed or killed, and what it held.
struct Sound {
    disk: SimDisk,
    closed: bool,
    files: BTreeMap<String, Vec<u8>>,
    run: Run,
    expected: BTreeMap<Key, Value>,
    /// Where every record stands that was acknowledged: its key's last one by segment and offset, and all of them.
    last: BTreeMap<Key, (u64, u64)>,
    starts: Vec<(u64, u64)>,
}

/// Where in the files a change was made.
#[derive(Clone, Debug)]
struct Place {
    name: String,
    at: u64,
    kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// Something stands there that was never written there.
    Changed,
    /// What stands there may look as if the log had ended there.
    Ended,
}

impl Sound {
    fn new(seed: u64, actions: usize, closed: bool) -> Self {
        let original = fresh(seed);
        let mut run = Run::new(Arc::new(original.clone()), OPTIONS, MIX, seed);
        run.open().expect("it opens");
        for _ in 0..actions {
            run.step().expect("nothing fails");
        }
        if closed {
            run.close().expect("it closes");
        }
        let disk = original.kill();
        run.store = None;
        let files: BTreeMap<String, Vec<u8>> = disk.files();
        let expected = run.history.expected(run.now_ms);
        let mut sound =
            Self { disk, closed, files, run, expected, last: BTreeMap::new(), starts: Vec::new() };
        sound.places();
        sound
    }

    /// Finds where the records stand: a version is a place in the log unless it was given by the writer.
    fn places(&mut self) {
        let segments = self.files.iter().filter_map(|(name, bytes)| {
            let number: u64 = name.strip_suffix(".seg")?.parse().ok()?;
            let base = u64::from_le_bytes(bytes.get(BASE)?.try_into().ok()?);
            Some((base, number, bytes.len() as u64))
        });
        let mut segments: Vec<(u64, u64, u64)> = segments.collect();
        segments.sort_unstable();
        let place = |version: u64| {
            let (base, number, _) =
                segments.iter().rev().find(|(base, _, len)| *base < version && version - base <= *len)?;
            Some((*number, version - base - 1))
        };
        for number in 0..self.run.history.len() {
            let step = self.run.history.step(number);
            let Some(place) = step.version.and_then(place) else { continue };
            self.starts.push(place);
            for (key, _) in &step.writes {
                self.last.insert(key.clone(), place);
            }
        }
        self.starts.sort_unstable();
    }

    /// Whether the last record of a key ends before the damage begins.
    fn precedes(&self, key: &Key, damage: &Place) -> bool {
        let Some(damaged) = damage.name.strip_suffix(".seg").and_then(|number| number.parse::<u64>().ok())
        else {
            return false;
        };
        let (Some(start), Some(step)) = (self.last.get(key), self.last_step(key)) else { return false };
        // Compaction may have moved it; then nothing is known of where it is.
        if self.run.history.step(step).version.is_none() || damage.at < HEADER {
            return false;
        }
        let end = self.starts.iter().find(|other| *other > start);
        end.is_some_and(|end| end.0 == start.0 && *end <= (damaged, damage.at))
    }

    fn last_step(&self, key: &Key) -> Option<usize> {
        (0..self.run.history.len())
            .rev()
            .find(|number| self.run.history.step(*number).writes.iter().any(|(written, _)| written == key))
    }

    /// Whether the damage cannot be told from a power cut: the log was not closed, and seems to end there.
    fn may_pass(&self, damage: &Place) -> bool {
        let last = self.files.keys().rfind(|name| name.starts_with('0') && name.ends_with(".seg"));
        !self.closed && damage.kind == Kind::Ended && last == Some(&damage.name)
    }

    /// Opens a damaged disk and judges it. Whether the store said that something was wrong.
    fn judge(&self, disk: &SimDisk, damage: &Place) -> Result<bool, String> {
        let now_ms = self.run.now_ms;
        let store = match Store::open(Arc::new(disk.clone()), OPTIONS, now_ms) {
            Ok(store) => store,
            Err(_) if damage.name == MARK => return Ok(true),
            Err(error) => return Err(format!("does not open: {error}")),
        };
        let keys = (0..MIX.keys).map(|number| MIX.key(number).1);
        let looks: Vec<_> = keys.map(|key| (store.look(&key, now_ms), key)).collect();
        let said = store.reports_anything() || looks.iter().any(|(look, _)| look.is_err());
        for (look, key) in looks {
            let expected = self.expected.get(&key);
            let right = match (&look, expected) {
                (Ok(None), None) => true,
                (Ok(Some(found)), Some(value)) => {
                    found.bytes[..] == value.bytes[..] && found.expires_ms == value.expires_ms
                }
                _ => false,
            };
            if right {
                continue;
            }
            let name = String::from_utf8_lossy(&key);
            if let Ok(Some(found)) = &look
                && !self.run.history.ever(&key, &found.bytes)
            {
                return Err(format!("wrong value under {name}"));
            }
            if self.precedes(&key, damage) {
                return Err(format!("{name} stands before the damage and is lost: {look:?}"));
            }
            if !said && !self.may_pass(damage) {
                return Err(format!("{name} is lost in silence: {look:?}, was {:?}", expected.is_some()));
            }
        }
        Ok(said)
    }

    /// The bytes of a file that mean something: the zeros reserved behind the last record are looked at only in part.
    fn used(&self, name: &str) -> u64 {
        let bytes = &self.files[name];
        let end = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last as u64 + 1);
        (end + 64).min(bytes.len() as u64)
    }

    fn bytes_used(&self) -> u64 {
        self.files.keys().map(|name| self.used(name)).sum()
    }
}

/// Goes over all places in strides that meet the budget, and begins elsewhere for each seed.
fn strided(total: u64, wanted: u64, seed: u64) -> impl Iterator<Item = u64> {
    let stride = (total / wanted.max(1)).max(1);
    (Chance::new(seed).below(stride)..total).step_by(usize::try_from(stride).unwrap_or(1))
}

fn place_of(sound: &Sound, mut byte: u64, kind: Kind) -> Place {
    for name in sound.files.keys() {
        let used = sound.used(name);
        if byte < used {
            return Place { name: name.clone(), at: byte, kind };
        }
        byte -= used;
    }
    unreachable!("the place lies in a file")
}

fn each_store(test: &str, wanted: u64, check: impl Fn(&Sound, u64) -> Result<u64, String>) {
    let first = budget::seeds().next().unwrap_or(1);
    let mut done = 0;
    for (number, closed) in (0..).zip([true, false, true, false]) {
        // Two of them are small enough to be gone through to the last bit, two have compacted and snapshotted.
        let seed = first + number;
        let sound = Sound::new(seed, if number < 2 { 40 } else { 160 }, closed);
        done += check(&sound, wanted / 4)
            .unwrap_or_else(|error| panic!("closed: {closed}, {error}\n{}", budget::again(test, seed)));
    }
    println!("{test}: {done}");
}

#[test]
fn every_flipped_bit_is_noticed_or_harmless() {
    each_store("every_flipped_bit", budget::of("CRASH_FLIPS", 4000), |sound, wanted| {
        let (mut done, mut noticed) = (0_u64, 0_u64);
        for bit in strided(sound.bytes_used() * 8, wanted, 7) {
            let place = place_of(sound, bit / 8, Kind::Changed);
            let disk = sound.disk.kill();
            disk.damage(&place.name, place.at, |byte| byte ^ (1 << (bit % 8)));
            let said =
                sound.judge(&disk, &place).map_err(|error| format!("bit {bit} at {place:?}: {error}"))?;
            noticed += u64::from(said);
            done += 1;
        }
        // What is garbage already, or reserved, is not read.
        if noticed * 10 < done {
            Err(format!("only {noticed} of {done} flips were noticed"))
        } else {
            Ok(done)
        }
    });
}

#[test]
fn every_cut_file_is_noticed_or_harmless() {
    each_store("every_cut_file", budget::of("CRASH_FLIPS", 4000) / 4, |sound, wanted| {
        let mut done = 0;
        for byte in strided(sound.bytes_used(), wanted, 8) {
            let place = place_of(sound, byte, Kind::Ended);
            let disk = sound.disk.kill();
            disk.put_file(&place.name, &sound.files[&place.name][..place.at as usize]);
            sound.judge(&disk, &place).map_err(|error| format!("cut at {place:?}: {error}"))?;
            done += 1;
        }
        Ok(done)
    });
}

#[test]
fn sectors_that_hold_something_else_are_noticed_or_harmless() {
    each_store("sectors_that_hold", budget::of("CRASH_FLIPS", 4000) / 8, |sound, wanted| {
        let mut chance = Chance::new(9);
        let mut done = 0;
        for _ in 0..wanted {
            let place = place_of(sound, chance.below(sound.bytes_used()), Kind::Ended);
            let size = if chance.percent(50) { 512 } else { 4096 };
            let at = place.at / size * size;
            let mut file = sound.files[&place.name].clone();
            let len = (size as usize).min(file.len() - at as usize);
            // From another place of the same file, from another file, zeros, or noise.
            let source = match chance.below(4) {
                0 => file[chance.index(file.len() - len + 1)..][..len].to_vec(),
                1 => {
                    let other = place_of(sound, chance.below(sound.bytes_used()), Kind::Ended);
                    let bytes = &sound.files[&other.name];
                    let mut part = bytes[(other.at / size * size) as usize..].to_vec();
                    part.resize(len, 0);
                    part
                }
                2 => vec![0; len],
                _ => (0..len).map(|_| chance.bits() as u8).collect(),
            };
            file[at as usize..][..len].copy_from_slice(&source);
            let disk = sound.disk.kill();
            disk.put_file(&place.name, &file);
            let damage = Place { at, ..place };
            sound.judge(&disk, &damage).map_err(|error| format!("{size} bytes at {damage:?}: {error}"))?;
            done += 1;
        }
        Ok(done)
    });
}

#[test]
fn a_missing_or_exchanged_file_is_noticed_or_harmless() {
    each_store("a_missing_or_exchanged_file", 100, |sound, _| {
        let mut done = 0;
        for name in sound.files.keys() {
            let place = Place { name: name.clone(), at: 0, kind: Kind::Ended };
            let disk = sound.disk.kill();
            disk.lose_file(name);
            sound.judge(&disk, &place).map_err(|error| format!("without {name}: {error}"))?;
            for other in sound.files.keys().filter(|other| *other != name && *name != MARK) {
                let disk = sound.disk.kill();
                disk.put_file(name, &sound.files[other]);
                sound.judge(&disk, &place).map_err(|error| format!("{other} as {name}: {error}"))?;
                done += 1;
            }
        }
        Ok(done + 1)
    });
}

#[test]
fn foreign_files_in_the_folder_are_left_alone() {
    each_store("foreign_files", 1, |sound, _| {
        let foreign = [
            ("notes.txt", &b"mine"[..]),
            ("00000001.seg.bak", b"?"),
            ("1.seg", b"x"),
            ("tmp", b""),
            ("mine.new", b"!"),
        ];
        let disk = sound.disk.kill();
        foreign.iter().for_each(|(name, bytes)| disk.put_file(name, bytes));
        let place = Place { name: "notes.txt".into(), at: 0, kind: Kind::Changed };
        sound.judge(&disk, &place)?;
        let files = disk.files();
        match foreign.iter().find(|(name, bytes)| files.get(*name).map(Vec::as_slice) != Some(*bytes)) {
            Some((name, _)) => Err(format!("{name} was touched")),
            None => Ok(1),
        }
    });
}
