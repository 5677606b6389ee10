//! Writes that depend on what is there, with and without a store that decides.

use std::sync::Arc;

use terrace::{Cache, Size, Tag};

async fn caches() -> Vec<(tempfile::TempDir, Cache<String, u64>)> {
    let mut caches = Vec::new();
    for cold in [false, true] {
        let folder = tempfile::tempdir().unwrap();
        let builder = Cache::<String, u64>::builder("n").hot(1.mib());
        let builder = if cold { builder.cold(folder.path(), 1.gib()) } else { builder };
        caches.push((folder, builder.build().await.unwrap()));
    }
    caches
}

#[tokio::test]
async fn put_if_absent_replace_and_get_or_insert_keep_their_word() {
    for (_folder, cache) in caches().await {
        assert_eq!(cache.replace("k", 1).await.unwrap(), None);
        assert_eq!(cache.get("k").await.unwrap(), None);
        assert!(cache.put_if_absent("k", 1).await.unwrap());
        assert!(!cache.put_if_absent("k", 2).await.unwrap());
        assert_eq!(cache.replace("k", 3).await.unwrap(), Some(1));
        assert_eq!(cache.get_or_insert("k", 9).await.unwrap(), 3);
        assert_eq!(cache.get_or_insert("other", 9).await.unwrap(), 9);
        cache.remove("k").await.unwrap();
        assert!(cache.put_if_absent("k", 4).await.unwrap());
    }
}

#[tokio::test]
async fn what_was_invalidated_counts_as_absent() {
    for (_folder, cache) in caches().await {
        cache.put("k", 1).tag("t").await.unwrap();
        cache.invalidate(Tag("t")).await.unwrap();
        assert!(!cache.contains("k").await.unwrap());
        assert_eq!(cache.replace("k", 2).await.unwrap(), None);
        assert!(cache.put_if_absent("k", 3).await.unwrap());
        assert_eq!(cache.get("k").await.unwrap(), Some(3));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn swaps_by_many_tasks_add_up() {
    for (_folder, cache) in caches().await {
        cache.put("n", 0).await.unwrap();
        let cache = Arc::new(cache);
        let tasks: Vec<_> = (0..8)
            .map(|_| {
                let cache = Arc::clone(&cache);
                tokio::spawn(async move {
                    for _ in 0..100 {
                        loop {
                            let now = cache.get("n").await.unwrap().unwrap();
                            if cache.compare_and_swap("n", &now, now + 1).await.unwrap() {
                                break;
                            }
                        }
                    }
                })
            })
            .collect();
        for task in tasks {
            task.await.unwrap();
        }
        assert_eq!(cache.get("n").await.unwrap(), Some(800));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_many_who_put_if_absent_one_wins() {
    for (_folder, cache) in caches().await {
        let cache = Arc::new(cache);
        for round in 0..50 {
            let key = format!("k{round}");
            let tasks: Vec<_> = (0..8)
                .map(|n| {
                    let (cache, key) = (Arc::clone(&cache), key.clone());
                    tokio::spawn(async move { cache.put_if_absent(key, n).await.unwrap() })
                })
                .collect();
            let mut winners = 0;
            for task in tasks {
                winners += u32::from(task.await.unwrap());
            }
            assert_eq!(winners, 1, "round {round}");
        }
    }
}
