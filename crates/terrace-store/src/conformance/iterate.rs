//! Listing: ranges, pages, what an open listing sees, counts.

use std::collections::BTreeMap;
use std::num::NonZeroU64;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;

use super::Subject;
use super::threads::threads;
use super::trial::{START_MS, Trial, key, key_in, namespace};
use crate::block_on;
use crate::capability::{Cursor, List, Order};
use crate::entry::{Entry, Tags};
use crate::ext::StoreExt;
use crate::store::PutOptions;

/// All of this file.
pub async fn all(subject: &dyn Subject) {
    a_listing_has_what_it_covers(subject).await;
    pages_of_any_size_make_the_same_listing(subject).await;
    an_entry_is_listed_as_it_is_got(subject).await;
    namespaces_are_listed_apart(subject).await;
    what_stays_is_listed_once_whatever_else_changes(subject).await;
    what_stays_is_listed_once_while_others_write(subject).await;
    count_and_bytes_are_exact(subject).await;
}

fn some(bytes: &[u8]) -> Option<Bytes> {
    Some(Bytes::copy_from_slice(bytes))
}

const KEYS: [&[u8]; 16] = [
    b"",
    b"\0",
    b"\0\0",
    b"a",
    b"a\0",
    b"a/",
    b"a/1",
    b"a/10",
    b"a/2",
    b"a0",
    b"b",
    b"b\xff",
    b"b\xff\xff",
    b"c",
    b"\xff",
    b"\xff\xff\xff",
];

/// Prefix, start and end in all combinations, against a plain filter.
pub async fn a_listing_has_what_it_covers(subject: &dyn Subject) {
    let t = Trial::open(subject).await;
    for bytes in KEYS {
        let _ = t.value(&key(bytes), "v").await;
    }
    for other in ["suit", "suite\0", "suitf", ""] {
        let _ = t.value(&key_in(other, "a/1"), "other").await;
    }
    t.rule("a listing has exactly the keys with the prefix, at or after `from`, before `before`, in order");
    let ends = [
        None,
        some(b""),
        some(b"a"),
        some(b"a/"),
        some(b"a/1"),
        some(b"aa"),
        some(b"b\xff"),
        some(b"\xff\xff"),
    ];
    let mut sorted = KEYS.map(Bytes::from_static);
    sorted.sort();
    for prefix in [&b""[..], b"\0", b"a", b"a/", b"a/1", b"b\xff", b"\xff", b"zzz", b"a/100"] {
        for from in &ends {
            for before in &ends {
                let list = List {
                    prefix: Bytes::from_static(prefix),
                    from: from.clone(),
                    before: before.clone(),
                    ..List::all(namespace("suite"))
                };
                let expected: Vec<Bytes> = sorted.iter().filter(|key| list.covers(key)).cloned().collect();
                t.equal(t.keys(&list).await, expected.clone());
                let any = List { order: Order::Any, ..list };
                let mut found = t.keys(&any).await;
                found.sort();
                t.equal(found, expected);
            }
        }
    }
}

/// Whatever the limit, the pages together are the listing.
pub async fn pages_of_any_size_make_the_same_listing(subject: &dyn Subject) {
    let t = Trial::open(subject).await;
    for bytes in KEYS {
        let _ = t.value(&key(bytes), "v").await;
    }
    let _ = t.mortal(&key("a/15"), "expired", 1).await;
    t.clock.advance_ms(1);
    t.rule("pages of any size make the same listing, and none is above its limit");
    for order in [Order::Key, Order::Any] {
        for limit in 1..=KEYS.len() + 2 {
            let list = List { limit, order, ..List::all(namespace("suite")) };
            let (mut found, mut cursor) = (Vec::new(), None);
            for _ in 0..10 * KEYS.len() {
                let page = t.done(t.iterate().list(&list, cursor.as_ref()).await);
                t.holds(
                    page.entries.len() <= limit,
                    format_args!("{} with limit {limit}", page.entries.len()),
                );
                found.extend(page.entries.into_iter().map(|(key, _)| key.shared_bytes()));
                cursor = page.next;
                if cursor.is_none() {
                    break;
                }
            }
            t.holds(cursor.is_none(), "the listing does not end");
            if order == Order::Key {
                t.holds(found.is_sorted(), "the pages are not in order");
            }
            found.sort();
            let mut expected = KEYS.map(Bytes::from_static);
            expected.sort();
            t.equal(found, expected.to_vec());
        }
    }
    t.rule("a limit of 0 counts as 1");
    let list = List { limit: 0, ..List::all(namespace("suite")) };
    t.equal(t.keys(&list).await.len(), KEYS.len());
    t.rule("a listing of an empty namespace is empty and complete");
    let page = t.done(t.iterate().list(&List::all(namespace("empty")), None).await);
    t.equal((page.entries.len(), page.next.is_none()), (0, true));
    t.rule("a cursor that no listing gave is refused or ends somewhere, but harms nothing");
    for bytes in [&b""[..], b"\xff", b"\x05suite", b"\x05suiteb", &[0; 100]] {
        let cursor = Cursor(Bytes::copy_from_slice(bytes));
        let _ = t.iterate().list(&List::all(namespace("suite")), Some(&cursor)).await;
    }
    t.equal(t.keys(&List::all(namespace("suite"))).await.len(), KEYS.len());
}

