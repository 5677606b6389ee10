//! What everybody expects of a map: what was put is got, until it is deleted.

use std::num::NonZeroU64;
use std::sync::Arc;

use bytes::Bytes;

use super::Subject;
use super::trial::{Trial, key, key_in};
use crate::entry::{CodecId, Entry, Metadata, Tags, Version};
use crate::error::ErrorKind;
use crate::ext::StoreExt;
use crate::store::{Compress, DeleteOptions, Deleted, Health, PutOptions, Written};

/// All of this file.
pub async fn all(subject: &dyn Subject) {
    a_miss_is_not_an_error(subject).await;
    what_was_put_is_got_until_it_is_deleted(subject).await;
    a_put_tells_whether_it_replaced_and_a_delete_whether_there_was_one(subject).await;
    every_field_of_an_entry_survives(subject).await;
    any_bytes_are_a_key_and_a_value(subject).await;
    namespaces_are_apart(subject).await;
    compression_never_shows(subject).await;
    deferred_writes_show_at_once_and_commit(subject).await;
    a_closed_store_refuses_everything(subject).await;
}

/// A miss is `Ok(None)`, and a delete of nothing is done.
pub async fn a_miss_is_not_an_error(subject: &dyn Subject) {
    let t = Trial::open(subject).await;
    t.rule("a key that was never written is absent");
    t.equal(t.get(&key("nothing")).await, None);
    t.rule("a delete of an absent key is done, and says that there was nothing");
    t.equal(t.remove(&key("nothing")).await.1, false);
    t.equal(t.get(&key("nothing")).await, None);
    t.rule("a fresh store is up");
    t.equal(t.store.health().await, Health::Up);
    t.rule("capabilities are constant");
    t.equal(t.store.capabilities(), t.store.capabilities());
    t.rule("a store has a name");
    t.holds(!t.store.name().is_empty(), "it is empty");
}

/// Put, get, put again, delete, put again; each read sees the last write.
pub async fn what_was_put_is_got_until_it_is_deleted(subject: &dyn Subject) {
    let t = Trial::open(subject).await;
    let (a, b) = (key("a"), key("b"));
    t.rule("a get after a put returns the value and the version of the put");
    let first = t.value(&a, "1").await;
    t.equal(t.get(&a).await.map(|entry| (entry.value, entry.version)), Some((Bytes::from("1"), first)));
    t.rule("a key is untouched by writes of another");
    let _ = t.value(&b, "other").await;
    t.expect_text(&a, Some("1")).await;
    t.rule("a put replaces what was there");
    let second = t.value(&a, "a longer one").await;
    t.equal(t.get(&a).await.map(|entry| entry.version), Some(second));
    t.expect_text(&a, Some("a longer one")).await;
    t.rule("after a delete the key is absent");
    let _ = t.remove(&a).await;
    t.expect_text(&a, None).await;
    t.expect_text(&b, Some("other")).await;
    t.rule("a key can be written again after a delete");
    let _ = t.value(&a, "").await;
    t.expect_text(&a, Some("")).await;
    t.rule("many keys, written in turns and overwritten, keep each its own value");
    for round in 0..3_u32 {
        for n in 0..64_u32 {
            let value = format!("{round}/{n}/").repeat((n * 7 % 50) as usize);
            t.write(&key(n.to_be_bytes()), Entry::new(value)).await;
        }
    }
    for n in 0..64_u32 {
        let expected = format!("2/{n}/").repeat((n * 7 % 50) as usize);
        t.expect_text(&key(n.to_be_bytes()), Some(&expected)).await;
    }
}

/// `replaced` and `existed` speak of live entries.
pub async fn a_put_tells_whether_it_replaced_and_a_delete_whether_there_was_one(subject: &dyn Subject) {
    let t = Trial::open(subject).await;
    let a = key("a");
    t.rule("a put says whether it took the place of a live entry");
    for expected in [false, true, true] {
        match t.done(t.store.put(&a, Entry::new("v"), t.plain()).await) {
            Written::Stored { replaced, .. } => t.equal(replaced, expected),
            conflict => t.broken(format_args!("an unconditional put met {conflict:?}")),
        }
    }
    t.rule("a delete says whether there was a live entry");
    for expected in [true, false] {
        match t.delete(&a).await {
            Deleted::Done { existed, .. } => t.equal(existed, expected),
            conflict => t.broken(format_args!("an unconditional delete met {conflict:?}")),
        }
    }
}

