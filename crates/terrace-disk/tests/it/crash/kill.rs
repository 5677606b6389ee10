//! A real process on a real folder dies by `kill -9`, at random moments and at named places.
//!
//! The child is this very test binary, told by the environment to write and to say on its output what was acknowledged
//! to it. The parent knows the workload from its seed, opens what the child left and judges it by what it heard.
//! Several threads of the child write keys of their own, so each has a history of its own.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use terrace_disk::io::sim::Chance;
use terrace_disk::io::{File, Io, OsIo};

use super::budget;
use super::history::{History, Kept, Promise, Value, View};
use super::run::writes;
use super::store::{Mode, Options, Outcome, Store};
use super::workload::{Action, BEGIN_MS, Mix, Workload};

const THREADS: u64 = 3;
/// So long does a child live at most.
const LONGEST: Duration = Duration::from_millis(60);
/// A child that does not end by itself is not waited for much longer.
#[cfg(feature = "points")]
const HUNG: Duration = Duration::from_secs(60);

fn mix(thread: u64) -> Mix {
    Mix { keys: 12, largest: 12_000, own: Some(thread), evict: true, ..Mix::STORE }
}

/// One line of what the child says: which thread, its how-manieth write, and how that ended.
#[derive(Clone, Copy, Debug)]
struct Word {
    thread: u64,
    step: u64,
    outcome: Outcome,
}

impl Word {
    fn line(self) -> String {
        let end = match self.outcome {
            Outcome::Done(Some(version)) => version.to_string(),
            Outcome::Done(None) => "done".into(),
            Outcome::Refused => "refused".into(),
            Outcome::Doubtful => "doubtful".into(),
        };
        format!("@ {} {} {end}\n", self.thread, self.step)
    }

    fn parse(line: &str) -> Option<Self> {
        let mut parts = line.split(' ').skip_while(|part| !part.ends_with('@')).skip(1);
        let (thread, step) = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
        let outcome = match parts.next()? {
            "done" => Outcome::Done(None),
            "refused" => Outcome::Refused,
            "doubtful" => Outcome::Doubtful,
            version => Outcome::Done(Some(version.parse().ok()?)),
        };
        Some(Self { thread, step, outcome })
    }
}

/// Each of the modes, once as a store and once as a cache.
const KINDS: u64 = 8;

fn options(number: u64) -> Options {
    let modes = Mode::ALL.len() as u64;
    Options {
        mode: Mode::ALL[(number % modes) as usize],
        cache: number % KINDS >= modes,
        sealed: number % 3 == 1,
    }
}

/// What a thread of the child does: the same for both who know the seed.
fn workload(seed: u64, thread: u64, begin_ms: u64) -> Workload {
    Workload::new(seed * THREADS + thread, mix(thread)).beginning(begin_ms)
}

/// A folder on a disk without room for another segment, for as long as chance wills it.
struct Tight {
    io: OsIo,
    made: AtomicU64,
}

impl Io for Tight {
    fn list(&self) -> std::io::Result<Vec<String>> {
        self.io.list()
    }
    fn create(&self, name: &str) -> std::io::Result<Arc<dyn File>> {
        // Every third segment finds no room.
        let full = name.starts_with('0') && self.made.fetch_add(1, Ordering::Relaxed) % 3 == 2;
        if full { Err(std::io::ErrorKind::StorageFull.into()) } else { self.io.create(name) }
    }
    fn open(&self, name: &str, write: bool) -> std::io::Result<Arc<dyn File>> {
        self.io.open(name, write)
    }
    fn remove(&self, name: &str) -> std::io::Result<()> {
        self.io.remove(name)
    }
    fn rename(&self, from: &str, to: &str) -> std::io::Result<()> {
        self.io.rename(from, to)
    }
    fn sync_dir(&self) -> std::io::Result<()> {
        self.io.sync_dir()
    }
    fn lock(&self) -> std::io::Result<Box<dyn Send + Sync>> {
        self.io.lock()
    }
}

/// The child. Does nothing unless a parent has told it what.
#[test]
#[ignore = "the other process of the tests in this file"]
fn child() {
    let Ok(folder) = std::env::var("TERRACE_CHILD") else { return };
    let (seed, number) = (budget::of("TERRACE_CHILD_SEED", 0), budget::of("TERRACE_CHILD_MODE", 0));
    let begin_ms = budget::of("TERRACE_CHILD_CLOCK", BEGIN_MS);
    let io = Arc::new(Tight { io: OsIo::new(folder).expect("the folder"), made: AtomicU64::new(0) });
    let store = Store::open(io, options(number), begin_ms).expect("it opens");
    store.announce(begin_ms);
    let actions = budget::of("TERRACE_CHILD_ACTIONS", u64::MAX);
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let store = &store;
            scope.spawn(move || {
                let mut workload = workload(seed, thread, begin_ms);
                let mut step = 0;
                let mut now_ms = begin_ms;
                for _ in 0..actions {
                    let action = workload.next();
                    if let Action::Sweep { pass_ms } = &action {
                        now_ms += pass_ms;
                    }
                    let outcome = store.act(&action, now_ms);
                    if !writes(&action, mix(thread)).is_empty() {
                        let word = Word { thread, step, outcome };
                        // One write of the whole line, and no buffer that dies with the process.
                        std::io::stdout()
                            .lock()
                            .write_all(word.line().as_bytes())
                            .expect("the parent listens");
                        step += 1;
                    }
                }
            });
        }
    });
    store.close().expect("it closes");
}

