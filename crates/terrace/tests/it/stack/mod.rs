//! Stacks from configurations: every key acts, every mistake is told.

mod document;
mod keys;
mod layers;
mod mistakes;
mod sources;

use std::sync::Arc;

use terrace::stack::{Stack, StackConfig};
use terrace::store::{Entry, Key, Store, StoreExt};
use terrace::{Error, Result};

fn toml(text: &str) -> Result<StackConfig> {
    StackConfig::from_toml(text)
}

async fn build(text: &str) -> Result<Stack> {
    Stack::builder(toml(text)?).build().await
}

fn key(name: &str) -> Key {
    Key::new("n", name).expect("a short name")
}

async fn read(store: &Arc<dyn Store>, name: &str) -> Option<Entry> {
    store.get(&key(name)).await.expect("it can be read")
}

async fn write(store: &Arc<dyn Store>, name: &str, value: impl Into<bytes::Bytes>) {
    let _ = store.put_with(&key(name), value).await.expect("it can be written");
}

fn refused<T>(result: Result<T>) -> Error {
    result.err().expect("it is refused")
}
