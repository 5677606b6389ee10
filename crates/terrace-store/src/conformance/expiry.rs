//! Time: an entry is there until its instant and not a millisecond longer, whatever the clock does.

use std::num::NonZeroU64;

use super::Subject;
use super::trial::{START_MS, Trial, key};
use crate::capability::List;
use crate::entry::Entry;
use crate::store::{Condition, Deleted, Swept, Versions, Written};

/// All of this file.
pub async fn all(subject: &dyn Subject) {
    an_entry_ends_at_its_millisecond(subject).await;
    an_idle_entry_ends_by_its_write_time(subject).await;
    an_expired_entry_is_absent_to_every_operation(subject).await;
    a_sweep_removes_what_is_over_within_its_limit(subject).await;
    a_clock_that_goes_back_brings_nothing_back(subject).await;
    a_stale_entry_is_still_there(subject).await;
    no_restart_lengthens_a_life(subject).await;
}

/// Present at the millisecond before, absent at its own.
pub async fn an_entry_ends_at_its_millisecond(subject: &dyn Subject) {
    let t = Trial::open(subject).await;
    t.rule("an entry is absent from the millisecond of its end on, and not before");
    for (n, ttl_ms) in [1, 2, 500, 999, 1_000, 60_001].into_iter().enumerate() {
        let key = key([n as u8]);
        let _ = t.mortal(&key, "v", ttl_ms).await;
        t.clock.advance_ms(ttl_ms - 1);
        t.holds(t.get(&key).await.is_some(), format_args!("gone 1 ms before the end of {ttl_ms} ms"));
        t.clock.advance_ms(1);
        t.holds(t.get(&key).await.is_none(), format_args!("there at the end of {ttl_ms} ms"));
        t.clock.advance_ms(1_000_000);
        t.holds(t.get(&key).await.is_none(), format_args!("there long after the end of {ttl_ms} ms"));
    }
    t.rule("a put of what is over already is done, and its entry absent");
    let a = key("a");
    let _ = t.value(&a, "before").await;
    let over = Entry { expires_ms: NonZeroU64::new(1), ..Entry::new("over") };
    let _ = t.write(&a, over).await;
    t.expect_text(&a, None).await;
    t.rule("an end far away is no end now");
    let _ = t.write(&a, Entry { expires_ms: Some(NonZeroU64::MAX), ..Entry::new("long") }).await;
    t.expect_text(&a, Some("long")).await;
    t.rule("a put without an end takes the end of the entry it replaces away");
    let _ = t.mortal(&a, "mortal", 10).await;
    let _ = t.value(&a, "immortal").await;
    t.clock.advance_ms(1_000);
    let _ = t.sweep(1_000).await;
    t.expect_text(&a, Some("immortal")).await;
}

/// Below memory, idle time counts from the write.
pub async fn an_idle_entry_ends_by_its_write_time(subject: &dyn Subject) {
    let t = Trial::open(subject).await;
    let a = key("a");
    t.rule("an idle limit counts from the write at the latest");
    let idle = Entry {
        created_ms: START_MS,
        idle_ms: NonZeroU64::new(50),
        expires_ms: NonZeroU64::new(START_MS + 80),
        ..Entry::new("idle")
    };
    let _ = t.write(&a, idle).await;
    t.clock.advance_ms(49);
    t.expect_text(&a, Some("idle")).await;
    t.clock.advance_ms(1);
    t.expect_text(&a, None).await;
    t.equal(t.sweep(10).await.expired, 1);
}

/// No operation sees an entry whose time is over.
pub async fn an_expired_entry_is_absent_to_every_operation(subject: &dyn Subject) {
    let t = Trial::open(subject).await;
    let (a, b) = (key("a"), key("b"));
    for key in [&a, &b] {
        let _ = t.mortal(key, "v", 10).await;
    }
    t.clock.advance_ms(10);
    t.rule("an expired entry is not replaced by a put");
    let written = t.done(t.store.put(&a, t.mortal_entry("v", 10), t.plain()).await);
    t.holds(matches!(written, Written::Stored { replaced: false, .. }), format_args!("{written:?}"));
    t.rule("an expired entry did not exist for a delete");
    let deleted = t.delete(&b).await;
    t.holds(matches!(deleted, Deleted::Done { existed: false, .. }), format_args!("{deleted:?}"));
    t.clock.advance_ms(10);
    if t.store.capabilities().versions != Versions::Given {
        t.rule("an expired entry is nobody's conflict");
        t.equal(
            t.put_if(&a, "v", Condition::Match(crate::Version::MAX)).await,
            Written::Conflict { current: None },
        );
    }
    if t.store.as_iterate().is_some() {
        t.rule("an expired entry is not listed");
        t.equal(t.keys(&List::all(a.namespace())).await.len(), 0);
        t.rule("an expired entry counts until it is swept");
        t.uses(&a.namespace(), (1, 2)).await;
        let _ = t.sweep(10).await;
        t.uses(&a.namespace(), (0, 0)).await;
        t.equal(t.done(t.iterate().namespaces().await), vec![]);
    }
    if t.store.as_batch().is_some() {
        t.rule("an expired entry is absent to a batch, and a clear does not count it");
        let _ = t.mortal(&a, "v", 10).await;
        let _ = t.value(&b, "v").await;
        t.clock.advance_ms(10);
        let many = t.done(t.batch().get_many(&[a.clone(), b.clone()]).await);
        t.equal(many.iter().map(Option::is_some).collect::<Vec<_>>(), vec![false, true]);
        t.equal(t.done(t.batch().clear(None).await), 1);
    }
}

