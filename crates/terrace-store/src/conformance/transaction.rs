//! Reads and writes that happen all at once or not at all.

use std::sync::Arc;

use super::Subject;
use super::threads::threads;
use super::trial::{Trial, key};
use crate::block_on;
use crate::capability::Transaction;
use crate::entry::Entry;
use crate::error::{ErrorKind, Result};
use crate::key::Key;
use crate::store::{Condition, Store, VALUE_LIMIT, Versions, Written};

/// All of this file.
pub async fn all(subject: &dyn Subject) {
    writes_happen_at_the_commit_and_together(subject).await;
    a_dropped_transaction_is_undone(subject).await;
    a_transaction_whose_reads_changed_conflicts(subject).await;
    a_transaction_that_nothing_touched_commits(subject).await;
    of_two_that_read_what_the_other_writes_one_conflicts(subject).await;
    committed_writes_have_versions_like_any_other(subject).await;
    what_cannot_be_written_fails_the_commit(subject).await;
    transfers_keep_the_total(subject).await;
}

async fn begin<'a>(t: &'a Trial<'_>) -> Box<dyn Transaction + 'a> {
    match t.store.as_transact() {
        Some(transact) => t.done(transact.begin().await),
        None => t.broken("it had transactions when it was opened first, and has none now"),
    }
}

async fn read(t: &Trial<'_>, transaction: &mut Box<dyn Transaction + '_>, key: &Key) -> Option<String> {
    let entry = t.done(transaction.get(key).await);
    entry.map(|entry| String::from_utf8_lossy(&entry.value).into_owned())
}

/// Nothing shows before the commit, everything after it; the transaction itself sees its writes.
pub async fn writes_happen_at_the_commit_and_together(subject: &dyn Subject) {
    let t = Trial::open(subject).await;
    let (a, b, c) = (key("a"), key("b"), key("c"));
    let _ = t.value(&a, "1").await;
    let _ = t.value(&c, "1").await;
    let mut transaction = begin(&t).await;
    t.rule("a transaction reads what is there");
    t.equal(read(&t, &mut transaction, &a).await.as_deref(), Some("1"));
    t.equal(read(&t, &mut transaction, &b).await, None);
    transaction.put(a.clone(), Entry::new("2"));
    transaction.put(b.clone(), Entry::new("2"));
    transaction.delete(c.clone());
    t.rule("a transaction sees its own writes");
    t.equal(read(&t, &mut transaction, &a).await.as_deref(), Some("2"));
    t.equal(read(&t, &mut transaction, &b).await.as_deref(), Some("2"));
    t.equal(read(&t, &mut transaction, &c).await, None);
    t.rule("the writes of a transaction do not show before its commit");
    for (key, expected) in [(&a, Some("1")), (&b, None), (&c, Some("1"))] {
        t.expect_text(key, expected).await;
    }
    t.rule("the writes of a transaction show after its commit");
    t.done(transaction.commit().await);
    for (key, expected) in [(&a, Some("2")), (&b, Some("2")), (&c, None)] {
        t.expect_text(key, expected).await;
    }
    t.rule("an empty transaction commits");
    t.done(begin(&t).await.commit().await);
    t.rule("of two writes of one key in a transaction the later counts");
    let mut transaction = begin(&t).await;
    transaction.delete(a.clone());
    transaction.put(a.clone(), Entry::new("3"));
    transaction.put(b.clone(), Entry::new("3"));
    transaction.delete(b.clone());
    t.done(transaction.commit().await);
    t.expect_text(&a, Some("3")).await;
    t.expect_text(&b, None).await;
}

/// Dropping is undoing.
pub async fn a_dropped_transaction_is_undone(subject: &dyn Subject) {
    let t = Trial::open(subject).await;
    let a = key("a");
    let _ = t.value(&a, "1").await;
    t.rule("a dropped transaction is undone, and is in nobody's way");
    let mut transaction = begin(&t).await;
    let _ = read(&t, &mut transaction, &a).await;
    transaction.put(a.clone(), Entry::new("2"));
    drop(transaction);
    t.expect_text(&a, Some("1")).await;
    let _ = t.value(&a, "3").await;
    t.expect_text(&a, Some("3")).await;
}

