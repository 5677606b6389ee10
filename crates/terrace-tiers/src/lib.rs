#![doc = include_str!("../README.md")]

pub mod floors;
pub mod generations;
pub mod health;
pub mod histogram;
pub mod hot;
pub mod invalidate;
pub mod key;
mod listener;
pub mod load;
pub mod maintain;
pub mod parcel;
pub mod promote;
pub mod read;
mod room;
pub mod single_flight;
pub mod stats;
mod sync;
pub mod tier;
pub mod tiers;
pub mod version;
pub mod write;

pub use generations::{Generations, Mode, Scope, Verdict};
pub use hot::{Freshness, Held, Hot, HotConfig, HotTier};
pub use key::CacheKey;
pub use listener::Listener;
pub use load::{Lifetime, Load, Loaded, Loader, Loading};
pub use parcel::{Codec, Live, Parcel};
pub use read::{Ask, Decode, Fetch, Found};
pub use stats::{LoadStats, TierStats, TiersStats};
pub use terrace_memory::eviction::Report as PolicyReport;
pub use tier::{Lower, Tier, WriteMode};
pub use tiers::{Foundation, Options, Tiers};
pub use version::HybridClock;
pub use write::PutRequest;
