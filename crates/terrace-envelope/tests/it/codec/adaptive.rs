//! The adaptive choice, by bytes: what takes time is measured elsewhere, since time never decides a test.

use std::cell::Cell;

use terrace_envelope::Compression;
use terrace_envelope::codec::{Adaptive, Aim, Coder};

use super::built;
use super::kinds::KINDS;

const AIMS: [Aim; 3] = [Aim::Latency, Aim::Balanced, Aim::Space];

const VALUES: u32 = 60;

/// The bytes that these values take together by the best algorithm, or as they are where that is shorter.
fn best(values: &[Vec<u8>]) -> usize {
    let (mut coder, mut out) = (Coder::new(), Vec::new());
    let mut len = |how, value: &Vec<u8>| {
        out.clear();
        coder.encode(how, None, value, &mut out).unwrap().min(value.len())
    };
    let by = |how| values.iter().map(|value| len(how, value)).sum();
    built().chain([Compression::None]).map(by).min().unwrap()
}

/// The bytes that they take by choice.
fn chosen(aim: Aim, values: &[Vec<u8>]) -> usize {
    // A clock that stands still: the bytes decide.
    let adaptive = Adaptive::new(aim, 0, || 0);
    let (mut coder, mut out, mut again) = (Coder::new(), Vec::new(), Vec::new());
    let mut len = |value: &Vec<u8>| {
        let how = adaptive.encode(&mut coder, None, value, &mut out);
        again.clear();
        coder.decode(how, None, &out, value.len(), &mut again).unwrap();
        assert!(again == *value, "{how:?}");
        out.len()
    };
    values.iter().map(&mut len).sum()
}

#[test]
fn whatever_the_aim_values_take_at_most_a_tenth_more_than_by_the_best_algorithm_if_time_is_free() {
    for (kind, value) in KINDS {
        for len in [100, 1000, 8000] {
            let values: Vec<Vec<u8>> = (0..VALUES).map(|number| value(number, len)).collect();
            let best = best(&values);
            for aim in AIMS {
                let chosen = chosen(aim, &values);
                assert!(
                    chosen * 10 <= best * 11,
                    "{aim:?}, {len} bytes of {kind}: {chosen} bytes where {best} are possible"
                );
            }
        }
    }
}

#[test]
fn short_and_random_values_are_left_as_they_are() {
    let adaptive = Adaptive::new(Aim::Space, 64, || 0);
    let (mut coder, mut out) = (Coder::new(), b"from before".to_vec());
    for value in [&b""[..], b"a", &[0; 63], &KINDS[3].1(1, 5000)] {
        assert_eq!(adaptive.encode(&mut coder, None, value, &mut out), Compression::None);
        assert_eq!(out, value);
    }
    assert_eq!(adaptive.current(63), Compression::None);
    let how = adaptive.encode(&mut coder, None, &[0; 64], &mut out);
    assert_eq!(how != Compression::None, built().count() > 0);
    assert_eq!(adaptive.current(64), how);
}

#[test]
fn time_that_is_dear_wins_over_bytes_and_loses_where_space_is_all() {
    thread_local! { static NOW: Cell<u64> = const { Cell::new(0) } }
    // Each look at the clock takes 100 us: so does every trial, and nothing is worth that at 1 or 10 ns a byte.
    let clock = || NOW.replace(NOW.get() + 100_000);
    let (mut coder, mut out) = (Coder::new(), Vec::new());
    for aim in AIMS {
        let adaptive = Adaptive::new(aim, 0, clock);
        for number in 0..50 {
            adaptive.encode(&mut coder, None, &KINDS[0].1(number, 1000), &mut out);
        }
        let saves = aim == Aim::Space && built().count() > 0;
        assert_eq!(adaptive.current(1000) != Compression::None, saves, "{aim:?}");
    }
}

#[test]
fn values_that_change_are_followed() {
    let adaptive = Adaptive::new(Aim::Space, 0, || 0);
    let (mut coder, mut out) = (Coder::new(), Vec::new());
    // Hexadecimal digits of noise, then prose: at the end prose takes what prose takes from the beginning.
    for number in 0..50 {
        let digits: Vec<u8> =
            KINDS[3].1(number, 400).iter().flat_map(|byte| format!("{byte:02x}").into_bytes()).collect();
        adaptive.encode(&mut coder, None, &digits, &mut out);
    }
    for number in 0..6000 {
        adaptive.encode(&mut coder, None, &KINDS[0].1(number, 800), &mut out);
    }
    let fresh = Adaptive::new(Aim::Space, 0, || 0);
    let (mut changed, mut new) = (0, 0);
    for number in 0..200 {
        let value = KINDS[0].1(number, 800);
        adaptive.encode(&mut coder, None, &value, &mut out);
        changed += out.len();
        fresh.encode(&mut coder, None, &value, &mut out);
        new += out.len();
    }
    assert!(changed * 20 <= new * 21, "{changed} bytes, and {new} from the beginning");
}