/// A listed entry is the entry; with `keys_only` what it costs nothing to know.
pub async fn an_entry_is_listed_as_it_is_got(subject: &dyn Subject) {
    let t = Trial::open(subject).await;
    let a = key("a");
    let entry = Entry {
        created_ms: START_MS,
        expires_ms: NonZeroU64::new(START_MS + 1_000),
        tags: t.done(Tags::new(["t"])),
        ..Entry::new("value")
    };
    let _ = t.write(&a, entry).await;
    let Some(got) = t.get(&a).await else { t.broken("the entry is not there") };
    t.rule("an entry is listed as it is got");
    let list = List::all(a.namespace());
    t.equal(t.done(t.store.list_all(&list).await), vec![(a.clone(), got.clone())]);
    t.rule("a listing of keys leaves out the values, and has version and end");
    let listed = t.done(t.store.list_all(&List { keys_only: true, ..list }).await);
    let [(key, listed)] = &listed[..] else { t.broken("not one entry was listed") };
    t.equal((key, listed.value.len(), listed.version), (&a, 0, got.version));
    t.equal(listed.expires_ms, got.expires_ms);
    t.rule("a listing of keys returns no expired entry");
    t.clock.advance_ms(1_000);
    t.equal(t.keys(&List { keys_only: true, ..List::all(a.namespace()) }).await.len(), 0);
}

/// No listing shows a neighbour's keys, and the namespaces are told.
pub async fn namespaces_are_listed_apart(subject: &dyn Subject) {
    let t = Trial::open(subject).await;
    let long = "n".repeat(255);
    let names = ["", "a", "aa", "b", "ab", &long];
    t.rule("a fresh store holds no namespace");
    t.equal(t.done(t.iterate().namespaces().await), vec![]);
    for (n, name) in names.iter().enumerate() {
        for m in 0..=n {
            let _ = t.value(&key_in(name, [m as u8]), "v").await;
        }
    }
    t.rule("a listing has the keys of its namespace only");
    for (n, name) in names.iter().enumerate() {
        for limit in [1, 2, 100] {
            let list = List { limit, ..List::all(namespace(name)) };
            let entries = t.done(t.store.list_all(&list).await);
            t.equal(entries.len(), n + 1);
            t.holds(entries.iter().all(|(key, _)| key.namespace() == list.namespace), "a foreign key");
        }
        t.uses(&namespace(name), (n as u64 + 1, 2 * (n as u64 + 1))).await;
    }
    t.rule("the namespaces that hold anything are told, each once");
    let _ = t.remove(&key_in("", [0])).await;
    let mut found = t.done(t.iterate().namespaces().await);
    found.sort();
    let mut expected: Vec<_> = names[1..].iter().map(|name| namespace(name)).collect();
    expected.sort();
    t.equal(found, expected);
    t.rule("clearing a namespace removes what it holds");
    t.equal(t.done(t.store.clear_namespace(&namespace("aa")).await), 3);
    t.uses(&namespace("aa"), (0, 0)).await;
    t.uses(&namespace("a"), (2, 4)).await;
}

fn seen(entries: &[(crate::Key, Entry)], counts: &mut BTreeMap<Bytes, u32>) {
    for (key, _) in entries {
        *counts.entry(key.shared_bytes()).or_default() += 1;
    }
}

/// Between two pages others write, delete and replace.
pub async fn what_stays_is_listed_once_whatever_else_changes(subject: &dyn Subject) {
    for order in [Order::Key, Order::Any] {
        for limit in [1, 3, 7] {
            let t = Trial::open(subject).await;
            for n in 0..30_u8 {
                let _ = t.value(&key([n, 0]), "stays").await;
                let _ = t.value(&key([n, 1]), "goes").await;
            }
            let list = List { limit, order, ..List::all(namespace("suite")) };
            let (mut counts, mut cursor, mut round) = (BTreeMap::new(), None, 0_u8);
            loop {
                let page = t.done(t.iterate().list(&list, cursor.as_ref()).await);
                seen(&page.entries, &mut counts);
                cursor = page.next;
                if cursor.is_none() || round == 200 {
                    break;
                }
                // The very entry the cursor may stand on goes, among others; new ones come on both sides.
                if let Some((last, _)) = page.entries.last().filter(|(key, _)| key.bytes().last() != Some(&0))
                {
                    let _ = t.remove(last).await;
                }
                let _ = t.remove(&key([round.wrapping_mul(7) % 30, 1])).await;
                let _ = t.value(&key([round.wrapping_mul(11) % 30, 2]), "comes").await;
                let _ = t.value(&key([round.wrapping_mul(13) % 30, 1]), "is replaced").await;
                round += 1;
            }
            t.rule("what is there from the first page to the last is listed exactly once");
            t.holds(cursor.is_none(), "the listing does not end");
            for n in 0..30_u8 {
                t.equal((n, counts.get(&[n, 0][..]).copied()), (n, Some(1)));
            }
            if order == Order::Key {
                t.rule("in key order nothing is listed twice");
                let twice: Vec<_> = counts.iter().filter(|(_, count)| **count > 1).collect();
                t.equal(twice, vec![]);
            }
        }
    }
}

