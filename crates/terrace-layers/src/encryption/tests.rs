use std::num::NonZeroU64;

use bytes::Bytes;
use proptest::prelude::*;
use terrace_envelope::crypt::{Algorithm, Key as Master, Secret};
use terrace_store::capability::{Batch, Iterate, List, Write};
use terrace_store::fakes::MapStore;
use terrace_store::{Metadata, Namespace, StoreExt, Version, block_on};

use super::*;

fn master(id: u32, byte: u8) -> Master {
    let algorithm = if id.is_multiple_of(2) { Algorithm::Aes256GcmSiv } else { Algorithm::XChaCha20Poly1305 };
    Master::new(id, algorithm, secret(byte))
}

fn secret(byte: u8) -> Secret {
    Secret::new(&[byte; 32])
}

fn over(map: &Arc<MapStore>, keyring: Keyring) -> Encryption {
    Encryption::over(map.clone(), keyring, EncryptionConfig::default())
}

fn one(map: &Arc<MapStore>) -> Encryption {
    over(map, Keyring::new(master(1, 1)))
}

fn key(name: &str) -> Key {
    Key::new("space", name).unwrap()
}

fn rich() -> Entry {
    let metadata = Metadata {
        content_type: Some("text/secret-type".into()),
        map: [("secret-name".to_owned(), "secret-entry".to_owned())].into(),
    };
    Entry {
        tags: Tags::new(["secret-tag"]).unwrap(),
        metadata: Some(Arc::new(metadata)),
        codec: CodecId::JSON,
        type_fingerprint: 0x5ec2_e7f1_6e23_1111,
        created_ms: 5,
        fresh_until_ms: NonZeroU64::new(9),
        ..Entry::new("secret-value")
    }
}

#[test]
fn nothing_of_it_can_be_read_beneath_and_all_of_it_comes_back() {
    let map = Arc::new(MapStore::default());
    for keyring in [Keyring::new(master(1, 1)), Keyring::new(master(2, 1))] {
        let store = over(&map, keyring);
        let version =
            block_on(store.put(&key("k"), rich(), PutOptions::default())).unwrap().version().unwrap();
        let below = format!("{:?}", block_on(map.get(&key("k"))).unwrap().unwrap());
        assert!(!below.contains("secret") && !below.contains("5ec2e7f1"), "{below}");
        assert!(!below.contains(&0x5ec2_e7f1_6e23_1111_u64.to_string()), "{below}");
        let expected = Entry { version, ..rich() };
        assert_eq!(block_on(store.get(&key("k"))).unwrap(), Some(expected));
    }
}

#[test]
fn a_value_opens_only_where_and_as_what_it_was_written() {
    let map = Arc::new(MapStore::default());
    let store = one(&map);
    let _ = block_on(store.put(&key("a"), rich(), PutOptions::default())).unwrap();
    let stored = block_on(map.get(&key("a"))).unwrap().unwrap();
    let moved = |to: &Key, entry: &Entry, options: PutOptions| {
        let _ = block_on(map.put(to, entry.clone(), options)).unwrap();
        block_on(store.get(to)).map_err(|error| error.kind())
    };
    let same = PutOptions { condition: Condition::Newer(stored.version), ..PutOptions::default() };
    for to in [key("b"), Key::new("spac", "ea").unwrap(), Key::new("other", "a").unwrap()] {
        assert_eq!(moved(&to, &stored, same), Err(ErrorKind::Corrupt), "{to:?}");
    }
    // Another version of the same key.
    assert_eq!(moved(&key("a"), &stored, PutOptions::default()), Err(ErrorKind::Corrupt));
    // A longer life.
    let longer = Entry { expires_ms: Some(NonZeroU64::MAX), ..stored.clone() };
    let _ = block_on(map.clear(None)).unwrap();
    let fresh = Arc::new(MapStore::default());
    let other = one(&fresh);
    let _ = block_on(fresh.put(&key("a"), longer, same)).unwrap();
    assert_eq!(block_on(other.get(&key("a"))).unwrap_err().kind(), ErrorKind::Corrupt);
    let _ = block_on(fresh.remove(&key("a"))).unwrap();
    // The claim that no version was bound.
    let mut unbound = stored.value.to_vec();
    assert_eq!(unbound[frame::HEAD], BOUND);
    unbound[frame::HEAD] = 0;
    let unbound = Entry { value: unbound.into(), ..stored };
    let _ = block_on(fresh.put(&key("a"), unbound, PutOptions::default())).unwrap();
    assert_eq!(block_on(other.get(&key("a"))).unwrap_err().kind(), ErrorKind::Corrupt);
}

