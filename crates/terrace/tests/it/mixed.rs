//! Caches that hold values of many types.

use serde::{Deserialize, Serialize};
use terrace::{Cache, Encoding, ErrorKind, Size};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct User {
    name: String,
    age: u8,
}

fn ada() -> User {
    User { name: "Ada".into(), age: 36 }
}

#[tokio::test]
async fn each_key_has_its_own_type_and_another_is_a_mismatch_in_every_tier() {
    for encoding in [Encoding::Postcard, Encoding::MessagePack, Encoding::Json] {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::<String>::builder("n")
            .cold(folder.path(), 1.gib())
            .encoding(encoding)
            .build()
            .await
            .unwrap();
        cache.put("user", &ada()).await.unwrap();
        cache.put("count", &7u64).await.unwrap();
        cache.put("text", "borrowed").await.unwrap();
        for _ in ["from memory", "from the disk"] {
            assert_eq!(cache.get::<User>("user").await.unwrap(), Some(ada()));
            assert_eq!(cache.get::<u64>("count").await.unwrap(), Some(7));
            assert_eq!(cache.get::<String>("text").await.unwrap().as_deref(), Some("borrowed"));
            assert_eq!(cache.get::<u64>("user").await.unwrap_err().kind(), ErrorKind::TypeMismatch);
            assert_eq!(cache.lookup::<String>("count").await.unwrap_err().kind(), ErrorKind::TypeMismatch);
            let loaded = cache.get_or_load::<u64, _, _, _>("user", |_| async { Ok::<_, std::io::Error>(1) });
            assert_eq!(loaded.await.unwrap_err().kind(), ErrorKind::TypeMismatch);
            cache.tiers().set_hot_capacity(0);
            cache.tiers().set_hot_capacity(1.mib());
        }
        cache.close().await.unwrap();
    }
}

#[tokio::test]
async fn a_follower_of_another_type_is_told_so() {
    let cache = Cache::<String>::builder("n").build().await.unwrap();
    let number = cache.get_or_load("k", |_| async {
        tokio::task::yield_now().await;
        Ok::<_, std::io::Error>(7u64)
    });
    let text = cache.get_or_load("k", |_| async { Ok::<_, std::io::Error>("text".to_owned()) });
    let (number, text) = tokio::join!(number, text);
    assert_eq!(number.unwrap(), 7);
    assert_eq!(text.unwrap_err().kind(), ErrorKind::TypeMismatch);
}

#[tokio::test]
async fn the_example_of_the_documents_runs() {
    let folder = tempfile::tempdir().unwrap();
    let cache =
        Cache::<String>::builder("orders").hot(64.mib()).cold(folder.path(), 10.gib()).build().await.unwrap();
    cache.put("user:1", &ada()).ttl("10m").tag("users").await.unwrap();
    let user: Option<User> = cache.get("user:1").await.unwrap();
    assert_eq!(user, Some(ada()));
    cache.put("n", &1u64).await.unwrap();
    assert!(cache.compare_and_swap("n", &1u64, &2u64).await.unwrap());
    assert!(!cache.compare_and_swap("n", &1u64, &3u64).await.unwrap());
    assert_eq!(cache.get::<u64>("n").await.unwrap(), Some(2));
    cache.invalidate(terrace::Tag("users")).await.unwrap();
    assert_eq!(cache.get::<User>("user:1").await.unwrap(), None);
}
