//! Each condition, of puts and of deletes, in each state a key can be in.

use super::Subject;
use super::trial::{Trial, key};
use crate::entry::{Entry, Version};
use crate::error::ErrorKind;
use crate::ext::StoreExt;
use crate::store::{Condition, DeleteOptions, Deleted, Versions, Written};

/// All of this file.
pub async fn all(subject: &dyn Subject) {
    absent_writes_only_where_nothing_is(subject).await;
    match_writes_only_over_this_version(subject).await;
    a_refused_write_changes_nothing(subject).await;
    update_reads_changes_and_writes(subject).await;
    let versions = Trial::open(subject).await.store.capabilities().versions;
    if versions == Versions::Assigned {
        versions_grow_with_each_write(subject).await;
        newer_writes_only_what_is_newer(subject).await;
        a_reserved_version_loses_to_what_happened_since(subject).await;
    }
}

/// `Absent` depends on the live entry, and tells its version.
pub async fn absent_writes_only_where_nothing_is(subject: &dyn Subject) {
    let t = Trial::open(subject).await;
    let a = key("a");
    t.rule("a put if absent is done where nothing is");
    let first = t.put_if(&a, "1", Condition::Absent).await;
    t.holds(matches!(first, Written::Stored { replaced: false, .. }), format_args!("{first:?}"));
    t.rule("a put if absent conflicts with a live entry, and tells its version");
    let conflict = Written::Conflict { current: first.version() };
    t.equal(t.put_if(&a, "2", Condition::Absent).await, conflict);
    t.expect_text(&a, Some("1")).await;
    t.rule("a put if absent is done after a delete");
    let _ = t.remove(&a).await;
    let again = t.put_if(&a, "3", Condition::Absent).await;
    t.holds(matches!(again, Written::Stored { replaced: false, .. }), format_args!("{again:?}"));
    t.expect_text(&a, Some("3")).await;
    t.rule("a put if absent is done after the entry has expired");
    let _ = t.mortal(&a, "mortal", 10).await;
    t.clock.advance_ms(10);
    let over = t.put_if(&a, "4", Condition::Absent).await;
    t.holds(matches!(over, Written::Stored { replaced: false, .. }), format_args!("{over:?}"));
    t.expect_text(&a, Some("4")).await;
    t.rule("a delete cannot depend on absence");
    for key in [&a, &key("never")] {
        let options = DeleteOptions { condition: Condition::Absent, ..DeleteOptions::default() };
        t.refused(t.store.delete(key, options).await, ErrorKind::Invalid);
    }
    t.expect_text(&a, Some("4")).await;
}

/// `Match` is compare-and-set, for puts and deletes.
pub async fn match_writes_only_over_this_version(subject: &dyn Subject) {
    let t = Trial::open(subject).await;
    let a = key("a");
    t.rule("a write that expects a version conflicts where nothing is");
    let nothing = Condition::Match(Version(1));
    t.equal(t.put_if(&a, "0", nothing).await, Written::Conflict { current: None });
    t.equal(t.delete_if(&a, nothing).await, Deleted::Conflict { current: None });
    t.equal(t.put_if(&a, "0", Condition::Match(Version::ZERO)).await, Written::Conflict { current: None });
    let first = t.value(&a, "1").await;
    t.rule("a write that expects the live version is done");
    let second = t.put_if(&a, "2", Condition::Match(first)).await;
    t.holds(matches!(second, Written::Stored { replaced: true, .. }), format_args!("{second:?}"));
    t.expect_text(&a, Some("2")).await;
    t.rule("a write that expects an older version conflicts, and tells the live one");
    let current = second.version();
    t.equal(t.put_if(&a, "3", Condition::Match(first)).await, Written::Conflict { current });
    t.equal(t.delete_if(&a, Condition::Match(first)).await, Deleted::Conflict { current });
    t.rule("a write that expects a version never given conflicts, and tells the live one");
    let never = Condition::Match(Version(u64::MAX - 1));
    t.equal(t.put_if(&a, "3", never).await, Written::Conflict { current });
    t.expect_text(&a, Some("2")).await;
    t.rule("a delete that expects the live version is done");
    let Some(current) = current else { t.broken("a write has no version") };
    let deleted = t.delete_if(&a, Condition::Match(current)).await;
    t.holds(matches!(deleted, Deleted::Done { existed: true, .. }), format_args!("{deleted:?}"));
    t.rule("a write that expects a deleted version conflicts");
    t.equal(t.put_if(&a, "4", Condition::Match(current)).await, Written::Conflict { current: None });
    t.equal(t.delete_if(&a, Condition::Match(current)).await, Deleted::Conflict { current: None });
    t.rule("a write that expects the version of an expired entry conflicts");
    let mortal = t.mortal(&a, "mortal", 10).await;
    t.clock.advance_ms(10);
    t.equal(t.put_if(&a, "5", Condition::Match(mortal)).await, Written::Conflict { current: None });
    t.equal(t.delete_if(&a, Condition::Match(mortal)).await, Deleted::Conflict { current: None });
    t.expect_text(&a, None).await;
}