#[test]
fn every_turned_bit_is_found() {
    let map = Arc::new(MapStore::default());
    let store = one(&map);
    let version = Condition::Newer(Version(7));
    let options = PutOptions { condition: version, ..PutOptions::default() };
    let _ = block_on(store.put(&key("k"), rich(), options)).unwrap();
    let stored = block_on(map.get(&key("k"))).unwrap().unwrap();
    for bit in 0..stored.value.len() * 8 {
        let mut value = stored.value.to_vec();
        value[bit / 8] ^= 1 << (bit % 8);
        let entry = Entry { value: value.into(), ..stored.clone() };
        let opened = store.transform().decode(&key("k"), entry);
        // The codec in the frame is not the value's: that one is sealed.
        match opened {
            Ok(entry) => assert!(bit / 8 == 1 && entry.codec == CodecId::JSON, "bit {bit}"),
            Err(error) => assert_ne!(error.kind(), ErrorKind::Unknown),
        }
    }
}

#[test]
fn what_is_plain_is_refused_unless_it_is_allowed() {
    let map = Arc::new(MapStore::default());
    let _ = block_on(map.put_with(&key("k"), "plain")).unwrap();
    let store = one(&map);
    assert_eq!(block_on(store.get(&key("k"))).unwrap_err().kind(), ErrorKind::Corrupt);
    let config = EncryptionConfig { allow_plain: true, ..EncryptionConfig::default() };
    let store = Encryption::over(map.clone(), Keyring::new(master(1, 1)), config);
    assert_eq!(block_on(store.get(&key("k"))).unwrap().unwrap().value, "plain");
    let namespace = Namespace::new("space").unwrap();
    let done = block_on(store.reseal(&namespace, None, 10)).unwrap();
    assert_eq!((done.seen, done.resealed), (1, 1));
    assert_eq!(block_on(one(&map).get(&key("k"))).unwrap().unwrap().value, "plain");
}

#[test]
fn a_new_key_seals_what_is_written_and_old_ones_are_read_until_they_are_not_needed() {
    let map = Arc::new(MapStore::default());
    let store = one(&map);
    let _ = block_on(store.put_with(&key("old"), "old")).unwrap();
    store.transform().rotate(Keyring::new(master(2, 2)).with_old(master(1, 1)).unwrap());
    let _ = block_on(store.put_with(&key("new"), "new")).unwrap();
    for name in ["old", "new"] {
        assert_eq!(block_on(store.get(&key(name))).unwrap().unwrap().value, name);
    }
    let only_new = over(&map, Keyring::new(master(2, 2)));
    let missing = block_on(only_new.get(&key("old"))).unwrap_err();
    assert_eq!(missing.kind(), ErrorKind::Config);
    assert!(missing.to_string().contains("key number 1"), "{missing}");
    let wrong = over(&map, Keyring::new(master(1, 9)));
    assert_eq!(block_on(wrong.get(&key("old"))).unwrap_err().kind(), ErrorKind::Config);
    let namespace = Namespace::new("space").unwrap();
    let done = block_on(store.reseal(&namespace, None, 10)).unwrap();
    assert_eq!((done.seen, done.resealed, done.damaged, done.next), (2, 1, 0, None));
    assert_eq!(block_on(only_new.get(&key("old"))).unwrap().unwrap().value, "old");
}

#[test]
fn a_listing_leaves_out_what_is_damaged_and_the_health_says_so() {
    let map = Arc::new(MapStore::default());
    let store = one(&map);
    let write = |name: &str| Write::Put(key(name), rich(), PutOptions::default());
    let _ = block_on(Batch::apply(&store, vec![write("a"), write("b"), write("c")])).unwrap();
    let damaged = Entry { codec: CodecId(0x80), ..Entry::new("Enonsense") };
    let _ = block_on(map.put(&key("b"), damaged, PutOptions::default())).unwrap();
    assert_eq!(block_on(store.health()), terrace_store::Health::Up);
    let listed = block_on(store.list_all(&List::all(key("").namespace()))).unwrap();
    assert_eq!(
        listed.iter().map(|(key, _)| key.shared_bytes()).collect::<Vec<_>>(),
        [Bytes::from("a"), Bytes::from("c")]
    );
    assert!(matches!(block_on(store.health()), terrace_store::Health::Degraded(_)));
    assert_eq!(block_on(store.bytes(&key("").namespace())).unwrap_err().kind(), ErrorKind::NotSupported);
}

proptest! {
    #[test]
    fn no_sealed_bytes_make_the_reader_panic(stored in proptest::collection::vec(any::<u8>(), 0..300)) {
        let mut entry = Entry::new("");
        let _ = extras::restore(&mut entry, &stored);
        let value = [&[KIND, 0][..], &stored].concat();
        let entry = Entry { codec: CodecId(0x80), ..Entry::new(value) };
        let store = one(&Arc::new(MapStore::default()));
        prop_assert!(store.transform().decode(&key("k"), entry).is_err());
    }
}
