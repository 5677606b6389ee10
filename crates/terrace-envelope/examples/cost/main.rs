//! What each codec and each cipher costs, in bytes and in nanoseconds, and how far the adaptive choice is from the best
//! fixed codec for each aim.
//!
//! `cargo run --release -p terrace-envelope --example cost [codecs|ciphers]`
//!
//! Codecs are measured in turns on the same values, in processor time of the thread, and the least of the rounds counts:
//! whatever else the machine does can only add to it. The bytes are the same on every machine, the times are not.
//! Trials of the adaptive choice happen while it is measured and count.

#[path = "../../tests/it/codec/kinds.rs"]
mod kinds;

use std::sync::OnceLock;
use std::time::Instant;

use kinds::KINDS;
use terrace_envelope::Compression;
use terrace_envelope::codec::{ALGORITHMS, Adaptive, Aim, Coder, is_built};
use terrace_envelope::crypt::{Algorithm, Key, Keyring, Place, Secret};

const LENGTHS: [usize; 3] = [100, 1000, 10_000];
const VALUES: u32 = 200;
const ROUNDS: usize = 15;

/// What the adaptive choice is given: a question to the processor's clock takes longer than some codecs.
fn clock_ns() -> u64 {
    static BEGAN: OnceLock<Instant> = OnceLock::new();
    u64::try_from(BEGAN.get_or_init(Instant::now).elapsed().as_nanos()).unwrap_or(u64::MAX)
}

/// Processor time of this thread in nanoseconds.
fn now_ns() -> u64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64
}

fn least(figures: impl IntoIterator<Item = u64>) -> u64 {
    figures.into_iter().min().expect("there are rounds")
}

/// What a codec makes of values, together: bytes, and nanoseconds of encoding and of decoding.
#[derive(Clone, Copy, Default)]
struct Cost {
    bytes: u64,
    encode_ns: u64,
    decode_ns: u64,
}

impl Cost {
    fn under(self, aim: Aim) -> u64 {
        // Of the values together; the bytes alone count for space.
        if aim == Aim::Space {
            self.bytes
        } else {
            aim.cost(self.bytes, self.encode_ns * 1000, self.decode_ns * 1000)
        }
    }
}

/// Encodes values by `encode`, which says how, and decodes them again.
fn measure(
    coder: &mut Coder,
    values: &[Vec<u8>],
    mut encode: impl FnMut(&mut Coder, &[u8], &mut Vec<u8>) -> Compression,
) -> Cost {
    let mut outs = vec![(Compression::None, Vec::with_capacity(32 << 10)); values.len()];
    let began = now_ns();
    for (value, (how, out)) in values.iter().zip(&mut outs) {
        *how = encode(coder, value, out);
    }
    let encoded = now_ns();
    let mut decoded = Vec::with_capacity(32 << 10);
    for (how, out) in &outs {
        decoded.clear();
        coder.decode(*how, None, out, 1 << 20, &mut decoded).expect("what was encoded is decoded");
    }
    let ended = now_ns();
    Cost {
        bytes: outs.iter().map(|(_, out)| out.len() as u64).sum(),
        encode_ns: encoded - began,
        decode_ns: ended - encoded,
    }
}

/// The codec, or the value as it is where that is shorter, as whoever stores values would have it.
fn fixed(how: Compression) -> impl FnMut(&mut Coder, &[u8], &mut Vec<u8>) -> Compression {
    move |coder, value, out| {
        out.clear();
        if coder.encode(how, None, value, out).is_ok_and(|len| len < value.len()) {
            return how;
        }
        out.clear();
        out.extend_from_slice(value);
        Compression::None
    }
}

/// The least of each figure over the rounds, for a codec whose bytes are always the same.
fn least_of(rounds: &[Vec<Cost>], at: usize) -> Cost {
    let of = |figure: fn(&Cost) -> u64| least(rounds.iter().map(|costs| figure(&costs[at])));
    Cost {
        bytes: of(|cost| cost.bytes),
        encode_ns: of(|cost| cost.encode_ns),
        decode_ns: of(|cost| cost.decode_ns),
    }
}

