//! A program without a runtime.

use terrace::{Cache, Size};

fn main() -> terrace::Result<()> {
    let cache = Cache::<String, Vec<u8>>::builder("files").hot(64.mib()).build_blocking()?;
    let blocking = cache.blocking();
    let read = |_| std::fs::read("Cargo.toml");
    let bytes = blocking.get_or_load("Cargo.toml", read)?;
    println!("{} bytes, read once", bytes.len());
    assert_eq!(blocking.get("Cargo.toml")?, Some(bytes));
    blocking.close()
}
