//! What a delete, a sweep and a clear leave behind: nothing older comes back.

use super::Subject;
use super::trial::{START_MS, Trial, key, key_in, namespace};
use crate::entry::Version;
use crate::store::{Condition, Deleted, FLOOR_RETENTION, Written};

/// All of this file.
pub async fn all(subject: &dyn Subject) {
    a_floor_outlives_sweeps_for_its_retention(subject).await;
    a_floor_is_swept_in_the_end(subject).await;
    a_swept_entry_leaves_a_floor(subject).await;
    a_write_above_the_floor_lifts_it(subject).await;
    floors_outlive_a_restart(subject).await;
    a_clear_leaves_one_floor_for_all(subject).await;
}

const NOTHING: Written = Written::Conflict { current: None };

fn retention_ms() -> u64 {
    u64::try_from(FLOOR_RETENTION.as_millis()).unwrap_or(u64::MAX)
}

/// Within the retention no sweep forgets a floor.
pub async fn a_floor_outlives_sweeps_for_its_retention(subject: &dyn Subject) {
    let t = Trial::open(subject).await;
    let a = key("a");
    t.rule("a floor outlives sweeps for its retention");
    let ticket = t.reserve().await;
    let _ = t.value(&a, "1").await;
    let (floor, _) = t.remove(&a).await;
    for _ in 0..4 {
        let _ = t.sweep(1_000).await;
        t.equal(t.put_if(&a, "late", Condition::Newer(ticket)).await, NOTHING);
        t.equal(t.put_if(&a, "late", Condition::Newer(floor)).await, NOTHING);
        t.expect_text(&a, None).await;
        t.clock.advance_ms(retention_ms() / 4 - 1);
    }
    t.rule("a wall clock that jumps does not shorten a floor's retention");
    let b = key("b");
    let (floor, _) = t.remove(&b).await;
    t.clock.set_wall_ms(START_MS + 10 * retention_ms());
    let _ = t.sweep(1_000).await;
    t.equal(t.put_if(&b, "late", Condition::Newer(floor)).await, NOTHING);
    t.clock.set_wall_ms(START_MS - retention_ms());
    let _ = t.sweep(1_000).await;
    t.equal(t.put_if(&b, "late", Condition::Newer(floor)).await, NOTHING);
}

/// Deletes do not fill the store for ever.
pub async fn a_floor_is_swept_in_the_end(subject: &dyn Subject) {
    let t = Trial::open(subject).await;
    t.rule("a sweep removes floors some time after their retention");
    for n in 0..10_u8 {
        let _ = t.remove(&key([n])).await;
    }
    t.clock.advance_ms(2 * retention_ms() + 1);
    let mut floors = 0;
    for _ in 0..100 {
        let swept = t.sweep(3).await;
        t.holds(swept.expired + swept.floors <= 3, format_args!("a limit of 3 gave {swept:?}"));
        floors += swept.floors;
        if !swept.more {
            break;
        }
    }
    t.equal(floors, 10);
    let again = t.sweep(100).await;
    t.equal((again.floors, again.more), (0, false));
}

/// What a sweep removed cannot be brought back by an older copy.
pub async fn a_swept_entry_leaves_a_floor(subject: &dyn Subject) {
    let t = Trial::open(subject).await;
    let a = key("a");
    t.rule("a late copy does not bring back what expired and was swept");
    let ticket = t.reserve().await;
    let version = t.mortal(&a, "1", 100).await;
    t.clock.advance_ms(100);
    t.rule("a late copy does not bring back what expired, swept or not");
    t.equal(t.put_if(&a, "late", Condition::Newer(ticket)).await, NOTHING);
    t.equal(t.sweep(10).await.expired, 1);
    t.equal(t.put_if(&a, "late", Condition::Newer(ticket)).await, NOTHING);
    t.equal(t.put_if(&a, "late", Condition::Newer(version)).await, NOTHING);
    t.expect_text(&a, None).await;
}

