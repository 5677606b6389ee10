//! redb: files of others, and damage that it is asked to look for.

use std::path::Path;
use std::sync::Arc;

use tempfile::TempDir;
use terrace_backends::redb::{RedbConfig, RedbStore};
use terrace_store::fakes::FrozenClock;
use terrace_store::tokio_runtime::TokioSpawn;
use terrace_store::{Entry, ErrorKind, Health, Key, PutOptions, Result, Store};

fn open(folder: &Path, check: bool) -> Result<RedbStore> {
    let config = RedbConfig { check, ..RedbConfig::new(folder) };
    RedbStore::open(config, Arc::new(FrozenClock::default()), Arc::new(TokioSpawn::current()?))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_of_anybody_else_is_refused_in_words_and_left_alone() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("terrace.redb");
    std::fs::write(&file, "dear diary, ".repeat(1000)).unwrap();
    let error = open(folder.path(), false).err().expect("it was opened");
    assert_eq!(error.kind(), ErrorKind::Corrupt, "{error:?}");
    assert!(error.to_string().contains(folder.path().to_str().unwrap()), "{error}");
    assert_eq!(std::fs::read_to_string(file).unwrap(), "dear diary, ".repeat(1000));
}

#[tokio::test(flavor = "multi_thread")]
async fn another_program_that_has_the_file_open_is_told_of() {
    let folder = TempDir::new().unwrap();
    let other = ::redb::Database::create(folder.path().join("terrace.redb")).unwrap();
    let error = open(folder.path(), false).err().expect("it was opened");
    assert_eq!(error.kind(), ErrorKind::Busy, "{error:?}");
    drop(other);
    assert_eq!(open(folder.path(), false).unwrap().health().await, Health::Up);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_check_finds_damage_that_was_done_after_a_clean_close() {
    let folder = TempDir::new().unwrap();
    let store = open(folder.path(), true).unwrap();
    let deferred = PutOptions { deferred: true, ..PutOptions::default() };
    for n in 0..500_u32 {
        let key = Key::new("test", n.to_be_bytes()).unwrap();
        let _ = store
            .put(&key, Entry::new(format!("a value that is to be found {n:06}")), deferred)
            .await
            .unwrap();
    }
    store.close().await.unwrap();
    drop(store);
    open(folder.path(), true).unwrap().close().await.unwrap();
    let file = folder.path().join("terrace.redb");
    let mut bytes = std::fs::read(&file).unwrap();
    let value = b"a value that is to be found 000321";
    let places: Vec<usize> =
        (0..bytes.len() - value.len()).filter(|at| bytes[*at..].starts_with(value)).collect();
    assert!(!places.is_empty());
    for place in places {
        bytes[place] ^= 1;
    }
    std::fs::write(&file, bytes).unwrap();
    let error = open(folder.path(), true).err().expect("it was opened");
    assert_eq!(error.kind(), ErrorKind::Corrupt, "{error:?}");
    // Whoever opens it unchecked finds the rest, and an error in the place of the value.
    let store = open(folder.path(), false).unwrap();
    for (n, sound) in [(321_u32, false), (1, true)] {
        let found = store.get(&Key::new("test", n.to_be_bytes()).unwrap()).await;
        assert_eq!(found.is_ok(), sound, "{found:?}");
    }
}