/// At the commit everything read must still be as it was read.
pub async fn a_transaction_whose_reads_changed_conflicts(subject: &dyn Subject) {
    let t = Trial::open(subject).await;
    let (a, absent, mortal, out) = (key("a"), key("absent"), key("mortal"), key("out"));
    t.rule("a transaction whose reads have changed meanwhile conflicts, and nothing of it is applied");
    for change in ["replaced", "the same value again", "deleted", "appeared", "expired", "there and gone"] {
        let _ = t.value(&a, "1").await;
        let _ = t.remove(&absent).await;
        let _ = t.mortal(&mortal, "1", 10).await;
        let mut transaction = begin(&t).await;
        for key in [&a, &absent, &mortal] {
            let _ = read(&t, &mut transaction, key).await;
        }
        transaction.put(out.clone(), Entry::new(change));
        match change {
            "replaced" => _ = t.value(&a, "2").await,
            "the same value again" => _ = t.value(&a, "1").await,
            "deleted" => _ = t.remove(&a).await,
            "appeared" => _ = t.value(&absent, "2").await,
            "expired" => t.clock.advance_ms(10),
            _ => {
                let _ = t.remove(&a).await;
                let _ = t.value(&a, "1").await;
            }
        }
        t.refused(transaction.commit().await, ErrorKind::Conflict);
        t.expect_text(&out, None).await;
    }
    t.rule("a transaction that is run again after a conflict commits");
    let mut transaction = begin(&t).await;
    let _ = read(&t, &mut transaction, &a).await;
    transaction.put(out.clone(), Entry::new("again"));
    t.done(transaction.commit().await);
    t.expect_text(&out, Some("again")).await;
}

/// Others' writes of other keys are no conflict, nor are those of keys only written.
pub async fn a_transaction_that_nothing_touched_commits(subject: &dyn Subject) {
    let t = Trial::open(subject).await;
    let (a, b, c) = (key("a"), key("b"), key("c"));
    let _ = t.value(&a, "1").await;
    t.rule("what a transaction only writes is no reason for a conflict");
    let mut transaction = begin(&t).await;
    let _ = read(&t, &mut transaction, &a).await;
    transaction.put(b.clone(), Entry::new("mine"));
    let _ = t.value(&b, "another's").await;
    let _ = t.value(&c, "another's").await;
    t.done(transaction.commit().await);
    t.expect_text(&b, Some("mine")).await;
    t.expect_text(&c, Some("another's")).await;
}

/// No write skew: what is committed is equal to some order of whole transactions.
pub async fn of_two_that_read_what_the_other_writes_one_conflicts(subject: &dyn Subject) {
    let t = Trial::open(subject).await;
    let (a, b) = (key("a"), key("b"));
    let _ = t.value(&a, "on call").await;
    let _ = t.value(&b, "on call").await;
    t.rule("of two transactions that read what the other writes one conflicts");
    let (mut one, mut two) = (begin(&t).await, begin(&t).await);
    for transaction in [&mut one, &mut two] {
        let _ = read(&t, transaction, &a).await;
        let _ = read(&t, transaction, &b).await;
    }
    one.delete(a.clone());
    two.delete(b.clone());
    t.done(one.commit().await);
    t.refused(two.commit().await, ErrorKind::Conflict);
    t.expect_text(&a, None).await;
    t.expect_text(&b, Some("on call")).await;
}

