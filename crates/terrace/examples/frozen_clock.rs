//! Testing expiry without waiting: the clock is handed in.

use std::sync::Arc;

use terrace::Cache;
use terrace::store::fakes::FrozenClock;

#[tokio::main(flavor = "current_thread")]
async fn main() -> terrace::Result<()> {
    let clock = FrozenClock::at_wall_ms(1_700_000_000_000);
    let cache = Cache::<String, u64>::builder("n").clock(Arc::new(clock.clone())).build().await?;
    cache.put("k", 1).ttl("10m").await?;
    clock.advance_ms(10 * 60 * 1000 - 1);
    assert_eq!(cache.get("k").await?, Some(1));
    clock.advance_ms(1);
    assert_eq!(cache.get("k").await?, None);
    println!("ten minutes passed in no time");
    Ok(())
}
