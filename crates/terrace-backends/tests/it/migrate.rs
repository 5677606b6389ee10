//! From folders of the fjall store to folders of the log.

use std::collections::BTreeMap;
use std::num::NonZeroU64;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use terrace_backends::disk::migrate::{Migrated, Migration, State, state};
use terrace_backends::disk::{DiskConfig, DiskStore};
use terrace_backends::fjall::{FjallConfig, FjallStore};
use terrace_store::capability::List;
use terrace_store::fakes::FrozenClock;
use terrace_store::tokio_runtime::TokioSpawn;
use terrace_store::{
    Entry, Error, ErrorKind, Key, Metadata, Namespace, PutOptions, Result, Store, StoreExt, Tags, Version,
};

const START_MS: u64 = 1_700_000_000_000;

type All = BTreeMap<(Namespace, Bytes), Entry>;

fn clock() -> FrozenClock {
    FrozenClock::at_wall_ms(START_MS)
}

fn fjall(folder: &Path) -> Result<FjallStore> {
    let spawn = Arc::new(TokioSpawn::current().unwrap());
    FjallStore::open(FjallConfig::new(folder), Arc::new(clock()), spawn)
}

fn disk(folder: &Path) -> Result<DiskStore> {
    let spawn = Arc::new(TokioSpawn::current().unwrap());
    DiskStore::open(DiskConfig::new(folder), Arc::new(clock()), spawn)
}

async fn migrate(folder: &Path, partial: bool) -> Result<Migrated> {
    let spawn = Arc::new(TokioSpawn::current().unwrap());
    let migration = Migration { to: DiskConfig::new(folder), partial };
    migration.run(Arc::new(clock()), spawn, &mut |done, total| assert!(done <= total)).await
}

async fn put(store: &dyn Store, namespace: &str, name: &str, entry: Entry) {
    let key = Key::new(namespace, name).unwrap();
    let _ = store.put(&key, entry, PutOptions::default()).await.unwrap();
}

/// A folder of the old store with entries of every kind, and the highest version it gave.
async fn old(folder: &Path) -> (All, Version) {
    let store = fjall(folder).unwrap();
    for n in 0..1500_u64 {
        put(&store, "0", &format!("key {n}"), Entry::new(format!("value {n} ").repeat(1 + n as usize % 90)))
            .await;
        let mortal = Entry {
            created_ms: START_MS,
            expires_ms: NonZeroU64::new(START_MS + 1 + n),
            tags: Tags::new(["a", "b"]).unwrap(),
            stamp: n,
            metadata: Some(Arc::new(Metadata {
                content_type: Some("text/plain".into()),
                ..Metadata::default()
            })),
            ..Entry::new("mortal")
        };
        put(&store, "1", &format!("key {n}"), mortal).await;
    }
    put(&store, "0", "key 7", Entry::new("replaced")).await;
    put(&store, "2", "gone", Entry::new("gone")).await;
    assert!(store.remove(&Key::new("2", "gone").unwrap()).await.unwrap());
    put(&store, "3", &"long".repeat(16_000), Entry::new("under a long key")).await;
    let all = everything(&store).await;
    assert_eq!(all.len(), 3001);
    let highest = store.reserve().await.unwrap();
    store.close().await.unwrap();
    (all, highest)
}

async fn everything(store: &dyn Store) -> All {
    let mut all = All::new();
    for namespace in store.as_iterate().unwrap().namespaces().await.unwrap() {
        for (key, entry) in store.list_all(&List::all(namespace.clone())).await.unwrap() {
            all.insert((namespace.clone(), key.shared_bytes()), entry);
        }
    }
    all
}

/// What is left is the log, with everything that was there.
async fn arrived(folder: &Path, all: &All, highest: Version) {
    assert_eq!(state(folder), State::Nothing);
    for file in std::fs::read_dir(folder).unwrap() {
        let name = file.unwrap().file_name().into_string().unwrap();
        let ours = name == "LOCK" || name == "terrace-disk" || name == "spare.seg";
        assert!(
            ours || name.ends_with(".seg") || name.ends_with(".snap") || name.starts_with("dict-"),
            "{name}"
        );
    }
    let store = disk(folder).unwrap();
    assert_eq!(store.health().await, terrace_store::Health::Up);
    assert_eq!(everything(&store).await, *all);
    assert!(store.reserve().await.unwrap() > highest, "versions go on above those that were given");
    store.close().await.unwrap();
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for file in std::fs::read_dir(from).unwrap() {
        let file = file.unwrap();
        let to = to.join(file.file_name());
        match file.path().is_dir() {
            true => copy(&file.path(), &to),
            false => drop(std::fs::copy(file.path(), to).unwrap()),
        }
    }
}

