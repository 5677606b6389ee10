//! What is still there after the store was closed and opened again: everything.

use std::sync::Arc;

use super::Subject;
use super::threads::threads;
use super::trial::{START_MS, Trial, key, key_in, namespace};
use crate::block_on;
use crate::capability::List;
use crate::entry::{Entry, Version};
use crate::ext::StoreExt;
use crate::store::{Condition, PutOptions, Versions};

/// All of this file.
pub async fn all(subject: &dyn Subject) {
    everything_is_there_again(subject).await;
    versions_go_on_above_those_before(subject).await;
    a_cleared_namespace_stays_cleared(subject).await;
    a_clear_among_writers_is_the_same_after_a_restart(subject).await;
}

/// Entries, absences, fields and counts.
pub async fn everything_is_there_again(subject: &dyn Subject) {
    let mut t = Trial::open(subject).await;
    for n in 0..50_u8 {
        let space = if n % 2 == 0 { "even" } else { "odd" };
        let _ = t.write(&key_in(space, [n]), Entry::new(vec![n; usize::from(n) * 100])).await;
    }
    let _ = t.write(&key_in("even", [0]), Entry::new("replaced")).await;
    let _ = t.remove(&key_in("odd", [1])).await;
    let tags = t.done(crate::Tags::new(["x"]));
    let _ = t.write(&key("full"), Entry { tags, weight: Some(9), stamp: 3, ..Entry::new("f") }).await;
    let longest = key(vec![b'k'; crate::key::KEY_LIMIT]);
    let _ = t.value(&longest, "longest").await;
    let lists = ["even", "odd", "suite"].map(|space| List::all(namespace(space)));
    let lists = if t.store.as_iterate().is_some() { &lists[..] } else { &[] };
    let mut before = Vec::new();
    for list in lists {
        before.push((t.done(t.store.list_all(list).await), t.usage(&list.namespace).await));
    }
    for round in 0..3 {
        t.rule("everything is there again after a restart");
        if !t.reopen(START_MS + round).await {
            t.broken("it is persistent, and cannot be opened again");
        }
        t.expect_text(&key_in("even", [0]), Some("replaced")).await;
        t.expect_text(&key_in("odd", [1]), None).await;
        for n in 2..50_u8 {
            let space = if n % 2 == 0 { "even" } else { "odd" };
            let value = t.get(&key_in(space, [n])).await.map(|entry| entry.value.to_vec());
            t.equal(value, Some(vec![n; usize::from(n) * 100]));
        }
        t.expect_text(&longest, Some("longest")).await;
        t.rule("listings, counts and bytes are the same after a restart");
        for (list, before) in lists.iter().zip(&before) {
            let after = (t.done(t.store.list_all(list).await), t.usage(&list.namespace).await);
            t.equal(&after, before);
        }
    }
}

/// No version comes twice, not even those that were only reserved.
pub async fn versions_go_on_above_those_before(subject: &dyn Subject) {
    let mut t = Trial::open(subject).await;
    if t.store.capabilities().versions != Versions::Assigned {
        return;
    }
    t.rule("versions go on above those given before a restart");
    let a = key("a");
    let mut last = t.value(&a, "1").await;
    for round in 0..4_u64 {
        let written = match round {
            0 => t.reserve().await,
            1 => t.remove(&a).await.0,
            2 => {
                let far = Version(last.0 + 1_000_000);
                t.equal(t.put_if(&a, "far", Condition::Newer(far)).await.version(), Some(far));
                far
            }
            _ => t.value(&key("b"), "2").await,
        };
        t.holds(written > last, format_args!("{written} came after {last}"));
        if !t.reopen(START_MS - round).await {
            t.broken("it is persistent, and cannot be opened again");
        }
        let next = if round % 2 == 0 { t.reserve().await } else { t.value(&a, "3").await };
        t.holds(next > written, format_args!("{next} came after the restart, {written} before it"));
        last = next;
    }
}

/// A clear is not undone by a restart, nor does it reach what was written after it.
pub async fn a_cleared_namespace_stays_cleared(subject: &dyn Subject) {
    let mut t = Trial::open(subject).await;
    if t.store.as_batch().is_none() {
        return;
    }
    t.rule("a clear is not undone by a restart, and spares what was written after it");
    for space in ["a", "b"] {
        for n in 0..20_u8 {
            let _ = t.value(&key_in(space, [n]), "before").await;
        }
    }
    t.equal(t.done(t.batch().clear(Some(&namespace("a"))).await), 20);
    let _ = t.value(&key_in("a", [1]), "after").await;
    let _ = t.reopen(START_MS).await;
    t.expect_text(&key_in("a", [0]), None).await;
    t.expect_text(&key_in("a", [1]), Some("after")).await;
    t.expect_text(&key_in("b", [0]), Some("before")).await;
    t.equal(t.done(t.batch().clear(None).await), 21);
    let _ = t.value(&key_in("b", [1]), "after all").await;
    let _ = t.reopen(START_MS).await;
    for (space, n) in [("a", 1), ("b", 0), ("b", 2)] {
        t.expect_text(&key_in(space, [n]), None).await;
    }
    t.expect_text(&key_in("b", [1]), Some("after all")).await;
}

/// A write that raced with a clear is there or not; a restart does not change which.
pub async fn a_clear_among_writers_is_the_same_after_a_restart(subject: &dyn Subject) {
    let mut t = Trial::open(subject).await;
    if t.store.as_batch().is_none() {
        return;
    }
    t.rule("a restart does not change what a clear among writers left");
    let store = Arc::clone(&t.store);
    let done = threads(4, move |thread| {
        if thread == 0 {
            return (0..30).all(|n| {
                let space = (n % 2 == 0).then(|| namespace("suite"));
                store.as_batch().is_some_and(|batch| block_on(batch.clear(space.as_ref())).is_ok())
            });
        }
        // Each key is written once: a write that a restart takes back has no later one to hide it.
        (0..300_u16).all(|n| {
            let options = PutOptions { deferred: true, ..PutOptions::default() };
            block_on(store.put(&racing(thread, n), Entry::new("v"), options)).is_ok()
        })
    })
    .await;
    t.equal(done, vec![true; 4]);
    let keys: Vec<_> = (1..4).flat_map(|thread| (0..300).map(move |n| racing(thread, n))).collect();
    let before = t.done(t.store.get_many(&keys).await);
    let _ = t.reopen(START_MS).await;
    t.equal(t.done(t.store.get_many(&keys).await), before);
}

fn racing(thread: usize, n: u16) -> crate::Key {
    let [high, low] = n.to_be_bytes();
    key([thread as u8, high, low])
}
