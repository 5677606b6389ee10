use bytes::Bytes;
use proptest::prelude::*;
use terrace_envelope::codec::ALGORITHMS;
use terrace_store::capability::{Batch, Iterate};
use terrace_store::fakes::{FrozenClock, MapStore};
use terrace_store::{CodecId, StoreExt, block_on};

use super::*;
use crate::world::tests::world;

fn over(map: &Arc<MapStore>, choice: Choice) -> Compression {
    let config = CompressionConfig { choice, min_size: 64 };
    block_on(Compression::open(map.clone(), config, &world(&FrozenClock::default()))).unwrap()
}

fn key(name: &str) -> Key {
    Key::new("n", name).unwrap()
}

fn json(n: usize) -> Vec<u8> {
    format!(
        "{{\"user\":\"user-{n}\",\"street\":\"Main Street {n}\",\"city\":\"Springfield\",\"active\":true}}"
    )
    .into()
}

fn choices() -> Vec<Choice> {
    let fixed = ALGORITHMS.into_iter().map(Choice::Fixed);
    fixed.chain([Aim::Latency, Aim::Balanced, Aim::Space].map(Choice::Adaptive)).collect()
}

#[test]
fn any_reader_reads_any_writer() {
    let map = Arc::new(MapStore::default());
    let value = json(1).repeat(40);
    for (n, choice) in choices().into_iter().enumerate() {
        let writer = over(&map, choice);
        let _ = block_on(writer.put_with(&key(&n.to_string()), value.clone())).unwrap();
    }
    for reader in choices() {
        let reader = over(&map, reader);
        for n in 0..choices().len() {
            let found = block_on(reader.get(&key(&n.to_string()))).unwrap().unwrap();
            assert_eq!((found.value, found.codec), (Bytes::from(value.clone()), CodecId::RAW));
        }
    }
    let stored = block_on(map.bytes(&key("").namespace())).unwrap();
    assert!(stored < (choices().len() * value.len() / 4) as u64, "{stored} bytes were stored");
}

#[test]
fn what_does_not_become_smaller_keeps_its_buffer() {
    let map = Arc::new(MapStore::default());
    let store = over(&map, Choice::Fixed(Algorithm::Lz4));
    let mut noise = 1_u64;
    let noise: Vec<u8> = std::iter::repeat_with(|| {
        noise = noise.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (noise >> 56) as u8
    })
    .take(5_000)
    .collect();
    for (value, compress) in [
        (Bytes::from(noise), Compress::Default),
        (Bytes::from(vec![7; 63]), Compress::Default),
        (Bytes::from(vec![7; 10_000]), Compress::Never),
    ] {
        let _ = block_on(store.put_with(&key("k"), value.clone()).compress(compress)).unwrap();
        for store in [&store as &dyn Store, &*map] {
            let found = block_on(store.get(&key("k"))).unwrap().unwrap();
            assert_eq!(found.value.as_ptr(), value.as_ptr(), "{} bytes, {compress:?}", value.len());
        }
    }
    let _ = block_on(store.put_with(&key("k"), vec![7; 63]).compress(Compress::Always)).unwrap();
    assert!(block_on(map.get(&key("k"))).unwrap().unwrap().value.len() < 63);
}

#[test]
fn a_claim_of_more_than_the_limit_is_refused_before_it_is_believed() {
    let map = Arc::new(MapStore::default());
    let store = over(&map, Choice::Fixed(Algorithm::Zstd));
    let mut bomb = Vec::new();
    Coder::new().encode(Algorithm::Zstd, None, &vec![0; VALUE_LIMIT + 1], &mut bomb).unwrap();
    let mut framed = vec![KIND, 0];
    Frame::begin(Algorithm::Zstd, None, &mut framed);
    framed.extend_from_slice(&bomb);
    let entry = Entry { codec: CodecId(0x80), ..Entry::new(framed) };
    let _ = block_on(map.put(&key("bomb"), entry, PutOptions::default())).unwrap();
    assert_eq!(block_on(store.get(&key("bomb"))).unwrap_err().kind(), ErrorKind::Corrupt);
}

fn trained() -> (Arc<MapStore>, Compression, u32) {
    let map = Arc::new(MapStore::default());
    let store = over(&map, Choice::Fixed(Algorithm::Zstd));
    for n in 0..4_000 {
        let _ = block_on(store.put_with(&key(&format!("sample {n}")), json(n))).unwrap();
    }
    let id = block_on(store.train(&key("").namespace(), Training::default())).unwrap().unwrap();
    (map, store, id)
}

