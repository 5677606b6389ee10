//! Writes: the last message of the key is read, the condition judged, and the next one stored if it is the last still.

use std::collections::HashSet;

use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, stream};
use terrace_store::capability::{Outcome, Write};
use terrace_store::{Condition, Deleted, Error, ErrorKind, Result, Version, Written};
use tokio::sync::MutexGuard;
use xxhash_rust::xxh3::xxh3_64;

use super::link::{Publication, Row, reads, writes};
use super::rows::{Head, Pieces, Stamp};
use super::{NAME, Nats, TOGETHER, TURNS};
use crate::record;
use crate::remote::validate;

/// How often a write begins anew before it gives up: others write the same key all the time.
const ATTEMPTS: usize = 1_000;
/// How many writes are under way together at most, and how many bytes of values.
const LONGEST_GROUP: usize = 128;
const GROUP_BYTES: usize = 4 << 20;

/// What is to be stored of a write, if what was read is the last message of its key still.
struct Plan {
    subject: String,
    head: Head,
    record: Bytes,
    expected: u64,
    existed: bool,
    /// The pieces of what it replaces.
    replaced: Option<Pieces>,
}

impl Nats {
    /// Applies writes in order: those of different keys are under way together, and stored in the order they are sent.
    pub(super) async fn write(&self, operation: &'static str, list: &[Write]) -> Result<Vec<Outcome>> {
        validate(list)?;
        self.ready(operation).await?;
        let mut outcomes = Vec::with_capacity(list.len());
        let mut left = list;
        while !left.is_empty() {
            let (group, rest) = left.split_at(group(left));
            outcomes.extend(self.write_group(operation, group).await?);
            left = rest;
        }
        Ok(outcomes)
    }

    async fn write_group(&self, operation: &'static str, list: &[Write]) -> Result<Vec<Outcome>> {
        let _turns = self.take_turns(list).await;
        let mut done: Vec<Option<Outcome>> = vec![None; list.len()];
        for _ in 0..ATTEMPTS {
            let left: Vec<usize> = (0..list.len()).filter(|n| done[*n].is_none()).collect();
            if left.is_empty() {
                return Ok(done.into_iter().flatten().collect());
            }
            self.attempt(operation, list, &left, &mut done).await?;
        }
        Err(Error::new(ErrorKind::Busy, operation)
            .with("store", NAME)
            .because("others write the same key all the time"))
    }