fn is_refused<T>(opened: Result<T>, words: &str) {
    let error: Error = opened.err().expect("it is refused");
    assert_eq!(error.kind(), ErrorKind::Config);
    assert!(error.to_string().contains(words), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_is_there_after_a_migration_and_nothing_of_the_old_store_is() {
    let folder = tempfile::tempdir().unwrap();
    let (all, highest) = old(folder.path()).await;
    assert_eq!(state(folder.path()), State::Needed);
    is_refused(disk(folder.path()), "terrace disk migrate");
    assert!(!folder.path().join("terrace-disk").exists(), "a refusal leaves nothing behind");
    let migrated = migrate(folder.path(), false).await.unwrap();
    assert_eq!(migrated, Migrated { entries: 3001, lost: 0 });
    arrived(folder.path(), &all, highest).await;
    is_refused(fjall(folder.path()), "open it as `disk`");
    is_refused(migrate(folder.path(), false).await, "no store of fjall");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_migration_that_was_interrupted_anywhere_is_ended_by_the_next() {
    let folder = tempfile::tempdir().unwrap();
    let [before, after] = ["before", "after"].map(|name| folder.path().join(name));
    std::fs::create_dir(&before).unwrap();
    let (all, highest) = old(&before).await;
    copy(&before, &after);
    migrate(&after, false).await.unwrap();

    // While it copies: what it had made is thrown away. The old store can still be gone on with.
    for progress in [0, 1, 5] {
        let there = folder.path().join(format!("copying {progress}"));
        copy(&before, &there);
        let spawn = Arc::new(TokioSpawn::current().unwrap());
        let migration = Migration { to: DiskConfig::new(&there), partial: false };
        let mut calls = 0;
        let mut until = move |_, _| {
            assert!(calls < progress, "interrupted on purpose");
            calls += 1;
        };
        let run =
            tokio::spawn(async move { migration.run(Arc::new(clock()), spawn, &mut until).await.map(drop) });
        assert!(run.await.unwrap_err().is_panic());
        assert_eq!(state(&there), State::Interrupted);
        is_refused(disk(&there), "did not end");
        // What the task had open is let go of on its own threads.
        let reopened = async {
            loop {
                match fjall(&there) {
                    Ok(store) => return store,
                    Err(error) => assert_eq!(error.kind(), ErrorKind::Busy, "{error}"),
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let store = tokio::time::timeout(Duration::from_secs(30), reopened).await.unwrap();
        assert_eq!(everything(&store).await, all);
        store.close().await.unwrap();
        drop(store);
        migrate(&there, false).await.unwrap();
        arrived(&there, &all, highest).await;
    }

    // After it was decided: with so many files moved up, and the old store whole or removed in part.
    let files: Vec<_> = std::fs::read_dir(&after).unwrap().map(|file| file.unwrap().file_name()).collect();
    for moved in 0..=files.len() {
        for old_is in ["whole", "in part", "gone"] {
            let there = folder.path().join(format!("decided {moved} {old_is}"));
            std::fs::create_dir_all(there.join("migration")).unwrap();
            for (n, file) in files.iter().enumerate() {
                let to = if n < moved { there.clone() } else { there.join("migration") };
                std::fs::copy(after.join(file), to.join(file)).unwrap();
            }
            if old_is != "gone" {
                copy(&before.join("fjall"), &there.join("fjall.migrated"));
                std::fs::write(there.join("terrace.lock"), "").unwrap();
            }
            if old_is == "in part" {
                if moved < files.len() {
                    continue;
                }
                std::fs::remove_dir(there.join("migration")).unwrap();
                let first = std::fs::read_dir(there.join("fjall.migrated")).unwrap().find_map(|file| {
                    let path = file.unwrap().path();
                    path.is_file().then_some(path)
                });
                std::fs::remove_file(first.unwrap()).unwrap();
            }
            is_refused(disk(&there), "did not end");
            is_refused(
                fjall(&there),
                if moved > 0 && there.join("terrace-disk").exists() { "log" } else { "did not end" },
            );
            assert_eq!(migrate(&there, false).await.unwrap(), Migrated::default());
            arrived(&there, &all, highest).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_read_is_lost_only_if_that_was_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let (all, highest) = old(folder.path()).await;
    let journal = std::fs::read_dir(folder.path().join("fjall"))
        .unwrap()
        .map(|file| file.unwrap().path())
        .find(|path| path.extension().is_some_and(|ending| ending == "jnl"))
        .unwrap();
    // Cut after a clean close: the store opens, and says that something is missing.
    let bytes = std::fs::read(&journal).unwrap();
    let end = bytes.iter().rposition(|byte| *byte != 0).unwrap();
    std::fs::write(&journal, &bytes[..end / 2]).unwrap();
    let error = migrate(folder.path(), false).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
    assert!(folder.path().join("fjall").is_dir() && !folder.path().join("terrace-disk").exists());
    let _ = highest;
    // The loss was told once, by the store; from then on it is what there is.
    let left = migrate(folder.path(), true).await.unwrap().entries;
    let store = disk(folder.path()).unwrap();
    let found = everything(&store).await;
    assert!(found.len() as u64 == left && left < 3001 && left > 100, "{left}");
    assert!(found.iter().all(|(key, entry)| all[key].value == entry.value || key.1 == "key 7"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_that_is_open_or_holds_a_log_as_well_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    old(folder.path()).await;
    let open = fjall(folder.path()).unwrap();
    assert_eq!(migrate(folder.path(), false).await.unwrap_err().kind(), ErrorKind::Busy);
    open.close().await.unwrap();
    drop(open);
    std::fs::write(folder.path().join("terrace-disk"), "a mark").unwrap();
    is_refused(migrate(folder.path(), false).await, "both");
    std::fs::remove_file(folder.path().join("terrace-disk")).unwrap();
    migrate(folder.path(), false).await.unwrap();
}
