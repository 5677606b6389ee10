//! On the way back up: which upper tiers take a value that was found below or loaded, and how it gets there
//! without overtaking anything newer.

use terrace_store::{Condition, Entry, Key, PutOptions, Result, Version, Written};

use crate::load::{Lifetime, Loaded, Loading};
use crate::parcel::{Codec, Parcel};
use crate::read::{Found, Journey, Outcome};
use crate::single_flight::Flight;
use crate::tier::{Lower, Tier, WriteMode};
use crate::tiers::Tiers;

impl Journey {
    /// Keeps a loaded value: in the authority under the version reserved before the load, so that any write or
    /// delete since then wins; then in the tiers above, unless the flight was poisoned.
    pub(crate) async fn keep(
        &self,
        loaded: Loaded,
        lifetime: Lifetime,
        loading: &Loading,
        codec: Option<&'static dyn Codec>,
    ) -> Result<Found> {
        let mut entry = Entry::new("");
        lifetime.begin(&mut entry, self.tiers.clock().wall_ms());
        loading.describe(&mut entry)?;
        entry.stamp = self.stamp;
        let (weight, weighed) = match entry.weight {
            Some(weight) => (u64::from(weight), true),
            None => (loaded.weight, loaded.weighed),
        };
        let mut parcel = Parcel { entry, live: Some(loaded.live), weight };
        if let (Some(version), true) = (self.version, loading.is_stored()) {
            parcel.entry.version = version;
            self.store(&mut parcel, codec, version, weighed).await;
        }
        Ok(Found { parcel: Some(parcel), tier: Tier::Origin, stale: false })
    }

    async fn store(
        &self,
        parcel: &mut Parcel,
        codec: Option<&'static dyn Codec>,
        version: Version,
        weighed: bool,
    ) {
        if self.pilot.flight().is_poisoned() {
            return self.tiers.loads.late();
        }
        if !self.tiers.lower.is_empty() && parcel.encode(codec).is_err() {
            // The caller gets the value all the same; only those who come later miss.
            return self.tiers.loads.unkept();
        }
        if !weighed {
            parcel.weight += parcel.entry.value.len() as u64;
        }
        if !self.settle(parcel, version).await {
            return self.tiers.loads.late();
        }
        self.tiers.fill_hot(&self.key, parcel, Some(self.pilot.flight()));
    }

    /// Offers the value to the authority and the tiers above it. `false` if something newer is there.
    async fn settle(&self, parcel: &Parcel, version: Version) -> bool {
        let Some(index) = self.tiers.authority else { return true };
        let lower = &self.tiers.lower[index];
        let options = PutOptions { condition: Condition::Newer(version), ..PutOptions::default() };
        match self.tiers.put_with_room(lower, &self.key, &parcel.entry, options).await {
            Ok(Written::Stored { .. }) => {}
            Ok(Written::Conflict { .. }) => return false,
            // It may be down or full: the value is still the newest there is, and may be kept above.
            Err(_) => lower.counters.write_error(),
        }
        for above in self.tiers.lower[..index].iter().rev() {
            self.tiers.copy(above, &self.key, &parcel.entry).await;
        }
        true
    }
}

impl Tiers {
    /// Brings a value found in one tier into all above it. All of them take it for now; what they keep is up to
    /// their own policies.
    pub(crate) async fn promote(
        &self,
        key: &Key,
        parcel: &Parcel,
        from: usize,
        flight: Option<&Flight<Outcome>>,
    ) {
        for lower in self.lower[..from].iter().rev() {
            self.copy(lower, key, &parcel.entry).await;
        }
        self.fill_hot(key, parcel, flight);
    }

    /// Puts a value into the hot tier unless something newer is or was there.
    fn fill_hot(&self, key: &Key, parcel: &Parcel, flight: Option<&Flight<Outcome>>) {
        let Some(hot) = &self.hot else { return };
        let version = parcel.entry.version;
        let fill = || {
            // Too heavy for memory is no failure of a read.
            let _ = hot.put(key, parcel, Condition::Newer(version), &|| version);
        };
        match flight {
            None => fill(),
            Some(flight) => {
                if !flight.fill(fill) {
                    self.loads.late();
                }
            }
        }
        self.tell_evicted();
    }

    /// Copies an entry with its version into a tier that is kept current here.
    async fn copy(&self, lower: &Lower, key: &Key, entry: &Entry) {
        if lower.mode == WriteMode::None {
            return;
        }
        let options = PutOptions { condition: Condition::Newer(entry.version), ..PutOptions::default() };
        if self.put_with_room(lower, key, entry, options).await.is_err() {
            lower.counters.write_error();
        }
    }

    /// A version for a value about to be loaded: see [`terrace_store::Store::reserve`].
    pub(crate) async fn reserve(&self) -> Option<Version> {
        match self.authority {
            None => Some(self.next_version()),
            Some(index) => {
                let lower = &self.lower[index];
                let version = lower.store.reserve().await;
                if version.is_err() {
                    lower.counters.error();
                }
                version.ok()
            }
        }
    }
}

impl Parcel {
    /// Gives the entry its bytes, if it has none yet.
    pub(crate) fn encode(&mut self, codec: Option<&'static dyn Codec>) -> Result<()> {
        if let (Some(codec), Some(live)) = (codec, &self.live) {
            self.entry.value = codec.encode(live)?;
            self.entry.codec = codec.id();
            self.entry.type_fingerprint = codec.fingerprint();
        }
        Ok(())
    }
}