#[test]
fn a_trained_dictionary_makes_small_values_smaller_and_lies_with_the_data() {
    let (map, store, id) = trained();
    let value = json(123_456);
    let _ = block_on(store.put_with(&key("v"), value.clone())).unwrap();
    let stored = block_on(map.get(&key("v"))).unwrap().unwrap().value.len();
    assert!(stored * 2 < value.len(), "{stored} of {}", value.len());
    assert_eq!(block_on(store.get(&key("v"))).unwrap().unwrap().value, value);
    // Another process finds it there, and so does one that was open before.
    let early = over(&Arc::new(MapStore::default()), Choice::Fixed(Algorithm::Lz4));
    let later = over(&map, Choice::Fixed(Algorithm::Lz4));
    assert_eq!(block_on(later.get(&key("v"))).unwrap().unwrap().value, value);
    let raw = block_on(map.get(&key("v"))).unwrap().unwrap();
    let dictionary = block_on(map.get(&dictionaries_place(id))).unwrap().unwrap();
    let _ = block_on(early.inner().put(&key("v"), raw, PutOptions::default())).unwrap();
    assert_eq!(block_on(early.get(&key("v"))).unwrap_err().kind(), ErrorKind::Corrupt);
    let _ = block_on(early.inner().put(&dictionaries_place(id), dictionary, PutOptions::default())).unwrap();
    assert_eq!(block_on(early.get(&key("v"))).unwrap().unwrap().value, value);
    // It is the layer's own affair.
    assert_eq!(block_on(store.namespaces()).unwrap(), [key("").namespace()]);
}

fn dictionaries_place(id: u32) -> Key {
    Key::new(OWN, id.to_be_bytes()).unwrap()
}

#[test]
fn clearing_everything_leaves_the_dictionaries_that_are_in_use() {
    let (map, store, id) = trained();
    assert_eq!(block_on(store.clear(None)).unwrap(), 4_000);
    assert!(block_on(map.exists(&dictionaries_place(id))).unwrap());
    let value = json(9);
    let _ = block_on(store.put_with(&key("v"), value.clone())).unwrap();
    let later = over(&map, Choice::Fixed(Algorithm::Lz4));
    assert_eq!(block_on(later.get(&key("v"))).unwrap().unwrap().value, value);
}

#[test]
fn a_dictionary_that_does_not_pay_is_not_kept() {
    let map = Arc::new(MapStore::default());
    let store = over(&map, Choice::Fixed(Algorithm::Zstd));
    let namespace = key("").namespace();
    assert_eq!(
        block_on(store.train(&namespace, Training::default())).unwrap(),
        None,
        "nothing to learn from"
    );
    for n in 0..4_000 {
        let _ = block_on(store.put_with(&key(&n.to_string()), json(n))).unwrap();
    }
    let training = Training { gain_percent: 99, ..Training::default() };
    assert_eq!(block_on(store.train(&namespace, training)).unwrap(), None);
    assert_eq!(block_on(map.count(&Namespace::new(OWN).unwrap())).unwrap(), 0);
}

proptest! {
    #[test]
    fn every_value_comes_back(
        value in prop_oneof![
            proptest::collection::vec(any::<u8>(), 0..600),
            (any::<u8>(), 0..5_000_usize).prop_map(|(byte, len)| vec![byte; len]),
        ],
        codec in any::<u8>(),
        choice in 0..8_usize,
        compress in prop_oneof![Just(Compress::Default), Just(Compress::Never), Just(Compress::Always)],
    ) {
        let map = Arc::new(MapStore::default());
        let store = over(&map, choices()[choice]);
        let entry = Entry { codec: CodecId(codec), ..Entry::new(value.clone()) };
        let options = PutOptions { compress, ..PutOptions::default() };
        let _ = block_on(store.put(&key("k"), entry, options)).unwrap();
        let found = block_on(store.get(&key("k"))).unwrap().unwrap();
        prop_assert_eq!((&found.value[..], found.codec), (&value[..], CodecId(codec)));
        let listed = block_on(Batch::get_many(&store, &[key("k")])).unwrap();
        prop_assert_eq!(listed, vec![Some(found)]);
    }

    #[test]
    fn no_bytes_make_the_reader_panic_or_allocate_beyond_the_limit(
        stored in proptest::collection::vec(any::<u8>(), 0..200),
        kind in any::<bool>(),
        codec in any::<u8>(),
    ) {
        let map = Arc::new(MapStore::default());
        let store = over(&map, Choice::Fixed(Algorithm::Lz4));
        let value = if kind { [&[KIND, 0][..], &stored].concat() } else { stored };
        let entry = Entry { codec: CodecId(codec), ..Entry::new(value) };
        let _ = block_on(map.put(&key("k"), entry, PutOptions::default())).unwrap();
        if let Ok(Some(entry)) = block_on(store.get(&key("k"))) {
            prop_assert!(entry.value.len() <= VALUE_LIMIT);
        }
    }
}