/// After a conflict everything is as it was, the entry's other fields too.
pub async fn a_refused_write_changes_nothing(subject: &dyn Subject) {
    let t = Trial::open(subject).await;
    let a = key("a");
    t.rule("a refused write changes nothing");
    let mortal = t.mortal(&a, "1", 1_000).await;
    let before = t.get(&a).await;
    let _ = t.put_if(&a, "2", Condition::Absent).await;
    let _ = t.put_if(&a, "2", Condition::Match(Version(mortal.0 + 1))).await;
    let _ = t.delete_if(&a, Condition::Match(Version(mortal.0 + 1))).await;
    t.equal(t.get(&a).await, before);
    if t.store.as_iterate().is_some() {
        t.uses(&a.namespace(), (1, 2)).await;
    }
}

/// The comforts of `StoreExt` rest on the conditions.
pub async fn update_reads_changes_and_writes(subject: &dyn Subject) {
    let t = Trial::open(subject).await;
    let a = key("a");
    t.rule("update writes what the function makes of what is there");
    for expected in ["x", "xx", "xxx"] {
        let longer = |old: Option<Entry>| {
            let old = old.map_or_else(Vec::new, |entry| entry.value.to_vec());
            Some(Entry::new([&old[..], b"x"].concat()))
        };
        let version = t.done(t.store.update(&a, longer).await);
        t.equal(t.get(&a).await.map(|entry| entry.version), version);
        t.expect_text(&a, Some(expected)).await;
    }
    t.equal(t.done(t.store.update(&a, |_| None).await), None);
    t.rule("compare_and_set is a put that expects a version");
    let Some(entry) = t.get(&a).await else { t.broken("the entry is gone") };
    let set = t.done(t.store.compare_and_set(&a, entry.version, Entry::new("set")).await);
    t.holds(set.version().is_some(), format_args!("{set:?}"));
    let late = t.done(t.store.compare_and_set(&a, entry.version, Entry::new("late")).await);
    t.equal(late, Written::Conflict { current: set.version() });
    t.expect_text(&a, Some("set")).await;
    t.rule("remove says whether there was one");
    t.equal(t.done(t.store.remove(&a).await), true);
    t.equal(t.done(t.store.remove(&a).await), false);
}

/// Of any two writes of a key the later has the greater version, deletes included.
pub async fn versions_grow_with_each_write(subject: &dyn Subject) {
    let t = Trial::open(subject).await;
    t.rule("each write has a version above all earlier ones, deletes included");
    let mut last = Version::ZERO;
    for n in 0..40_u32 {
        let key = key([(n % 3) as u8]);
        let version = match n % 8 {
            5 => t.remove(&key).await.0,
            // Of nothing: a floor is left all the same.
            6 => t.remove(&key).await.0,
            7 => t.mortal(&key, "mortal", 1).await,
            _ => t.value(&key, "v").await,
        };
        t.holds(version > last, format_args!("{version} came after {last}"));
        last = version;
        if n % 8 == 7 {
            t.clock.advance_ms(5);
            let _ = t.sweep(100).await;
        }
    }
}

