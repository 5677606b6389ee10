//! What is sealed is what is opened, for any fields at all.

use bytes::Bytes;
use proptest::collection::vec;
use proptest::prelude::*;
use terrace_envelope::{
    Compress, Compression, Fields, Header, Limits, MAX_TAGS, MIN_LEN, PEEK_LEN, key_hash, open, peek,
    peek_verified, seal,
};

use crate::sample::{assert_same, samples};

/// Zero stands for "none" and has a form of its own, so it must be drawn often.
fn number() -> impl Strategy<Value = u64> {
    prop_oneof![Just(0), Just(1), Just(u64::MAX), any::<u64>()]
}

fn header() -> impl Strategy<Value = Header> {
    let times = (number(), number(), number(), number());
    let placement = (prop_oneof![Just(0), any::<u32>()], prop_oneof![Just(0), any::<u8>()]);
    (any::<u8>(), number(), number(), times, number(), placement).prop_map(
        |(codec, type_fingerprint, version, times, stamp, (weight, priority))| Header {
            tombstone: false,
            codec,
            type_fingerprint,
            version,
            created_ms: times.0,
            expires_ms: times.1,
            fresh_until_ms: times.2,
            idle_ms: times.3,
            stamp,
            weight,
            priority,
        },
    )
}

/// Noise, which does not compress, and repetition, which does.
fn payload() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        vec(any::<u8>(), 0..600),
        (vec(any::<u8>(), 0..20), 0_usize..400).prop_map(|(unit, times)| unit.repeat(times))
    ]
}

fn compress() -> impl Strategy<Value = Compress> {
    prop_oneof![
        Just(Compress::Never),
        Just(if cfg!(feature = "lz4") { Compress::Always } else { Compress::Never }),
        (0_usize..1000).prop_map(|min_size| Compress::Auto { min_size })
    ]
}

proptest! {
    #[test]
    fn whatever_was_sealed_is_opened_again(
        header in header(),
        tags in vec(vec(any::<u8>(), 0..40), 0..=MAX_TAGS),
        content_type in any::<Option<String>>(),
        metadata in vec((any::<String>(), any::<String>()), 0..8),
        key in vec(any::<u8>(), 0..40),
        payload in payload(),
        compress in compress(),
        before in vec(any::<u8>(), 0..10),
    ) {
        let tags: Vec<&[u8]> = tags.iter().map(Vec::as_slice).collect();
        let metadata: Vec<(&str, &str)> = metadata.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
        let content_type = content_type.as_deref();
        let fields = Fields { header, tags: &tags, content_type, metadata: &metadata };
        let mut out = before.clone();
        seal(&fields, &key, &payload, compress, Limits::default(), &mut out).unwrap();
        prop_assert_eq!(&out[..before.len()], &before[..], "sealing appends");

        let envelope = Bytes::from(out).slice(before.len()..);
        let opened = open(&envelope, &key, Limits::default()).unwrap();
        assert_same("drawn", &fields, &payload, &opened);

        let front = peek(&envelope[..envelope.len().min(PEEK_LEN)]).unwrap();
        prop_assert_eq!(front, peek_verified(&envelope).unwrap());
        prop_assert_eq!((front.version, front.expires_ms), (header.version, header.expires_ms));
        prop_assert_eq!((front.codec, front.created_ms), (header.codec, header.created_ms));
        prop_assert_eq!(front.type_fingerprint, header.type_fingerprint);
        prop_assert_eq!(front.compressed, opened.compression() == Compression::Lz4);
    }

    #[test]
    fn auto_never_stores_more_than_the_payload_itself(payload in payload()) {
        let mut out = Vec::new();
        let auto = Compress::Auto { min_size: 0 };
        seal(&Fields::default(), b"key", &payload, auto, Limits::default(), &mut out).unwrap();
        let compressed = peek(&out).unwrap().compressed;
        let (section, saved) = if compressed { (9, payload.len() / 8) } else { (0, 0) };
        prop_assert!(out.len() - MIN_LEN - section <= payload.len() - saved);
    }
}

#[test]
fn every_sample_comes_back() {
    for sample in samples() {
        sample.assert_is(&open(&sample.seal(), sample.key, Limits::default()).unwrap());
    }
}

#[test]
fn a_tombstone_says_so_at_a_glance_and_carries_its_floor() {
    let header = Header { tombstone: true, version: 12, ..Header::default() };
    let mut out = Vec::new();
    let fields = Fields { header, ..Fields::default() };
    seal(&fields, b"key", b"", Compress::Never, Limits::default(), &mut out).unwrap();
    let front = peek(&out).unwrap();
    assert!(front.tombstone);
    assert_eq!(front.version, 12);
    assert!(open(&Bytes::from(out), b"key", Limits::default()).unwrap().header().tombstone);
}

#[test]
#[cfg_attr(not(feature = "lz4"), ignore = "needs LZ4")]
fn repetition_is_compressed_and_noise_is_not() {
    let auto = Compress::Auto { min_size: 64 };
    let compression = |payload: &[u8]| {
        let mut out = Vec::new();
        seal(&Fields::default(), b"key", payload, auto, Limits::default(), &mut out).unwrap();
        open(&Bytes::from(out), b"key", Limits::default()).unwrap().compression()
    };
    assert_eq!(compression(&b"terrace ".repeat(100)), Compression::Lz4);
    let noise: Vec<u8> = (0..100_u64).flat_map(|i| key_hash(&i.to_le_bytes()).to_le_bytes()).collect();
    assert_eq!(compression(&noise), Compression::None);
    assert_eq!(compression(&[0; 63]), Compression::None, "below min_size");
}

#[test]
fn payload_and_lists_share_the_memory_of_the_envelope() {
    let sample = samples().into_iter().find(|sample| sample.name == "everything").unwrap();
    let envelope = sample.seal();
    let opened = open(&envelope, sample.key, Limits::default()).unwrap();
    let lies_within = |part: &[u8]| envelope.as_ptr_range().contains(&part.as_ptr());
    let payload_at = envelope.len() - 8 - sample.payload.len();
    assert_eq!(opened.payload().as_ptr(), envelope[payload_at..].as_ptr());
    assert!(opened.tags().all(lies_within));
    assert!(lies_within(opened.content_type().unwrap().as_bytes()));
    assert!(
        opened.metadata().all(|(name, value)| lies_within(name.as_bytes()) && lies_within(value.as_bytes()))
    );
    assert_eq!(opened.clone().into_payload().as_ptr(), opened.payload().as_ptr());
}
