//! Changes as they happen.

use std::sync::Arc;

use bytes::Bytes;

use super::Subject;
use super::threads::{threads, within};
use super::trial::{Trial, key, key_in, namespace};
use crate::block_on;
use crate::capability::{Change, Changes};
use crate::entry::{Entry, Version};
use crate::error::ErrorKind;
use crate::store::PutOptions;

/// All of this file.
pub async fn all(subject: &dyn Subject) {
    changes_come_in_order(subject).await;
    a_watch_keeps_to_its_prefix(subject).await;
    removals_are_changes(subject).await;
    a_slow_watcher_is_told_that_it_lagged(subject).await;
    changes_of_racing_writers_come_in_the_order_of_versions(subject).await;
    a_closed_store_ends_its_watches(subject).await;
}

async fn watch(t: &Trial<'_>, space: &str, prefix: &'static str) -> Box<dyn Changes> {
    match t.store.as_watch() {
        Some(watch) => t.done(watch.watch(&namespace(space), Bytes::from_static(prefix.as_bytes())).await),
        None => t.broken("it could be watched when it was opened first, and cannot now"),
    }
}

async fn next(t: &Trial<'_>, changes: &mut Box<dyn Changes>) -> Change {
    match within(changes.next()).await {
        Some(Some(change)) => change,
        Some(None) => t.broken("the stream of changes ended"),
        None => t.broken("a change that was acknowledged does not come"),
    }
}

/// Puts and deletes, with their versions.
pub async fn changes_come_in_order(subject: &dyn Subject) {
    let t = Trial::open(subject).await;
    let (a, b) = (key("a"), key("b"));
    let _ = t.value(&a, "before").await;
    let mut changes = watch(&t, "suite", "").await;
    t.rule("a watcher is told of the writes after its call, in their order, with their versions");
    let put = |key: &crate::Key, version| Change::Put { key: key.clone(), version };
    let first = t.value(&a, "1").await;
    t.equal(next(&t, &mut changes).await, put(&a, first));
    let second = t.value(&a, "2").await;
    let third = t.value(&b, "3").await;
    let (floor, _) = t.remove(&a).await;
    t.equal(next(&t, &mut changes).await, put(&a, second));
    t.equal(next(&t, &mut changes).await, put(&b, third));
    t.equal(next(&t, &mut changes).await, Change::Deleted { key: a.clone(), version: floor });
    t.rule("a write that was refused is no change");
    let _ = t.put_if(&b, "refused", crate::Condition::Match(Version::MAX)).await;
    let last = t.value(&b, "4").await;
    t.equal(next(&t, &mut changes).await, put(&b, last));
    t.rule("dropping the wait for a change loses nothing");
    drop(changes.next());
    let last = t.value(&b, "5").await;
    drop(changes.next());
    t.equal(next(&t, &mut changes).await, put(&b, last));
}

/// Other prefixes, other namespaces.
pub async fn a_watch_keeps_to_its_prefix(subject: &dyn Subject) {
    let t = Trial::open(subject).await;
    let mut changes = watch(&t, "suite", "in/").await;
    let mut others = watch(&t, "suite", "").await;
    t.rule("a watcher is told of its prefix in its namespace, and of nothing else");
    for outside in [key("in"), key("out"), key_in("other", "in/1"), key("i")] {
        let _ = t.value(&outside, "v").await;
    }
    let version = t.value(&key("in/1"), "v").await;
    t.equal(next(&t, &mut changes).await, Change::Put { key: key("in/1"), version });
    t.rule("each watcher is told for itself");
    let mut told = 0;
    while next(&t, &mut others).await != (Change::Put { key: key("in/1"), version }) {
        told += 1;
    }
    t.equal(told, 3);
}

