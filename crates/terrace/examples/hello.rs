//! Values of many types in one cache, kept on the disk between runs.

use serde::{Deserialize, Serialize};
use terrace::{Cache, Size};

#[derive(Clone, Debug, Serialize, Deserialize)]
struct User {
    name: String,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> terrace::Result<()> {
    let folder = std::env::temp_dir().join("terrace-hello");
    let cache = Cache::<String>::builder("hello").hot(16.mib()).cold(folder, 1.gib()).build().await?;

    let visits = cache.get::<u64>("visits").await?.unwrap_or(0) + 1;
    cache.put("visits", &visits).await?;
    cache.put("user:1", &User { name: "Ada".into() }).ttl("10m").await?;

    println!("run number {visits}; user 1 is {:?}", cache.get::<User>("user:1").await?);
    cache.close().await
}
