//! Reads at one point of time.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;

use super::Subject;
use super::threads::threads;
use super::trial::{Trial, key, key_in, namespace};
use crate::block_on;
use crate::capability::{List, SnapshotView};
use crate::entry::Entry;
use crate::key::Key;
use crate::store::PutOptions;

/// All of this file.
pub async fn all(subject: &dyn Subject) {
    a_snapshot_shows_no_later_write(subject).await;
    a_snapshot_lists_one_point_of_time(subject).await;
    time_goes_on_in_a_snapshot(subject).await;
    a_snapshot_is_taken_at_one_instant(subject).await;
}

async fn snapshot(t: &Trial<'_>) -> Box<dyn SnapshotView> {
    match t.store.as_snapshot() {
        Some(snapshot) => t.done(snapshot.snapshot().await),
        None => t.broken("it had snapshots when it was opened first, and has none now"),
    }
}

async fn text(t: &Trial<'_>, view: &dyn SnapshotView, key: &Key) -> Option<Bytes> {
    t.done(view.get(key).await).map(|entry| entry.value)
}

/// Whatever is written later, of any key.
pub async fn a_snapshot_shows_no_later_write(subject: &dyn Subject) {
    let t = Trial::open(subject).await;
    let (a, b, c, d) = (key("a"), key("b"), key("c"), key_in("other", "d"));
    let version = t.value(&a, "1").await;
    let _ = t.value(&b, "1").await;
    let _ = t.value(&d, "1").await;
    let view = snapshot(&t).await;
    t.rule("a snapshot shows no later write, of any key");
    let _ = t.value(&a, "2").await;
    let _ = t.remove(&b).await;
    let _ = t.value(&c, "2").await;
    if t.store.as_batch().is_some() {
        t.done(t.batch().clear(Some(&namespace("other"))).await);
    }
    let one = Some(Bytes::from("1"));
    t.equal(text(&t, &*view, &a).await, one.clone());
    t.equal(text(&t, &*view, &b).await, one.clone());
    t.equal(text(&t, &*view, &c).await, None);
    t.equal(text(&t, &*view, &d).await, one);
    t.equal(t.done(view.get(&a).await).map(|entry| entry.version), Some(version));
    t.rule("a later snapshot shows what was written before it, and the store is not held up");
    let later = snapshot(&t).await;
    t.equal(text(&t, &*later, &a).await, Some(Bytes::from("2")));
    t.equal(text(&t, &*later, &b).await, None);
    drop(view);
    t.equal(text(&t, &*later, &c).await, Some(Bytes::from("2")));
    t.expect_text(&a, Some("2")).await;
}

/// All pages show the same.
pub async fn a_snapshot_lists_one_point_of_time(subject: &dyn Subject) {
    let t = Trial::open(subject).await;
    for n in 0..20_u8 {
        let _ = t.value(&key([n, 0]), "then").await;
    }
    let view = snapshot(&t).await;
    t.rule("all pages of a snapshot's listing show the same point of time");
    let list = List { limit: 3, ..List::all(namespace("suite")) };
    let (mut found, mut cursor) = (Vec::new(), None);
    for round in 0..50_u8 {
        let page = t.done(view.list(&list, cursor.as_ref()).await);
        found.extend(page.entries.into_iter().map(|(key, entry)| (key.shared_bytes(), entry.value)));
        cursor = page.next;
        if cursor.is_none() {
            break;
        }
        let _ = t.remove(&key([round * 5 % 20, 0])).await;
        let _ = t.value(&key([round * 7 % 20, 1]), "later").await;
        let _ = t.value(&key([round * 3 % 20, 0]), "later").await;
    }
    let expected: Vec<_> = (0..20_u8).map(|n| (Bytes::from(vec![n, 0]), Bytes::from("then"))).collect();
    t.equal(found, expected);
    t.rule("a snapshot's listing keeps to its range");
    let list = List {
        prefix: Bytes::new(),
        from: Some(Bytes::from_static(&[5])),
        before: Some(Bytes::from_static(&[7])),
        keys_only: true,
        ..List::all(namespace("suite"))
    };
    let page = t.done(view.list(&list, None).await);
    let keys: Vec<_> = page.entries.iter().map(|(key, entry)| (key.bytes(), entry.value.len())).collect();
    t.equal(keys, vec![(&[5, 0][..], 0), (&[6, 0][..], 0)]);
}

/// What expires meanwhile disappears.
pub async fn time_goes_on_in_a_snapshot(subject: &dyn Subject) {
    let t = Trial::open(subject).await;
    let a = key("a");
    let _ = t.mortal(&a, "1", 10).await;
    let view = snapshot(&t).await;
    t.rule("what expires disappears in a snapshot too");
    t.clock.advance_ms(9);
    t.equal(text(&t, &*view, &a).await, Some(Bytes::from("1")));
    t.clock.advance_ms(1);
    t.equal(text(&t, &*view, &a).await, None);
    let page = t.done(view.list(&List::all(namespace("suite")), None).await);
    t.equal(page.entries.len(), 0);
}

/// A writer writes two keys in turns; no snapshot shows the second ahead of the first.
pub async fn a_snapshot_is_taken_at_one_instant(subject: &dyn Subject) {
    let t = Trial::open(subject).await;
    t.rule("a snapshot shows the store as it was at one instant");
    for name in ["first", "second"] {
        let _ = t.write(&key(name), Entry::new(0_u64.to_le_bytes().to_vec())).await;
    }
    let (store, stop) = (Arc::clone(&t.store), Arc::new(AtomicBool::new(false)));
    let sound = threads(3, move |thread| {
        if thread == 0 {
            for n in 1..=300_u64 {
                for name in ["first", "second"] {
                    let options = PutOptions { deferred: true, ..PutOptions::default() };
                    let entry = Entry::new(n.to_le_bytes().to_vec());
                    let put = block_on(store.put(&key(name), entry, options));
                    let _ = put.map_err(|error| error.to_string())?;
                }
            }
            stop.store(true, Ordering::Release);
            return Ok(());
        }
        let number = |entry: Option<Entry>| {
            entry.and_then(|entry| entry.value.as_ref().try_into().ok()).map_or(u64::MAX, u64::from_le_bytes)
        };
        while !stop.load(Ordering::Acquire) {
            let Some(snapshot) = store.as_snapshot() else { return Err("no snapshots".to_owned()) };
            let view = block_on(snapshot.snapshot()).map_err(|error| error.to_string())?;
            let second = block_on(view.get(&key("second"))).map_err(|error| error.to_string())?;
            std::thread::yield_now();
            let first = block_on(view.get(&key("first"))).map_err(|error| error.to_string())?;
            let (first, second) = (number(first), number(second));
            if first != second && first != second + 1 {
                return Err(format!("{first} and {second} in one snapshot"));
            }
        }
        Ok(())
    })
    .await;
    t.equal(sound, vec![Ok(()); 3]);
}
