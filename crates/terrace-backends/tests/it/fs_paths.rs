//! fs: groups and links, which the conformance suite tries, through restarts, races and crowds.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use terrace_backends::fs::{FsConfig, FsStore};
use terrace_store::capability::{PathKind, Paths};
use terrace_store::fakes::FrozenClock;
use terrace_store::tokio_runtime::TokioSpawn;
use terrace_store::{ErrorKind, Key, Store, StoreExt};

const START_MS: u64 = 1_700_000_000_000;

fn open(folder: &Path, clock: &FrozenClock) -> FsStore {
    let spawn = Arc::new(TokioSpawn::current().unwrap());
    FsStore::open(FsConfig::new(folder), Arc::new(clock.clone()), spawn).unwrap()
}

fn paths(store: &FsStore) -> &dyn Paths {
    store.as_paths().unwrap()
}

async fn put(store: &FsStore, path: impl AsRef<[u8]>) {
    let _ = store.put_with(&Key::new("", path).unwrap(), "v").await.unwrap();
}

#[tokio::test]
async fn groups_and_links_outlive_a_restart_and_go_with_a_clear_of_everything() {
    let folder = tempfile::tempdir().unwrap();
    let clock = FrozenClock::at_wall_ms(START_MS);
    let store = open(folder.path(), &clock);
    paths(&store).make_group("a/b").await.unwrap();
    paths(&store).make_link("l", "a").await.unwrap();
    paths(&store).make_link("l", "a/b").await.unwrap();
    store.close().await.unwrap();
    drop(store);
    let store = open(folder.path(), &clock);
    assert_eq!(paths(&store).kind("a/b").await.unwrap(), Some(PathKind::Group));
    assert_eq!(paths(&store).resolve("l/x").await.unwrap(), "a/b/x");
    // They are entries, which are counted and cleared as any.
    assert_eq!(store.as_batch().unwrap().clear(None).await.unwrap(), 3);
    for path in ["a", "a/b", "l"] {
        assert_eq!(paths(&store).kind(path).await.unwrap(), None, "{path}");
    }
    assert_eq!(paths(&store).list_group("").await.unwrap(), Vec::<String>::new());
}

#[tokio::test]
async fn a_group_lists_its_names_whatever_lies_deeper_and_however_names_resemble() {
    let folder = tempfile::tempdir().unwrap();
    let clock = FrozenClock::at_wall_ms(START_MS);
    let store = open(folder.path(), &clock);
    let mut expected = BTreeSet::new();
    // `-`, `.` and `!` come before `/`, so these stand between a name and what lies in it.
    for name in ["a", "a!", "a-b", "a.b", "a0", "b", "ключ", "z"] {
        if name != "a.b" {
            put(&store, format!("g/{name}")).await;
        }
        for n in 0..70 {
            put(&store, format!("g/{name}/{n}/deep")).await;
        }
        expected.insert(name.to_owned());
    }
    for n in 0..200 {
        let name = format!("n{n:03}");
        put(&store, format!("g/{name}")).await;
        expected.insert(name);
    }
    paths(&store).make_group("g/made").await.unwrap();
    paths(&store).make_link("g/link", "g").await.unwrap();
    expected.extend(["made".to_owned(), "link".to_owned()]);
    // No names: bytes that are no text, and an empty part.
    put(&store, b"g/\xff").await;
    put(&store, "g//x").await;
    let found = paths(&store).list_group("g").await.unwrap();
    assert_eq!(found, expected.iter().cloned().collect::<Vec<_>>());
    assert_eq!(paths(&store).list_group("g/link/a.b").await.unwrap().len(), 70);
    assert_eq!(paths(&store).list_group("").await.unwrap(), ["g"]);
    // What is over is in no group, and a group of nothing else is none.
    let mortal = Key::new("", "gone/x").unwrap();
    let _ = store.put_with(&mortal, "v").expires_at_ms(START_MS + 10).await.unwrap();
    assert_eq!(paths(&store).kind("gone").await.unwrap(), Some(PathKind::Group));
    clock.advance_ms(10);
    assert_eq!(paths(&store).kind("gone").await.unwrap(), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_who_make_a_group_and_a_link_at_once_one_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let store = Arc::new(open(folder.path(), &FrozenClock::at_wall_ms(START_MS)));
    let (mut groups, mut links) = (0, 0);
    for n in 0..200 {
        let path = format!("p{n}");
        let [one, two] = [(); 2].map(|()| (Arc::clone(&store), path.clone()));
        let group = tokio::spawn(async move { paths(&one.0).make_group(&one.1).await });
        let link = tokio::spawn(async move { paths(&two.0).make_link(&two.1, "t").await });
        let (group, link) = (group.await.unwrap(), link.await.unwrap());
        let kind = paths(&store).kind(&path).await.unwrap();
        match (&group, &link) {
            (Ok(()), Err(error)) => {
                assert_eq!((error.kind(), kind), (ErrorKind::Conflict, Some(PathKind::Group)));
                groups += 1;
            }
            (Err(error), Ok(())) => {
                assert_eq!((error.kind(), kind), (ErrorKind::Conflict, Some(PathKind::Link)));
                links += 1;
            }
            both => panic!("{both:?}"),
        }
    }
    println!("{groups} groups and {links} links were first");
    // Links that many turn at once end at one of their targets.
    let turning: Vec<_> = (0..8)
        .map(|n| {
            let store = Arc::clone(&store);
            tokio::spawn(async move { paths(&store).make_link("turned", &format!("t{n}")).await })
        })
        .collect();
    for turned in turning {
        turned.await.unwrap().unwrap();
    }
    let led = paths(&store).resolve("turned").await.unwrap();
    assert!(led.starts_with(b"t") && led.len() == 2, "{led:?}");
}
