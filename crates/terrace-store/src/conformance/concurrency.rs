//! Many threads on few keys: the operations on a key happen one after another.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::Subject;
use super::threads::threads;
use super::trial::{Trial, key};
use crate::block_on;
use crate::entry::{Entry, Version};
use crate::error::Error;
use crate::key::Key;
use crate::store::{Condition, DeleteOptions, Deleted, PutOptions, Store, Written};

/// All of this file.
pub async fn all(subject: &dyn Subject) {
    compare_and_set_increments_add_up(subject).await;
    a_race_for_an_absent_key_has_one_winner(subject).await;
    a_race_of_deletes_has_one_winner(subject).await;
    versions_are_unique_and_the_greatest_stays(subject).await;
    a_race_of_copies_leaves_the_newest(subject).await;
    readers_see_whole_values_and_never_go_back(subject).await;
    reservations_are_between_the_writes_around_them(subject).await;
}

const THREADS: usize = 8;

/// What a thread does to a store, with failures as panics that the suite passes on.
fn expect<T>(store: &dyn Store, rule: &str, result: Result<T, Error>) -> T {
    match result {
        Ok(value) => value,
        Err(error) => panic!("store `{}` breaks the rule: {rule}: it failed: {error:?}", store.name()),
    }
}

fn number(entry: &Entry) -> u64 {
    entry.value.as_ref().try_into().map_or(u64::MAX, u64::from_le_bytes)
}

fn increment(store: &dyn Store, key: &Key) {
    const RULE: &str = "increments by compare-and-set add up";
    loop {
        let current = expect(store, RULE, block_on(store.get(key)));
        let next = current.as_ref().map_or(0, number) + 1;
        let condition = current.map_or(Condition::Absent, |entry| Condition::Match(entry.version));
        let options = PutOptions { condition, deferred: true, ..PutOptions::default() };
        let entry = Entry::new(next.to_le_bytes().to_vec());
        match expect(store, RULE, block_on(store.put(key, entry, options))) {
            Written::Stored { .. } => return,
            Written::Conflict { .. } => std::thread::yield_now(),
        }
    }
}

/// No increment is lost and none is counted twice.
pub async fn compare_and_set_increments_add_up(subject: &dyn Subject) {
    let t = Trial::open(subject).await;
    t.rule("increments by compare-and-set add up");
    let store = Arc::clone(&t.store);
    threads(THREADS, move |thread| {
        for n in 0..100 {
            increment(&*store, &key([(n % 2) as u8]));
            if thread == 0 {
                std::thread::yield_now();
            }
        }
    })
    .await;
    t.done(t.store.commit().await);
    for n in 0..2_u8 {
        t.equal(t.get(&key([n])).await.as_ref().map(number), Some(50 * THREADS as u64));
    }
}

/// Of many who put if absent one is told that it did, and its value is there.
pub async fn a_race_for_an_absent_key_has_one_winner(subject: &dyn Subject) {
    let t = Trial::open(subject).await;
    t.rule("a race for an absent key has one winner");
    for round in 0..20_u8 {
        let store = Arc::clone(&t.store);
        let outcomes = threads(THREADS, move |thread| {
            let options =
                PutOptions { condition: Condition::Absent, deferred: true, ..PutOptions::default() };
            let key = key([round]);
            let put = store.put(&key, Entry::new(vec![thread as u8]), options);
            expect(&*store, "a race for an absent key has one winner", block_on(put))
        })
        .await;
        let winners: Vec<usize> =
            (0..THREADS).filter(|n| matches!(outcomes[*n], Written::Stored { .. })).collect();
        let [winner] = winners[..] else { t.broken(format_args!("the winners were {winners:?}")) };
        let current = outcomes[winner].version();
        let others = outcomes.iter().enumerate().filter(|(n, _)| *n != winner);
        for (_, outcome) in others {
            t.equal(*outcome, Written::Conflict { current });
        }
        let entry = t.get(&key([round])).await;
        t.equal(
            entry.map(|entry| (entry.value.to_vec(), Some(entry.version))),
            Some((vec![winner as u8], current)),
        );
    }
}

/// Of many who delete one is told that there was an entry.
pub async fn a_race_of_deletes_has_one_winner(subject: &dyn Subject) {
    let t = Trial::open(subject).await;
    t.rule("of many deletes one finds the entry");
    for round in 0..10_u8 {
        let _ = t.value(&key([round]), "v").await;
        let store = Arc::clone(&t.store);
        let outcomes = threads(THREADS, move |_| {
            let options = DeleteOptions { deferred: true, ..DeleteOptions::default() };
            expect(
                &*store,
                "of many deletes one finds the entry",
                block_on(store.delete(&key([round]), options)),
            )
        })
        .await;
        let found = outcomes.iter().filter(|o| matches!(o, Deleted::Done { existed: true, .. })).count();
        t.equal(found, 1);
    }
}

