//! A cache in front of object storage, which is object storage itself.

use std::sync::Arc;

use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use terrace::Size;
use terrace::object_store::CachedObjectStore;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    // In a bucket it would be `terrace::backends::object_store::client(&bucket, timeout)?`, or any other of the crate's.
    let bucket: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
    bucket.put(&Path::from("table/part-0"), vec![7; 5_000_000].into()).await?;

    let folder = tempfile::tempdir()?;
    let cached = CachedObjectStore::builder(bucket)
        .memory(64.mib())
        .disk(folder.path(), 1.gib())
        .part_size(256.kib())
        .build()
        .await?;

    // Whatever takes an `ObjectStore` takes this one: here are the last bytes of a file, as a reader of Parquet wants them.
    let at = Path::from("table/part-0");
    let size = cached.head(&at).await?.size;
    let footer = cached.get_range(&at, size - 8..size).await?;
    println!("{} bytes, of which the last are {footer:?}", size);
    println!("{:?}", cached.parts().stats().loads);
    Ok(())
}
