//! What was deleted does not come back, however its tombstone fares.

use std::sync::Arc;

use terrace_disk::io::sim::SimDisk;
use terrace_disk::{Config, Delete, Disk, Put};

/// The put lies in a segment that is never compacted, the delete in one that is, after nobody needs its floor.
#[test]
fn a_deleted_key_stays_deleted_when_its_tombstone_is_compacted_before_the_put_is() {
    let disk = SimDisk::new(1);
    let config = Config { segment_bytes: Some(64 << 10), garbage_percent: 20, ..Config::store() };
    let open =
        |disk: &SimDisk, now| Disk::open(Arc::new(disk.clone()), config.clone(), now).expect("it opens").0;
    let opened = open(&disk, 0);
    let noise: Vec<u8> = (0..8000_u32).map(|at| (at.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let put = |key: &[u8]| opened.put(key, &Put { value: &noise, ..Put::default() }, 0).expect("it is put");
    put(b"deleted");
    (0..8_u8).for_each(|filler| _ = put(&[filler]));
    opened
        .delete(b"deleted", &Delete { floor_deadline_ms: 10, ..Delete::default() }, 0)
        .expect("it is deleted");
    (0..20).for_each(|_| _ = put(b"garbage"));
    opened.sweep(1000, 20_000).expect("it is swept");
    while opened.compact_step(1 << 20, 20_000).expect("it is compacted").more {}
    opened.sync().expect("it is synced");
    drop(opened);
    let again = open(&disk.kill(), 20_000);
    assert!(again.get(b"garbage", 20_000).unwrap().is_some() && again.get(&[0], 20_000).unwrap().is_some());
    assert!(again.get(b"deleted", 20_000).unwrap().is_none(), "it came back");
}
