//! A layer of one's own, which a configuration names: it refuses values that are too long.

use std::sync::Arc;

use serde::Deserialize;
use terrace::layers::transform::{Transform, Transformed};
use terrace::layers::{Layer, Layered, World};
use terrace::stack::{Registry, Sources, Stack};
use terrace::store::{BoxFuture, Entry, Key, PutOptions, Store, StoreExt};
use terrace::{Error, ErrorKind, Result};

/// The options of its section.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Longest {
    bytes: usize,
}

impl Transform for Longest {
    fn encode(&self, _key: &Key, entry: Entry, _options: &PutOptions) -> Result<Entry> {
        if entry.value.len() > self.bytes {
            return Err(Error::new(ErrorKind::Invalid, "put")
                .because(format!("values are at most {} bytes long here", self.bytes)));
        }
        Ok(entry)
    }

    fn decode(&self, _key: &Key, entry: Entry) -> Result<Entry> {
        Ok(entry)
    }

    fn added(&self) -> Option<u64> {
        Some(0)
    }
}

impl Layer for Longest {
    fn name(&self) -> &str {
        "longest"
    }

    /// Above compression, so that the caller's length counts.
    fn rank(&self) -> u16 {
        850
    }

    fn wrap<'a>(self: Box<Self>, inner: Arc<dyn Store>, _world: &'a World) -> BoxFuture<'a, Result<Layered>> {
        Box::pin(async move { Ok(Layered::new(Transformed::new(inner, *self))) })
    }
}

#[tokio::main]
pub(crate) async fn main() -> Result<()> {
    let mut registry = Registry::default();
    registry.register_layer("longest", |options, _world| Ok(Box::new(options.read::<Longest>()?)))?;

    let mut sources = Sources::new(&registry);
    sources.toml("example", "storage = \"memory:\"\ncompression = true\nlongest = { bytes = 1000 }")?;
    let stack = Stack::builder(sources.finish()?).registry(&registry).build().await?;
    assert_eq!(stack.names().collect::<Vec<_>>(), ["longest", "compression"]);

    let key = Key::new("n", "k")?;
    let _ = stack.store().put_with(&key, vec![0; 1000]).await?;
    let refused = stack.store().put_with(&key, vec![0; 1001]).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Invalid);
    println!("{refused}");
    stack.close().await
}
