use terrace_store::fakes::MapStore;
use terrace_store::{Namespace, StoreExt, block_on};

use super::*;

fn open(map: &Arc<MapStore>, prefix: &str) -> Namespaced {
    block_on(Namespaced::open(map.clone(), prefix)).unwrap()
}

fn key(namespace: &str) -> Key {
    Key::new(namespace, "k").unwrap()
}

#[test]
fn parts_of_a_store_do_not_see_each_other() {
    let map = Arc::new(MapStore::default());
    let long = "n".repeat(255);
    let (one, two, inner) = (open(&map, "one"), open(&map, "two"), open(&map, "on"));
    for name in ["", "a", "e/a", &long] {
        for (store, value) in [(&one, "1"), (&two, "2"), (&inner, "3")] {
            let _ = block_on(store.put_with(&key(name), value)).unwrap();
        }
    }
    for name in ["", "a", "e/a", &long] {
        assert_eq!(block_on(one.get(&key(name))).unwrap().unwrap().value, "1", "{name}");
    }
    let mut shown = block_on(one.namespaces()).unwrap();
    shown.sort();
    let mut expected = ["", "a", "e/a", &long].map(|name| Namespace::new(name).unwrap());
    expected.sort();
    assert_eq!(shown, expected);
    assert_eq!(block_on(one.clear(None)).unwrap(), 4);
    assert!(block_on(one.namespaces()).unwrap().is_empty());
    for name in ["", "a", "e/a", &long] {
        assert_eq!(block_on(two.get(&key(name))).unwrap().unwrap().value, "2");
        assert_eq!(block_on(inner.get(&key(name))).unwrap().unwrap().value, "3");
    }
}

#[test]
fn the_floor_of_a_clear_outlives_the_layer() {
    let map = Arc::new(MapStore::default());
    let (one, two) = (open(&map, "one"), open(&map, "two"));
    let ticket = block_on(one.reserve()).unwrap();
    assert_eq!(block_on(one.clear(None)).unwrap(), 0);
    let late = PutOptions { condition: Condition::Newer(ticket), ..PutOptions::default() };
    for store in [&one, &open(&map, "one")] {
        let written = block_on(store.put(&key("new"), Entry::new("late"), late)).unwrap();
        assert_eq!(written, Written::Conflict { current: None });
    }
    assert!(block_on(two.put(&key("new"), Entry::new("other"), late)).unwrap().version().is_some());
}

#[test]
fn a_name_that_could_meet_another_is_refused() {
    let map = Arc::new(MapStore::default());
    for name in ["", "a/b", "a#", "@", &"x".repeat(201)] {
        let refused = block_on(Namespaced::open(map.clone(), name)).err().unwrap();
        assert_eq!(refused.kind(), ErrorKind::Config, "{name}");
    }
    assert!(block_on(Namespaced::open(map, "x".repeat(200))).is_ok());
}