/// A sweep tells of each key, a clear of the whole.
pub async fn removals_are_changes(subject: &dyn Subject) {
    let t = Trial::open(subject).await;
    let a = key("a");
    let _ = t.mortal(&a, "mortal", 10).await;
    t.clock.advance_ms(10);
    let mut changes = watch(&t, "suite", "").await;
    t.rule("a sweep tells of what it removes as of deletes");
    let _ = t.sweep(10).await;
    let change = next(&t, &mut changes).await;
    t.holds(matches!(&change, Change::Deleted { key, .. } if *key == a), format_args!("{change:?}"));
    if t.store.as_batch().is_some() {
        t.rule("a clear is told as one change, to those whose namespace it covers");
        t.done(t.batch().clear(Some(&namespace("other"))).await);
        t.done(t.batch().clear(Some(&namespace("suite"))).await);
        t.equal(next(&t, &mut changes).await, Change::Cleared(Some(namespace("suite"))));
        t.done(t.batch().clear(None).await);
        t.equal(next(&t, &mut changes).await, Change::Cleared(None));
    }
}

/// 1,024 are kept for sure; where some are dropped, it shows.
pub async fn a_slow_watcher_is_told_that_it_lagged(subject: &dyn Subject) {
    let t = Trial::open(subject).await;
    t.rule("1,024 unread changes are kept, and where some are dropped the watcher is told so once");
    for writes in [1_023_u32, 20_000] {
        let mut changes = watch(&t, "suite", "").await;
        for n in 0..writes {
            let options = PutOptions { deferred: true, ..t.plain() };
            let _ = t.done(t.store.put(&key((n % 7).to_be_bytes()), Entry::new("v"), options).await);
        }
        t.done(t.store.commit().await);
        let mut end = t.value(&key("end"), "v").await;
        let (mut told, mut lagged, mut last) = (0, 0, Version::ZERO);
        loop {
            match next(&t, &mut changes).await {
                Change::Lagged => {
                    lagged += 1;
                    // Where the latest are dropped, the end was among them.
                    if told >= 1_023 {
                        end = t.value(&key("end"), "v").await;
                    }
                }
                Change::Put { version, .. } if version == end => break,
                Change::Put { version, .. } => {
                    t.holds(version > last, "a change came after a later one");
                    (told, last) = (told + 1, version);
                }
                other => t.broken(format_args!("{other:?} was never done")),
            }
        }
        t.holds(told >= 1_023, format_args!("only {told} changes were kept"));
        t.equal((lagged > 0, lagged <= 1), (told < writes, true));
    }
}

/// Per key the order is that of the versions.
pub async fn changes_of_racing_writers_come_in_the_order_of_versions(subject: &dyn Subject) {
    let t = Trial::open(subject).await;
    t.rule("the changes of a key come in the order of their versions");
    let mut changes = watch(&t, "suite", "").await;
    let store = Arc::clone(&t.store);
    let done = threads(4, move |_| {
        (0..100).all(|n| {
            let options = PutOptions { deferred: true, ..PutOptions::default() };
            block_on(store.put(&key([n % 2]), Entry::new("v"), options)).is_ok()
        })
    })
    .await;
    t.equal(done, vec![true; 4]);
    let mut last = [Version::ZERO; 2];
    for _ in 0..400 {
        match next(&t, &mut changes).await {
            Change::Put { key, version } => {
                let last = &mut last[usize::from(key.bytes()[0] % 2)];
                t.holds(version > *last, format_args!("{version} came after {last}"));
                *last = version;
            }
            other => t.broken(format_args!("{other:?} was never done")),
        }
    }
}

/// The end of the store is the end of the stream.
pub async fn a_closed_store_ends_its_watches(subject: &dyn Subject) {
    let t = Trial::open(subject).await;
    let mut changes = watch(&t, "suite", "").await;
    let _ = t.value(&key("a"), "1").await;
    t.done(t.store.close().await);
    t.rule("a watch of a closed store ends, after what was told before");
    let change = within(changes.next()).await.flatten();
    t.holds(matches!(change, Some(Change::Put { .. })), format_args!("{change:?}"));
    t.equal(within(changes.next()).await, Some(None));
    t.rule("a closed store cannot be watched");
    let refused = match t.store.as_watch() {
        Some(watch) => watch.watch(&namespace("suite"), Bytes::new()).await.map(|_| ()),
        None => t.broken("it could be watched when it was open"),
    };
    t.refused(refused, ErrorKind::Closed);
}
