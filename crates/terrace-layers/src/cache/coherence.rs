//! Tickets: what keeps a copy that was read before a write from being cached after it.
//!
//! A stripe counts the writes that began among its keys, and those under way. Both are looked at and the copy is kept
//! under one lock, so no write begins between.

use std::time::Duration;

use parking_lot::{Mutex, MutexGuard};
use terrace_store::{Entry, Error, ErrorKind, Key, Result};

use super::{Shared, UNSETTLED};

/// The writes among the keys of one stripe.
#[derive(Default)]
pub(super) struct Stripe(Mutex<Writes>);

#[derive(Default)]
pub(super) struct Writes {
    began: u64,
    under_way: u32,
    /// Until when a write may still be applied whose outcome is unknown.
    unsettled_until: Duration,
}

impl Stripe {
    pub(super) fn lock(&self) -> MutexGuard<'_, Writes> {
        self.0.lock()
    }
}

impl Writes {
    pub(super) fn number(&mut self, now: Duration) -> Option<u64> {
        (self.under_way == 0 && now >= self.unsettled_until).then_some(self.began)
    }

    pub(super) fn is_quiet(&mut self, number: u64, now: Duration) -> bool {
        self.number(now) == Some(number)
    }

    fn end(&mut self, unsettled_until: Option<Duration>) {
        self.under_way -= 1;
        self.unsettled_until = self.unsettled_until.max(unsettled_until.unwrap_or_default());
    }
}

/// The right to write some keys. Dropping it unsettled says that the outcome is unknown.
pub(super) struct Ticket<'a> {
    shared: &'a Shared,
    /// The stripes, each once, with the number that this write has there; empty once it is settled.
    stripes: Vec<(usize, u64)>,
}

impl Shared {
    pub(super) fn write_all<'k>(&self, keys: impl Iterator<Item = &'k Key> + Clone) -> Ticket<'_> {
        let mut indices: Vec<usize> = keys.clone().map(|key| self.stripes.index(key)).collect();
        indices.sort_unstable();
        indices.dedup();
        let stripes = indices.into_iter().map(|index| (index, self.begin(index))).collect();
        // No copy comes in from here on, so what is dropped now stays dropped.
        keys.for_each(|key| self.drop_copy(key));
        Ticket { shared: self, stripes }
    }

    /// As for a write of every key.
    pub(super) fn write_everything(&self) -> Ticket<'_> {
        let stripes = (0..self.stripes.all().len()).map(|index| (index, self.begin(index))).collect();
        self.drop_all();
        Ticket { shared: self, stripes }
    }

    /// Somebody wrote the key; a copy of what this process wrote itself meanwhile goes too, which is a miss more.
    pub(super) fn changed(&self, key: &Key) {
        self.write_all(std::iter::once(key)).settle(&Ok(()));
    }

    fn begin(&self, index: usize) -> u64 {
        let mut stripe = self.stripes.at(index).lock();
        stripe.began += 1;
        stripe.under_way += 1;
        stripe.began
    }
}

impl Ticket<'_> {
    /// The write is done, or certainly was not.
    pub(super) fn settle<T>(mut self, result: &Result<T>) {
        if result.as_ref().err().map(Error::kind) != Some(ErrorKind::Unknown) {
            self.end(None);
        }
    }

    /// The write is done, and this is what it wrote: kept if no other write of the stripe overlapped it.
    pub(super) fn keep(mut self, key: &Key, entry: Entry) {
        if let [(index, number)] = self.stripes[..] {
            let mut stripe = self.shared.stripes.at(index).lock();
            stripe.end(None);
            self.stripes.clear();
            if stripe.is_quiet(number, self.shared.clock.now()) {
                self.shared.keep(key, entry);
            }
        }
    }

    fn end(&mut self, unsettled_until: Option<Duration>) {
        for (index, _) in std::mem::take(&mut self.stripes) {
            self.shared.stripes.at(index).lock().end(unsettled_until);
        }
    }
}

impl Drop for Ticket<'_> {
    fn drop(&mut self) {
        if !self.stripes.is_empty() {
            let until = self.shared.clock.now().saturating_add(UNSETTLED);
            self.end(Some(until));
        }
    }
}
