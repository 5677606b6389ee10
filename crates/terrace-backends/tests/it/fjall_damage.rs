//! fjall: files that were cut or changed behind its back.

use std::fs::OpenOptions;
use std::path::{Path, PathBuf};

use tempfile::TempDir;
use terrace_backends::fjall::{FjallConfig, FjallStore};
use terrace_store::capability::List;
use terrace_store::fakes::FrozenClock;
use terrace_store::{Entry, ErrorKind, Health, Key, PutOptions, Store, StoreExt};

use super::fjall::{START_MS, crashed, key, namespace, open, open_with, usage, value};

/// Every file with this ending below a folder, in the order of their names.
fn files(folder: &Path, ending: &str) -> Vec<PathBuf> {
    let mut all = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap().flatten() {
        let path = entry.path();
        if path.is_dir() {
            all.extend(files(&path, ending));
        } else if path.to_string_lossy().ends_with(ending) {
            all.push(path);
        }
    }
    all.sort();
    all
}

async fn write(store: &FjallStore, names: std::ops::Range<usize>) {
    for n in names {
        let _ = store.put_with(&key(format!("{n:06}")), format!("value {n}")).await.unwrap();
    }
}

/// The journal of a closed folder.
fn journal(folder: &Path) -> PathBuf {
    let journals = files(folder, ".jnl");
    assert_eq!(journals.len(), 1, "{journals:?}");
    journals[0].clone()
}

/// The length of a journal without the zeros that fjall begins it with.
fn written(journal: &Path) -> u64 {
    let bytes = std::fs::read(journal).unwrap();
    bytes.iter().rposition(|byte| *byte != 0).unwrap() as u64
}

fn cut(file: &Path, length: u64) {
    OpenOptions::new().write(true).open(file).unwrap().set_len(length).unwrap();
}

async fn loss(store: &FjallStore) -> String {
    let Health::Degraded(why) = store.health().await else { panic!("nothing was noticed") };
    why
}

