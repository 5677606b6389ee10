//! SQLite: databases of others, and what others see.

use std::path::Path;
use std::sync::Arc;

use ::rusqlite::{Connection, OpenFlags};
use tempfile::TempDir;
use terrace_backends::sqlite::{SqliteConfig, SqliteStore};
use terrace_store::capability::List;
use terrace_store::fakes::FrozenClock;
use terrace_store::tokio_runtime::TokioSpawn;
use terrace_store::{Entry, Error, ErrorKind, Key, Namespace, PutOptions, Result, Store, StoreExt};

fn open_with(config: SqliteConfig) -> Result<SqliteStore> {
    SqliteStore::open(config, Arc::new(FrozenClock::default()), Arc::new(TokioSpawn::current()?))
}

fn open(folder: &Path) -> SqliteStore {
    open_with(SqliteConfig::new(folder)).unwrap()
}

fn refused(folder: &Path) -> Error {
    open_with(SqliteConfig::new(folder)).err().expect("it was opened")
}

fn raw(folder: &Path) -> Connection {
    Connection::open(folder.join("terrace.sqlite")).unwrap()
}

fn key(name: impl AsRef<[u8]>) -> Key {
    Key::new("test", name).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn databases_of_others_and_of_newer_releases_are_refused_in_words_and_left_alone() {
    let folder = TempDir::new().unwrap();
    raw(folder.path())
        .execute_batch("CREATE TABLE customers (name TEXT); INSERT INTO customers VALUES ('x')")
        .unwrap();
    let error = refused(folder.path());
    assert_eq!(error.kind(), ErrorKind::Config, "{error:?}");
    assert!(error.to_string().contains("another program's"), "{error}");
    let tables: i64 =
        raw(folder.path()).query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0)).unwrap();
    assert_eq!(tables, 1);

    let folder = TempDir::new().unwrap();
    open(folder.path()).close().await.unwrap();
    raw(folder.path()).pragma_update(None, "user_version", 2).unwrap();
    let error = refused(folder.path());
    assert_eq!(error.kind(), ErrorKind::Config, "{error:?}");
    assert!(error.to_string().contains("newer release") && error.to_string().contains("schema 2"), "{error}");

    std::fs::write(folder.path().join("terrace.sqlite"), "dear diary, ".repeat(1000)).unwrap();
    let error = refused(folder.path());
    assert_eq!(error.kind(), ErrorKind::Corrupt, "{error:?}");
    assert!(error.to_string().contains("no SQLite database"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_format_of_a_newer_release_is_refused() {
    let folder = TempDir::new().unwrap();
    open(folder.path()).close().await.unwrap();
    raw(folder.path())
        .execute("UPDATE meta SET value = x'00000002' WHERE key = CAST('format' AS BLOB)", [])
        .unwrap();
    let error = refused(folder.path());
    assert_eq!(error.kind(), ErrorKind::Config, "{error:?}");
    assert!(error.to_string().contains("format 2"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn tables_that_somebody_changed_are_an_error_and_no_panic() {
    let folder = TempDir::new().unwrap();
    let store = open(folder.path());
    let _ = store.put_with(&key("a"), "v").await.unwrap();
    store.close().await.unwrap();
    raw(folder.path()).execute_batch("UPDATE entries SET value = 7").unwrap();
    let store = open(folder.path());
    assert_eq!(store.get(&key("a")).await.unwrap_err().kind(), ErrorKind::Corrupt);
    store.close().await.unwrap();
    raw(folder.path()).execute_batch("DROP TABLE expiry").unwrap();
    let error = open_with(SqliteConfig::new(folder.path())).map(drop);
    let swept = match error {
        Err(error) => Err(error),
        Ok(()) => open(folder.path()).sweep(10).await,
    };
    assert_eq!(swept.unwrap_err().kind(), ErrorKind::Corrupt);
}

#[tokio::test(flavor = "multi_thread")]
async fn others_may_read_meanwhile_and_one_who_locks_it_is_told_of() {
    let folder = TempDir::new().unwrap();
    let store = open(folder.path());
    let _ = store.put_with(&key("a"), "v").await.unwrap();
    let file = folder.path().join("terrace.sqlite");
    let other = Connection::open_with_flags(file, OpenFlags::SQLITE_OPEN_READ_ONLY).unwrap();
    let entries: i64 = other.query_row("SELECT count(*) FROM entries", [], |row| row.get(0)).unwrap();
    assert_eq!(entries, 1);
    let locker = raw(folder.path());
    locker.execute_batch("BEGIN IMMEDIATE").unwrap();
    let error = store.put_with(&key("b"), "v").await.unwrap_err();
    assert!(error.kind() == ErrorKind::Busy && error.is_transient(), "{error:?}");
    locker.execute_batch("ROLLBACK").unwrap();
    let _ = store.put_with(&key("b"), "v").await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_view_sees_what_was_while_many_write_and_checkpoints_run() {
    let folder = TempDir::new().unwrap();
    let store = open_with(SqliteConfig { checkpoint_pages: 4, ..SqliteConfig::new(folder.path()) }).unwrap();
    for n in 0..50_u8 {
        let _ = store.put_with(&key([n]), vec![n; 3_000]).await.unwrap();
    }
    let view = store.as_snapshot().unwrap().snapshot().await.unwrap();
    for n in 0..50_u8 {
        let _ = store.put_with(&key([n]), "changed").await.unwrap();
    }
    for n in 0..50_u8 {
        assert_eq!(view.get(&key([n])).await.unwrap().unwrap().value, vec![n; 3_000]);
        assert_eq!(store.get(&key([n])).await.unwrap().unwrap().value, "changed");
    }
    drop(view);
    store.close().await.unwrap();
    assert!(!folder.path().join("terrace.sqlite-wal").exists(), "a close moves the log into the database");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sweep_gives_room_back_to_the_file_system() {
    let folder = TempDir::new().unwrap();
    let clock = FrozenClock::at_wall_ms(1_000);
    let config = SqliteConfig { checkpoint_pages: 1, ..SqliteConfig::new(folder.path()) };
    let store =
        SqliteStore::open(config, Arc::new(clock.clone()), Arc::new(TokioSpawn::current().unwrap())).unwrap();
    let deferred = PutOptions { deferred: true, ..PutOptions::default() };
    for n in 0..200_u8 {
        let entry = Entry { expires_ms: std::num::NonZeroU64::new(2_000), ..Entry::new(vec![n; 4_000]) };
        let _ = store.put(&key([n]), entry, deferred).await.unwrap();
    }
    let length = || folder.path().join("terrace.sqlite").metadata().unwrap().len();
    let before = length();
    clock.set_wall_ms(2_000);
    while store.sweep(50).await.unwrap().more {}
    assert!(length() < before / 2, "{before} {}", length());
    assert!(store.list_all(&List::all(Namespace::new("test").unwrap())).await.unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_check_finds_a_structure_that_is_damaged() {
    let folder = TempDir::new().unwrap();
    let store = open(folder.path());
    for n in 0..100_u8 {
        let _ = store.put_with(&key([n]), vec![n; 2_000]).await.unwrap();
    }
    store.close().await.unwrap();
    let check = || open_with(SqliteConfig { check: true, ..SqliteConfig::new(folder.path()) });
    check().unwrap().close().await.unwrap();
    let file = folder.path().join("terrace.sqlite");
    let mut bytes = std::fs::read(&file).unwrap();
    // The beginning of each page from the middle on says what it is and where its cells lie.
    let middle = bytes.len() / 2 / 4_096 * 4_096;
    for page in (middle..bytes.len()).step_by(4_096) {
        bytes[page..page + 12].fill(0xee);
    }
    std::fs::write(&file, bytes).unwrap();
    let error = check().err().expect("it was opened");
    assert_eq!(error.kind(), ErrorKind::Corrupt, "{error:?}");
}
