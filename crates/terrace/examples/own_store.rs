//! A store of one's own under a URL scheme of its own: stores in memory that all who name them share.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use terrace::backends::memory::{MemoryConfig, MemoryStore};
use terrace::stack::{Registry, Sources, Stack};
use terrace::store::{Key, Store, StoreExt};

#[tokio::main]
pub(crate) async fn main() -> terrace::Result<()> {
    let named: Mutex<HashMap<String, Arc<dyn Store>>> = Mutex::default();
    let mut registry = Registry::default();
    registry.register_backend("shared", move |mut url, clock, _spawn| {
        let capacity = url.number("capacity")?;
        let name = url.path()?.display().to_string();
        url.finish()?;
        let mut named = named.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(store) = named.get(&name) {
            return Ok(Arc::clone(store));
        }
        let store: Arc<dyn Store> =
            Arc::new(MemoryStore::open(MemoryConfig { capacity, ..MemoryConfig::default() }, clock)?);
        named.insert(name, Arc::clone(&store));
        Ok(store)
    })?;

    let mut stacks = Vec::new();
    for text in
        ["storage = \"shared:orders?capacity=1000000\"", "storage = { type = \"shared\", path = \"orders\" }"]
    {
        let mut sources = Sources::new(&registry);
        sources.toml("example", text)?;
        stacks.push(Stack::builder(sources.finish()?).registry(&registry).build().await?);
    }
    let key = Key::new("n", "k")?;
    let _ = stacks[0].store().put_with(&key, "seen by both").await?;
    let found = stacks[1].store().get(&key).await?;
    assert_eq!(found.as_ref().map(|entry| &entry.value[..]), Some(&b"seen by both"[..]));
    println!("{found:?}");
    Ok(())
}