/// Writers of one key get different versions; the value that stays is the one of the greatest.
pub async fn versions_are_unique_and_the_greatest_stays(subject: &dyn Subject) {
    let t = Trial::open(subject).await;
    t.rule("no two writes have one version, and the write with the greatest stays");
    let store = Arc::clone(&t.store);
    let written = threads(THREADS, move |thread| {
        let one = |n: usize| {
            let options = PutOptions { deferred: true, ..PutOptions::default() };
            let value = vec![thread as u8, n as u8];
            let put = block_on(store.put(&key("a"), Entry::new(value.clone()), options));
            (expect(&*store, "no two writes have one version", put).version(), value)
        };
        (0..40).map(one).collect::<Vec<_>>()
    })
    .await;
    for mine in &written {
        t.holds(mine.windows(2).all(|two| two[0].0 < two[1].0), "a thread's own versions went back");
    }
    let all: Vec<_> = written.into_iter().flatten().collect();
    let unique: BTreeSet<_> = all.iter().map(|(version, _)| *version).collect();
    t.equal(unique.len(), all.len());
    let last = all.into_iter().max();
    t.equal(t.get(&key("a")).await.map(|entry| (Some(entry.version), entry.value.to_vec())), last);
}

/// However late messages race, the newest wins.
pub async fn a_race_of_copies_leaves_the_newest(subject: &dyn Subject) {
    let t = Trial::open(subject).await;
    t.rule("of copies that race the newest stays");
    let store = Arc::clone(&t.store);
    threads(THREADS, move |thread| {
        for n in 0..30_u64 {
            // Each thread walks the versions 1..=240 in another order.
            let version = (n * 8 + thread as u64 * 3) * 7 % 240 + 1;
            let condition = Condition::Newer(Version(version));
            let options = PutOptions { condition, deferred: true, ..PutOptions::default() };
            let entry = Entry::new(version.to_le_bytes().to_vec());
            let _ = expect(
                &*store,
                "of copies that race the newest stays",
                block_on(store.put(&key("a"), entry, options)),
            );
        }
    })
    .await;
    let tried = (0..THREADS as u64).flat_map(|t| (0..30_u64).map(move |n| (n * 8 + t * 3) * 7 % 240 + 1));
    let newest = tried.max().unwrap_or(0);
    let entry = t.get(&key("a")).await;
    t.equal(entry.as_ref().map(|entry| (entry.version.0, number(entry))), Some((newest, newest)));
}

/// A value is never seen half written, nor an older one after a newer one.
pub async fn readers_see_whole_values_and_never_go_back(subject: &dyn Subject) {
    let t = Trial::open(subject).await;
    t.rule("readers see whole values, each with its own version, and never go back");
    let _ = t.write(&key("a"), whole(0)).await;
    let (store, stop) = (Arc::clone(&t.store), Arc::new(AtomicBool::new(false)));
    let reads = threads(4, move |thread| {
        if thread == 0 {
            for n in 1..=150_u8 {
                let options = PutOptions { deferred: true, ..PutOptions::default() };
                let _ = expect(
                    &*store,
                    "readers see whole values",
                    block_on(store.put(&key("a"), whole(n), options)),
                );
            }
            stop.store(true, Ordering::Release);
            return 0;
        }
        let (mut last, mut reads, mut value) = (Version::ZERO, 0_u64, 0);
        while !stop.load(Ordering::Acquire) || reads < 10 {
            let found = expect(&*store, "readers see whole values", block_on(store.get(&key("a"))));
            let Some(entry) = found else {
                panic!("store `{}` breaks the rule: an entry that is replaced is always there", store.name())
            };
            let first = entry.value[0];
            let sound = entry.value.iter().all(|byte| *byte == first) && entry.value == whole(first).value;
            assert!(sound, "store `{}` breaks the rule: values are seen whole", store.name());
            assert!(
                entry.version >= last && first >= value,
                "store `{}` breaks the rule: reads never go back: {} after {last}",
                store.name(),
                entry.version
            );
            (last, value, reads) = (entry.version, first, reads + 1);
        }
        reads
    })
    .await;
    t.holds(reads.iter().skip(1).all(|reads| *reads > 0), "a reader read nothing");
    t.equal(t.get(&key("a")).await.map(|entry| entry.value), Some(whole(150).value));
}

/// A value whose length and bytes both tell its number.
fn whole(n: u8) -> Entry {
    Entry::new(vec![n; 1 + usize::from(n) * 37])
}

/// A reservation is above the writes before it and below those after it, whoever else writes.
pub async fn reservations_are_between_the_writes_around_them(subject: &dyn Subject) {
    let t = Trial::open(subject).await;
    t.rule("a reservation is above the writes before it and below those after it");
    let store = Arc::clone(&t.store);
    let sound = threads(THREADS, move |thread| {
        let put = || {
            let options = PutOptions { deferred: true, ..PutOptions::default() };
            let put = block_on(store.put(&key([(thread % 3) as u8]), Entry::new("v"), options));
            expect(&*store, "a reservation stands between the writes around it", put).version()
        };
        (0..30).all(|_| {
            let before = put();
            let reserved = Some(expect(
                &*store,
                "a store that assigns versions reserves them",
                block_on(store.reserve()),
            ));
            before < reserved && reserved < put()
        })
    })
    .await;
    t.equal(sound, vec![true; THREADS]);
}