/// The same with threads that write all the while.
pub async fn what_stays_is_listed_once_while_others_write(subject: &dyn Subject) {
    let t = Trial::open(subject).await;
    for n in 0..100_u8 {
        let _ = t.value(&key([n, 0]), "stays").await;
    }
    t.rule("what stays is listed exactly once while others write");
    let (store, stop) = (Arc::clone(&t.store), Arc::new(AtomicBool::new(false)));
    let sound = threads(3, move |thread| {
        if thread > 0 {
            let mut n = 0_u32;
            while !stop.load(Ordering::Acquire) && n < 100_000 {
                let key = key([(n % 100) as u8, thread as u8]);
                let options = PutOptions { deferred: true, ..PutOptions::default() };
                let put = block_on(store.put(&key, Entry::new("v"), options)).is_ok();
                let deletes = crate::DeleteOptions { deferred: true, ..Default::default() };
                if !put || n.is_multiple_of(3) && block_on(store.delete(&key, deletes)).is_err() {
                    return Err(format!("writer {thread} failed"));
                }
                n += 1;
            }
            return Ok(());
        }
        let listings = (0..10).try_for_each(|_| {
            let list = List { limit: 9, ..List::all(namespace("suite")) };
            let entries = block_on(store.list_all(&list)).map_err(|error| error.to_string())?;
            let mut counts = BTreeMap::new();
            seen(&entries, &mut counts);
            let missing = (0..100_u8).find(|n| counts.get(&[*n, 0][..]) != Some(&1));
            let twice = counts.iter().find(|(_, count)| **count > 1);
            match (missing, twice) {
                (None, None) => Ok(()),
                found => Err(format!("not once: {found:?}")),
            }
        });
        stop.store(true, Ordering::Release);
        listings
    })
    .await;
    t.equal(sound, vec![Ok(()); 3]);
}

/// The counters after every kind of change.
pub async fn count_and_bytes_are_exact(subject: &dyn Subject) {
    let t = Trial::open(subject).await;
    let space = namespace("suite");
    t.rule("count and bytes are exact: of keys and values");
    t.uses(&space, (0, 0)).await;
    let _ = t.value(&key("ab"), "12345").await;
    t.uses(&space, (1, 7)).await;
    let _ = t.value(&key(""), "").await;
    t.uses(&space, (2, 7)).await;
    t.rule("count and bytes are exact after overwrites");
    let _ = t.value(&key("ab"), "1").await;
    t.uses(&space, (2, 3)).await;
    let long = Bytes::from(vec![b'z'; 50_000]);
    let _ = t.write(&key("ab"), Entry::new(long)).await;
    t.uses(&space, (2, 50_002)).await;
    t.rule("bytes are those of keys and values, whatever else an entry has");
    let tagged = Entry { tags: t.done(Tags::new(["12", "345"])), ..Entry::new("v") };
    let _ = t.write(&key("ab"), tagged).await;
    t.uses(&space, (2, 3)).await;
    let _ = t.write(&key("ab"), Entry { weight: Some(1_000), ..Entry::new("v") }).await;
    t.uses(&space, (2, 3)).await;
    t.rule("count and bytes are exact after deletes, of what is there and of what is not");
    let _ = t.remove(&key("nothing")).await;
    t.uses(&space, (2, 3)).await;
    let _ = t.remove(&key("ab")).await;
    t.uses(&space, (1, 0)).await;
    let _ = t.remove(&key("ab")).await;
    t.uses(&space, (1, 0)).await;
    t.rule("count and bytes are exact with entries that expire, are replaced, deleted and swept");
    for bytes in ["a", "b", "c"] {
        let _ = t.mortal(&key(bytes), "12", 10).await;
    }
    t.uses(&space, (4, 9)).await;
    t.clock.advance_ms(10);
    t.uses(&space, (4, 9)).await;
    let _ = t.value(&key("a"), "1").await;
    t.uses(&space, (4, 8)).await;
    let _ = t.remove(&key("b")).await;
    t.uses(&space, (3, 5)).await;
    t.equal(t.sweep(10).await.expired, 1);
    t.uses(&space, (2, 2)).await;
    t.rule("clearing a namespace leaves nothing to count");
    t.equal(t.done(t.store.clear_namespace(&space).await), 2);
    t.uses(&space, (0, 0)).await;
}
