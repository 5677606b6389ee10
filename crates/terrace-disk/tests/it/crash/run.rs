//! A workload on a store, with its history.

use std::sync::Arc;

use terrace_disk::io::Io;
use terrace_disk::io::sim::SimDisk;

use super::history::{History, Kept, Key, Promise, Value};
use super::store::{Mode, Options, Outcome, Store};
use super::workload::{Action, BEGIN_MS, Mix, Workload};

pub(crate) struct Run {
    pub(crate) options: Options,
    pub(crate) history: History,
    pub(crate) now_ms: u64,
    pub(crate) store: Option<Store>,
    io: Arc<dyn Io>,
    workload: Workload,
    mix: Mix,
}

/// What an action leaves under which keys, if it does anything.
pub(crate) fn writes(action: &Action, mix: Mix) -> Vec<(Key, Option<Value>)> {
    match action {
        Action::Put { key, value, .. } | Action::Replace { key, value, .. } => {
            vec![(key.clone(), Some(value.clone()))]
        }
        Action::Delete { key, .. } => vec![(key.clone(), None)],
        Action::Batch(writes) => writes.iter().map(|(_, key, value)| (key.clone(), value.clone())).collect(),
        Action::Clear { group } => {
            let keys = (0..mix.keys).map(|number| mix.key(number));
            keys.filter(|(other, _)| other == group).map(|(_, key)| (key, None)).collect()
        }
        _ => Vec::new(),
    }
}

impl Run {
    pub(crate) fn new(io: Arc<dyn Io>, options: Options, mix: Mix, seed: u64) -> Self {
        let workload = Workload::new(seed, mix);
        let history = History::default();
        Self { options, history, now_ms: BEGIN_MS, store: None, io, workload, mix }
    }

    /// What may be missing after a power cut.
    pub(crate) fn promise(&self) -> Promise {
        if self.options.mode.is_durable() { Promise::Acknowledged } else { Promise::Synced }
    }

    pub(crate) fn kept(&self) -> Kept {
        if self.options.cache { Kept::Some } else { Kept::Everything }
    }

    pub(crate) fn open(&mut self) -> Result<(), String> {
        self.store = Some(Store::open(Arc::clone(&self.io), self.options, self.now_ms)?);
        Ok(())
    }

    /// Does the next thing. False if the store answered that it does not know what became of it.
    pub(crate) fn step(&mut self) -> Result<bool, String> {
        let action = self.workload.next();
        if let Action::Sweep { pass_ms } = &action {
            self.now_ms += pass_ms;
        }
        if matches!(action, Action::Reopen) {
            self.store = None;
            self.open()?;
            return Ok(true);
        }
        Ok(self.act(&action)? != Outcome::Doubtful)
    }

    /// Puts the next value that the workload thinks of.
    pub(crate) fn put(&mut self) -> Result<Outcome, String> {
        let action = self.workload.put();
        self.act(&action)
    }

    /// Does this, and writes down what came of it.
    pub(crate) fn act(&mut self, action: &Action) -> Result<Outcome, String> {
        let Some(store) = &self.store else { return Err("the store is closed".into()) };
        match action {
            Action::Pin => {
                let exact = !self.history.has_doubts() && !self.options.cache;
                // A store that has failed or is closed has nothing to pin.
                _ = store.pin(exact.then(|| self.history.expected(self.now_ms)));
                return Ok(Outcome::Done(None));
            }
            Action::Unpin => return store.unpin(self.now_ms).map(|()| Outcome::Done(None)),
            _ => {}
        }
        let writes = writes(action, self.mix);
        let asked = (!writes.is_empty()).then(|| self.history.ask(writes));
        let outcome = store.act(action, self.now_ms);
        match (asked, outcome) {
            (Some(step), Outcome::Done(version)) => self.history.ack(step, version),
            (Some(step), Outcome::Refused) => self.history.refuse(step),
            (Some(step), Outcome::Doubtful) => self.history.doubt(step),
            (None, Outcome::Done(_)) if matches!(action, Action::Sync) => self.history.synced(),
            (None, _) => {}
        }
        Ok(outcome)
    }

    pub(crate) fn close(&mut self) -> Result<(), String> {
        self.store.take().map_or(Ok(()), Store::close)
    }

    /// Whether the living store shows what it was told.
    pub(crate) fn check_living(&self) -> Result<(), String> {
        let Some(store) = &self.store else { return Ok(()) };
        let view = store.view(self.now_ms)?;
        self.history.check(&view, u64::MAX, self.now_ms, Promise::Acknowledged, self.kept())
    }
}

/// Each durability once as a store and once as a cache, one of the two encrypted.
pub(crate) fn all_options() -> impl Iterator<Item = Options> {
    Mode::ALL.into_iter().flat_map(|mode| {
        [false, true].map(|cache| Options {
            mode,
            cache,
            sealed: cache == matches!(mode, Mode::Always | Mode::Never),
        })
    })
}

/// A disk on which a log was begun, with what the engine would have drawn by lot: so the same seed leaves the same
/// bytes. One disk in eight is empty.
pub(crate) fn fresh(seed: u64) -> SimDisk {
    let disk = SimDisk::new(seed);
    if !seed.is_multiple_of(8) {
        let mut mark = b"terrlog\n".to_vec();
        mark.extend(1_u32.to_le_bytes());
        mark.extend(0x5eed_u64.to_le_bytes());
        mark.extend(seed.to_le_bytes());
        mark.extend(crc32c::crc32c(&mark).to_le_bytes());
        disk.put_file("terrace-disk", &mark);
    }
    disk
}
