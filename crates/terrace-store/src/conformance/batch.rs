//! Several operations in one call.

use bytes::Bytes;

use super::Subject;
use super::trial::{Trial, key, key_in, namespace};
use crate::capability::{Outcome, Write};
use crate::entry::{Entry, Version};
use crate::error::ErrorKind;
use crate::ext::StoreExt;
use crate::store::{Condition, DeleteOptions, Deleted, PutOptions, VALUE_LIMIT, Versions, Written};

/// All of this file.
pub async fn all(subject: &dyn Subject) {
    many_are_got_in_their_order(subject).await;
    if Trial::open(subject).await.store.capabilities().versions == Versions::Given {
        return;
    }
    operations_are_applied_in_order(subject).await;
    a_conflict_keeps_nothing_else_back(subject).await;
    an_error_leaves_an_atomic_batch_undone(subject).await;
    a_clear_removes_a_namespace_or_everything(subject).await;
}

fn put(key: &crate::Key, value: &'static str, condition: Condition) -> Write {
    Write::Put(key.clone(), Entry::new(value), PutOptions { condition, ..PutOptions::default() })
}

fn delete(key: &crate::Key, condition: Condition) -> Write {
    Write::Delete(key.clone(), DeleteOptions { condition, ..DeleteOptions::default() })
}

/// The answers stand where the keys stood, the same key twice too.
pub async fn many_are_got_in_their_order(subject: &dyn Subject) {
    let t = Trial::open(subject).await;
    t.rule("the entries of many keys come in the order of the keys");
    let (a, b) = (key("a"), key_in("other", "a"));
    let _ = t.value(&a, "1").await;
    let _ = t.value(&b, "2").await;
    let keys = [b.clone(), key("nothing"), a.clone(), b, a];
    let entries = t.done(t.batch().get_many(&keys).await);
    let values: Vec<_> = entries.into_iter().map(|entry| entry.map(|entry| entry.value)).collect();
    let [one, two] = ["1", "2"].map(|text| Some(Bytes::from(text)));
    t.equal(values, vec![two.clone(), None, one.clone(), two, one]);
    t.equal(t.done(t.batch().get_many(&[]).await), vec![]);
}

/// Of two operations on one key the later sees the earlier.
pub async fn operations_are_applied_in_order(subject: &dyn Subject) {
    let t = Trial::open(subject).await;
    t.rule("the operations of a batch are applied in order");
    let (a, b) = (key("a"), key("b"));
    let writes = vec![
        put(&a, "1", Condition::Absent),
        put(&a, "2", Condition::Absent),
        put(&b, "3", Condition::Any),
        delete(&a, Condition::Any),
        put(&a, "4", Condition::Absent),
        delete(&key("c"), Condition::Any),
    ];
    let outcomes = t.done(t.batch().apply(writes).await);
    let [
        Outcome::Put(Written::Stored { version: first, replaced: false }),
        Outcome::Put(Written::Conflict { current: Some(current) }),
        Outcome::Put(Written::Stored { replaced: false, .. }),
        Outcome::Delete(Deleted::Done { version: floor, existed: true }),
        Outcome::Put(Written::Stored { version: last, replaced: false }),
        Outcome::Delete(Deleted::Done { existed: false, .. }),
    ] = outcomes[..]
    else {
        t.broken(format_args!("the outcomes were {outcomes:?}"))
    };
    t.equal(current, first);
    if t.store.capabilities().versions == Versions::Assigned {
        t.holds(first < floor && floor < last, format_args!("{first}, {floor}, {last}"));
    }
    t.equal(t.get(&a).await.map(|entry| entry.version), Some(last));
    t.expect_text(&a, Some("4")).await;
    t.expect_text(&b, Some("3")).await;
    t.equal(t.done(t.batch().apply(Vec::new()).await), vec![]);
    t.rule("a large batch is applied whole, and its deferred writes commit");
    let options = PutOptions { deferred: true, ..PutOptions::default() };
    let many = (0..500_u32).map(|n| Write::Put(key(n.to_be_bytes()), Entry::new("v"), options)).collect();
    t.equal(t.done(t.store.apply(many).await).len(), 500);
    t.done(t.store.commit().await);
    let keys: Vec<_> = (0..500_u32).map(|n| key(n.to_be_bytes())).collect();
    t.holds(t.done(t.store.get_many(&keys).await).iter().all(Option::is_some), "an entry is missing");
}