/// A sweep keeps to its limit, says whether there is more, and spares the living.
pub async fn a_sweep_removes_what_is_over_within_its_limit(subject: &dyn Subject) {
    let t = Trial::open(subject).await;
    t.rule("a sweep of a fresh store has nothing to do");
    t.equal(t.sweep(10).await, Swept::default());
    t.rule("a sweep removes at most as much as it may, and says whether there is more");
    for n in 0..10_u8 {
        let _ = t.mortal(&key([n]), "mortal", 10).await;
        let _ = t.mortal(&key([n, 0]), "longer", 100).await;
        let _ = t.value(&key([n, 1]), "immortal").await;
    }
    t.equal(t.sweep(100).await, Swept::default());
    t.clock.advance_ms(10);
    t.equal(t.sweep(4).await, Swept { expired: 4, floors: 0, more: true });
    t.equal(t.sweep(4).await, Swept { expired: 4, floors: 0, more: true });
    t.equal(t.sweep(4).await, Swept { expired: 2, floors: 0, more: false });
    t.equal(t.sweep(4).await, Swept::default());
    t.rule("a sweep spares the living");
    for n in 0..10_u8 {
        t.expect_text(&key([n]), None).await;
        t.expect_text(&key([n, 0]), Some("longer")).await;
        t.expect_text(&key([n, 1]), Some("immortal")).await;
    }
    t.rule("a sweep that may remove nothing removes nothing, and says that there is more");
    t.clock.advance_ms(90);
    t.equal(t.sweep(0).await, Swept { expired: 0, floors: 0, more: true });
    t.equal(t.sweep(100).await, Swept { expired: 10, floors: 0, more: false });
}

/// The wall clock jumps back; what a sweep saw expired stays away, and new lives count by the new time.
pub async fn a_clock_that_goes_back_brings_nothing_back(subject: &dyn Subject) {
    let t = Trial::open(subject).await;
    let a = key("a");
    t.rule("a clock that goes back does not bring back what was swept");
    let _ = t.mortal(&a, "1", 1_000).await;
    t.clock.advance_ms(1_000);
    t.equal(t.sweep(10).await.expired, 1);
    t.clock.set_wall_ms(START_MS - 500_000);
    t.expect_text(&a, None).await;
    t.rule("after a clock went back, ends are still at their instants of wall time");
    let _ = t.mortal(&a, "2", 1_000).await;
    t.clock.advance_ms(999);
    t.expect_text(&a, Some("2")).await;
    t.clock.advance_ms(1);
    t.expect_text(&a, None).await;
    t.rule("a clock that jumps ahead ends what it passes");
    let _ = t.mortal(&a, "3", 1_000).await;
    t.clock.set_wall_ms(START_MS + 10_000_000);
    t.expect_text(&a, None).await;
    t.equal(t.sweep(10).await.expired, 1);
}

/// `fresh_until_ms` is for those above.
pub async fn a_stale_entry_is_still_there(subject: &dyn Subject) {
    let t = Trial::open(subject).await;
    t.rule("a stale entry is still there: freshness is the reader's affair");
    let stale = Entry { fresh_until_ms: NonZeroU64::new(START_MS + 1), ..Entry::new("stale") };
    let _ = t.write(&key("a"), stale).await;
    t.clock.advance_ms(1_000);
    let _ = t.sweep(10).await;
    t.expect_text(&key("a"), Some("stale")).await;
}

/// What is kept is the instant of the end.
pub async fn no_restart_lengthens_a_life(subject: &dyn Subject) {
    let mut t = Trial::open(subject).await;
    if !t.store.capabilities().persistent {
        return;
    }
    let (a, b, swept) = (key("a"), key("b"), key("swept"));
    let _ = t.mortal(&swept, "swept", 10).await;
    t.clock.advance_ms(10);
    let _ = t.sweep(10).await;
    let _ = t.mortal(&a, "short", 1_000).await;
    let _ = t.mortal(&b, "long", 100_000).await;
    t.clock.advance_ms(900);
    let now = crate::Clock::wall_ms(&t.clock);
    t.rule("no restart lengthens or shortens a life");
    let _ = t.reopen(now).await;
    t.clock.advance_ms(99);
    t.expect_text(&a, Some("short")).await;
    t.clock.advance_ms(1);
    t.expect_text(&a, None).await;
    t.expect_text(&b, Some("long")).await;
    t.equal(t.sweep(10).await.expired, 1);
    t.rule("a restart under a clock that went back does not bring back what was swept");
    let _ = t.reopen(START_MS - 1_000_000).await;
    t.expect_text(&a, None).await;
    t.expect_text(&swept, None).await;
    t.rule("a restart long after its end finds an entry absent");
    let _ = t.reopen(START_MS + 10_000_000).await;
    t.expect_text(&b, None).await;
}