/// Versions grow through transactions too, and their deletes leave floors.
pub async fn committed_writes_have_versions_like_any_other(subject: &dyn Subject) {
    let t = Trial::open(subject).await;
    if t.store.capabilities().versions != Versions::Assigned {
        return;
    }
    let (a, b) = (key("a"), key("b"));
    let before = t.value(&a, "1").await;
    let _ = t.value(&b, "1").await;
    let ticket = t.reserve().await;
    let mut transaction = begin(&t).await;
    transaction.put(a.clone(), Entry::new("2"));
    transaction.delete(b.clone());
    t.done(transaction.commit().await);
    t.rule("a write in a transaction has a version above all earlier ones");
    let Some(entry) = t.get(&a).await else { t.broken("the entry is not there") };
    t.holds(
        entry.version > before && entry.version > ticket,
        format_args!("{} after {ticket}", entry.version),
    );
    t.rule("a delete in a transaction leaves a floor");
    let late = t.put_if(&b, "late", Condition::Newer(ticket)).await;
    t.equal(late, Written::Conflict { current: None });
}

/// An error leaves nothing behind.
pub async fn what_cannot_be_written_fails_the_commit(subject: &dyn Subject) {
    let t = Trial::open(subject).await;
    let (a, b) = (key("a"), key("b"));
    t.rule("a transaction with a value above the limit is invalid, and nothing of it is applied");
    let mut transaction = begin(&t).await;
    transaction.put(a.clone(), Entry::new("1"));
    transaction.put(b.clone(), Entry::new(vec![0; VALUE_LIMIT + 1]));
    t.refused(transaction.commit().await, ErrorKind::Invalid);
    t.expect_text(&a, None).await;
    t.expect_text(&b, None).await;
    t.rule("a closed store begins no transaction, or refuses its commit");
    t.done(t.store.close().await);
    let begun = match t.store.as_transact() {
        Some(transact) => match transact.begin().await {
            Ok(mut transaction) => {
                transaction.put(a, Entry::new("1"));
                transaction.commit().await
            }
            Err(error) => Err(error),
        },
        None => t.broken("it had transactions when it was open"),
    };
    t.refused(begun, ErrorKind::Closed);
}

const ACCOUNTS: u64 = 5;
const DEPOSIT: u64 = 100;

fn amount(entry: Option<Entry>) -> u64 {
    let bytes = entry.and_then(|entry| entry.value.as_ref().try_into().ok());
    bytes.map_or(0, u64::from_le_bytes)
}

/// Moves one unit; says whether it committed.
async fn transfer(store: &dyn Store, from: &Key, to: &Key) -> Result<bool> {
    let Some(transact) = store.as_transact() else { return Ok(false) };
    let mut transaction = transact.begin().await?;
    let (source, target) = (amount(transaction.get(from).await?), amount(transaction.get(to).await?));
    if source > 0 {
        transaction.put(from.clone(), Entry::new((source - 1).to_le_bytes().to_vec()));
        transaction.put(to.clone(), Entry::new((target + 1).to_le_bytes().to_vec()));
    }
    match transaction.commit().await {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == ErrorKind::Conflict => Ok(false),
        Err(error) => Err(error),
    }
}

/// Threads that move units between accounts neither make nor lose any.
pub async fn transfers_keep_the_total(subject: &dyn Subject) {
    let t = Trial::open(subject).await;
    t.rule("concurrent transfers between accounts keep the total");
    for n in 0..ACCOUNTS {
        let _ = t.write(&key([n as u8]), Entry::new(DEPOSIT.to_le_bytes().to_vec())).await;
    }
    let store = Arc::clone(&t.store);
    let done = threads(4, move |thread| {
        let mut committed = 0;
        for n in 0..200_u64 {
            let from = key([((n + thread as u64) % ACCOUNTS) as u8]);
            let to = key([((n * 3 + 1) % ACCOUNTS) as u8]);
            if from != to && block_on(transfer(&*store, &from, &to)).map_err(|error| error.to_string())? {
                committed += 1;
            }
        }
        Ok::<u32, String>(committed)
    })
    .await;
    t.holds(done.iter().all(Result::is_ok), format_args!("{done:?}"));
    t.holds(done.iter().flatten().sum::<u32>() > 0, "no transfer ever committed");
    let mut total = 0;
    for n in 0..ACCOUNTS {
        total += amount(t.get(&key([n as u8])).await);
    }
    t.equal(total, ACCOUNTS * DEPOSIT);
}
