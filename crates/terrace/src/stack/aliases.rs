//! The short keys: what each of them acts on.

use terrace_backends::url::encode;
use terrace_layers::BloomConfig;
use terrace_layers::bloom::MOST_SHARDS;
use terrace_layers::cache::{CacheConfig, Capacity};
use terrace_store::{Error, ErrorKind, Result};

use super::config::StackConfig;
use super::section::Setting;
use super::storage::Storage;

/// The folder of the sled store, unless it is given.
const SLED_PATH: &str = "./terrace-data/sled";

/// How many connections a Redis server gets, unless they are given.
const REDIS_POOL_SIZE: u32 = 16;

fn refused(why: impl Into<String>) -> Error {
    Error::new(ErrorKind::Config, "configuration").because(why)
}

/// The stores that a configuration asks for.
pub(super) struct Stores {
    /// At the bottom of the stack.
    pub(super) storage: Storage,
    /// Beside it: the disk tier of a cache over the stack.
    pub(super) cold: Option<Storage>,
}

impl StackConfig {
    /// The stores, with what the short keys say of them. What acts on nothing is told.
    pub(super) fn stores(&self, warnings: &mut Vec<String>) -> Result<Stores> {
        let sled = self.use_sled.then(|| {
            let path =
                self.sled_path.as_ref().map_or_else(|| SLED_PATH.into(), |path| path.to_string_lossy());
            Storage::url(&format!("sled:{}", encode(&path)))
        });
        let (mut storage, mut cold) = match (self.storage.clone(), sled) {
            (Some(storage), cold) => (storage, cold),
            (None, Some(sled)) => (sled, None),
            (None, None) => {
                return Err(refused(
                    "there is no store: give `storage`, such as storage = \"disk:/var/lib/app\", or use_sled",
                ));
            }
        };
        self.set_redis(&mut storage, warnings)?;
        let mut sleds: Vec<&mut Storage> =
            [Some(&mut storage), cold.as_mut()].into_iter().flatten().collect();
        sleds.retain(|storage| storage.scheme() == "sled");
        self.set_sled(sleds, warnings)?;
        Ok(Stores { storage, cold })
    }

    fn set_redis(&self, storage: &mut Storage, warnings: &mut Vec<String>) -> Result<()> {
        let keys = [
            ("redis_pool_size", "connections", self.redis_pool_size.map(u64::from)),
            (
                "redis_command_timeout_secs",
                "timeout_ms",
                self.redis_command_timeout_secs.map(|s| s.saturating_mul(1000)),
            ),
        ];
        if !["redis", "rediss", "valkey", "valkeys", "redis+unix", "redis+cluster", "rediss+cluster"]
            .contains(&storage.scheme())
        {
            for (key, _, _) in keys.iter().filter(|(_, _, value)| value.is_some()) {
                warnings.push(format!(
                    "{key} acts on nothing: the storage is `{}:`, no Redis server",
                    storage.scheme()
                ));
            }
            return Ok(());
        }
        set(storage, &keys)?;
        if !storage.has("connections") {
            storage.set("connections", REDIS_POOL_SIZE);
        }
        Ok(())
    }

    fn set_sled(&self, sleds: Vec<&mut Storage>, warnings: &mut Vec<String>) -> Result<()> {
        let keys = [
            ("sled_flush_ms", "flush_every_ms", self.sled_flush_ms),
            ("sled_cache_bytes", "cache_bytes", self.sled_cache_bytes),
        ];
        if sleds.is_empty() {
            for (key, _, _) in keys.iter().filter(|(_, _, value)| value.is_some()) {
                warnings.push(format!("{key} acts on nothing: no store is in sled; say use_sled = true"));
            }
        }
        if self.sled_path.is_some() && !self.use_sled {
            warnings
                .push("sled_path acts on nothing: it is where use_sled = true keeps its entries".to_owned());
        }
        sleds.into_iter().try_for_each(|sled| set(sled, &keys))
    }

    /// The `cache` layer, with what `l2_capacity` says of it.
    pub(super) fn cache_layer(&self) -> Result<Setting<CacheConfig>> {
        let Some(entries) = self.l2_capacity else { return Ok(self.cache.clone()) };
        if entries == 0 {
            return match self.cache {
                Setting::On(_) => {
                    Err(refused("l2_capacity = 0 leaves the layer `cache` out, and `cache` asks for it"))
                }
                _ => Ok(Setting::Off),
            };
        }
        let capacity = Capacity::Entries(entries);
        match self.cache {
            Setting::Off => Err(refused("l2_capacity is of the layer `cache`, which is switched off")),
            Setting::Unsaid => Ok(Setting::On(CacheConfig { capacity, ..CacheConfig::default() })),
            Setting::On(cache)
                if cache.capacity == CacheConfig::default().capacity || cache.capacity == capacity =>
            {
                Ok(Setting::On(CacheConfig { capacity, ..cache }))
            }
            Setting::On(_) => {
                Err(refused("l2_capacity and the size in `cache` are of the same layer; give one"))
            }
        }
    }

    /// The `bloom` layer, with what the short keys say of it.
    pub(super) fn bloom_layer(&self) -> Result<Setting<BloomConfig>> {
        if self.bloom_bits.is_none() && self.bloom_expected.is_none() && self.bloom_shards.is_none() {
            return Ok(self.bloom.clone());
        }
        if self.bloom != Setting::Unsaid {
            return Err(refused(
                "bloom_bits, bloom_expected and bloom_shards say what `bloom` says; give one of both",
            ));
        }
        let mut bloom = BloomConfig::default();
        bloom.expected = self.bloom_expected.unwrap_or(bloom.expected);
        if bloom.expected == 0 {
            return Err(refused("bloom_expected is at least 1"));
        }
        if let Some(bits) = self.bloom_bits {
            bloom.bits_per_key = bits as f64 / bloom.expected as f64;
            if !(1.0..=64.0).contains(&bloom.bits_per_key) {
                return Err(refused(format!(
                    "bloom_bits are {bits} for {} keys; a filter has 1 to 64 bits for each, and 10.5 make one mistake in a hundred",
                    bloom.expected
                )));
            }
        }
        if let Some(shards) = self.bloom_shards {
            if !(1..=MOST_SHARDS).contains(&shards) {
                return Err(refused(format!("bloom_shards are 1 to {MOST_SHARDS}, not {shards}")));
            }
            bloom.shards = Some(shards);
        }
        Ok(Setting::On(bloom))
    }
}

/// Gives options of a store that a short key names.
fn set(storage: &mut Storage, keys: &[(&str, &str, Option<u64>)]) -> Result<()> {
    for (key, option, value) in keys {
        let Some(value) = value else { continue };
        if storage.has(option) {
            return Err(refused(format!(
                "{key} says what the option `{option}` of the storage says; give one of both"
            )));
        }
        storage.set(option, value);
    }
    Ok(())
}