/// `Newer` carries its version, and never overtakes.
pub async fn newer_writes_only_what_is_newer(subject: &dyn Subject) {
    let t = Trial::open(subject).await;
    let a = key("a");
    let newer = |n| Condition::Newer(Version(n));
    t.rule("a newer put has the version it carries");
    t.equal(t.put_if(&a, "1", newer(100)).await, stored(100, false));
    t.equal(t.get(&a).await.map(|entry| entry.version), Some(Version(100)));
    t.rule("a put at or below the live version conflicts with it");
    for n in [0, 1, 99, 100] {
        t.equal(t.put_if(&a, "2", newer(n)).await, Written::Conflict { current: Some(Version(100)) });
        t.equal(t.delete_if(&a, newer(n)).await, Deleted::Conflict { current: Some(Version(100)) });
    }
    t.expect_text(&a, Some("1")).await;
    t.equal(t.put_if(&a, "3", newer(101)).await, stored(101, true));
    t.rule("a newer delete is done, and its floor is the version it carries");
    let deleted = Deleted::Done { version: Version(150), existed: true };
    t.equal(t.delete_if(&a, newer(150)).await, deleted);
    t.rule("a put at or below the floor of a delete conflicts, and nothing is live");
    for n in [0, 120, 150] {
        t.equal(t.put_if(&a, "4", newer(n)).await, Written::Conflict { current: None });
        t.equal(t.delete_if(&a, newer(n)).await, Deleted::Conflict { current: None });
    }
    t.expect_text(&a, None).await;
    t.equal(t.put_if(&a, "5", newer(151)).await, stored(151, false));
    t.rule("an assigned version is above every version given before, of any key");
    let _ = t.put_if(&key("other"), "far", newer(5_000)).await;
    let assigned = t.value(&a, "6").await;
    t.holds(assigned > Version(5_000), format_args!("{assigned} after 5000"));
    t.rule("a version below those of other keys is taken where the key itself allows it");
    t.equal(t.put_if(&key("late"), "7", newer(10)).await, stored(10, false));
    t.expect_text(&key("late"), Some("7")).await;
    t.rule("version 0 is older than nothing at all");
    t.equal(t.put_if(&key("zero"), "8", newer(0)).await, Written::Conflict { current: None });
}

fn stored(version: u64, replaced: bool) -> Written {
    Written::Stored { version: Version(version), replaced }
}

/// What a load reserved before it read is overtaken by every write begun later, and by none before.
pub async fn a_reserved_version_loses_to_what_happened_since(subject: &dyn Subject) {
    let t = Trial::open(subject).await;
    let a = key("a");
    t.rule("a reserved version is above what was written before, of any key");
    let mut written = t.value(&a, "1").await;
    for _ in 0..5 {
        let reserved = t.reserve().await;
        t.holds(reserved > written, format_args!("reserved {reserved} after {written}"));
        written = t.value(&key("b"), "2").await;
        t.holds(reserved < written, format_args!("wrote {written} after reserving {reserved}"));
        t.equal(t.reserve().await > reserved, true);
    }
    t.rule("a load that nothing happened to offers its value successfully");
    let ticket = t.reserve().await;
    t.equal(t.put_if(&a, "loaded", Condition::Newer(ticket)).await, stored(ticket.0, true));
    t.rule("a load loses to a put begun after its reservation");
    let ticket = t.reserve().await;
    let put = t.value(&a, "newer").await;
    t.equal(t.put_if(&a, "loaded", Condition::Newer(ticket)).await, Written::Conflict { current: Some(put) });
    t.rule("a load loses to a delete begun after its reservation");
    let ticket = t.reserve().await;
    let _ = t.remove(&a).await;
    t.equal(t.put_if(&a, "loaded", Condition::Newer(ticket)).await, Written::Conflict { current: None });
    t.expect_text(&a, None).await;
    t.rule("a load loses to a delete of nothing");
    let ticket = t.reserve().await;
    let _ = t.remove(&key("c")).await;
    let late = t.put_if(&key("c"), "loaded", Condition::Newer(ticket)).await;
    t.equal(late, Written::Conflict { current: None });
    t.rule("of two loads the one that began later wins, in either order");
    let (early, late) = (t.reserve().await, t.reserve().await);
    for order in [[early, late], [late, early]] {
        let d = key(format!("{order:?}"));
        for ticket in order {
            let _ = t.put_if(&d, "loaded", Condition::Newer(ticket)).await;
        }
        t.equal(t.get(&d).await.map(|entry| entry.version), Some(late));
    }
}
