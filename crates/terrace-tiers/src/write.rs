//! The way of a put.
//!
//! Poison the flight, write the authority, then the tiers above it, then the hot tier, and poison again: a load
//! that read the old value in between must not bring it back. Once the authority has the write, the call
//! succeeds: a tier above that fails is put under suspicion for this key instead, until a write reaches it.

use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use terrace_store::capability::{Outcome, Write};
use terrace_store::{
    BoxFuture, Compress, Condition, DeleteOptions, Deleted, Entry, Error, ErrorKind, Key, PutOptions, Result,
    Store, Version, Written,
};

use crate::generations::Verdict;
use crate::parcel::{Codec, Parcel};
use crate::tier::{Lower, Tier, WriteMode};
use crate::tiers::Tiers;

/// How a put is done.
#[derive(Clone, Copy, Default)]
pub struct PutRequest {
    /// On what it depends.
    pub condition: Condition,
    /// Whether the stores compress it.
    pub compress: Compress,
    /// The caller awaits [`Tiers::commit`] before it tells anybody.
    pub deferred: bool,
    /// The caller keeps other writers of this key away until the call has ended: it then need not guard against
    /// them.
    pub alone: bool,
    /// Makes the value's bytes, if the entry has none.
    pub codec: Option<&'static dyn Codec>,
}

impl Tiers {
    /// Writes a value to all tiers.
    ///
    /// # Errors
    /// Those of the authority; `Unknown` if it may have been applied. `Codec` if the value cannot be encoded.
    ///
    /// # Cancellation
    /// Dropping the future leaves an unknown outcome: as after an `Unknown`, no tier serves the old value as
    /// if nothing had happened.
    pub async fn put(
        self: &Arc<Self>,
        key: &Key,
        mut parcel: Parcel,
        request: PutRequest,
    ) -> Result<Written> {
        self.open_for("put")?;
        parcel.entry.stamp = self.base.generations.stamp();
        let Some(index) = self.authority else { return self.put_hot(key, &parcel, request.condition) };
        parcel.encode(request.codec)?;

        self.flights.poison(key);
        // While it is held, a later delete leaves a floor, and this value does not come up after it.
        let guarded = self.hot.is_some() && !request.alone;
        let _ticket = guarded.then(|| self.base.floors.ticket());
        let doubt = Doubt { tiers: self, key, settled: false };
        let authority = &self.lower[index];
        let options = PutOptions {
            condition: request.condition,
            compress: request.compress,
            deferred: request.deferred,
        };
        let began = self.begin();
        // Handed over whole where nobody needs it afterwards: a clone of a fresh buffer costs an allocation.
        let last = index == 0
            && self.hot.is_none()
            && authority.tier != Tier::Cold
            && request.condition == Condition::Any;
        let entry =
            if last { std::mem::replace(&mut parcel.entry, Entry::new("")) } else { parcel.entry.clone() };
        let written = match authority.store.put(key, entry, options).await {
            // Seldom, and long: boxed, so that every put need not have room for it.
            Err(error) if error.kind() == ErrorKind::Full && authority.tier == Tier::Cold => {
                Box::pin(self.put_with_room(authority, key, &parcel.entry, options)).await
            }
            written => written,
        };
        let written = self.told(authority, written, doubt)?;
        if let (Condition::Absent, Written::Conflict { .. }) = (request.condition, written)
            && let Some(dead) = Box::pin(self.dead(authority, key)).await?
        {
            // What stood in the way was invalidated: to the caller the key is absent.
            let options = DeleteOptions { condition: Condition::Match(dead), deferred: true };
            let _ = authority.store.delete(key, options).await?;
            return Box::pin(self.put(key, parcel, request)).await;
        }
        authority.counters.written(self.took(began));
        match written {
            Written::Stored { version, .. } => {
                parcel.entry.version = version;
                self.spread(index, key, &parcel, options).await;
            }
            // What is there is newer than what we may hold.
            Written::Conflict { current } => self.drop_older(key, current),
        }
        self.flights.poison(key);
        Ok(written)
    }

