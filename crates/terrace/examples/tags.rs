//! Invalidating many keys by what they have in common.

use terrace::{Cache, Lookup, Tag};

#[tokio::main(flavor = "current_thread")]
async fn main() -> terrace::Result<()> {
    let cache = Cache::<String, u64>::builder("prices").build().await?;
    cache.put("tea", 3).tag("drinks").await?;
    cache.put("coffee", 4).tag("drinks").await?;
    cache.put("bread", 5).tag("food").await?;

    cache.invalidate(Tag("drinks")).await?;
    assert_eq!(cache.get_many(["tea", "coffee", "bread"]).await?, [None, None, Some(5)]);

    // Softly: a lookup still shows it, so that it can be served while a fresh value is fetched.
    cache.expire(Tag("food")).await?;
    assert!(matches!(cache.lookup("bread").await?, Lookup::Stale(_)));
    println!("drinks are gone, bread is stale");
    Ok(())
}
