//! What a cache holds: values of one type, or of many.

use terrace_tiers::Live;

/// The value type of a cache that holds values of many types: `Cache<K>` is `Cache<K, Mixed>`.
///
/// It has no values; each call names the type it means.
#[derive(Debug)]
pub enum Mixed {}

/// What the hot tier keeps for a value type.
///
/// Implemented for every type that can be cloned and shared, and for [`Mixed`].
pub trait Slot: 'static {
    /// A value as the hot tier holds it.
    type Live: Clone + Send + Sync + 'static;

    /// Takes it out of its erased form; `None` if it is of another type.
    fn hold(live: &Live) -> Option<Self::Live>;
}

impl<V: Clone + Send + Sync + 'static> Slot for V {
    type Live = V;

    fn hold(live: &Live) -> Option<V> {
        live.downcast_ref::<V>().cloned()
    }
}

impl Slot for Mixed {
    type Live = Live;

    fn hold(live: &Live) -> Option<Live> {
        Some(live.clone())
    }
}

/// A type that can be the one value type of a cache.
pub trait Value: Clone + Send + Sync + 'static {}

impl<V: Clone + Send + Sync + 'static> Value for V {}