/// An entry in which every field says something.
fn full_entry(created_ms: u64) -> Entry {
    let named = [("origin", "a test"), ("", "empty name"), ("ключ", "значение"), ("empty", "")];
    let metadata = Metadata {
        content_type: Some("text/plain; charset=utf-8".into()),
        map: named.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect(),
    };
    Entry {
        version: Version::ZERO,
        created_ms,
        expires_ms: NonZeroU64::new(created_ms + 90_000),
        fresh_until_ms: NonZeroU64::new(created_ms + 30_000),
        idle_ms: NonZeroU64::new(60_000),
        stamp: 0x0123_4567_89ab_cdef,
        codec: CodecId::POSTCARD,
        type_fingerprint: 0xfeed_face_cafe_beef,
        priority: 200,
        weight: Some(4321),
        tags: Tags::new(["users", "a", "\u{0}\u{ff}"]).unwrap_or_default(),
        metadata: Some(Arc::new(metadata)),
        ..Entry::new("the value")
    }
}

/// Nothing that was said of an entry is lost or changed; `version` alone is the store's.
pub async fn every_field_of_an_entry_survives(subject: &dyn Subject) {
    let t = Trial::open(subject).await;
    t.rule("every field of an entry survives");
    let full = full_entry(super::trial::START_MS);
    let mut variants = vec![
        full.clone(),
        Entry { tags: Tags::NONE, ..full.clone() },
        Entry { metadata: None, ..full.clone() },
        Entry { expires_ms: None, ..full.clone() },
        Entry { idle_ms: None, ..full.clone() },
        Entry { fresh_until_ms: None, weight: None, priority: 0, ..full.clone() },
        Entry { weight: Some(1), stamp: u64::MAX, type_fingerprint: u64::MAX, ..full.clone() },
        Entry { value: Bytes::new(), codec: CodecId(255), priority: 255, ..full.clone() },
        Entry { version: Version(987_654_321), ..full },
        Entry::new("nothing but a value"),
    ];
    let content_type = Metadata { content_type: Some("image/png".into()), ..Metadata::default() };
    variants.push(Entry { metadata: Some(Arc::new(content_type)), ..Entry::new("png") });
    let tags = (0..16_u8).map(|n| vec![n; 255]);
    variants.push(Entry { tags: t.done(Tags::new(tags)), ..Entry::new("many tags") });
    for (n, entry) in variants.into_iter().enumerate() {
        let key = key([n as u8]);
        let version = t.write(&key, entry.clone()).await;
        t.equal(t.get(&key).await, Some(Entry { version, ..entry }));
    }
    t.rule("a put says it all: nothing of the entry it replaces remains");
    let key = key([0]);
    let version = t.value(&key, "plain").await;
    t.equal(t.get(&key).await, Some(Entry { version, ..Entry::new("plain") }));
    t.rule("what a put is told comfortably is what is stored");
    let put =
        t.store.put_with(&key, "tea").tag("drinks").content_type("text/plain").metadata("leaf", "green");
    let put = match t.plain().condition {
        crate::Condition::Newer(version) => put.newer(version),
        _ => put,
    };
    let _ = t.done(put.await);
    let stored = t.get(&key).await;
    let told = stored.as_ref().map(|entry| {
        let leaf = entry.metadata.as_ref().and_then(|metadata| metadata.map.get("leaf").cloned());
        (entry.content_type(), entry.tags.as_slice(), leaf)
    });
    t.equal(told, Some((Some("text/plain"), &[Bytes::from("drinks")][..], Some("green".into()))));
}

/// Keys and values of any bytes, the empty ones too.
pub async fn any_bytes_are_a_key_and_a_value(subject: &dyn Subject) {
    let t = Trial::open(subject).await;
    t.rule("any bytes are a key, and keys that resemble each other stay apart");
    let mut keys: Vec<Vec<u8>> = (0..=255_u8).map(|byte| vec![byte]).collect();
    keys.extend((0..=255_u8).map(|byte| vec![b'k', byte, b'k']));
    keys.extend([vec![], vec![0, 0], vec![255, 255], vec![b'a'; 300], vec![b'a'; 301]]);
    keys.extend(["a/b", "../x", "/etc/passwd", ".", "..", "a\\b", "A", "a b\n", "ключ"].map(Vec::from));
    for bytes in &keys {
        t.write(&key(bytes), Entry::new(bytes.clone())).await;
    }
    for bytes in &keys {
        let value = t.get(&key(bytes)).await.map(|entry| entry.value.to_vec());
        t.equal(value.as_ref(), Some(bytes));
    }
    t.rule("any bytes are a value");
    let all: Vec<u8> = (0..=255).cycle().take(70_000).collect();
    for value in [vec![], vec![0], vec![0; 100_000], all] {
        t.write(&key("value"), Entry::new(value.clone())).await;
        t.holds(
            t.get(&key("value")).await.is_some_and(|entry| entry.value == value),
            format_args!("a value of {} bytes came back changed", value.len()),
        );
    }
    t.rule("the empty key is a key like any other");
    let _ = t.remove(&key("")).await;
    t.equal(t.get(&key("")).await, None);
    t.holds(t.get(&key([0])).await.is_some(), "deleting the empty key deleted another");
}

