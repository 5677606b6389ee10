//! The limits of keys, values and versions: what is within them works, what is beyond is `Invalid`.

use bytes::Bytes;

use super::Subject;
use super::trial::{Trial, key};
use crate::entry::{Entry, Version};
use crate::error::ErrorKind;
use crate::key::{KEY_LIMIT, Key, NAMESPACE_LIMIT};
use crate::store::{Condition, DeleteOptions, PutOptions, VALUE_LIMIT, Versions};

/// All of this file.
pub async fn all(subject: &dyn Subject) {
    the_longest_keys_work(subject).await;
    the_longest_value_works_and_a_longer_one_is_refused(subject).await;
    given_versions_have_a_limit(subject).await;
}

/// Keys up to the limit are keys; longer ones cannot be made.
pub async fn the_longest_keys_work(subject: &dyn Subject) {
    let t = Trial::open(subject).await;
    t.rule("the longest key of the longest namespace is a key");
    let space = vec![b'n'; NAMESPACE_LIMIT];
    let mut bytes = vec![b'k'; KEY_LIMIT];
    let longest = t.done(Key::new(&space, &bytes));
    bytes[KEY_LIMIT - 1] = b'l';
    let neighbour = t.done(Key::new(&space, &bytes));
    let _ = t.value(&longest, "longest").await;
    t.expect_text(&longest, Some("longest")).await;
    t.rule("keys that differ in their last byte only are different keys");
    t.expect_text(&neighbour, None).await;
    let _ = t.value(&neighbour, "neighbour").await;
    let _ = t.remove(&longest).await;
    t.expect_text(&longest, None).await;
    t.expect_text(&neighbour, Some("neighbour")).await;
    t.rule("a longer key is invalid");
    bytes.push(0);
    t.refused(Key::new("", &bytes), ErrorKind::Invalid);
}

/// 64 MiB are taken; a byte more is refused and harms nothing.
pub async fn the_longest_value_works_and_a_longer_one_is_refused(subject: &dyn Subject) {
    let t = Trial::open(subject).await;
    let a = key("a");
    t.rule("a value above the limit is invalid, and what was there stays");
    let version = t.value(&a, "small").await;
    let above = Bytes::from(vec![7; VALUE_LIMIT + 1]);
    t.refused(t.store.put(&a, Entry::new(above.clone()), t.plain()).await, ErrorKind::Invalid);
    t.refused(t.store.put(&key("b"), Entry::new(above.clone()), t.plain()).await, ErrorKind::Invalid);
    t.equal(t.get(&a).await.map(|entry| entry.version), Some(version));
    t.expect_text(&key("b"), None).await;
    t.rule("a value of exactly the limit is taken");
    let longest = above.slice(1..);
    t.write(&a, Entry::new(longest.clone())).await;
    t.holds(t.get(&a).await.is_some_and(|entry| entry.value == longest), "it came back changed");
    let _ = t.remove(&a).await;
    t.expect_text(&a, None).await;
}

/// A given version below the limit leaves room for those the store assigns later; one above is refused.
pub async fn given_versions_have_a_limit(subject: &dyn Subject) {
    let t = Trial::open(subject).await;
    if t.store.capabilities().versions != Versions::Assigned {
        return;
    }
    let a = key("a");
    t.rule("a given version at or above the limit is invalid");
    for version in [Version::LIMIT, Version::MAX] {
        let condition = Condition::Newer(version);
        let options = PutOptions { condition, ..PutOptions::default() };
        t.refused(t.store.put(&a, Entry::new("v"), options).await, ErrorKind::Invalid);
        let options = DeleteOptions { condition, ..DeleteOptions::default() };
        t.refused(t.store.delete(&a, options).await, ErrorKind::Invalid);
    }
    t.rule("after the greatest given version the store still assigns greater ones");
    let greatest = Version(Version::LIMIT.0 - 1);
    t.equal(t.put_if(&a, "1", Condition::Newer(greatest)).await.version(), Some(greatest));
    let mut last = greatest;
    for _ in 0..3 {
        let version = t.value(&a, "2").await;
        t.holds(version > last, format_args!("{version} came after {last}"));
        last = version;
    }
    t.holds(t.remove(&a).await.0 > last, "a delete came not after the last write");
}
