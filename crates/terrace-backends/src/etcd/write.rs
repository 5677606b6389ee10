//! Writes: rows are read, conditions judged, and a transaction commits if nothing that was read has changed.

use std::collections::HashSet;

use etcd_client::{DeleteOptions as Range, TxnOp};
use terrace_store::capability::{Outcome, Write};
use terrace_store::{Condition, Deleted, Error, ErrorKind, Key, Namespace, Result, Version, Written};
use tokio::sync::MutexGuard;

use super::commit::{Changes, View};
use super::rows::{self, Header, Stamp, part};
use super::{Etcd, NAME};
use crate::record;
use crate::remote::validate;

/// How often a write begins anew before it gives up: others write the same keys all the time.
const ATTEMPTS: usize = 1_000;
/// How many operations a write takes at most: header, envelope, its due row and the one before, an amount.
const OPERATIONS: usize = 5;

/// What a write does, before it is known at which revision.
enum Planned {
    Done { stamp: Stamp, existed: bool },
    Conflict { current: Option<Version> },
}

impl Etcd {
    /// Applies writes, in transactions as large as may be.
    pub(super) async fn write(&self, operation: &'static str, list: &[Write]) -> Result<Vec<Outcome>> {
        validate(list)?;
        self.ready(operation).await?;
        let mut outcomes = Vec::with_capacity(list.len());
        let mut left = list;
        while !left.is_empty() {
            let (group, rest) = left.split_at(self.group(left));
            outcomes.extend(self.write_group(operation, group, &[]).await?);
            left = rest;
        }
        Ok(outcomes)
    }

    /// How many of these writes go into the next transaction: none depends on another one's version.
    fn group(&self, list: &[Write]) -> usize {
        let most = ((self.config.max_txn_ops - 1) / OPERATIONS).min(1 << (rows::STEP_BITS - 1));
        let carries = |write: &Write| matches!(condition(write), Condition::Newer(_));
        let mut keys = HashSet::new();
        let mut count = 0;
        for write in list.iter().take(most) {
            if count > 0 && carries(write) || !keys.insert(write.key()) {
                break;
            }
            count += 1;
            if carries(write) {
                break;
            }
        }
        count
    }

    /// Applies writes at one instant, if these keys still have the versions they were read with.
    pub(super) async fn transact(&self, list: &[Write], unchanged: &[(Key, Option<Version>)]) -> Result<()> {
        validate(list)?;
        self.ready("commit").await?;
        let most = self.config.max_txn_ops;
        if list.len() * OPERATIONS + unchanged.len() + 1 > most {
            return Err(Error::new(ErrorKind::Invalid, "commit").with("store", NAME).because(format!(
                "a transaction of {} writes and {} reads is more than {most} operations; raise the members' \
                 --max-txn-ops and max_txn_ops, or write less in one",
                list.len(),
                unchanged.len(),
            )));
        }
        self.write_group("commit", list, unchanged).await.map(drop)
    }

    async fn write_group(
        &self,
        operation: &'static str,
        list: &[Write],
        unchanged: &[(Key, Option<Version>)],
    ) -> Result<Vec<Outcome>> {
        let _locks = self.lock_parts(list.iter().map(Write::key)).await;
        for _ in 0..ATTEMPTS {
            if let Some(outcomes) = self.attempt(operation, list, unchanged).await? {
                return Ok(outcomes);
            }
        }
        Err(Error::new(ErrorKind::Busy, operation)
            .with("store", NAME)
            .because("others write the same keys all the time"))
    }

