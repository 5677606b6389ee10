//! Many writes as one: planned first, with the gate to itself, so that an error leaves everything as it was.

use std::collections::HashMap;
use std::sync::PoisonError;

use bytes::Bytes;
use terrace_memory::Decision;
use terrace_store::capability::{Batch, Change, Outcome, Write};
use terrace_store::{
    BoxFuture, Deleted, Entry, Error, ErrorKind, Key, Namespace, Result, Swept, Version, Written,
};

use super::held::Held;
use super::table::{Prior, Table, check_delete, check_value};
use super::{MemoryStore, done};

/// What will lie under a key: an entry, or the floor of a delete.
enum Planned {
    Put(Held),
    Removed(Version),
}

/// The writes of a batch on one key, drawn together.
struct Step {
    before: Prior,
    planned: Planned,
}

impl Table {
    /// Applies writes in order, as one. If `unchanged` names versions that were read, they must still be there.
    pub(super) fn apply(
        &self,
        writes: Vec<Write>,
        unchanged: &[(Key, Option<Version>)],
    ) -> Result<Vec<Outcome>> {
        for write in &writes {
            match write {
                Write::Put(_, entry, _) => check_value(entry)?,
                Write::Delete(_, options) => check_delete(*options)?,
            }
        }
        let _alone = self.gate.write().unwrap_or_else(PoisonError::into_inner);
        for (key, version) in unchanged {
            if self.look(key).current() != *version {
                return Err(Error::new(ErrorKind::Conflict, "commit")
                    .with("key", format_args!("{key:?}"))
                    .because("somebody changed what the transaction has read; run it again"));
            }
        }
        let mut steps = HashMap::new();
        let outcomes = self.plan(writes, &mut steps)?;
        self.reserve_all(&steps)?;
        for (key, step) in steps {
            self.take_step(&key, step)?;
        }
        Ok(outcomes)
    }

    /// What lies under a key now.
    fn look(&self, key: &Key) -> Prior {
        self.engine.peek_with(key, 0, |held, _| self.prior(key, Some(held))).unwrap_or_default()
    }

    fn plan(&self, writes: Vec<Write>, steps: &mut HashMap<Key, Step>) -> Result<Vec<Outcome>> {
        let mut outcomes = Vec::with_capacity(writes.len());
        for write in writes {
            let planned = steps.get(write.key());
            let before = planned.map_or_else(|| self.look(write.key()), |step| step.before);
            let prior = match planned.map(|step| &step.planned) {
                None => before,
                Some(Planned::Put(held)) => self.prior(write.key(), Some(held)),
                Some(Planned::Removed(version)) => Prior { version: *version, ..Prior::default() },
            };
            let (outcome, key, planned) = match write {
                Write::Put(key, entry, options) => match self.judge(&key, &prior, options.condition)? {
                    Ok(version) => {
                        let stored = Written::Stored { version, replaced: prior.live };
                        (Outcome::Put(stored), key, Some(Planned::Put(Held::new(entry, version))))
                    }
                    Err(current) => (Outcome::Put(Written::Conflict { current }), key, None),
                },
                Write::Delete(key, options) => match self.judge(&key, &prior, options.condition)? {
                    Ok(version) => {
                        let gone = Deleted::Done { version, existed: prior.live };
                        (Outcome::Delete(gone), key, Some(Planned::Removed(version)))
                    }
                    Err(current) => (Outcome::Delete(Deleted::Conflict { current }), key, None),
                },
            };
            outcomes.push(outcome);
            if let Some(planned) = planned {
                steps.insert(key, Step { before, planned });
            }
        }
        Ok(outcomes)
    }

    /// Takes what the whole batch adds from the budget, or nothing.
    fn reserve_all(&self, steps: &HashMap<Key, Step>) -> Result<()> {
        let (mut before, mut after) = (0, 0);
        for (key, step) in steps {
            before += step.before.amount.stored;
            if let Planned::Put(held) = &step.planned {
                let stored = self.amount(key, held).stored;
                after += stored;
                if stored == 0 && !self.reserve(0, 0, self.options(key, held).weight) {
                    return Err(self.full());
                }
            }
        }
        if !self.spaces.reserve(after.saturating_sub(before), self.config().capacity) {
            return Err(self.full());
        }
        self.spaces.release(before.saturating_sub(after));
        Ok(())
    }

