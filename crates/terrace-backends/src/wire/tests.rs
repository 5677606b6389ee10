//! What is said arrives, and what is not said is no crash.

use bytes::Bytes;
use terrace_store::capability::{Cursor, List, Order, Outcome, Write};
use terrace_store::store::VALUE_LIMIT;
use terrace_store::{
    Compress, Condition, DeleteOptions, Deleted, Entry, ErrorKind, Key, Namespace, PutOptions, Tags, Version,
    Written,
};

use super::*;

fn key(name: &str) -> Key {
    Key::new("space", name).unwrap()
}

fn entry() -> Entry {
    Entry { version: Version(9), stamp: u64::MAX, tags: Tags::new(["t"]).unwrap(), ..Entry::new("value") }
}

fn some_writes() -> Vec<Write> {
    let put = |condition, compress| PutOptions { condition, compress, deferred: true };
    vec![
        Write::Put(key("a"), entry(), put(Condition::Any, Compress::Always)),
        Write::Put(key("b"), entry(), put(Condition::Absent, Compress::Never)),
        Write::Put(key("c"), entry(), put(Condition::Match(Version(7)), Compress::Default)),
        Write::Delete(key("d"), DeleteOptions { condition: Condition::Newer(Version(8)), deferred: true }),
    ]
}

fn check(found: &[Write], expected: &[Write]) {
    assert_eq!(found.len(), expected.len());
    for (found, expected) in found.iter().zip(expected) {
        assert_eq!(found.key(), expected.key());
        match (found, expected) {
            (Write::Put(_, found, options), Write::Put(_, entry, asked)) => {
                assert_eq!(found, entry);
                // The server answers when it is done, so nothing is deferred there.
                assert_eq!(*options, PutOptions { deferred: false, ..*asked });
            }
            (Write::Delete(_, options), Write::Delete(_, asked)) => {
                assert_eq!(*options, DeleteOptions { deferred: false, ..*asked });
            }
            _ => panic!("a put became a delete"),
        }
    }
}

#[test]
fn what_is_asked_arrives() {
    let keys = [key("a"), Key::new("", "").unwrap()];
    let Ask::Get(found) = Ask::decode(get(&keys).into()).unwrap() else { panic!() };
    assert_eq!(found, keys);
    let Ask::Exists(found) = Ask::decode(exists(&keys[1]).into()).unwrap() else { panic!() };
    assert_eq!(found, keys[1]);
    for compress_from in [None, Some(0)] {
        let (message, taken) = writes(&some_writes(), compress_from).unwrap();
        let Ask::Write(found) = Ask::decode(message.into()).unwrap() else { panic!() };
        assert_eq!(taken, 4);
        check(&found, &some_writes());
    }
    let unchanged = vec![(key("a"), None), (key("b"), Some(Version(3)))];
    let message = commit(&some_writes(), &unchanged, None).unwrap();
    let Ask::Commit(found, read) = Ask::decode(message.into()).unwrap() else { panic!() };
    check(&found, &some_writes());
    assert_eq!(read, unchanged);
}

#[test]
fn what_is_answered_arrives() {
    let keys = [key("a"), key("b"), key("c")];
    let mut answer = EntriesWriter::default();
    assert!(answer.push(&keys[0], Some(&entry())).unwrap());
    assert!(answer.push(&keys[1], None).unwrap());
    assert_eq!(entries(&keys, answer.finish(true).into()).unwrap(), [Some(entry()), None]);
    let all = [
        Outcome::Put(Written::Stored { version: Version(1), replaced: true }),
        Outcome::Put(Written::Conflict { current: Some(Version(2)) }),
        Outcome::Put(Written::Conflict { current: None }),
        Outcome::Delete(Deleted::Done { version: Version(3), existed: false }),
    ];
    assert_eq!(read_outcomes(&some_writes(), outcomes(&all).into()).unwrap(), all);
}