/// Equal bytes in different namespaces are different keys.
pub async fn namespaces_are_apart(subject: &dyn Subject) {
    let t = Trial::open(subject).await;
    t.rule("equal keys of different namespaces are different keys");
    let long = "n".repeat(255);
    let names = ["", "a", "aa", "b", "a\u{0}", &long];
    let all = || names.iter().flat_map(|name| ["", "a", "aa"].map(|bytes| key_in(name, bytes)));
    for key in all() {
        t.write(&key, Entry::new(key.flat().to_vec())).await;
    }
    for key in all() {
        t.equal(t.get(&key).await.map(|entry| entry.value), Some(key.flat_bytes().clone()));
    }
    let _ = t.remove(&key_in("a", "a")).await;
    for key in all() {
        let deleted = key == key_in("a", "a");
        t.holds(t.get(&key).await.is_none() == deleted, format_args!("a delete in `a` and {key:?}"));
    }
}

/// Whether a value is compressed is the store's affair.
pub async fn compression_never_shows(subject: &dyn Subject) {
    let t = Trial::open(subject).await;
    t.rule("a value comes back as it was put, whether it is compressed or not");
    let even = Bytes::from(vec![b'x'; 20_000]);
    let mut state = 1_u64;
    let mut noise = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 56) as u8
    };
    let uneven: Bytes = (0..20_000).map(|_| noise()).collect();
    for compress in [Compress::Default, Compress::Never, Compress::Always] {
        for value in [&even, &uneven, &Bytes::new(), &Bytes::from_static(b"short")] {
            let options = PutOptions { compress, ..t.plain() };
            let _ = t.done(t.store.put(&key("c"), Entry::new(value.clone()), options).await);
            t.holds(
                t.get(&key("c")).await.is_some_and(|entry| entry.value == value),
                format_args!("a value of {} bytes with {compress:?} came back changed", value.len()),
            );
        }
    }
}

/// A deferred write is visible like any other; `commit` and `flush` complete.
pub async fn deferred_writes_show_at_once_and_commit(subject: &dyn Subject) {
    let t = Trial::open(subject).await;
    t.rule("a deferred put shows at once, and commits");
    let options = || PutOptions { deferred: true, ..t.plain() };
    for n in 0..50_u8 {
        let _ = t.done(t.store.put(&key([n]), Entry::new("deferred"), options()).await);
        t.expect_text(&key([n]), Some("deferred")).await;
    }
    t.done(t.store.commit().await);
    t.rule("a deferred delete shows at once, and commits");
    let condition = t.plain().condition;
    let _ = t.done(t.store.delete(&key([7]), DeleteOptions { condition, deferred: true }).await);
    t.expect_text(&key([7]), None).await;
    t.done(t.store.commit().await);
    t.rule("commit and flush complete when there is nothing to do");
    t.done(t.store.commit().await);
    t.done(t.store.flush().await);
    t.done(t.store.flush().await);
    t.expect_text(&key([8]), Some("deferred")).await;
}

/// After `close` everything is `Closed`, and closing again is `Ok`.
pub async fn a_closed_store_refuses_everything(subject: &dyn Subject) {
    let t = Trial::open(subject).await;
    let a = key("a");
    let _ = t.value(&a, "1").await;
    t.rule("a store can be closed, and closed again");
    t.done(t.store.close().await);
    t.done(t.store.close().await);
    t.rule("a closed store refuses every call with Closed");
    t.refused(t.store.get(&a).await, ErrorKind::Closed);
    t.refused(t.store.exists(&a).await, ErrorKind::Closed);
    t.refused(t.store.put(&a, Entry::new("2"), t.plain()).await, ErrorKind::Closed);
    let condition = t.plain().condition;
    let options = DeleteOptions { condition, ..DeleteOptions::default() };
    t.refused(t.store.delete(&a, options).await, ErrorKind::Closed);
    t.refused(t.store.commit().await, ErrorKind::Closed);
    t.refused(t.store.flush().await, ErrorKind::Closed);
    t.refused(t.store.sweep(10).await, ErrorKind::Closed);
    if t.store.capabilities().versions == crate::Versions::Assigned {
        t.refused(t.store.reserve().await, ErrorKind::Closed);
    }
    if let Some(iterate) = t.store.as_iterate() {
        let list = crate::capability::List::all(a.namespace());
        t.refused(iterate.list(&list, None).await, ErrorKind::Closed);
        t.refused(iterate.count(&a.namespace()).await, ErrorKind::Closed);
        t.refused(iterate.bytes(&a.namespace()).await, ErrorKind::Closed);
        t.refused(iterate.namespaces().await, ErrorKind::Closed);
    }
    if let Some(batch) = t.store.as_batch() {
        t.refused(batch.get_many(std::slice::from_ref(&a)).await, ErrorKind::Closed);
        t.refused(batch.apply(Vec::new()).await, ErrorKind::Closed);
        t.refused(batch.clear(None).await, ErrorKind::Closed);
    }
    t.rule("a closed store is down");
    t.holds(matches!(t.store.health().await, Health::Down(_)), "its health says something else");
}