#[tokio::test(flavor = "multi_thread")]
async fn a_journal_cut_after_a_clean_close_is_told_of_with_what_is_missing() {
    let folder = TempDir::new().unwrap();
    let store = open(folder.path());
    write(&store, 0..300).await;
    let last = store.reserve().await.unwrap();
    store.close().await.unwrap();
    let journal = journal(folder.path());
    let whole = written(&journal);
    for part in [0, 1, 3] {
        let copy = crashed(folder.path());
        cut(&copy.path().join(journal.strip_prefix(folder.path()).unwrap()), whole * part / 4);
        let store = open(copy.path());
        let why = loss(&store).await;
        let entries = usage(&store).await.0;
        assert!(entries < 300 && (part == 0 || entries > 0), "{entries}");
        assert!(why.contains(copy.path().to_str().unwrap()), "{why}");
        // A version each, and one that was reserved.
        assert!(why.contains(&format!("{} versions before the last", last.0 - entries)), "{why}");
        assert!(why.contains(&format!("has {entries} entries of 300")), "{why}");
        for n in 0..300 {
            let there = (n < entries).then(|| format!("value {n}").into());
            assert_eq!(value(&store, &format!("{n:06}")).await, there);
        }
        assert!(store.reserve().await.unwrap() > last, "no version is used twice");
        // What is missing is told of once.
        write(&store, 0..300).await;
        store.close().await.unwrap();
        assert_eq!(open(copy.path()).health().await, Health::Up);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_journal_that_lost_only_its_last_counters_has_lost_nothing() {
    let folder = TempDir::new().unwrap();
    let store = open(folder.path());
    write(&store, 0..300).await;
    store.close().await.unwrap();
    let journal = journal(folder.path());
    cut(&journal, written(&journal) - 1);
    let store = open(folder.path());
    assert_eq!((store.health().await, usage(&store).await.0), (Health::Up, 300));
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_crash_and_in_an_older_folder_there_is_no_mark_and_nothing_is_said() {
    let folder = TempDir::new().unwrap();
    let store = open(folder.path());
    write(&store, 0..100).await;
    store.close().await.unwrap();
    assert_eq!(files(folder.path(), "terrace.closed").len(), 1);
    let store = open(folder.path());
    assert_eq!(files(folder.path(), "terrace.closed").len(), 0);
    write(&store, 100..200).await;
    let copy = crashed(folder.path());
    cut(&journal(copy.path()), written(&journal(copy.path())) - 1);
    let again = open(copy.path());
    assert_eq!((again.health().await, usage(&again).await.0), (Health::Up, 199));
    store.close().await.unwrap();
    std::fs::remove_file(folder.path().join("terrace.closed")).unwrap();
    assert_eq!(open(folder.path()).health().await, Health::Up);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_mark_is_told_of_and_harms_nothing() {
    let folder = TempDir::new().unwrap();
    let store = open(folder.path());
    write(&store, 0..100).await;
    store.close().await.unwrap();
    cut(&folder.path().join("terrace.closed"), 20);
    let store = open(folder.path());
    let why = loss(&store).await;
    assert!(why.contains("mark"), "{why}");
    assert_eq!(usage(&store).await.0, 100);
    store.close().await.unwrap();
    assert_eq!(open(folder.path()).health().await, Health::Up);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_journal_is_named_and_moving_it_away_keeps_the_rest() {
    let folder = TempDir::new().unwrap();
    let store = open(folder.path());
    write(&store, 0..300).await;
    let last = store.reserve().await.unwrap();
    store.close().await.unwrap();
    let journal = journal(folder.path());
    let mut bytes = std::fs::read(&journal).unwrap();
    let place = bytes.windows(9).position(|bytes| bytes == b"value 150").unwrap();
    bytes[place] ^= 1;
    std::fs::write(&journal, bytes).unwrap();
    let config = FjallConfig::new(folder.path());
    let refused = open_with(config, &FrozenClock::at_wall_ms(START_MS)).err().expect("it is damaged");
    assert_eq!(refused.kind(), ErrorKind::Corrupt);
    let words = refused.to_string();
    for word in [journal.to_str().unwrap(), "restore", "move the journal away", "loses"] {
        assert!(words.contains(word), "{words}");
    }
    std::fs::rename(&journal, folder.path().join("away")).unwrap();
    let store = open(folder.path());
    let why = loss(&store).await;
    assert!(why.contains("has 0 entries of 300"), "{why}");
    write(&store, 0..10).await;
    assert!(store.reserve().await.unwrap() > last);
}

const ROWS: u64 = 20_000;

fn row_name(n: u64) -> String {
    // Of different lengths, and sparse.
    format!("user:{:08}:{}", n * 7, "x".repeat(n as usize % 5))
}

/// A folder whose rows lie in sorted files.
async fn sorted(folder: &Path) -> Vec<PathBuf> {
    let config = || FjallConfig { memtable_bytes: 1 << 20, ..FjallConfig::new(folder) };
    let store = open_with(config(), &FrozenClock::at_wall_ms(START_MS)).unwrap();
    let options = PutOptions { deferred: true, ..PutOptions::default() };
    for n in 0..ROWS {
        let noise: Vec<u8> =
            (0..100).map(|i| (n.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> (i % 57)) as u8).collect();
        let _ = store.put(&key(row_name(n)), Entry::new(noise), options).await.unwrap();
    }
    store.close().await.unwrap();
    let tables = |folder: &Path| -> Vec<PathBuf> {
        let large = |path: &PathBuf| path.metadata().is_ok_and(|file| file.len() > 100_000);
        let all = files(folder, "").into_iter().filter(large);
        all.filter(|path| path.to_string_lossy().contains("/tables/")).collect()
    };
    let found = tables(folder);
    assert!(!found.is_empty(), "nothing was sorted into files: {:?}", files(folder, ""));
    found
}

fn flip(file: &Path, place: usize) {
    let mut bytes = std::fs::read(file).unwrap();
    bytes[place] ^= 0x10;
    std::fs::write(file, bytes).unwrap();
}

/// Every key that can be read, and those that cannot.
async fn readable(store: &FjallStore) -> (Vec<Key>, usize) {
    let (mut sound, mut damaged) = (Vec::new(), 0);
    for n in 0..ROWS {
        match store.get(&key(row_name(n))).await {
            Ok(Some(_)) => sound.push(key(row_name(n))),
            Ok(None) => panic!("row {n} is gone without an error"),
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::Corrupt);
                damaged += 1;
            }
        }
    }
    (sound, damaged)
}

async fn listed(store: &FjallStore, limit: usize) -> Vec<Key> {
    let list = List { limit, ..List::all(namespace()) };
    store.list_all(&list).await.unwrap().into_iter().map(|(key, _)| key).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_listing_goes_on_behind_damaged_blocks_with_all_that_can_be_read() {
    let folder = TempDir::new().unwrap();
    let tables = sorted(folder.path()).await;
    let length = tables[0].metadata().unwrap().len() as usize;
    for places in [vec![length / 2], vec![200], vec![length / 4, length / 2, length / 2 + 20_000]] {
        let copy = crashed(folder.path());
        let table = copy.path().join(tables[0].strip_prefix(folder.path()).unwrap());
        for place in &places {
            flip(&table, *place);
        }
        let store = open(copy.path());
        let found = listed(&store, 1_000).await;
        let (sound, damaged) = readable(&store).await;
        assert!(damaged > 0 && damaged < 300 * places.len(), "{damaged}");
        assert!(found.is_sorted());
        let missing: Vec<_> = sound.iter().filter(|key| !found.contains(key)).take(9).collect();
        assert!(missing.is_empty(), "{places:?}: {missing:?}");
        assert_eq!(found, sound);
        assert_eq!(listed(&store, 100).await, sound);
        let view = store.as_snapshot().unwrap().snapshot().await.unwrap();
        let page = view.list(&List { limit: ROWS as usize, ..List::all(namespace()) }, None).await.unwrap();
        assert!(page.entries.len() > 1_000 || page.next.is_some());
        assert!(loss(&store).await.contains("damaged"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_crash_a_damaged_block_costs_its_own_rows_only() {
    let folder = TempDir::new().unwrap();
    let tables = sorted(folder.path()).await;
    flip(&tables[0], tables[0].metadata().unwrap().len() as usize / 2);
    // Opened and crashed, so that the next open has to count.
    let store = open(folder.path());
    store.flush().await.unwrap();
    let copy = crashed(folder.path());
    let again = open(copy.path());
    let (sound, damaged) = readable(&again).await;
    assert!(damaged > 0);
    assert_eq!(usage(&again).await.0, sound.len() as u64);
    assert!(loss(&again).await.contains("damaged"));
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_part_of_a_sorted_file_is_damaged_the_rest_is_served_or_the_start_refused() {
    let folder = TempDir::new().unwrap();
    let tables = sorted(folder.path()).await;
    let length = tables[0].metadata().unwrap().len() as usize;
    let (mut refused, mut whole) = (0, 0);
    // The file ends with its index, its filter, and what describes the file.
    for place in [10, 40, 600, 1_500, 6_000, 14_000, 18_000].map(|back| length - back) {
        let copy = crashed(folder.path());
        flip(&copy.path().join(tables[0].strip_prefix(folder.path()).unwrap()), place);
        let store = match open_with(FjallConfig::new(copy.path()), &FrozenClock::at_wall_ms(START_MS)) {
            Ok(store) => store,
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
                assert!(error.to_string().contains(copy.path().to_str().unwrap()), "{error}");
                refused += 1;
                continue;
            }
        };
        let (sound, damaged) = readable(&store).await;
        assert_eq!(listed(&store, 1_000).await, sound);
        assert!(loss(&store).await.contains("damaged"));
        whole += usize::from(damaged == 0);
    }
    assert!(refused > 0 && whole > 0, "{refused} {whole}");
}
