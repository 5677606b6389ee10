//! `terrace disk`, on logs that other programs wrote.

use std::path::Path;
use std::sync::Arc;

use tempfile::TempDir;
use terrace_disk::io::OsIo;
use terrace_disk::{Compress, Config, Disk, Put};

use super::{fails, run, stderr, stdout};

const NOW_MS: u64 = 1_700_000_000_000;

fn open(folder: &Path) -> Disk {
    let config = Config { segment_bytes: Some(64 << 10), ..Config::store() };
    Disk::open(Arc::new(OsIo::new(folder).unwrap()), config, NOW_MS).unwrap().0
}

/// Writes so many values under a hundred keys, so that most of them are garbage.
fn fill(log: &Disk, values: u64) {
    for number in 0..values {
        let value = [number.to_le_bytes(), (!number).to_le_bytes()].concat().repeat(60);
        let put = Put { value: &value, compress: Compress::Never, deferred: true, ..Put::default() };
        let _ = log.put(format!("key {}", number % 100).as_bytes(), &put, NOW_MS).unwrap();
    }
    log.commit().unwrap();
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn json(args: &[&str]) -> serde_json::Value {
    let output = run(args);
    assert!(output.status.success(), "{args:?}: {}", stderr(&output));
    serde_json::from_str(&stdout(&output)).unwrap()
}

#[test]
fn a_log_is_inspected_verified_made_smaller_copied_and_brought_back() {
    let folder = TempDir::new().unwrap();
    let [log, backup, again] = ["log", "backup", "again"].map(|name| folder.path().join(name));
    let open_log = open(&log);
    fill(&open_log, 2000);
    let found = json(&["disk", "inspect", text(&log), "--json"]);
    assert!(found["segments"].as_array().unwrap().len() > 5, "{found}");
    fails(&["disk", "verify", text(&log)], 6, &["open already"]);
    open_log.close().unwrap();

    let verified = json(&["disk", "verify", text(&log), "--json"]);
    assert!(verified["records"].as_u64().unwrap() >= 2000, "{verified}");
    assert_eq!(verified["damaged"].as_array().unwrap().len(), 0);
    let smaller = json(&["disk", "compact", text(&log), "--json"]);
    assert!(
        smaller["bytes_after"].as_u64().unwrap() < smaller["bytes_before"].as_u64().unwrap() / 2,
        "{smaller}"
    );
    json(&["disk", "backup", text(&log), text(&backup), "--json"]);
    fails(&["disk", "backup", text(&log), text(&backup)], 5, &["not empty"]);
    json(&["disk", "restore", text(&backup), text(&again), "--json"]);
    let restored = open(&again);
    for number in 1900..2000_u64 {
        let entry = restored.get(format!("key {}", number % 100).as_bytes(), NOW_MS).unwrap().unwrap();
        assert_eq!(entry.value[..8], number.to_le_bytes());
    }
}

#[test]
fn damage_is_told_and_has_its_exit_code() {
    let folder = TempDir::new().unwrap();
    let log = open(folder.path());
    fill(&log, 500);
    log.close().unwrap();
    let segment = folder.path().join("00000001.seg");
    let mut bytes = std::fs::read(&segment).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&segment, bytes).unwrap();
    let output = run(&["disk", "verify", text(folder.path())]);
    assert_eq!(output.status.code(), Some(8), "{}", stderr(&output));
    assert!(stdout(&output).contains("damaged: segment 1 from byte"), "{}", stdout(&output));
}

#[test]
fn a_folder_that_is_no_log_does_not_become_one() {
    let folder = TempDir::new().unwrap();
    for command in ["inspect", "verify", "compact"] {
        fails(&["disk", command, text(folder.path())], 5, &["no log of ours"]);
    }
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    fails(&["disk", "inspect", "/nowhere/at/all"], 5, &["/nowhere/at/all"]);
}
