//! Groups, links and entries in a tree.

use bytes::Bytes;

use super::Subject;
use super::trial::{Trial, key_in};
use crate::capability::{PathKind, Paths};
use crate::error::ErrorKind;

/// All of this file.
pub async fn all(subject: &dyn Subject) {
    groups_hold_what_is_in_them(subject).await;
    links_are_followed(subject).await;
    links_in_a_circle_are_refused(subject).await;
    malformed_paths_are_refused(subject).await;
}

fn paths<'a>(t: &'a Trial<'_>) -> &'a dyn Paths {
    match t.store.as_paths() {
        Some(paths) => paths,
        None => t.broken("it had paths when it was opened first, and has none now"),
    }
}

async fn kind(t: &Trial<'_>, path: &str) -> Option<PathKind> {
    t.done(paths(t).kind(path).await)
}

async fn resolve(t: &Trial<'_>, path: &str) -> Bytes {
    t.done(paths(t).resolve(path).await)
}

/// Made groups, and what is put into them.
pub async fn groups_hold_what_is_in_them(subject: &dyn Subject) {
    let t = Trial::open(subject).await;
    t.rule("where nothing was made there is nothing");
    t.equal(kind(&t, "a").await, None);
    t.rule("a group is made with those it stands in, and made again without harm");
    for _ in 0..2 {
        t.done(paths(&t).make_group("a/b/c").await);
    }
    for path in ["a", "a/b", "a/b/c"] {
        t.equal(kind(&t, path).await, Some(PathKind::Group));
    }
    t.rule("an entry at a path is the entry of the key with the path's bytes, in the root namespace");
    let _ = t.value(&key_in("", "a/b/entry"), "v").await;
    let _ = t.value(&key_in("", "a/b/.."), "v").await;
    t.equal(kind(&t, "a/b/entry").await, Some(PathKind::Entry));
    t.rule("a group lists the names in it, sorted, each once, and no deeper");
    let _ = t.value(&key_in("", "a/b/deep/er"), "v").await;
    t.done(paths(&t).make_link("a/b/link", "a").await);
    t.equal(
        t.done(paths(&t).list_group("a/b").await),
        ["..", "c", "deep", "entry", "link"].map(String::from).to_vec(),
    );
    t.equal(t.done(paths(&t).list_group("a").await), vec!["b".to_owned()]);
    t.equal(t.done(paths(&t).list_group("a/b/c").await), Vec::<String>::new());
    t.rule("the empty path is the root, a group");
    t.equal(kind(&t, "").await, Some(PathKind::Group));
    t.equal(t.done(paths(&t).list_group("").await), vec!["a".to_owned()]);
    t.rule("only a group can be listed");
    t.refused(paths(&t).list_group("a/b/entry").await, ErrorKind::Invalid);
    t.refused(paths(&t).list_group("nothing").await, ErrorKind::Invalid);
    t.rule("neither a group nor a link takes the place of something else");
    t.refused(paths(&t).make_group("a/b/entry").await, ErrorKind::Conflict);
    t.refused(paths(&t).make_link("a/b/entry", "a").await, ErrorKind::Conflict);
    t.refused(paths(&t).make_link("a/b", "a").await, ErrorKind::Conflict);
    t.rule("a deleted entry is not in its group any more");
    let _ = t.remove(&key_in("", "a/b/entry")).await;
    t.equal(kind(&t, "a/b/entry").await, None);
    t.equal(t.done(paths(&t).list_group("a/b").await).contains(&"entry".to_owned()), false);
}

/// At the end of a path and in its middle, several in a row, turned.
pub async fn links_are_followed(subject: &dyn Subject) {
    let t = Trial::open(subject).await;
    t.done(paths(&t).make_group("a/b").await);
    t.done(paths(&t).make_link("l", "a").await);
    t.done(paths(&t).make_link("a/b/m", "l/b").await);
    t.rule("a link is a link, and resolving follows it, in the middle of a path too");
    t.equal(kind(&t, "l").await, Some(PathKind::Link));
    t.equal(resolve(&t, "l").await, Bytes::from("a"));
    t.equal(resolve(&t, "l/b").await, Bytes::from("a/b"));
    t.equal(resolve(&t, "l/b/m/x").await, Bytes::from("a/b/x"));
    t.rule("what is no link resolves to itself, there or not");
    t.equal(resolve(&t, "a/b").await, Bytes::from("a/b"));
    t.equal(resolve(&t, "no/thing").await, Bytes::from("no/thing"));
    t.equal(kind(&t, "l/b").await, Some(PathKind::Group));
    t.equal(t.done(paths(&t).list_group("l").await), vec!["b".to_owned()]);
    t.rule("a link can be turned, and may lead to nothing");
    t.done(paths(&t).make_link("l", "nowhere").await);
    t.equal(resolve(&t, "l/b").await, Bytes::from("nowhere/b"));
}

/// Circles are found, not walked for ever.
pub async fn links_in_a_circle_are_refused(subject: &dyn Subject) {
    let t = Trial::open(subject).await;
    t.rule("links in a circle are invalid to resolve");
    t.done(paths(&t).make_link("self", "self").await);
    t.done(paths(&t).make_link("one", "two/x").await);
    t.done(paths(&t).make_link("two", "one").await);
    t.done(paths(&t).make_link("grow", "grow/grow").await);
    for path in ["self", "self/a", "one", "two", "grow"] {
        t.refused(paths(&t).resolve(path).await, ErrorKind::Invalid);
    }
}

/// Empty parts are no names.
pub async fn malformed_paths_are_refused(subject: &dyn Subject) {
    let t = Trial::open(subject).await;
    t.rule("a path with an empty part is invalid");
    for path in ["/", "/a", "a/", "a//b"] {
        t.refused(paths(&t).make_group(path).await, ErrorKind::Invalid);
        t.refused(paths(&t).make_link(path, "a").await, ErrorKind::Invalid);
        t.refused(paths(&t).make_link("l", path).await, ErrorKind::Invalid);
        t.refused(paths(&t).kind(path).await, ErrorKind::Invalid);
        t.refused(paths(&t).resolve(path).await, ErrorKind::Invalid);
    }
}