    /// Keeps other writers of this process away from what is counted together with these keys.
    pub(super) async fn lock_parts(&self, keys: impl Iterator<Item = &Key>) -> Vec<MutexGuard<'_, ()>> {
        let mut parts: Vec<usize> = keys.map(part).collect();
        parts.sort_unstable();
        parts.dedup();
        let mut locks = Vec::with_capacity(parts.len());
        for part in parts {
            locks.push(self.parts[part].lock().await);
        }
        locks
    }

    /// `None` if another process got in between.
    async fn attempt(
        &self,
        operation: &'static str,
        list: &[Write],
        unchanged: &[(Key, Option<Version>)],
    ) -> Result<Option<Vec<Outcome>>> {
        let mut read = vec![self.rows.base(), self.rows.floor(b"")];
        for key in list.iter().map(Write::key) {
            let space = key.namespace();
            let amount = self.rows.amount(space.flat_prefix(), part(key));
            read.extend([self.rows.head(key.flat()), self.rows.floor(space.flat_prefix()), amount]);
        }
        read.extend(unchanged.iter().map(|(key, _)| self.rows.head(key.flat())));
        let view = self.view(operation, read).await?;
        for (key, version) in unchanged {
            if self.live(&view, key)? != *version {
                return Err(Error::new(ErrorKind::Conflict, operation)
                    .with("store", NAME)
                    .because("something that was read has changed meanwhile; begin again"));
            }
        }
        let mut changes = Changes::default();
        let mut planned = Vec::with_capacity(list.len());
        for (step, write) in list.iter().enumerate() {
            planned.push(self.plan(&view, &mut changes, write, step as u16)?);
        }
        if changes.is_empty() && unchanged.is_empty() {
            return Ok(Some(outcomes(list, &planned, 0)));
        }
        let operations = changes.into_operations(self, &view)?;
        let done = self.commit_over(operation, &view, operations).await?;
        Ok(done.map(|(revision, _)| outcomes(list, &planned, revision)))
    }

    /// The live version of a key.
    fn live(&self, view: &View, key: &Key) -> Result<Option<Version>> {
        let header = view.header(&self.rows.head(key.flat()))?;
        let wall = self.life.wall_ms();
        Ok(header
            .filter(|(header, _)| header.is_live(wall))
            .map(|(header, revision)| header.version(revision)))
    }

    fn plan(&self, view: &View, changes: &mut Changes, write: &Write, step: u16) -> Result<Planned> {
        let key = write.key();
        let prior = view.header(&self.rows.head(key.flat()))?;
        let current = self.live(view, key)?;
        let base = rows::number(view.value(&self.rows.base()))?;
        let stamp = match condition(write) {
            Condition::Any => Stamp::Assigned { base, step },
            Condition::Absent if current.is_none() => Stamp::Assigned { base, step },
            Condition::Match(version) if current == Some(version) => Stamp::Assigned { base, step },
            Condition::Newer(version) => {
                let known = prior.map_or(Version::ZERO, |(header, revision)| header.version(revision));
                if version <= known.max(self.floor(view, key)?) {
                    return Ok(Planned::Conflict { current });
                }
                self.raise(view, changes, base, version);
                Stamp::Given(version)
            }
            Condition::Absent | Condition::Match(_) => return Ok(Planned::Conflict { current }),
        };
        let prior = prior.map(|(header, _)| header);
        match write {
            Write::Put(key, entry, options) => {
                let mut record = Vec::with_capacity(entry.value.len() + 128);
                record::seal(
                    key,
                    entry,
                    Version::ZERO,
                    options.compress,
                    self.config.compress_from,
                    &mut record,
                )?;
                // An end of zero would be none.
                let ends_ms = entry.deadline_ms().map_or(0, |ends| ends.max(1));
                let size = (key.bytes().len() + entry.value.len()) as u64;
                changes.replace(self, key, prior, Header { tombstone: false, stamp, ends_ms, size });
                changes.put(self.rows.data(key.flat()), record);
            }
            Write::Delete(key, _) => {
                let ends_ms = self.life.floor_deadline();
                changes.replace(self, key, prior, Header { tombstone: true, stamp, ends_ms, size: 0 });
            }
        }
        Ok(Planned::Done { stamp, existed: current.is_some() })
    }

    /// What clears left for a key.
    fn floor(&self, view: &View, key: &Key) -> Result<Version> {
        let mut floor = Version::ZERO;
        for space in [&b""[..], key.namespace().flat_prefix()] {
            if let Some((header, revision)) = view.header(&self.rows.floor(space))? {
                floor = floor.max(header.version(revision));
            }
        }
        Ok(floor)
    }

    /// Lets all later versions be above this one. Rare: only versions that come from elsewhere are ahead.
    fn raise(&self, view: &View, changes: &mut Changes, base: u64, given: Version) {
        if given >= rows::assigned(base, view.revision + 1, 0) {
            let past = view.revision.cast_unsigned() << rows::STEP_BITS;
            changes.put(self.rows.base(), given.0.saturating_sub(past).to_be_bytes().to_vec());
        }
    }

    /// Removes every entry of a namespace, or of all.
    pub(super) async fn clear_all(&self, namespace: Option<&Namespace>) -> Result<u64> {
        self.ready("clear").await?;
        let space = namespace.map_or(&b""[..], Namespace::flat_prefix);
        for _ in 0..ATTEMPTS {
            let floor = self.rows.floor(space);
            let view = self.view("clear", vec![self.rows.base(), floor.clone()]).await?;
            let base = rows::number(view.value(&self.rows.base()))?;
            let prior = view.header(&floor)?.map(|(header, _)| header);
            let stamp = Stamp::Assigned { base, step: 0 };
            let left = Header { tombstone: true, stamp, ends_ms: self.life.floor_deadline(), size: 0 };
            let all = |row: Vec<u8>| TxnOp::delete(row, Some(Range::new().with_prefix()));
            let heads = Range::new().with_prefix().with_prev_key();
            let mut operations = vec![
                TxnOp::delete(self.rows.head(space), Some(heads)),
                all(self.rows.data(space)),
                all(self.rows.amounts(space)),
            ];
            if namespace.is_none() {
                // The floors of namespaces, which the one of all makes needless.
                let others = Range::new().with_range(self.rows.bye());
                operations.push(TxnOp::delete(self.rows.floor(&[0]), Some(others)));
            }
            let mut changes = Changes::default();
            changes.lay_floor(self, space, prior, left);
            operations.extend(changes.into_operations(self, &view)?);
            let Some((_, removed)) = self.commit_over("clear", &view, operations).await? else { continue };
            let wall = self.life.wall_ms();
            let live =
                |row: &&super::link::Row| Header::parse(row.value()).is_ok_and(|head| head.is_live(wall));
            return Ok(removed.first().map_or(0, |heads| heads.iter().filter(live).count() as u64));
        }
        Err(Error::new(ErrorKind::Busy, "clear").with("store", NAME).because("others clear it all the time"))
    }
}

fn condition(write: &Write) -> Condition {
    match write {
        Write::Put(_, _, options) => options.condition,
        Write::Delete(_, options) => options.condition,
    }
}

fn outcomes(list: &[Write], planned: &[Planned], revision: i64) -> Vec<Outcome> {
    let outcome = |(write, planned): (&Write, &Planned)| match (write, planned) {
        (Write::Put(..), Planned::Done { stamp, existed }) => {
            Outcome::Put(Written::Stored { version: stamp.version(revision), replaced: *existed })
        }
        (Write::Delete(..), Planned::Done { stamp, existed }) => {
            Outcome::Delete(Deleted::Done { version: stamp.version(revision), existed: *existed })
        }
        (Write::Put(..), Planned::Conflict { current }) => {
            Outcome::Put(Written::Conflict { current: *current })
        }
        (Write::Delete(..), Planned::Conflict { current }) => {
            Outcome::Delete(Deleted::Conflict { current: *current })
        }
    };
    list.iter().zip(planned).map(outcome).collect()
}