    /// Does to one key what the plan says. The budget is settled.
    fn take_step(&self, key: &Key, step: Step) -> Result<()> {
        let done = self.engine.upsert(key.clone(), 0, |current| {
            // An earlier step may have evicted the entry, with everything it counted for.
            let prior = self.prior(key, current);
            match step.planned {
                Planned::Put(held) => {
                    let (version, options) = (held.version, self.options(key, &held));
                    self.replace(key, &prior, self.amount(key, &held), held.deadline_ms());
                    self.watchers.tell(key, || Change::Put { key: key.clone(), version });
                    Decision::Put(held, options)
                }
                Planned::Removed(version) => {
                    self.removing(key, &prior, version);
                    Decision::Remove
                }
            }
        });
        self.settle(done.evicted, done.outcome)
    }

    /// Removes every entry of a namespace, or of all, and returns how many live ones there were.
    fn clear(&self, namespace: Option<&Namespace>) -> u64 {
        let _alone = self.gate.write().unwrap_or_else(PoisonError::into_inner);
        let prefix = namespace.map_or(&[][..], Namespace::flat_prefix);
        let floor = self.next_version();
        let mut cleared = self.cleared.lock().unwrap_or_else(PoisonError::into_inner);
        cleared.insert(Bytes::copy_from_slice(prefix), (floor, self.floor_end()));
        drop(cleared);
        self.spaces.raise_floor(prefix, floor);
        let (wall_ms, mut live) = (self.clock.wall_ms(), 0);
        self.engine.retain(0, |key, held| {
            let kept = !key.flat().starts_with(prefix);
            live += u64::from(!kept && held.deadline_ms().is_none_or(|deadline| wall_ms < deadline));
            kept
        });
        self.index().retain(|(_, key)| !key.flat().starts_with(prefix));
        self.spaces.empty(prefix);
        self.watchers.tell_cleared(namespace);
        live
    }

    /// Removes at most `limit` entries whose time is over, and floors that nobody needs.
    pub(super) fn sweep(&self, limit: usize) -> Swept {
        let mut swept = Swept::default();
        let wall_ms = self.clock.wall_ms();
        let mut left = limit;
        loop {
            let mut index = self.index();
            let due = index.first().is_some_and(|(deadline, _)| *deadline <= wall_ms);
            if !due {
                break;
            }
            if left == 0 {
                swept.more = true;
                return swept;
            }
            left -= 1;
            let Some((deadline, key)) = index.pop_first() else { break };
            drop(index);
            let _gate = self.gate.read().unwrap_or_else(PoisonError::into_inner);
            swept.expired += u64::from(self.expire(&key, deadline));
        }
        let now_ms = self.clock.now_ms();
        let (forgotten, more) = self.floors.forget(now_ms, left);
        swept.floors = forgotten;
        swept.more = more;
        let mut cleared = self.cleared.lock().unwrap_or_else(PoisonError::into_inner);
        cleared.retain(|prefix, (floor, end)| {
            if *end <= now_ms {
                self.spaces.drop_floor(prefix, *floor);
                swept.floors += 1;
            }
            *end > now_ms
        });
        swept
    }
}

impl Batch for MemoryStore {
    fn get_many<'a>(&'a self, keys: &'a [Key]) -> BoxFuture<'a, Result<Vec<Option<Entry>>>> {
        done(self.table("get_many").map(|table| keys.iter().map(|key| table.get(key)).collect()))
    }

    fn apply(&self, writes: Vec<Write>) -> BoxFuture<'_, Result<Vec<Outcome>>> {
        done(self.table("apply").and_then(|table| table.apply(writes, &[])))
    }

    fn clear<'a>(&'a self, namespace: Option<&'a Namespace>) -> BoxFuture<'a, Result<u64>> {
        done(self.table("clear").map(|table| table.clear(namespace)))
    }
}
