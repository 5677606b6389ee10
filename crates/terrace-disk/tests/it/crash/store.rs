//! The store under test, behind what the crash tests need of it.
//! (Stand-in until the engine lands.)

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use terrace_disk::io::{File, Io};

use super::history::{Found, View};
use super::workload::{Action, GROUPS};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    Always,
    Group,
    Interval,
    Never,
}

impl Mode {
    pub(crate) const ALL: [Self; 4] = [Self::Always, Self::Group, Self::Interval, Self::Never];
    pub(crate) fn is_durable(self) -> bool {
        matches!(self, Self::Always | Self::Group)
    }
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Options {
    pub(crate) mode: Mode,
    pub(crate) cache: bool,
}

/// How a call ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Done(Option<u64>),
    /// Nothing happened, for certain.
    Refused,
    /// Nobody knows.
    Doubtful,
}

pub(crate) struct Store {
    options: Options,
    log: Arc<dyn File>,
    inner: Mutex<(u64, View)>,
    _lock: Box<dyn Send + Sync>,
}

fn crc(bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .fold(0xcbf2_9ce4_8422_2325, |sum, byte| (sum ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3))
}

impl Store {
    pub(crate) fn open(io: Arc<dyn Io>, options: Options, _now: u64) -> Result<Self, String> {
        let lock = io.lock().map_err(|e| e.to_string())?;
        if !io.list().map_err(|e| e.to_string())?.contains(&"log".to_string()) {
            io.create("log").map_err(|e| e.to_string())?;
            io.sync_dir().map_err(|e| e.to_string())?;
        }
        let log = io.open("log", true).map_err(|e| e.to_string())?;
        let mut bytes = vec![0; log.len().unwrap() as usize];
        log.read_at(&mut bytes, 0).map_err(|e| e.to_string())?;
        let mut at = 0;
        let mut view = View::new();
        while let Some(head) = bytes.get(at..at + 16) {
            let len = u64::from_le_bytes(head[..8].try_into().unwrap()) as usize;
            let sum = u64::from_le_bytes(head[8..].try_into().unwrap());
            let Some(body) = bytes.get(at + 16..at + 16 + len) else { break };
            if len == 0 || crc(body) != sum {
                break;
            }
            Self::replay(body, at as u64, &mut view);
            at += 16 + len;
        }
        log.truncate(at as u64).map_err(|e| e.to_string())?;
        log.sync().map_err(|e| e.to_string())?;
        Ok(Self { options, log, inner: Mutex::new((at as u64, view)), _lock: lock })
    }

    fn replay(mut body: &[u8], version: u64, view: &mut View) {
        while !body.is_empty() {
            let mut take = |n: usize| {
                let (a, b) = body.split_at(n);
                body = b;
                a
            };
            let klen = u64::from_le_bytes(take(8).try_into().unwrap()) as usize;
            let vlen = u64::from_le_bytes(take(8).try_into().unwrap());
            let exp = u64::from_le_bytes(take(8).try_into().unwrap());
            let key = take(klen).to_vec();
            if vlen == u64::MAX {
                view.remove(&key);
            } else {
                let bytes = take(vlen as usize).to_vec();
                view.insert(key, Found { bytes, expires_ms: (exp > 0).then_some(exp), version });
            }
        }
    }

    pub(crate) fn act(&self, action: &Action, _now: u64) -> Outcome {
        let mut body = Vec::new();
        let mut add = |key: &[u8], value: Option<&super::history::Value>| {
            body.extend((key.len() as u64).to_le_bytes());
            body.extend(value.map_or(u64::MAX, |v| v.bytes.len() as u64).to_le_bytes());
            body.extend(value.and_then(|v| v.expires_ms).unwrap_or(0).to_le_bytes());
            body.extend(key);
            body.extend(value.map_or(&[][..], |v| &v.bytes));
        };
        let mut inner = self.inner.lock().unwrap();
        match action {
            Action::Put { key, value, .. } => add(key, Some(value)),
            Action::Replace { key, value, .. } => {
                if !inner.1.get(key).is_some_and(|f| f.expires_ms.is_none_or(|e| e > _now)) {
                    return Outcome::Refused;
                }
                add(key, Some(value));
            }
            Action::Delete { key, .. } => add(key, None),
            Action::Batch(writes) => writes.iter().for_each(|(_, k, v)| add(k, v.as_ref())),
            Action::Clear { group } => {
                for n in 0..100 {
                    if n % u64::from(GROUPS) == u64::from(*group) {
                        add(&super::values::key(*group, n), None);
                    }
                }
            }
            Action::Sync => {
                return if self.log.sync().is_ok() { Outcome::Done(None) } else { Outcome::Doubtful };
            }
            _ => return Outcome::Done(None),
        }
        let mut record = (body.len() as u64).to_le_bytes().to_vec();
        record.extend(crc(&body).to_le_bytes());
        record.extend(&body);
        if self.log.write_all_at(&record, inner.0).is_err() {
            return Outcome::Doubtful;
        }
        let at = inner.0;
        Self::replay(&body, at, &mut inner.1);
        inner.0 += record.len() as u64;
        if self.options.mode.is_durable() && self.log.sync().is_err() {
            return Outcome::Doubtful;
        }
        Outcome::Done(matches!(action, Action::Put { .. }).then_some(at))
    }

    pub(crate) fn close(self) -> Result<(), String> {
        Ok(())
    }

    pub(crate) fn reports_damage(&self) -> bool {
        false
    }

    pub(crate) fn report(&self) -> String {
        String::new()
    }

    pub(crate) fn look(&self, key: &[u8], now: u64) -> Result<Option<Found>, String> {
        Ok(self.view(now)?.get(key).cloned())
    }

    pub(crate) fn view(&self, now: u64) -> Result<View, String> {
        let mut view: BTreeMap<_, _> = self.inner.lock().unwrap().1.clone();
        view.retain(|_, f| f.expires_ms.is_none_or(|e| e > now));
        Ok(view)
    }
}