fn codecs() {
    const AIMS: [Aim; 3] = [Aim::Latency, Aim::Balanced, Aim::Space];
    let built: Vec<Compression> = std::iter::once(Compression::None)
        .chain(ALGORITHMS.into_iter().filter(|how| is_built(*how)))
        .collect();
    for (kind, value) in KINDS {
        for len in LENGTHS {
            let values: Vec<Vec<u8>> = (0..VALUES).map(|number| value(number, len)).collect();
            let mut coder = Coder::new();
            let adaptive = AIMS.map(|aim| Adaptive::new(aim, 0, clock_ns));
            // Warm: the memory is there, and the choices have been made.
            for _ in 0..10 {
                for (value, choice) in
                    values.iter().flat_map(|value| adaptive.iter().map(move |a| (value, a)))
                {
                    choice.encode(&mut coder, None, value, &mut Vec::new());
                }
            }
            let rounds: Vec<Vec<Cost>> = (0..ROUNDS)
                .map(|_| {
                    let fixed: Vec<Cost> =
                        built.iter().map(|how| measure(&mut coder, &values, fixed(*how))).collect();
                    let chosen = adaptive.iter().map(|choice| {
                        measure(&mut coder, &values, |coder, value, out| {
                            choice.encode(coder, None, value, out)
                        })
                    });
                    fixed.into_iter().chain(chosen).collect()
                })
                .collect();
            let per_value = |cost: Cost| {
                let values = u64::from(VALUES);
                (cost.bytes / values, cost.encode_ns / values, cost.decode_ns / values)
            };
            for (at, how) in built.iter().enumerate() {
                let (bytes, encode, decode) = per_value(least_of(&rounds, at));
                println!(
                    "{kind:7} {len:6} {:9} {bytes:6} bytes  encode {encode:7} ns  decode {decode:6} ns",
                    how.name()
                );
            }
            for (at, aim) in AIMS.into_iter().enumerate() {
                let of_rounds = rounds.iter().map(|costs| costs[built.len() + at]);
                let cost = of_rounds.min_by_key(|cost| cost.under(aim)).expect("there are rounds");
                let (best, how) = (0..built.len())
                    .map(|at| (least_of(&rounds, at).under(aim), built[at]))
                    .min_by_key(|(cost, _)| *cost)
                    .expect("none is always there");
                let (bytes, encode, decode) = per_value(cost);
                println!(
                    "{kind:7} {len:6} adaptive  {bytes:6} bytes  encode {encode:7} ns  decode {decode:6} ns  {aim:?}: {} chosen, {} best, {:.3} of its cost",
                    adaptive[at].current(len).name(),
                    how.name(),
                    cost.under(aim) as f64 / best as f64,
                );
            }
        }
    }
}

fn ciphers() {
    for algorithm in [Algorithm::XChaCha20Poly1305, Algorithm::Aes256GcmSiv] {
        let ring = Keyring::new(Key::new(1, algorithm, Secret::random().expect("random bytes")));
        for len in [16, 100, 1000, 10_000, 100_000] {
            let times = (2_000_000 / (len + 1000)) as u64;
            let (mut seal, mut open, mut seal_value, mut open_value) = (vec![], vec![], vec![], vec![]);
            let place = Place { namespace: b"namespace", key: b"a key of 20 bytes...", version: 1 };
            for _ in 0..ROUNDS {
                let cipher = ring.segment(&[7; 32], None).expect("a key");
                let reader = ring.segment(&[7; 32], Some(1)).expect("a key");
                let mut record = vec![1; len];
                record.reserve(16);
                let mut sealed = Vec::new();
                let began = now_ns();
                for offset in 0..times {
                    record.truncate(len);
                    cipher.seal(offset, &[0; 24], &mut record).expect("an offset not sealed before");
                }
                let ended = now_ns();
                seal.push((ended - began) / times);
                let began = now_ns();
                for _ in 0..times {
                    sealed.clear();
                    sealed.extend_from_slice(&record);
                    reader.open(times - 1, &[0; 24], &mut sealed).expect("what was sealed");
                }
                open.push((now_ns() - began) / times);
                let (plain, mut value, mut out) = (vec![1; len], Vec::new(), Vec::new());
                let began = now_ns();
                for _ in 0..times {
                    value.clear();
                    ring.seal_value(&place, &plain, &mut value).expect("random bytes");
                }
                let ended = now_ns();
                seal_value.push((ended - began) / times);
                let began = now_ns();
                for _ in 0..times {
                    out.clear();
                    ring.open_value(&place, &value, &mut out).expect("what was sealed");
                }
                open_value.push((now_ns() - began) / times);
            }
            println!(
                "{algorithm:18} {len:6} bytes  record: seal {:6} ns, open {:6} ns, 16 bytes more  value: seal {:6} ns, open {:6} ns, {} bytes more",
                least(seal),
                least(open),
                least(seal_value),
                least(open_value),
                26 + algorithm.nonce_len(),
            );
        }
        let began = now_ns();
        for _ in 0..1000 {
            ring.segment(&[7; 32], None).expect("a key");
        }
        println!("{algorithm:18} the key of a segment: {} ns", (now_ns() - began) / 1000);
    }
}

fn main() {
    let only = std::env::args().nth(1);
    if only.as_deref() != Some("ciphers") {
        codecs();
    }
    if only.as_deref() != Some("codecs") {
        ciphers();
    }
}