    /// A plain put that needs no waiting, done in place: deferred, by a caller who is alone with the key, where the
    /// authority works in place and is the only tier below the hot one. `None` if it is no such put, or there is no
    /// room for it; nothing was done then. It costs neither a task nor a future of its own.
    ///
    /// # Errors
    /// As [`Tiers::put`].
    pub fn put_in_place(&self, key: &Key, mut parcel: Parcel) -> Option<Result<Written>> {
        if self.authority != Some(0) || !self.in_place || self.open_for("put").is_err() {
            return None;
        }
        let authority = self.lower.first()?;
        parcel.entry.stamp = self.base.generations.stamp();
        self.flights.poison(key);
        let doubt = Doubt { tiers: self, key, settled: false };
        let began = self.begin();
        let options = PutOptions { deferred: true, ..PutOptions::default() };
        // A hot tier wants what is known of the entry, too; its value is shared.
        let entry = match &self.hot {
            Some(_) => parcel.entry.clone(),
            None => std::mem::replace(&mut parcel.entry, Entry::new("")),
        };
        let written = at_once(authority.store.put(key, entry, options));
        if matches!(&written, Err(error) if error.kind() == ErrorKind::Full) {
            doubt.settle();
            return None;
        }
        let written = match self.told(authority, written, doubt) {
            Ok(written) => written,
            Err(error) => return Some(Err(error)),
        };
        authority.counters.written(self.took(began));
        if let Written::Stored { version, .. } = written {
            parcel.entry.version = version;
            self.keep_hot(key, &parcel);
        }
        self.flights.poison(key);
        Some(Ok(written))
    }

    /// Writes to the tiers above what the authority, which is the lower tier of this index, has taken.
    async fn spread(&self, index: usize, key: &Key, parcel: &Parcel, options: PutOptions) {
        for upper in self.lower[..index].iter().rev() {
            Box::pin(self.write_above(upper, key, parcel, options)).await;
        }
        self.keep_hot(key, parcel);
    }

    /// Puts into the hot tier what the tiers below have taken.
    fn keep_hot(&self, key: &Key, parcel: &Parcel) {
        let version = parcel.entry.version;
        // The hot tier may evict the new value before an older one, read meanwhile, is offered to it.
        self.base.floors.raise(key, Version(version.0.saturating_sub(1)));
        if let Some(hot) = &self.hot
            && hot.put(key, parcel, Condition::Newer(version), &|| version).is_err()
        {
            hot.forget(key, version);
        }
        self.tell_evicted();
    }

    /// Tells of what a put made leave, now that no lock is held.
    pub(crate) fn tell_evicted(&self) {
        if let Some(hot) = &self.hot {
            hot.tell();
        }
    }

