//! A stack from a configuration, and a cache over it.

use terrace::stack::{Stack, StackConfig};

#[tokio::main]
pub(crate) async fn main() -> terrace::Result<()> {
    let config = StackConfig::from_toml(
        r#"
        storage = "memory:"
        l1_capacity = 10_000
        ttl_seconds = 300
        compression = { algorithm = "lz4", min_size = 1024 }
        checksum = true
        "#,
    )?;
    let stack = Stack::builder(config).build().await?;
    assert_eq!(stack.names().collect::<Vec<_>>(), ["compression", "checksum"]);

    let orders = stack.cache::<String>("orders").build().await?;
    orders.put("7", "tea".to_owned()).await?;
    println!("{:?} through {:?}", orders.get("7").await?, stack.names().collect::<Vec<_>>());
    orders.close().await
}
