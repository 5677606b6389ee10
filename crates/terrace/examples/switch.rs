//! From one store to another while both are used, without a write lost.

use std::sync::Arc;

use terrace::layers::copy::CopyConfig;
use terrace::layers::{Switch, World};
use terrace::stack::{Stack, StackConfig};
use terrace::store::rng::SplitMix;
use terrace::store::tokio_runtime::{TokioClock, TokioSpawn};
use terrace::store::{Key, Store, StoreExt};

#[tokio::main]
pub(crate) async fn main() -> terrace::Result<()> {
    let world = World::new(
        Arc::new(TokioClock::current()?),
        Arc::new(SplitMix::random()),
        Arc::new(TokioSpawn::current()?),
    );
    let old = Stack::builder(StackConfig::from_toml("storage = \"memory:\"")?).build().await?;
    let new =
        Stack::builder(StackConfig::from_toml("storage = \"memory:\"\nchecksum = true")?).build().await?;
    for n in 0..1_000_u32 {
        let _ = old.store().put_with(&Key::new("n", n.to_be_bytes())?, "before").tag("t").await?;
    }

    // From here on the program uses the switch in place of the old store.
    let store = Arc::new(
        Switch::open(Arc::clone(old.store()), Arc::clone(new.store()), CopyConfig::new("old")).await?,
    );
    let key = Key::new("n", "written meanwhile")?;
    let mut silent = |_| {};
    let written = store.put_with(&key, "v").into_future();
    let (ran, written) = tokio::join!(store.run(&world, &mut silent), written);
    let (report, _) = (ran?, written?);
    assert!(report.is_equal() && store.has_turned());
    assert!(new.store().get(&key).await?.is_some());
    println!("{} entries copied, {} equal", report.copied, report.compared);
    store.close().await
}