/// What a parent wants of a child.
struct Order<'a> {
    folder: &'a Path,
    seed: u64,
    number: u64,
    /// Its clock begins where the one of the child before it was.
    begin_ms: u64,
    /// A place where it ends itself, and at which visit.
    point: Option<(&'a str, u64)>,
    /// After so many actions of each thread it closes the store and goes.
    actions: u64,
    life: Duration,
}

/// How a child ended, and what it said before.
struct End {
    words: Vec<Word>,
    /// It ended itself at the named place.
    #[cfg_attr(not(feature = "points"), allow(dead_code, reason = "only places ask"))]
    at_point: bool,
    said: String,
}

fn raise(order: &Order<'_>) -> End {
    let mut command = Command::new(std::env::current_exe().expect("this binary"));
    command.args(["--ignored", "--exact", "crash::kill::child", "--nocapture", "--test-threads=1"]);
    command.env("TERRACE_CHILD", order.folder).env("TERRACE_CHILD_SEED", order.seed.to_string());
    command.env("TERRACE_CHILD_MODE", order.number.to_string());
    command.env("TERRACE_CHILD_ACTIONS", order.actions.to_string());
    command.env("TERRACE_CHILD_CLOCK", order.begin_ms.to_string());
    if let Some((name, visit)) = order.point {
        command.env("TERRACE_POINT", format!("{name}:{visit}"));
    }
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("a child");
    let output = BufReader::new(child.stdout.take().expect("its output"));
    let mut errors = BufReader::new(child.stderr.take().expect("its errors"));
    let reader = std::thread::spawn(move || {
        let mut said = String::new();
        _ = std::io::Read::read_to_string(&mut errors, &mut said);
        said
    });
    let listener = std::thread::spawn(move || {
        // A line without its end was cut off by the signal: nobody heard it.
        let mut words = Vec::new();
        let mut line = String::new();
        let mut output = output;
        while output.read_line(&mut line).is_ok_and(|len| len > 0) {
            if let Some(line) = line.strip_suffix('\n') {
                words.extend(Word::parse(line));
            }
            line.clear();
        }
        words
    });
    let began = Instant::now();
    let mut at_point = false;
    while began.elapsed() < order.life {
        if let Some(status) = child.try_wait().expect("a child of ours") {
            at_point = std::os::unix::process::ExitStatusExt::signal(&status).is_some();
            break;
        }
        std::thread::sleep(Duration::from_micros(500));
    }
    child.kill().expect("a child of ours");
    child.wait().expect("a child of ours");
    let words = listener.join().expect("the listener");
    let said = reader.join().expect("the reader");
    End { words, at_point, said }
}

/// The history of one thread: what the store had before, and what became of the workload.
fn history(order: &Order<'_>, thread: u64, before: &View, words: &[Word]) -> (History, u64) {
    let mut history = History::default();
    for (key, found) in before {
        let value = Value { bytes: Arc::from(&found.bytes[..]), expires_ms: found.expires_ms };
        let step = history.ask(vec![(key.clone(), Some(value))]);
        history.ack(step, Some(found.version));
    }
    let mut workload = workload(order.seed, thread, order.begin_ms);
    let mut now_ms = order.begin_ms;
    let mut words = words.iter().filter(|word| word.thread == thread);
    let mut next = 0;
    // One write more than was heard of may have been asked for.
    loop {
        let action = workload.next();
        if let Action::Sweep { pass_ms } = &action {
            now_ms += pass_ms;
        }
        let writes = writes(&action, mix(thread));
        if writes.is_empty() {
            continue;
        }
        let step = history.ask(writes);
        let Some(word) = words.next() else { return (history, now_ms) };
        assert_eq!(word.step, next, "the child said something twice or not at all");
        next += 1;
        match word.outcome {
            Outcome::Done(version) => history.ack(step, version),
            Outcome::Refused => history.refuse(step),
            Outcome::Doubtful => history.doubt(step),
        }
    }
}

fn of_thread(view: &View, thread: u64) -> View {
    let own = Mix::prefix(thread);
    view.iter()
        .filter(|(key, _)| key.starts_with(&own))
        .map(|(key, found)| (key.clone(), found.clone()))
        .collect()
}

/// What is there when a child is gone, and when that is.
struct Left {
    view: View,
    now_ms: u64,
}

impl Left {
    fn nothing() -> Self {
        Self { view: View::new(), now_ms: BEGIN_MS }
    }
}

fn copy_of(folder: &Path) -> std::io::Result<tempfile::TempDir> {
    let copy = tempfile::tempdir()?;
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        std::fs::copy(entry.path(), copy.path().join(entry.file_name()))?;
    }
    Ok(copy)
}

