//! Invalidations, and what they leave alone.

use super::*;
use terrace_store::fakes::FrozenClock;

fn generations(tag_limit: usize) -> Generations {
    Generations::new(Arc::new(FrozenClock::at_wall_ms(1000)), tag_limit)
}

fn key(name: &str) -> Key {
    Key::new("n", name).unwrap()
}

#[test]
fn what_was_loaded_before_an_invalidation_is_dead_and_what_came_after_lives() {
    let generations = generations(10);
    let tags = Tags::new(["users", "eu"]).unwrap();
    let before = generations.stamp();
    generations.invalidate(&Scope::Tag("users".into()), Mode::Purge);
    let after = generations.stamp();
    assert_eq!(generations.verdict(&key("k"), &tags, before), Verdict::Purged);
    assert_eq!(generations.verdict(&key("k"), &tags, after), Verdict::Valid);
    assert_eq!(generations.verdict(&key("k"), &Tags::new(["other"]).unwrap(), before), Verdict::Valid);
    generations.invalidate(&Scope::Tag("eu".into()), Mode::Expire);
    assert_eq!(generations.verdict(&key("k"), &tags, after), Verdict::Expired);
}

#[test]
fn prefixes_and_namespaces_cover_what_they_name_and_nothing_else() {
    let generations = generations(10);
    let start = generations.stamp();
    let namespace = Namespace::new("n").unwrap();
    generations.invalidate(&Scope::Prefix(namespace.clone(), "user:".into()), Mode::Purge);
    let verdict = |key: &Key, stamp| generations.verdict(key, &Tags::NONE, stamp);
    assert_eq!(verdict(&key("user:1"), start), Verdict::Purged);
    assert_eq!(verdict(&key("order:1"), start), Verdict::Valid);
    assert_eq!(verdict(&Key::new("m", "user:1").unwrap(), start), Verdict::Valid);
    generations.invalidate(&Scope::Namespace(namespace), Mode::Purge);
    assert_eq!(verdict(&key("order:1"), start), Verdict::Purged);
    generations.invalidate(&Scope::All, Mode::Purge);
    assert_eq!(verdict(&Key::new("m", "x").unwrap(), start), Verdict::Purged);
}

#[test]
fn a_full_table_invalidates_too_much_and_never_too_little() {
    let generations = generations(8);
    let start = generations.stamp();
    for n in 0..1000 {
        generations.invalidate(&Scope::Tag(Bytes::from(n.to_string())), Mode::Purge);
    }
    assert_eq!(generations.tags(), 8);
    for n in 0..1000 {
        let tags = Tags::new([n.to_string()]).unwrap();
        assert_eq!(generations.verdict(&key("k"), &tags, start), Verdict::Purged, "tag {n}");
    }
    let namespace = Namespace::new("n").unwrap();
    for n in 0..2 * PREFIX_LIMIT {
        generations.invalidate(&Scope::Prefix(namespace.clone(), n.to_string().into()), Mode::Purge);
    }
    let last = key(&format!("{}-x", 2 * PREFIX_LIMIT - 1));
    assert_eq!(generations.verdict(&last, &Tags::NONE, start), Verdict::Purged);
}

#[test]
fn kept_marks_bring_the_table_back_after_a_restart_even_if_the_clock_went_back() {
    let old = generations(10);
    let namespace = Namespace::new("n").unwrap();
    let scopes = [
        Scope::Tag("t".into()),
        Scope::Prefix(namespace, "p".into()),
        Scope::Namespace(Namespace::new("m").unwrap()),
    ];
    let start = old.stamp();
    let kept: Vec<Kept> = scopes.iter().map(|scope| old.invalidate(scope, Mode::Purge)).collect();

    let new = Generations::new(Arc::new(FrozenClock::at_wall_ms(1)), 10);
    for kept in &kept {
        new.restore(&kept.key().unwrap(), &kept.entry()).unwrap();
    }
    assert_eq!(new.verdict(&key("x"), &Tags::new(["t"]).unwrap(), start), Verdict::Purged);
    assert_eq!(new.verdict(&key("px"), &Tags::NONE, start), Verdict::Purged);
    assert_eq!(new.verdict(&Key::new("m", "x").unwrap(), &Tags::NONE, start), Verdict::Purged);
    assert_eq!(new.verdict(&key("x"), &Tags::NONE, start), Verdict::Valid);
    let later = new.invalidate(&Scope::Tag("t".into()), Mode::Purge);
    assert!(kept.iter().all(|kept| kept.stamp() < later.stamp()), "stamps go on growing");
    assert!(new.restore(&key("zzz"), &Entry::new("bad")).is_err());
}
