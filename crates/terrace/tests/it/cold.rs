//! The tier on the disk.

use serde::{Deserialize, Serialize};
use terrace::{Cache, ErrorKind, Lookup, Size, Tier};

#[tokio::test]
async fn what_was_written_is_served_from_the_disk_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let open = || Cache::<u64, String>::builder("n").hot(1.mib()).cold(folder.path(), 1.gib()).build();
    let cache = open().await.unwrap();
    for n in 0..100u64 {
        cache.put(n, format!("value {n}")).await.unwrap();
    }
    cache.close().await.unwrap();
    drop(cache);

    let cache = open().await.unwrap();
    for n in 0..100u64 {
        let Lookup::Hit(item) = cache.lookup(&n).await.unwrap() else { panic!("key {n} is lost") };
        assert_eq!((item.value, item.tier), (format!("value {n}"), Tier::Cold));
    }
    assert_eq!(cache.lookup(&7).await.unwrap().item().unwrap().tier, Tier::Hot, "it was promoted");
    let stats = cache.stats();
    assert_eq!((stats.tiers[1].tier, stats.tiers[1].hits), (Tier::Cold, 100));
}

#[tokio::test]
async fn a_folder_in_use_is_refused_in_words() {
    let folder = tempfile::tempdir().unwrap();
    let first = Cache::<u64, u64>::builder("n").cold(folder.path(), 1.gib()).build().await.unwrap();
    let error = Cache::<u64, u64>::builder("n").cold(folder.path(), 1.gib()).build().await.err().unwrap();
    assert!(error.to_string().contains(&*folder.path().to_string_lossy()), "{error}");
    first.close().await.unwrap();
    Cache::<u64, u64>::builder("n").cold(folder.path(), 1.gib()).build().await.unwrap();
}

/// 1000 bytes that no compression makes fewer.
fn noise(seed: u64) -> Vec<u8> {
    let mut state = seed + 1;
    let mut next = || {
        state = state.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(0x1405_7b7e_f767_814f);
        (state >> 56) as u8
    };
    (0..1000).map(|_| next()).collect()
}

#[cfg(feature = "fjall")]
#[tokio::test]
async fn the_engine_before_can_be_chosen_and_its_folder_is_not_taken_for_a_log() {
    let folder = tempfile::tempdir().unwrap();
    let open = || Cache::<u64, String>::builder("n").hot(1.mib()).cold_fjall(folder.path(), 1.gib()).build();
    let cache = open().await.unwrap();
    cache.put(1u64, "one".to_owned()).await.unwrap();
    cache.close().await.unwrap();
    drop(cache);
    let refused =
        Cache::<u64, String>::builder("n").cold(folder.path(), 1.gib()).build().await.err().unwrap();
    let said = refused.to_string();
    assert!(said.contains("fjall") && said.contains("terrace disk migrate"), "{said}");
    assert_eq!(open().await.unwrap().get(&1).await.unwrap().as_deref(), Some("one"));
}

#[tokio::test]
async fn a_disk_tier_too_small_to_be_one_is_refused_in_words() {
    let folder = tempfile::tempdir().unwrap();
    let refused = Cache::<u64, u64>::builder("n").cold(folder.path(), 64.kib()).build().await.err().unwrap();
    assert!(refused.to_string().contains("1 MiB"), "{refused}");
}

#[tokio::test]
async fn a_full_disk_tier_makes_room_and_keeps_what_is_in_use() {
    let folder = tempfile::tempdir().unwrap();
    let cache =
        Cache::<u64, Vec<u8>>::builder("n").hot(64.kib()).cold(folder.path(), 1.mib()).build().await.unwrap();
    for n in 0..4_000u64 {
        cache.put(n, noise(n)).await.unwrap();
        assert_eq!(cache.get(&0).await.unwrap(), Some(noise(0)), "key 0 is always in use ({n})");
    }
    let mut kept = 0;
    for n in 0..4_000u64 {
        kept += u32::from(cache.contains(&n).await.unwrap());
    }
    assert!((500..1200).contains(&kept), "{kept} entries of 1000 bytes in 1 MiB");
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Old {
    name: String,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct New {
    name: String,
    age: u8,
}

#[tokio::test]
async fn stored_entries_of_an_older_shape_are_misses_that_the_next_write_mends() {
    let folder = tempfile::tempdir().unwrap();
    let cache = Cache::<u64, Old>::builder("n").cold(folder.path(), 1.gib()).build().await.unwrap();
    cache.put(1u64, Old { name: "a".into() }).await.unwrap();
    cache.close().await.unwrap();
    drop(cache);

    let cache = Cache::<u64, New>::builder("n").cold(folder.path(), 1.gib()).build().await.unwrap();
    assert_eq!(cache.get(&1).await.unwrap(), None);
    let new = New { name: "a".into(), age: 1 };
    let value = new.clone();
    assert_eq!(cache.get_or_load(&1, |_| async { Ok::<_, std::io::Error>(value) }).await.unwrap(), new);
    assert_eq!(cache.get(&1).await.unwrap(), Some(new));
}

#[tokio::test]
async fn a_folder_that_cannot_be_one_is_refused_in_words() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let error = Cache::<u64, u64>::builder("n").cold(file.path(), 1.gib()).build().await.err().unwrap();
    assert_ne!(error.kind(), ErrorKind::Unknown);
    assert!(error.to_string().contains(&*file.path().to_string_lossy()), "{error}");
}

#[tokio::test]
async fn reclaiming_the_space_of_what_was_purged_leaves_what_came_after() {
    let folder = tempfile::tempdir().unwrap();
    let cache = Cache::<u64, u64>::builder("n").cold(folder.path(), 1.gib()).build().await.unwrap();
    for n in 0..100u64 {
        cache.put(n, n).tag("old").await.unwrap();
    }
    cache.clear().await.unwrap();
    for n in 50..60u64 {
        cache.put(n, n + 1).await.unwrap();
    }
    cache.tiers().reclaim().await;
    cache.tiers().reclaim().await;
    for n in 0..100u64 {
        let expected = (50..60).contains(&n).then_some(n + 1);
        assert_eq!(cache.get(&n).await.unwrap(), expected, "key {n}");
    }
    let namespace = terrace::store::Namespace::new("n").unwrap();
    let authority = cache.tiers().authority().unwrap();
    assert_eq!(authority.as_iterate().unwrap().count(&namespace).await.unwrap(), 10);
}