    /// Keeps other writers of this process away from these keys.
    async fn take_turns(&self, list: &[Write]) -> Vec<MutexGuard<'_, ()>> {
        let mut turns: Vec<usize> =
            list.iter().map(|write| xxh3_64(write.key().flat()) as usize % TURNS).collect();
        turns.sort_unstable();
        turns.dedup();
        let mut taken = Vec::with_capacity(turns.len());
        for turn in turns {
            taken.push(self.turns[turn].lock().await);
        }
        taken
    }

    /// Does what is left of a group, but for those where somebody else got in between.
    async fn attempt(
        &self,
        operation: &'static str,
        list: &[Write],
        left: &[usize],
        done: &mut [Option<Outcome>],
    ) -> Result<()> {
        let priors = stream::iter(left.to_vec())
            .map(|n| self.link.last(reads(operation), self.link.subjects.head(list[n].key())))
            .buffered(TOGETHER)
            .try_collect::<Vec<_>>();
        let (priors, (base, _)) = tokio::try_join!(priors, self.base(operation))?;
        let mut plans = Vec::with_capacity(left.len());
        for (n, prior) in left.iter().zip(priors) {
            match self.plan(operation, &list[*n], prior, base).await? {
                Ok(plan) => plans.push((*n, self.cut(operation, plan).await?)),
                Err(conflict) => done[*n] = Some(conflict),
            }
        }
        let messages = plans.iter().map(|(_, plan)| plan.message()).collect();
        let stored = self.link.publish_all(writes(operation), messages).await;
        let alone = plans.len() == 1;
        for (n, (at, plan)) in plans.into_iter().enumerate() {
            let needless = match &stored {
                Ok(stored) if stored[n].is_some() => plan.replaced,
                Ok(_) => plan.head.pieces,
                Err(error) if alone && error.kind() != ErrorKind::Unknown => plan.head.pieces,
                // Which of them were stored is not known here; a sweep finds the pieces that nobody needs.
                Err(_) => None,
            };
            self.discard(operation, needless).await;
            let sequence = stored.as_ref().map_or(None, |stored| stored[n]);
            let version = sequence.map(|sequence| plan.head.stamp.version(sequence));
            done[at] = version.map(|version| outcome(&list[at], version, plan.existed));
        }
        stored.map(drop)
    }

    /// What to store of a write over this message, or the conflict that keeps it from being stored.
    async fn plan(
        &self,
        operation: &'static str,
        write: &Write,
        prior: Option<Row>,
        base: u64,
    ) -> Result<Result<Plan, Outcome>> {
        let (key, condition) = (write.key(), condition(write));
        let prior = prior.map(|row| Ok::<_, Error>((row.head()?, row.sequence))).transpose()?;
        let known = prior.as_ref().map_or(Version::ZERO, |(head, sequence)| head.stamp.version(*sequence));
        let given = matches!(&prior, Some((head, _)) if matches!(head.stamp, Stamp::Given(_)));
        let floor = match condition {
            _ if given => self.floor(operation, key).await?,
            Condition::Newer(_) => self.floor(operation, key).await?,
            _ => Version::ZERO,
        };
        let wall = self.life.wall_ms();
        let mut exists =
            prior.as_ref().is_some_and(|(head, _)| head.lives(wall) && (!given || known > floor));
        let expected = prior.as_ref().map_or(0, |(_, sequence)| *sequence);
        // What a clear is about to remove is gone already for whoever depends on what is there.
        if exists && !given && matches!(condition, Condition::Absent | Condition::Match(_)) {
            exists = expected > self.floor_sequence(operation, key).await?;
        }
        let current = exists.then_some(known);
        let stamp = match condition {
            Condition::Newer(version) if version > known.max(floor) => {
                self.raise(operation, version).await?;
                Stamp::Given(version)
            }
            Condition::Newer(_) => return Ok(Err(conflict(write, current))),
            Condition::Absent if exists => return Ok(Err(conflict(write, current))),
            Condition::Match(version) if current != Some(version) => {
                return Ok(Err(conflict(write, current)));
            }
            // Above the version before, should the base have been raised for it just now.
            _ => Stamp::Assigned { base: base.max(known.0.saturating_sub(expected)) },
        };
        let (head, record) = self.message(write, stamp)?;
        let replaced = prior.and_then(|(head, _)| head.pieces);
        let subject = self.link.subjects.head(key);
        Ok(Ok(Plan { subject, head, record, expected, existed: exists, replaced }))
    }

    /// What a write leaves.
    fn message(&self, write: &Write, stamp: Stamp) -> Result<(Head, Bytes)> {
        match write {
            Write::Put(key, entry, options) => {
                let mut record = Vec::with_capacity(entry.value.len() + 128);
                let (none, from) = (Version::ZERO, self.config.compress_from);
                record::seal(key, entry, none, options.compress, from, &mut record)?;
                // An end of zero would be none.
                let ends_ms = entry.deadline_ms().map_or(0, |ends| ends.max(1));
                let size = (key.bytes().len() + entry.value.len()) as u64;
                let flat = key.flat_bytes().clone();
                Ok((Head { tombstone: false, stamp, ends_ms, size, pieces: None, flat }, record.into()))
            }
            Write::Delete(key, _) => {
                let head = Head::floor(key.flat_bytes().clone(), stamp, self.life.floor_deadline());
                Ok((head, Bytes::new()))
            }
        }
    }

    /// Stores the envelope in pieces if it is too long for one message.
    async fn cut(&self, operation: &'static str, mut plan: Plan) -> Result<Plan> {
        let ours = plan.head.to_header().len() + plan.head.ahead();
        let (inline, piece) = self.link.room(reads(operation), ours).await?;
        if plan.record.len() > inline {
            plan.head.pieces = Some(self.store(operation, plan.record, piece).await?);
            plan.record = Bytes::new();
        }
        Ok(plan)
    }
}

impl Plan {
    fn message(&self) -> Publication {
        let (subject, header) = (self.subject.clone(), Some(self.head.to_header()));
        let (payload, expected) = (self.head.payload(self.record.clone()), Some(self.expected));
        Publication { subject, header, payload, expected }
    }
}

/// How many of these writes are under way together: no key twice, and none that carries a version of its own, which may
/// raise the base for those behind it.
fn group(list: &[Write]) -> usize {
    let carries = |write: &Write| matches!(condition(write), Condition::Newer(_));
    let (mut keys, mut bytes, mut count) = (HashSet::new(), 0, 0);
    for write in list.iter().take(LONGEST_GROUP) {
        bytes += if let Write::Put(_, entry, _) = write { entry.value.len() } else { 0 };
        if count > 0 && (carries(write) || bytes > GROUP_BYTES) || !keys.insert(write.key()) {
            break;
        }
        count += 1;
        if carries(write) {
            break;
        }
    }
    count
}

fn condition(write: &Write) -> Condition {
    match write {
        Write::Put(_, _, options) => options.condition,
        Write::Delete(_, options) => options.condition,
    }
}

fn conflict(write: &Write, current: Option<Version>) -> Outcome {
    match write {
        Write::Put(..) => Outcome::Put(Written::Conflict { current }),
        Write::Delete(..) => Outcome::Delete(Deleted::Conflict { current }),
    }
}

fn outcome(write: &Write, version: Version, existed: bool) -> Outcome {
    match write {
        Write::Put(..) => Outcome::Put(Written::Stored { version, replaced: existed }),
        Write::Delete(..) => Outcome::Delete(Deleted::Done { version, existed }),
    }
}
