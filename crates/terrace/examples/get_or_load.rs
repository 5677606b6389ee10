//! One load, however many ask.

use std::time::Duration;

use terrace::Cache;

#[tokio::main]
async fn main() -> terrace::Result<()> {
    let cache = Cache::<u64, String>::builder("reports").ttl("1h").build().await?;
    let readers: Vec<_> = (0..1000)
        .map(|_| {
            let cache = cache.clone();
            tokio::spawn(async move {
                let load = |_| async {
                    println!("asking the slow database");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    Ok::<_, std::io::Error>("a long report".to_owned())
                };
                cache.get_or_load(&7, load).await
            })
        })
        .collect();
    for reader in readers {
        assert_eq!(reader.await.expect("the reader ends")?, "a long report");
    }
    println!("{:?}", cache.stats().loads);
    Ok(())
}
