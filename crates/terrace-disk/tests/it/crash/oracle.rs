//! The checker of histories finds what is wrong and nothing else.

use std::sync::Arc;

use terrace_disk::io::sim::Chance;

use super::history::{Found, History, Kept, Promise, Value, View};

fn value(number: u64) -> Value {
    Value { bytes: Arc::from(number.to_le_bytes()), expires_ms: None }
}

fn key(number: u64) -> Vec<u8> {
    format!("k{number}").into_bytes()
}

/// Steps over a few keys, batches and deletes among them, acknowledged up to `acked`.
fn history(chance: &mut Chance, steps: u64, acked: u64) -> History {
    let mut history = History::default();
    for number in 0..steps {
        let width = if chance.percent(20) { 3 } else { 1 };
        let first = chance.below(6);
        let writes = (0..width).map(|other| {
            let value = (!chance.percent(25)).then(|| value(number * 10 + other));
            (key((first + other) % 6), value)
        });
        let writes = writes.collect();
        let step = history.ask(writes);
        if number < acked {
            history.ack(step, None);
        }
    }
    history
}

/// What the first steps of a history leave.
fn view_after(history: &History, steps: usize) -> View {
    let mut view = View::new();
    for (key, value) in (0..steps).flat_map(|step| &history.step(step).writes) {
        match value {
            Some(value) => {
                let found = Found { bytes: value.bytes.to_vec(), expires_ms: value.expires_ms, version: 1 };
                view.insert(key.clone(), found);
            }
            None => _ = view.remove(key),
        }
    }
    view
}

/// The slow way: build what every allowed prefix leaves and compare.
fn fits_some_prefix(history: &History, view: &View, floor: usize) -> bool {
    (floor..=history.len()).any(|steps| view_after(history, steps) == *view)
}

#[test]
fn every_prefix_from_the_promise_on_is_accepted_and_what_is_lost_is_noticed() {
    for seed in 0..300 {
        let mut chance = Chance::new(seed);
        let history = history(&mut chance, 30, 20);
        for steps in 0..=30 {
            let view = view_after(&history, steps);
            let verdict = history.check(&view, u64::MAX, 0, Promise::Acknowledged, Kept::Everything);
            assert_eq!(
                verdict.is_ok(),
                fits_some_prefix(&history, &view, 20),
                "seed {seed}, {steps}: {verdict:?}"
            );
            history
                .check(&view, u64::MAX, 0, Promise::Synced, Kept::Everything)
                .expect("nothing was promised");
        }
    }
}

#[test]
fn changed_views_are_judged_as_the_slow_way_judges_them() {
    let mut refused = 0;
    for seed in 0..3000 {
        let mut chance = Chance::new(seed);
        let history = history(&mut chance, 24, 12);
        let mut view = view_after(&history, 12 + chance.index(13));
        let other = view_after(&history, chance.index(25));
        for _ in 0..=chance.below(2) {
            let key = key(chance.below(6));
            match other.get(&key) {
                Some(found) => _ = view.insert(key, found.clone()),
                None => _ = view.remove(&key),
            }
        }
        let verdict = history.check(&view, u64::MAX, 0, Promise::Acknowledged, Kept::Everything);
        assert_eq!(verdict.is_ok(), fits_some_prefix(&history, &view, 12), "seed {seed}: {verdict:?}");
        refused += usize::from(verdict.is_err());
    }
    assert!(refused > 500, "only {refused} of the changed views were wrong");
}

#[test]
fn wrong_bytes_foreign_keys_and_wrong_deadlines_are_noticed() {
    let mut history = History::default();
    let deadline = Value { expires_ms: Some(50), ..value(1) };
    let step = history.ask(vec![(key(1), Some(deadline))]);
    history.ack(step, Some(7));
    let sound = Found { bytes: value(1).bytes.to_vec(), expires_ms: Some(50), version: 7 };
    let check =
        |view: View, now_ms| history.check(&view, u64::MAX, now_ms, Promise::Acknowledged, Kept::Everything);
    let one = |found: Found| View::from([(key(1), found)]);
    check(one(sound.clone()), 49).expect("it is as it was written");
    check(View::new(), 50).expect("it has expired");
    check(View::new(), 49).expect_err("it was lost");
    check(one(sound.clone()), 50).expect_err("it has expired and is shown");
    check(one(Found { expires_ms: None, ..sound.clone() }), 49).expect_err("it would live for ever");
    check(one(Found { bytes: vec![1], ..sound }), 49).expect_err("these bytes are wrong");
    check(one(Found { version: 8, ..sound.clone() }), 49).expect_err("the version is another");
    check(View::from([(key(2), sound)]), 49).expect_err("this key was never written");
}

#[test]
fn a_doubtful_step_may_be_there_or_not_but_not_by_half() {
    let mut history = History::default();
    let first = history.ask(vec![(key(1), Some(value(1))), (key(2), Some(value(2)))]);
    history.ack(first, None);
    let doubtful = history.ask(vec![(key(1), Some(value(3))), (key(2), Some(value(4)))]);
    history.doubt(doubtful);
    let last = history.ask(vec![(key(3), Some(value(5)))]);
    history.ack(last, None);
    let view = |values: [u64; 3]| {
        let found = |number| Found { bytes: value(number).bytes.to_vec(), expires_ms: None, version: 0 };
        (1..).map(key).zip(values.map(found)).collect::<View>()
    };
    let check = |values| history.check(&view(values), u64::MAX, 0, Promise::Acknowledged, Kept::Everything);
    check([1, 2, 5]).expect("it did not happen");
    check([3, 4, 5]).expect("it happened");
    check([3, 2, 5]).expect_err("it happened by half");
}

#[test]
fn a_cache_may_forget_but_not_go_back() {
    let mut history = History::default();
    for number in 0..4 {
        let step = history.ask(vec![(key(number % 2), Some(value(number)))]);
        history.ack(step, None);
    }
    let found = |number| Found { bytes: value(number).bytes.to_vec(), expires_ms: None, version: 0 };
    let check = |view: View| history.check(&view, u64::MAX, 0, Promise::Acknowledged, Kept::Some);
    check(View::new()).expect("everything was evicted");
    check(View::from([(key(1), found(3))])).expect("one was evicted");
    check(View::from([(key(1), found(1))])).expect_err("an old value came back");
}
