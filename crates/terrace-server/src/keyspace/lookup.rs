//! A read that also says where the value was and how fresh it is: what HTTP tells in headers.

use terrace::tiers::{Ask, Decode, Freshness, Tier};
use terrace_store::{Key, Result};

use super::{Keyspace, RAW, Value};

/// A live value and the circumstances of its reading.
#[derive(Clone, Debug)]
pub struct Lookup {
    /// The value.
    pub value: Value,
    /// The tier that answered.
    pub tier: Tier,
    /// Whether it was invalidated with [`Mode::Expire`](terrace::tiers::Mode::Expire), or is past its soft expiry.
    pub stale: bool,
}

impl Keyspace {
    /// Reads a key as [`Keyspace::get`] does, and tells how it was found.
    ///
    /// # Errors
    /// As [`Keyspace::get`].
    pub async fn lookup(&self, key: &Key) -> Result<Option<Lookup>> {
        if let Some(found) = self.lookup_hot(key) {
            return Ok(Some(found));
        }
        let ask = Ask { decode: Decode { codec: Some(&RAW), retyped: false }, load: None };
        let found = self.tiers.fetch(key.clone(), ask).await?;
        let (tier, stale) = (found.tier, found.stale);
        Ok(found.parcel.map(|parcel| Lookup { value: Value::of_entry(parcel.entry), tier, stale }))
    }

    fn lookup_hot(&self, key: &Key) -> Option<Lookup> {
        self.hot.as_ref()?.get(key, |held, freshness| {
            let mut entry = held.entry();
            entry.value = held.value.clone();
            Lookup { value: Value::of_entry(entry), tier: Tier::Hot, stale: freshness == Freshness::Stale }
        })
    }
}
