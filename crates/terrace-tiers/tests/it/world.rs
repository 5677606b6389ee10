//! A cache of strings on fakes.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use terrace_memory::Config;
use terrace_store::fakes::{FrozenClock, MapStore};
use terrace_store::{
    Clock, CodecId, Condition, DeleteOptions, Deleted, Entry, Error, ErrorKind, Key, Namespace, Result,
    Spawn, Tags, Written,
};
use terrace_tiers::{
    Ask, Codec, Decode, Foundation, HotConfig, HotTier, Lifetime, Live, Load, Loaded, Loading, Lower,
    Options, Parcel, PutRequest, Tier, Tiers, WriteMode,
};

use crate::gate::Gate;

pub(crate) struct Text;

pub(crate) static TEXT: Text = Text;

impl Codec for Text {
    fn id(&self) -> CodecId {
        CodecId::RAW
    }
    fn fingerprint(&self) -> u64 {
        1
    }
    fn encode(&self, live: &Live) -> Result<Bytes> {
        Ok(Bytes::from(live.downcast_ref::<String>().expect("a string").clone()))
    }
    fn decode(&self, entry: &Entry) -> Result<Live> {
        match std::str::from_utf8(&entry.value) {
            Ok(text) => Ok(Arc::new(text.to_owned())),
            Err(error) => Err(Error::new(ErrorKind::Codec, "decode").caused_by(error)),
        }
    }
}

pub(crate) const DECODE: Decode = Decode { codec: Some(&TEXT), retyped: false };

/// The tiers of a test, and what is beneath them.
pub(crate) struct World {
    pub(crate) tiers: Arc<Tiers>,
    pub(crate) hot: Arc<HotTier<String, String>>,
    pub(crate) clock: FrozenClock,
}

/// Stores below the hot tier, from the top.
pub(crate) type Below = Vec<(Tier, Arc<Gate>, WriteMode)>;

pub(crate) fn gate(clock: &FrozenClock, in_place: bool) -> Arc<Gate> {
    Gate::new(Arc::new(MapStore::new(Arc::new(clock.clone()))), in_place)
}

/// A hot tier over these.
pub(crate) async fn open(clock: &FrozenClock, below: &Below, spawn: Arc<dyn Spawn>) -> World {
    let options = Options { load_timeout: Some(Duration::from_secs(10)), ..Options::default() };
    let base = Foundation::new(Arc::new(clock.clone()), options);
    let config = HotConfig {
        memory: Config::bytes(1 << 20),
        namespace: namespace(),
        hold: |live| live.downcast_ref::<String>().cloned(),
        keep_unexpiring: false,
    };
    let hot = Arc::new(HotTier::new(
        config,
        Arc::clone(&base.clock),
        Arc::clone(&base.floors),
        Arc::clone(&base.generations),
    ));
    let lower =
        below.iter().map(|(tier, gate, mode)| Lower::new(*tier, Arc::clone(gate) as _, *mode)).collect();
    let erased: Arc<dyn terrace_tiers::Hot> = hot.clone();
    let tiers = Tiers::open(base, Some(erased), lower, spawn).await.expect("opens");
    World { tiers, hot, clock: clock.clone() }
}

pub(crate) fn namespace() -> Namespace {
    Namespace::new("n").unwrap()
}

pub(crate) fn key(name: &str) -> Key {
    namespace().key(name).unwrap()
}

impl World {
    /// A read as the typed API does it.
    pub(crate) async fn get(&self, name: &str) -> Result<Option<String>> {
        if let Some(value) = self.in_hot(name) {
            return Ok(Some(value));
        }
        let found = self.tiers.fetch(key(name), Ask { decode: DECODE, load: None }).await?;
        Ok(found.parcel.filter(|_| !found.stale).map(|parcel| text(&parcel)))
    }

    pub(crate) fn in_hot(&self, name: &str) -> Option<String> {
        self.hot.get(name, |held, _| held.value.clone())
    }

    pub(crate) fn load<F>(
        &self,
        name: &str,
        load: impl FnOnce(Loading) -> F + Send + 'static,
    ) -> terrace_tiers::Fetch
    where
        F: Future<Output = Result<String>> + Send + 'static,
    {
        let loader = Box::new(move |loading| {
            let loading = load(loading);
            let erase =
                |value: String| Loaded { weight: value.len() as u64, live: Arc::new(value), weighed: true };
            Box::pin(async move { loading.await.map(erase) }) as _
        });
        let load = Load { loader, lifetime: Lifetime::default() };
        self.tiers.fetch(key(name), Ask { decode: DECODE, load: Some(load) })
    }

    pub(crate) async fn put(&self, name: &str, value: &str) -> Result<Written> {
        self.put_with(name, value, |_| ()).await
    }

    pub(crate) async fn put_with(
        &self,
        name: &str,
        value: &str,
        with: impl FnOnce(&mut Entry),
    ) -> Result<Written> {
        let mut entry = Entry::new("");
        entry.created_ms = self.clock.wall_ms();
        with(&mut entry);
        let parcel = Parcel { entry, live: Some(Arc::new(value.to_owned())), weight: value.len() as u64 };
        let request = PutRequest { condition: Condition::Any, codec: Some(&TEXT), ..PutRequest::default() };
        self.tiers.put(&key(name), parcel, request).await
    }

    pub(crate) async fn put_tagged(&self, name: &str, value: &str, tag: &str) -> Result<Written> {
        let tags = Tags::new([tag]).unwrap();
        self.put_with(name, value, |entry| entry.tags = tags).await
    }

    pub(crate) async fn delete(&self, name: &str) -> Result<Deleted> {
        self.tiers.delete(&key(name), DeleteOptions::default()).await
    }
}

pub(crate) fn text(parcel: &Parcel) -> String {
    parcel.live.as_ref().and_then(|live| live.downcast_ref::<String>()).expect("a string").clone()
}

pub(crate) fn loaded(outcome: Result<terrace_tiers::Found>) -> Result<String> {
    outcome.map(|found| text(&found.parcel.expect("a load brings a value")))
}
