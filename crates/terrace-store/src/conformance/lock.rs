//! Leases: one holder at a time, an end by the clock, tokens that grow.

use std::sync::Arc;
use std::time::Duration;

use super::Subject;
use super::threads::threads;
use super::trial::Trial;
use crate::block_on;
use crate::capability::{Lease, Lock};
use crate::error::ErrorKind;

/// All of this file.
pub async fn all(subject: &dyn Subject) {
    one_holder_at_a_time(subject).await;
    a_lease_ends_by_the_clock(subject).await;
    a_race_for_a_lease_has_one_winner(subject).await;
}

const TTL: Duration = Duration::from_millis(100);

fn lock<'a>(t: &'a Trial<'_>) -> &'a dyn Lock {
    match t.store.as_lock() {
        Some(lock) => lock,
        None => t.broken("it granted leases when it was opened first, and does not now"),
    }
}

async fn acquire(t: &Trial<'_>, name: &[u8]) -> Option<Lease> {
    t.done(lock(t).try_acquire(name, TTL).await)
}

async fn granted(t: &Trial<'_>, name: &[u8]) -> Lease {
    match acquire(t, name).await {
        Some(lease) => lease,
        None => t.broken(format_args!("the lease {:?} was refused", name.escape_ascii().to_string())),
    }
}

/// Acquire, refuse, release, acquire.
pub async fn one_holder_at_a_time(subject: &dyn Subject) {
    let t = Trial::open(subject).await;
    t.rule("a lease has one holder at a time");
    let first = granted(&t, b"a").await;
    t.equal((&first.name[..], first.ttl), (&b"a"[..], TTL));
    t.equal(acquire(&t, b"a").await, None);
    t.rule("leases of different names are apart, whatever bytes they are");
    let others = [&b""[..], b"b", b"a\0", b"\xff"];
    for name in others {
        let _ = granted(&t, name).await;
    }
    t.rule("a released lease is free, and the next has a greater token");
    t.equal(t.done(lock(&t).release(&first).await), true);
    let second = granted(&t, b"a").await;
    t.holds(second.token > first.token, format_args!("{} after {}", second.token, first.token));
    t.rule("a lease that has ended can be neither released nor renewed, and is in nobody's way");
    t.equal(t.done(lock(&t).release(&first).await), false);
    t.equal(t.done(lock(&t).renew(&first).await), false);
    t.equal(acquire(&t, b"a").await, None);
    t.equal(t.done(lock(&t).renew(&second).await), true);
    t.rule("a closed store grants nothing");
    t.done(t.store.close().await);
    t.refused(lock(&t).try_acquire(b"a", TTL).await, ErrorKind::Closed);
}

/// Without renewal it ends; with renewal it lasts.
pub async fn a_lease_ends_by_the_clock(subject: &dyn Subject) {
    let t = Trial::open(subject).await;
    t.rule("a lease lasts for its time, and ends then");
    let first = granted(&t, b"a").await;
    t.clock.advance_ms(99);
    t.equal(acquire(&t, b"a").await, None);
    t.clock.advance_ms(1);
    let second = granted(&t, b"a").await;
    t.holds(second.token > first.token, format_args!("{} after {}", second.token, first.token));
    t.equal(t.done(lock(&t).renew(&first).await), false);
    t.rule("a renewal lets a lease last for its time from then on");
    for _ in 0..5 {
        t.clock.advance_ms(60);
        t.equal(t.done(lock(&t).renew(&second).await), true);
    }
    t.equal(acquire(&t, b"a").await, None);
    t.clock.advance_ms(100);
    t.rule("a lease that nobody renewed in time cannot be renewed any more");
    t.equal(t.done(lock(&t).renew(&second).await), false);
    t.rule("a wall clock that jumps ends no lease and lengthens none");
    let third = granted(&t, b"a").await;
    t.clock.set_wall_ms(super::trial::START_MS * 2);
    t.equal(acquire(&t, b"a").await, None);
    t.clock.set_wall_ms(0);
    t.clock.advance_ms(100);
    t.holds(granted(&t, b"a").await.token > third.token, "the tokens went back");
}

/// Many try, one holds.
pub async fn a_race_for_a_lease_has_one_winner(subject: &dyn Subject) {
    let t = Trial::open(subject).await;
    t.rule("a race for a lease has one winner");
    for round in 0..20_u8 {
        let store = Arc::clone(&t.store);
        let granted = threads(8, move |_| match store.as_lock() {
            Some(lock) => block_on(lock.try_acquire(&[round], TTL)).map_err(|error| error.to_string()),
            None => Err("it grants no leases".to_owned()),
        })
        .await;
        t.holds(granted.iter().all(Result::is_ok), format_args!("{granted:?}"));
        t.equal(granted.iter().flatten().flatten().count(), 1);
    }
}