/// Conditions are judged one by one.
pub async fn a_conflict_keeps_nothing_else_back(subject: &dyn Subject) {
    let t = Trial::open(subject).await;
    t.rule("a conflict of one operation does not keep the others from being applied");
    let (a, b, c) = (key("a"), key("b"), key("c"));
    let version = t.value(&b, "live").await;
    let never = Condition::Match(Version(u64::MAX - 1));
    let writes = vec![
        put(&a, "1", Condition::Any),
        put(&b, "2", Condition::Absent),
        delete(&b, never),
        put(&c, "3", Condition::Any),
    ];
    let outcomes = t.done(t.batch().apply(writes).await);
    let conflicts = (outcomes.get(1).copied(), outcomes.get(2).copied());
    let current = Some(version);
    let expected =
        (Outcome::Put(Written::Conflict { current }), Outcome::Delete(Deleted::Conflict { current }));
    t.equal(conflicts, (Some(expected.0), Some(expected.1)));
    for (key, expected) in [(&a, "1"), (&b, "live"), (&c, "3")] {
        t.expect_text(key, Some(expected)).await;
    }
}

/// An invalid operation, early or late, leaves nothing of an atomic batch.
pub async fn an_error_leaves_an_atomic_batch_undone(subject: &dyn Subject) {
    let t = Trial::open(subject).await;
    let (a, b) = (key("a"), key("b"));
    let _ = t.value(&a, "before").await;
    t.rule("a batch with an invalid operation is refused");
    let long = Write::Put(b.clone(), Entry::new(vec![0; VALUE_LIMIT + 1]), PutOptions::default());
    for invalid in [long, delete(&b, Condition::Absent)] {
        let writes = vec![put(&a, "after", Condition::Any), delete(&key("c"), Condition::Any), invalid];
        t.refused(t.batch().apply(writes).await, ErrorKind::Invalid);
        if t.store.capabilities().atomic_batches {
            t.rule("nothing of an atomic batch that failed was applied");
            t.expect_text(&a, Some("before")).await;
        }
        t.expect_text(&b, None).await;
    }
}

/// All of a namespace, or all.
pub async fn a_clear_removes_a_namespace_or_everything(subject: &dyn Subject) {
    let t = Trial::open(subject).await;
    let fill = async || {
        for space in ["", "a", "aa", "b"] {
            for n in 0..5_u8 {
                let _ = t.value(&key_in(space, [n]), "v").await;
            }
        }
        let _ = t.remove(&key_in("a", [0])).await;
        let _ = t.mortal(&key_in("a", [1]), "v", 1).await;
        t.clock.advance_ms(1);
    };
    fill().await;
    t.rule("a clear removes the entries of its namespace, and returns how many live ones there were");
    t.equal(t.done(t.batch().clear(Some(&namespace("a"))).await), 3);
    for n in 0..5_u8 {
        t.expect_text(&key_in("a", [n]), None).await;
        for space in ["", "aa", "b"] {
            t.expect_text(&key_in(space, [n]), Some("v")).await;
        }
    }
    t.equal(t.done(t.batch().clear(Some(&namespace("a"))).await), 0);
    t.equal(t.done(t.batch().clear(Some(&namespace("none"))).await), 0);
    t.rule("a clear of everything removes everything");
    fill().await;
    t.equal(t.done(t.batch().clear(None).await), 18);
    for space in ["", "a", "aa", "b"] {
        t.expect_text(&key_in(space, [4]), None).await;
    }
    if let Some(iterate) = t.store.as_iterate() {
        t.equal(t.done(iterate.namespaces().await), vec![]);
        t.uses(&namespace("b"), (0, 0)).await;
    }
    t.rule("a cleared store can be written");
    fill().await;
    t.expect_text(&key_in("b", [4]), Some("v")).await;
}
