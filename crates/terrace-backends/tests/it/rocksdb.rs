//! rocksdb: what is its own: backups, and what its options refuse. What it shares with the others is in `ordered.rs`.

use std::sync::Arc;

use tempfile::TempDir;
use terrace_backends::rocksdb::{RocksdbConfig, RocksdbStore};
use terrace_store::fakes::FrozenClock;
use terrace_store::tokio_runtime::TokioSpawn;
use terrace_store::{ErrorKind, Health, Key, Namespace, Result, Store, StoreExt};

fn key(n: u32) -> Key {
    Key::new("test", n.to_be_bytes()).unwrap()
}

fn open(config: RocksdbConfig) -> Result<RocksdbStore> {
    RocksdbStore::open(config, Arc::new(FrozenClock::default()), Arc::new(TokioSpawn::current()?))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_of_an_open_store_is_restored_as_it_was() {
    let (folder, backups, restored) =
        (TempDir::new().unwrap(), TempDir::new().unwrap(), TempDir::new().unwrap());
    let store = open(RocksdbConfig::new(folder.path())).unwrap();
    for n in 0..500 {
        let _ = store.put_with(&key(n), "before").await.unwrap();
    }
    store.backup(backups.path().join("first")).await.unwrap();
    let _ = store.put_with(&key(7), "after").await.unwrap();
    assert!(store.remove(&key(8)).await.unwrap());
    store.backup(backups.path().join("second")).await.unwrap();
    store.backup(backups.path().join("second")).await.unwrap();
    store.close().await.unwrap();
    for (name, seventh, count) in [("first", "before", 500), ("second", "after", 499)] {
        let to = restored.path().join(name);
        RocksdbStore::restore(&backups.path().join(name), &to).unwrap();
        let again = RocksdbStore::restore(&backups.path().join(name), &to).unwrap_err();
        assert_eq!(again.kind(), ErrorKind::Conflict, "{again:?}");
        let store = open(RocksdbConfig::new(&to)).unwrap();
        assert_eq!(store.get(&key(7)).await.unwrap().unwrap().value, seventh);
        let iterate = store.as_iterate().unwrap();
        assert_eq!(iterate.count(&Namespace::new("test").unwrap()).await.unwrap(), count);
        assert_eq!(store.health().await, Health::Up);
        let written = store.put_with(&key(1_000), "new").await.unwrap();
        assert!(written.version().is_some());
        store.close().await.unwrap();
    }
    let empty =
        RocksdbStore::restore(&backups.path().join("none"), &restored.path().join("none")).unwrap_err();
    assert!(empty.to_string().contains("no backup"), "{empty}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_view_outlives_the_rows_it_shows_and_the_close_of_its_store() {
    let folder = TempDir::new().unwrap();
    let store = open(RocksdbConfig::new(folder.path())).unwrap();
    for n in 0..50 {
        let _ = store.put_with(&key(n), "before").await.unwrap();
    }
    let view = store.as_snapshot().unwrap().snapshot().await.unwrap();
    store.clear_namespace(&Namespace::new("test").unwrap()).await.unwrap();
    assert_eq!(view.get(&key(3)).await.unwrap().unwrap().value, "before");
    store.close().await.unwrap();
    assert_eq!(view.get(&key(3)).await.unwrap_err().kind(), ErrorKind::Closed);
    drop(view);
    assert_eq!(open(RocksdbConfig::new(folder.path())).unwrap().get(&key(3)).await.unwrap(), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn options_that_rocksdb_would_change_by_itself_are_refused() {
    let folder = TempDir::new().unwrap();
    let base = RocksdbConfig::new(folder.path());
    for config in [
        RocksdbConfig { write_buffer_size: 1, ..base.clone() },
        RocksdbConfig { max_open_files: 3, ..base.clone() },
        RocksdbConfig { max_open_files: -2, ..base },
    ] {
        let error = open(config).err().expect("it was opened");
        assert!(error.kind() == ErrorKind::Config && error.to_string().contains("at least"), "{error}");
    }
}