/// A floor is a lower bound, nothing more.
pub async fn a_write_above_the_floor_lifts_it(subject: &dyn Subject) {
    let t = Trial::open(subject).await;
    let a = key("a");
    t.rule("a newer delete raises the floor");
    let raised = Deleted::Done { version: Version(500), existed: false };
    t.equal(t.delete_if(&a, Condition::Newer(Version(500))).await, raised);
    t.equal(t.put_if(&a, "late", Condition::Newer(Version(500))).await, NOTHING);
    t.rule("a floor does not keep a newer write away");
    let stored = Written::Stored { version: Version(501), replaced: false };
    t.equal(t.put_if(&a, "new", Condition::Newer(Version(501))).await, stored);
    t.rule("a floor concerns its own key only");
    let other = key("b");
    let stored = Written::Stored { version: Version(7), replaced: false };
    t.equal(t.put_if(&other, "new", Condition::Newer(Version(7))).await, stored);
    t.rule("what replaced a deleted entry is the new floor");
    t.equal(
        t.put_if(&a, "late", Condition::Newer(Version(501))).await,
        Written::Conflict { current: Some(Version(501)) },
    );
}

/// A restart forgets no floor.
pub async fn floors_outlive_a_restart(subject: &dyn Subject) {
    let mut t = Trial::open(subject).await;
    if !t.store.capabilities().persistent {
        return;
    }
    let (a, swept, cleared) = (key("a"), key("swept"), key_in("cleared", "a"));
    t.rule("a late copy does not bring back what was deleted before a restart");
    let ticket = t.reserve().await;
    let _ = t.value(&a, "1").await;
    let _ = t.mortal(&swept, "1", 5).await;
    let _ = t.value(&cleared, "1").await;
    let (floor, _) = t.remove(&a).await;
    t.clock.advance_ms(5);
    let _ = t.sweep(10).await;
    let clears = t.store.as_batch().is_some();
    if clears {
        t.done(t.batch().clear(Some(&namespace("cleared"))).await);
    }
    for wall_ms in [START_MS + 600_000, START_MS - 600_000, START_MS + 1_200_000] {
        if !t.reopen(wall_ms).await {
            t.broken("it is persistent, and cannot be opened again");
        }
        let _ = t.sweep(1_000).await;
        t.equal(t.put_if(&a, "late", Condition::Newer(ticket)).await, NOTHING);
        t.equal(t.put_if(&a, "late", Condition::Newer(floor)).await, NOTHING);
        t.equal(t.put_if(&swept, "late", Condition::Newer(ticket)).await, NOTHING);
        t.equal(t.get(&a).await, None);
        if clears {
            t.equal(t.put_if(&cleared, "late", Condition::Newer(ticket)).await, NOTHING);
            t.equal(t.get(&cleared).await, None);
        }
    }
}

/// A clear leaves one floor for all keys, those never written too.
pub async fn a_clear_leaves_one_floor_for_all(subject: &dyn Subject) {
    let t = Trial::open(subject).await;
    if t.store.as_batch().is_none() {
        return;
    }
    let (a, b, never) = (key_in("one", "a"), key_in("two", "a"), key_in("one", "never"));
    t.rule("a late copy does not bring back what a clear removed");
    let ticket = t.reserve().await;
    for key in [&a, &b] {
        let _ = t.value(key, "1").await;
    }
    t.equal(t.done(t.batch().clear(Some(&namespace("one"))).await), 1);
    for key in [&a, &never] {
        t.equal(t.put_if(key, "late", Condition::Newer(ticket)).await, NOTHING);
        t.equal(t.get(key).await, None);
    }
    t.rule("a clear of a namespace leaves the others alone");
    t.expect_text(&b, Some("1")).await;
    let other = t.put_if(&key_in("two", "x"), "copy", Condition::Newer(ticket)).await;
    t.equal(other, Written::Stored { version: ticket, replaced: false });
    t.rule("what is written after a clear stays");
    let _ = t.value(&a, "2").await;
    let loaded = t.reserve().await;
    t.equal(t.put_if(&never, "3", Condition::Newer(loaded)).await.version(), Some(loaded));
    t.clock.advance_ms(retention_ms() / 2);
    let _ = t.sweep(100).await;
    t.expect_text(&a, Some("2")).await;
    t.expect_text(&never, Some("3")).await;
    t.rule("a clear of everything leaves a floor for every namespace");
    t.done(t.batch().clear(None).await);
    for key in [&a, &b, &key_in("three", "x")] {
        t.equal(t.put_if(key, "late", Condition::Newer(loaded)).await, NOTHING);
    }
    t.rule("a clear has a version like any write: those assigned later are above its floor");
    let _ = t.value(&b, "4").await;
    t.expect_text(&b, Some("4")).await;
}