    /// Writes several values to all tiers, whatever is there; of two for one key the later one stays. Where the
    /// authority has atomic batches they are one write of it: after a crash all are there or none, and an error
    /// other than `Unknown` means that nothing was applied. Elsewhere, and where the hot tier decides, they are
    /// written one after another, and an error leaves a beginning of them.
    ///
    /// # Errors
    /// As [`Tiers::put`]; also `Invalid` if the request carries a condition, which is a matter of a single write.
    ///
    /// # Cancellation
    /// As [`Tiers::put`].
    pub async fn put_many(
        self: &Arc<Self>,
        mut writes: Vec<(Key, Parcel)>,
        request: PutRequest,
    ) -> Result<()> {
        self.open_for("put_many")?;
        if request.condition != Condition::Any {
            return Err(Error::new(ErrorKind::Invalid, "put_many")
                .because("several values are written whatever is there; put one at a time for a condition"));
        }
        let whole = self.authority.filter(|index| self.lower[*index].store.capabilities().atomic_batches);
        let Some((index, batch)) =
            whole.and_then(|index| self.lower[index].store.as_batch().map(|batch| (index, batch)))
        else {
            return self.put_singly(writes, request).await;
        };
        let options =
            PutOptions { condition: Condition::Any, compress: request.compress, deferred: request.deferred };
        let mut batched = Vec::with_capacity(writes.len());
        for (key, parcel) in &mut writes {
            parcel.entry.stamp = self.base.generations.stamp();
            parcel.encode(request.codec)?;
            batched.push(Write::Put(key.clone(), parcel.entry.clone(), options));
        }
        for (key, _) in &writes {
            self.flights.poison(key);
        }
        let guarded = self.hot.is_some() && !request.alone;
        let _ticket = guarded.then(|| self.base.floors.ticket());
        let mut doubts: Vec<_> =
            writes.iter().map(|(key, _)| Doubt { tiers: self, key, settled: false }).collect();
        let authority = &self.lower[index];
        let began = self.begin();
        let answer = batch.apply(batched).await;
        let unknown = matches!(&answer, Err(error) if error.kind() == ErrorKind::Unknown);
        doubts.iter_mut().for_each(|doubt| doubt.settled = !unknown);
        drop(doubts);
        let outcomes = match answer {
            Ok(outcomes) => outcomes,
            // Room is made for one write at a time.
            Err(error) if error.kind() == ErrorKind::Full && authority.tier == Tier::Cold => {
                return self.put_singly(writes, request).await;
            }
            Err(error) => {
                authority.counters.write_error();
                return Err(error);
            }
        };
        let took = self.took(began);
        for ((key, mut parcel), outcome) in writes.into_iter().zip(outcomes) {
            authority.counters.written(took);
            if let Outcome::Put(Written::Stored { version, .. }) = outcome {
                parcel.entry.version = version;
                self.spread(index, &key, &parcel, options).await;
            }
            self.flights.poison(&key);
        }
        Ok(())
    }

    async fn put_singly(self: &Arc<Self>, writes: Vec<(Key, Parcel)>, request: PutRequest) -> Result<()> {
        for (key, parcel) in writes {
            let _ = Box::pin(self.put(&key, parcel, request)).await?;
        }
        Ok(())
    }

    /// The version of what kept a write from a key that must be absent, if that was purged and only not removed
    /// yet.
    async fn dead(&self, authority: &Lower, key: &Key) -> Result<Option<Version>> {
        let entry = authority.store.get(key).await?;
        let dead = entry.filter(|entry| self.base.generations.verdict_of(key, entry) == Verdict::Purged);
        Ok(dead.map(|entry| entry.version))
    }

    /// The hot tier is the authority.
    fn put_hot(&self, key: &Key, parcel: &Parcel, condition: Condition) -> Result<Written> {
        let Some(hot) = &self.hot else {
            return Err(Error::new(ErrorKind::Config, "put").because("no tier takes writes"));
        };
        self.flights.poison(key);
        let written = hot.put(key, parcel, condition, &|| self.next_version());
        self.flights.poison(key);
        hot.tell();
        written
    }

    /// Deletes a key from all tiers.
    ///
    /// # Errors
    /// As [`Tiers::put`].
    pub async fn delete(self: &Arc<Self>, key: &Key, options: DeleteOptions) -> Result<Deleted> {
        self.open_for("delete")?;
        self.flights.poison(key);
        let Some(index) = self.authority else {
            let Some(hot) = &self.hot else {
                return Err(Error::new(ErrorKind::Config, "delete").because("no tier takes writes"));
            };
            let deleted = hot.delete(key, options.condition, &|| self.next_version());
            self.flights.poison(key);
            return Ok(deleted);
        };
        let doubt = Doubt { tiers: self, key, settled: false };
        let authority = &self.lower[index];
        let began = self.begin();
        // Only where anything was ever invalidated can what is there be dead already.
        let dead = self.base.generations.stamp() > 0 && Box::pin(self.dead(authority, key)).await?.is_some();
        let deleted = authority.store.delete(key, options).await;
        let mut deleted = self.told(authority, deleted, doubt)?;
        if let Deleted::Done { existed, .. } = &mut deleted {
            *existed &= !dead;
        }
        authority.counters.written(self.took(began));
        match deleted {
            Deleted::Done { version, .. } => {
                for upper in self.lower[..index].iter().rev() {
                    self.forget_above(upper, key, version).await;
                }
                if let Some(hot) = &self.hot {
                    hot.forget(key, version);
                }
            }
            Deleted::Conflict { current } => self.drop_older(key, current),
        }
        self.flights.poison(key);
        Ok(deleted)
    }