#[test]
fn a_listing_and_its_page_arrive() {
    let space = Namespace::new("space").unwrap();
    let asked = List {
        prefix: Bytes::from("a"),
        from: Some(Bytes::from("ab")),
        before: Some(Bytes::from("az")),
        order: Order::Any,
        keys_only: true,
        limit: 3,
        namespace: space,
    };
    let cursor = Cursor(Bytes::from("ac"));
    let found = Asked::decode(list(&asked, Some(&cursor)).into()).unwrap();
    assert_eq!(format!("{:?}", found.list), format!("{asked:?}"));
    assert_eq!(found.after, Some(cursor.0));
    let mut answer = PageWriter::default();
    assert!(answer.push(&key("ad"), &entry()).unwrap());
    let found = page(&asked, None, answer.finish(Some(b"ad")).into()).unwrap();
    assert_eq!((found.entries, found.next.unwrap().0), (vec![(key("ad"), entry())], Bytes::from("ad")));
    let mut foreign = PageWriter::default();
    foreign.push(&key("b"), &entry()).unwrap();
    assert_eq!(page(&asked, None, foreign.finish(None).into()).unwrap_err().kind(), ErrorKind::Corrupt);
}

#[test]
fn what_is_cut_or_changed_is_refused_at_its_place() {
    let (message, _) = writes(&some_writes(), None).unwrap();
    for end in 0..message.len() {
        // A cut between two operations is a shorter message.
        if let Ok(ask) = Ask::decode(Bytes::copy_from_slice(&message[..end])) {
            assert!(matches!(ask, Ask::Write(list) if list.len() < 4), "{end}");
        }
    }
    for at in 0..message.len() {
        let mut changed = message.clone();
        changed[at] ^= 0x55;
        // Only that it ends, and without a panic.
        let _ = Ask::decode(changed.into());
    }
    let error = Ask::decode(Bytes::from_static(&[1, 255, 255, 255, 255, 0])).unwrap_err();
    assert!(error.kind() == ErrorKind::Invalid && error.to_string().contains("cut"), "{error}");
    let keys = [key("a")];
    for nonsense in [&b""[..], b"\x02", b"\x01\xff\xff\xff\xff", b"\x00\x00", b"<html>"] {
        let error = entries(&keys, Bytes::copy_from_slice(nonsense)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt, "{nonsense:?}");
    }
}

#[test]
fn a_batch_is_cut_to_messages_and_what_no_message_takes_is_refused() {
    let put =
        |length: usize| Write::Put(key("a"), Entry::new(Bytes::from(vec![7; length])), PutOptions::default());
    let (message, taken) = writes(&[put(VALUE_LIMIT), put(1)], None).unwrap();
    assert_eq!((taken, message.len() < LONGEST), (1, true));
    let (_, taken) = writes(&vec![put(FULL / 4); 10], None).unwrap();
    assert_eq!(taken, 4);
    assert_eq!(commit(&vec![put(VALUE_LIMIT); 2], &[], None).unwrap_err().kind(), ErrorKind::Invalid);
}

#[test]
fn little_that_was_compressed_does_not_become_much() {
    let large = Entry { value: Bytes::from(vec![7; 30 << 20]), ..entry() };
    let put = |n: u32| Write::Put(key(&n.to_string()), large.clone(), PutOptions::default());
    let (three, taken) = writes(&[put(0), put(1)], Some(1)).unwrap();
    assert!(taken == 2 && three.len() < 1 << 20 && Ask::decode(three.into()).is_ok());
    let (four, taken) = writes(&[put(0), put(1), put(2)], Some(1)).unwrap();
    assert!(taken == 3 && four.len() < 1 << 20);
    let refused = Ask::decode(four.into()).unwrap_err();
    assert!(refused.kind() == ErrorKind::Invalid && refused.to_string().contains("longer than any message"));
}

#[test]
fn a_page_that_does_not_go_on_is_refused() {
    let asked = List::all(Namespace::new("space").unwrap());
    let before = Cursor(Bytes::from("m"));
    let of = |keys: &[&str], next: Option<&str>| {
        let mut answer = PageWriter::default();
        keys.iter().for_each(|name| assert!(answer.push(&key(name), &entry()).unwrap()));
        page(&asked, Some(&before), answer.finish(next.map(str::as_bytes)).into())
            .map_err(|error| error.kind())
    };
    assert!(of(&["n", "o"], Some("o")).is_ok() && of(&[], Some("n")).is_ok() && of(&["z"], None).is_ok());
    for (keys, next) in [
        (&[][..], Some("m")),
        (&["l"], None),
        (&["n", "n"], None),
        (&["o", "n"], None),
        (&["n", "p"], Some("o")),
    ] {
        assert_eq!(of(keys, next).unwrap_err(), ErrorKind::Corrupt, "{keys:?} {next:?}");
    }
}