/// One child on the folder, and what it left. Returns what is there now, and the words.
fn life(order: &Order<'_>, before: &View) -> Result<(Left, End), String> {
    let end = raise(order);
    if end.said.contains("panicked") {
        return Err(format!("the child panicked: {}", end.said));
    }
    let histories: Vec<(History, u64)> =
        (0..THREADS).map(|thread| history(order, thread, &of_thread(before, thread), &end.words)).collect();
    let now_ms = histories.iter().map(|(_, now_ms)| *now_ms).max().unwrap_or(order.begin_ms);
    // A copy is looked at, so that the next child finds what this one has left behind, not what we made of it.
    let copy = copy_of(order.folder).map_err(|error| error.to_string())?;
    let io = Arc::new(OsIo::existing(copy.path()).map_err(|error| error.to_string())?);
    let store =
        Store::open(io, options(order.number), now_ms).map_err(|error| format!("does not open: {error}"))?;
    let view = store.view(now_ms)?;
    let kept = if options(order.number).cache { Kept::Some } else { Kept::Everything };
    for (thread, (history, _)) in (0..).zip(&histories) {
        let own = of_thread(&view, thread);
        history
            .check(&own, u64::MAX, now_ms, Promise::Acknowledged, kept)
            .map_err(|error| format!("thread {thread}: {error}"))?;
    }
    Ok((Left { view, now_ms }, end))
}

#[test]
fn a_process_killed_at_random_moments_loses_nothing_acknowledged() {
    let kills = budget::of("CRASH_KILLS", 24);
    let mut acknowledged = 0;
    let first = budget::seeds().next().unwrap_or(1);
    for number in 0..KINDS {
        let mut folder = tempfile::tempdir().expect("a folder");
        let mut left = Left::nothing();
        for kill in 0..kills / KINDS {
            let seed = first + kill * KINDS + number;
            let mut chance = Chance::new(seed);
            // A new folder now and then, so that the first moments of one are met as well.
            if kill % 10 == 0 {
                (folder, left) = (tempfile::tempdir().expect("a folder"), Left::nothing());
            }
            // Until the child has begun, nothing can go wrong.
            let life_us = 15_000 + chance.below(LONGEST.as_micros() as u64);
            let order = Order {
                folder: folder.path(),
                seed,
                number,
                begin_ms: left.now_ms,
                point: None,
                actions: u64::MAX,
                life: Duration::from_micros(life_us),
            };
            let (then, end) = life(&order, &left.view).unwrap_or_else(|error| {
                panic!("seed {seed}, {:?}, kill {kill}: {error}", options(number));
            });
            acknowledged += end.words.len();
            left = then;
        }
    }
    println!("{kills} kills, {acknowledged} acknowledged writes");
    assert!(kills < 8 || acknowledged as u64 > kills, "the children hardly wrote anything");
}

#[cfg(feature = "points")]
#[test]
fn a_process_killed_at_every_named_place_loses_nothing_acknowledged() {
    let rounds = budget::of("CRASH_KILLS", 24).div_ceil(terrace_disk::point::POINTS.len() as u64);
    let (mut met, mut never) = (0, Vec::new());
    for (place, name) in (0..).zip(terrace_disk::point::POINTS) {
        let here = deaths_at(name, budget::seeds().next().unwrap_or(1) * 1_000_000 + place * 1000, rounds);
        met += here;
        if here == 0 {
            never.push(*name);
        }
    }
    println!("{met} deaths at {} places", terrace_disk::point::POINTS.len());
    assert!(never.is_empty(), "no child came to {never:?}");
}

/// Children that end at a place, until there were as many as wanted or it seems that none will.
#[cfg(feature = "points")]
fn deaths_at(name: &str, first: u64, wanted: u64) -> u64 {
    let mut met = 0;
    for round in 0..KINDS * 3 {
        let folder = tempfile::tempdir().expect("a folder");
        let mut left = Left::nothing();
        // Places on the way of recovery are come to by the child that opens what another has left in the midst of
        // something.
        let children: &[&str] = match name {
            "open.before_remove_leftover" => &["retire.before_remove", name],
            "open.before_truncate" | "open.after_truncate" => &["append.after_write", name],
            _ => &[name, name],
        };
        for (child, point) in (0..).zip(children) {
            let seed = first + round * 2 + child;
            let visit = 1 + Chance::new(seed).below(1 + round);
            let (number, begin_ms) = (round, left.now_ms);
            // A cache evicts once it is full, a dictionary takes some data to learn from, and the spare is for a
            // delete or a compaction that comes when there is no room.
            let late = ["evict", "dictionary", "spare"].iter().any(|part| name.starts_with(part));
            let actions = if late { 1500 } else { 250 };
            let point = Some((*point, visit));
            let order = Order { folder: folder.path(), seed, number, begin_ms, point, actions, life: HUNG };
            let (then, end) = life(&order, &left.view).unwrap_or_else(|error| {
                panic!("{name}, visit {visit}, seed {seed}, {:?}: {error}", options(round))
            });
            met += u64::from(end.at_point && order.point.is_some_and(|(point, _)| point == name));
            left = then;
        }
        if met >= wanted {
            break;
        }
    }
    met
}