    /// What the authority answered a write; where it may have been applied, nobody trusts what is above.
    fn told<T>(&self, authority: &Lower, answer: Result<T>, mut doubt: Doubt<'_>) -> Result<T> {
        match &answer {
            Ok(_) => doubt.settled = true,
            Err(error) => {
                authority.counters.write_error();
                // Any other failure says that nothing was applied: what is above is still right.
                doubt.settled = error.kind() != ErrorKind::Unknown;
            }
        }
        answer
    }

    async fn write_above(&self, upper: &Lower, key: &Key, parcel: &Parcel, options: PutOptions) {
        let version = parcel.entry.version;
        if upper.mode == WriteMode::None {
            return;
        }
        let options = PutOptions { condition: Condition::Newer(version), ..options };
        let result = self.put_with_room(upper, key, &parcel.entry, options).await.map(drop);
        note(upper, key, version, &result);
    }

    pub(crate) async fn forget_above(&self, upper: &Lower, key: &Key, version: Version) {
        if upper.mode != WriteMode::None {
            let result = forget(&*upper.store, key, version).await;
            note(upper, key, version, &result);
        }
    }

    /// Drops what the hot tier holds if it is older than this, or whatever it holds if there is nothing.
    fn drop_older(&self, key: &Key, current: Option<Version>) {
        let Some(hot) = &self.hot else { return };
        match (hot.version(key), current) {
            (Some(held), Some(current)) if held < current => hot.forget(key, held),
            (Some(held), None) => hot.forget(key, held),
            _ => {}
        }
    }
}

/// What a store that works in place answers.
fn at_once<T>(mut answer: BoxFuture<'_, Result<T>>) -> Result<T> {
    match answer.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(answer) => answer,
        Poll::Pending => Err(Error::new(ErrorKind::Unknown, "put")
            .because("the store says that it works in place, but has to be waited for")),
    }
}

async fn forget(store: &dyn Store, key: &Key, version: Version) -> Result<()> {
    let options = DeleteOptions { condition: Condition::Newer(version), deferred: false };
    store.delete(key, options).await.map(drop)
}

fn note(upper: &Lower, key: &Key, version: Version, result: &Result<()>) {
    match result {
        Ok(()) => upper.trust(key),
        Err(_) => {
            upper.counters.write_error();
            upper.suspect(key, version);
        }
    }
}

/// A write whose outcome is not known yet. If that stays so, because the future was dropped or the authority
/// cannot tell, nothing above the authority may serve the key: the old value may be gone.
struct Doubt<'a> {
    tiers: &'a Tiers,
    key: &'a Key,
    settled: bool,
}

impl Doubt<'_> {
    /// Nothing was applied.
    fn settle(mut self) {
        self.settled = true;
    }
}

impl Drop for Doubt<'_> {
    fn drop(&mut self) {
        if self.settled {
            return;
        }
        let Some(index) = self.tiers.authority else { return };
        for upper in self.tiers.lower[..index].iter().filter(|upper| upper.mode != WriteMode::None) {
            upper.suspect(self.key, Version::MAX);
        }
        // Whoever read the old value before must not bring it up.
        self.tiers.base.floors.raise(self.key, Version::MAX);
        if let Some(hot) = &self.tiers.hot
            && let Some(version) = hot.version(self.key)
        {
            hot.forget(self.key, version);
        }
        self.tiers.flights.poison(self.key);
    }
}
