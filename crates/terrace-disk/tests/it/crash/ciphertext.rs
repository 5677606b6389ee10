//! What stands on the disk when it is encrypted: nothing is readable, and nothing looks the same twice.
//!
//! The same value, written again and again under the same key, would repeat itself on the disk if ever two records
//! were encrypted with the same key and nonce.

use std::collections::BTreeMap;
use std::sync::Arc;

use terrace_disk::io::sim::{ENOSPC, Failure, Op};

use super::run::fresh;
use super::store::{Mode, Options, Store};
use super::workload::{Action, BEGIN_MS};

const CANARY: &[u8; 64] = b"a value that stands on the disk again and again, and never twice";

#[test]
fn the_same_value_never_looks_the_same_on_an_encrypted_disk() {
    let options = Options { mode: Mode::Always, cache: false, sealed: true };
    let disk = fresh(1);
    let value = super::history::Value { bytes: Arc::from(&CANARY[..]), expires_ms: None };
    let mut seen: BTreeMap<[u8; 16], (String, usize)> = BTreeMap::new();
    for life in 0..4 {
        let store = Store::open(Arc::new(disk.clone()), options, BEGIN_MS).expect("it opens");
        for number in 0..20 {
            // A write that fails half way leaves bytes that must not be written over with the same nonce.
            if number == 10 {
                disk.fail(&[Op::Write], 0, Failure::Error(ENOSPC), false);
            }
            store.act(&Action::Put { group: 0, key: b"key".to_vec(), value: value.clone() }, BEGIN_MS);
        }
        // One life ends by closing, the others by dying.
        if life == 2 {
            store.close().expect("it closes");
        }
        for (name, bytes) in disk.files() {
            assert!(!bytes.windows(16).any(|window| window == &CANARY[..16]), "{name} can be read");
            for (at, window) in bytes.windows(16).enumerate().filter(|_| name.ends_with(".seg")) {
                let window: [u8; 16] = window.try_into().expect("sixteen bytes");
                let place = (name.clone(), at);
                let distinct = window.iter().collect::<std::collections::BTreeSet<_>>().len();
                // Reserved zeros and headers repeat themselves; what is encrypted does not look like them.
                if distinct >= 12 && !bytes[at..].starts_with(b"terr") && at >= 200 {
                    let before = seen.entry(window).or_insert_with(|| place.clone());
                    assert_eq!(*before, place, "the same sixteen bytes stand in two places");
                }
            }
        }
    }
    assert!(seen.len() > 4000, "{} windows were looked at", seen.len());
}
