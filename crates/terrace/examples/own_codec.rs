//! A codec of one's own, which a configuration names: runs of one byte, for bitmaps that are mostly empty.

use terrace::layers::compression::Codec;
use terrace::stack::{Registry, Sources, Stack};
use terrace::store::{Key, StoreExt};
use terrace::{Error, ErrorKind, Result};

struct Runs;

impl Codec for Runs {
    fn name(&self) -> &str {
        "runs"
    }

    /// Stored with each value, so never to be given to another.
    fn id(&self) -> u8 {
        200
    }

    fn encode(&self, value: &[u8], out: &mut Vec<u8>) -> Result<()> {
        for run in value.chunk_by(|a, b| a == b).flat_map(|run| run.chunks(255)) {
            out.extend([run.len() as u8, run[0]]);
        }
        Ok(())
    }

    fn decode(&self, encoded: &[u8], length: usize, out: &mut Vec<u8>) -> Result<()> {
        for run in encoded.chunks_exact(2) {
            let end = out.len() + usize::from(run[0]);
            if end > length {
                return Err(Error::new(ErrorKind::Corrupt, "runs"));
            }
            out.resize(end, run[1]);
        }
        Ok(())
    }
}

#[tokio::main]
pub(crate) async fn main() -> Result<()> {
    let mut registry = Registry::default();
    registry.register_codec(Runs)?;

    let mut sources = Sources::new(&registry);
    sources
        .toml("example", "storage = \"memory:\"\ncompression = { algorithm = \"runs\", min_size = 16 }")?;
    let stack = Stack::builder(sources.finish()?).registry(&registry).build().await?;

    let key = Key::new("bitmaps", "1")?;
    let _ = stack.store().put_with(&key, vec![0; 100_000]).await?;
    let compression = stack.layer::<terrace::layers::Compression>();
    let stored = compression.as_ref().map(|layer| layer.inner());
    let stored = stored.ok_or_else(|| Error::new(ErrorKind::Config, "example"))?.get(&key).await?;
    let length = stored.map_or(0, |entry| entry.value.len());
    assert!(length < 1_000, "{length}");
    assert_eq!(stack.store().get(&key).await?.map(|entry| entry.value.len()), Some(100_000));
    println!("100000 bytes are stored as {length}");
    stack.close().await
}
