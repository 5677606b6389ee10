use terrace_store::fakes::{Fault, Flaky, FrozenClock, MapStore, Operation as On, When};
use terrace_store::{Entry, Key, PutOptions, StoreExt, block_on};

use super::*;
use crate::access::{Access, Rights, Rule, Scope, Who};
use crate::world::tests::world;

fn config(log: Arc<dyn Store>) -> AuditConfig {
    AuditConfig { log, namespace: space(), reads: false, key: Some([3; 32]) }
}

fn space() -> Namespace {
    Namespace::new("audit").unwrap()
}

fn open(inner: Arc<dyn Store>, config: AuditConfig) -> Audit {
    block_on(Audit::open(inner, config, &world(&FrozenClock::at_wall_ms(5)))).unwrap()
}

fn key(n: impl std::fmt::Display) -> Key {
    Key::new("n", n.to_string()).unwrap()
}

fn verified(log: &dyn Store, noted: Option<Head>) -> Result<(Head, Vec<Record>)> {
    block_on(verify(log, &space(), Some([3; 32]), noted))
}

#[test]
fn a_write_has_a_record_before_and_one_after_it_and_a_denial_always_one() {
    let (map, log) = (Arc::new(MapStore::default()), Arc::new(MapStore::default()));
    let only_ann = Rule::grant(Who::Name("ann".into()), Scope::All, Rights::ALL);
    let store = open(Arc::new(Access::over(map, vec![only_ann])), config(log.clone()));
    let ann = Identity::new("ann", [""; 0]);
    block_on(ann.scope(async {
        let _ = store.put_with(&key(1), "secret value").await.unwrap();
        let _ = store.put_with(&key(1), "secret value").if_absent().await.unwrap();
        assert!(store.get(&key(1)).await.unwrap().is_some());
    }));
    assert!(block_on(store.get(&key(2))).is_err());
    let (head, records) = verified(&*log, None).unwrap();
    assert_eq!(head, store.policy().head());
    let told: Vec<_> = records
        .iter()
        .map(|record| (record.phase, &*record.caller, &*record.operation, &*record.outcome))
        .collect();
    let expected = [
        (Phase::Before, "ann", "put", ""),
        (Phase::After(1), "ann", "put", "ok"),
        (Phase::Before, "ann", "put", ""),
        (Phase::After(3), "ann", "put", "conflict"),
        (Phase::Only, "", "get", "denied"),
    ];
    assert_eq!(told, expected);
    assert_eq!((records[4].keys.as_slice(), records[0].wall_ms), (&[key(2).flat().to_vec()][..], 5));
    for record in 1..=5_u64 {
        let entry = block_on(log.get(&space().key(record.to_be_bytes()).unwrap())).unwrap().unwrap();
        assert!(!entry.value.windows(6).any(|part| part == b"secret"), "no value is in the log");
    }
}

#[test]
fn what_cannot_be_recorded_is_not_done() {
    let (map, flaky) = (Arc::new(MapStore::default()), Arc::new(Flaky::over(Arc::new(MapStore::default()))));
    let store = open(map.clone(), config(flaky.clone()));
    flaky.control().inject(Fault::fail(ErrorKind::Full).of(&[On::Put]).when(When::Nth(1)));
    assert_eq!(block_on(store.put_with(&key(1), "v")).unwrap_err().kind(), ErrorKind::Full);
    assert!(!block_on(map.exists(&key(1))).unwrap());
    flaky.control().heal();
    // The record of how it ended is lost: the write stands, and the health says so.
    flaky.control().inject(Fault::fail(ErrorKind::Full).of(&[On::Put]).when(When::Nth(2)));
    let _ = block_on(store.put_with(&key(1), "v")).unwrap();
    assert_eq!(store.policy().unrecorded(), 1);
    assert!(matches!(block_on(store.health()), Health::Degraded(_)));
}

#[test]
fn a_record_whose_outcome_was_unknown_is_found_and_the_chain_goes_on() {
    for lost in [Fault::lose_answer(), Fault::fail(ErrorKind::Unknown)] {
        let log = Arc::new(MapStore::default());
        let flaky = Arc::new(Flaky::over(log.clone()));
        let store = open(Arc::new(MapStore::default()), config(flaky.clone()));
        flaky.control().inject(lost.of(&[On::Put]).when(When::Nth(1)));
        assert_eq!(block_on(store.put_with(&key(1), "v")).unwrap_err().kind(), ErrorKind::Unknown);
        assert!(block_on(store.put_with(&key(2), "v")).is_ok());
        let (head, _) = verified(&*log, None).unwrap();
        assert_eq!(head, store.policy().head());
    }
}

#[test]
fn a_log_goes_on_where_it_ended() {
    let log = Arc::new(MapStore::default());
    for round in 1..=20_u64 {
        let store = open(Arc::new(MapStore::default()), config(log.clone()));
        assert_eq!(store.policy().head().number, (round - 1) * 2);
        let _ = block_on(store.put_with(&key(round), "v")).unwrap();
    }
    assert_eq!(verified(&*log, None).unwrap().0.number, 40);
}

#[test]
fn whatever_is_changed_removed_or_inserted_is_found() {
    let log = Arc::new(MapStore::default());
    let store = open(Arc::new(MapStore::default()), config(log.clone()));
    for n in 0..5 {
        let _ = block_on(store.put_with(&key(n), "v")).unwrap();
    }
    let noted = store.policy().head();
    let place = |number: u64| space().key(number.to_be_bytes()).unwrap();
    let write = |number: u64, value: Vec<u8>| {
        let _ = block_on(log.put(&place(number), Entry::new(value), PutOptions::default())).unwrap();
    };
    let entries: Vec<Vec<u8>> =
        (1..=10).map(|n| block_on(log.get(&place(n))).unwrap().unwrap().value.to_vec()).collect();
    assert!(verified(&*log, Some(noted)).is_ok());
    for (number, entry) in (1..).zip(&entries) {
        for at in 0..entry.len() {
            let mut changed = entry.clone();
            changed[at] ^= 1;
            write(number, changed);
            assert!(verified(&*log, Some(noted)).is_err(), "record {number}, byte {at}");
        }
        write(number, entry.clone());
        block_on(log.remove(&place(number))).unwrap();
        assert!(verified(&*log, Some(noted)).is_err(), "record {number} is missing");
        write(number, entry.clone());
    }
    // Two that changed places.
    write(3, entries[4].clone());
    write(5, entries[2].clone());
    assert!(verified(&*log, None).is_err());
    write(3, entries[2].clone());
    write(5, entries[4].clone());
    // The end cut off: found by whoever noted it.
    block_on(log.remove(&place(10))).unwrap();
    assert!(verified(&*log, None).is_ok() && verified(&*log, Some(noted)).is_err());
    // One that was made without the key.
    assert!(block_on(verify(&*log, &space(), None, Some(noted))).is_err());
}

#[test]
fn reads_are_recorded_for_whoever_wants_them() {
    let log = Arc::new(MapStore::default());
    let store = open(Arc::new(MapStore::default()), AuditConfig { reads: true, ..config(log.clone()) });
    assert!(block_on(store.get(&key(1))).is_ok());
    let (_, records) = verified(&*log, None).unwrap();
    assert_eq!((records.len(), &*records[0].operation, &*records[0].outcome), (1, "get", "ok"));
}
