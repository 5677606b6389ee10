//! The adaptive codec against each fixed one: what a value costs under an aim.
//!
//! Decision: what is compared is the aim's own cost ([`Aim::cost`]): bytes, and time of encoding and decoding at the price of
//! the aim; for space the bytes. Time is processor time of the thread. A fixed codec keeps a value that it does not make
//! shorter, as whoever stores values would. Trials of the adaptive choice happen while it is measured, and count.

#[path = "../../../../terrace-envelope/tests/it/codec/kinds.rs"]
mod kinds;

use std::sync::OnceLock;
use std::time::Instant;

use terrace_envelope::Compression;
use terrace_envelope::codec::{ALGORITHMS, Adaptive, Aim, Coder, is_built};

use self::kinds::KINDS;
use crate::measure::{in_turns, timed};
use crate::report::{Metric, Report, Row};
use crate::suite::{Failure, Plan};

/// How much more than the best fixed codec the adaptive one may cost.
const GOAL: f64 = 1.1;

const LENGTHS: [usize; 2] = [1000, 10_000];

const AIMS: [(Aim, &str); 3] =
    [(Aim::Latency, "latency"), (Aim::Balanced, "balanced"), (Aim::Space, "space")];

const FIGURES: [Metric; 4] = [
    Metric { name: "cost", unit: "of aim" },
    Metric { name: "length", unit: "B" },
    Metric { name: "encode", unit: "ns" },
    Metric { name: "decode", unit: "ns" },
];

pub(super) fn run(plan: &Plan, report: &mut Report) -> Result<(), Failure> {
    for (kind, value) in KINDS {
        for len in LENGTHS {
            if !plan.wants(&format!("codec, {len} B of {kind}")) {
                continue;
            }
            let values = if plan.quick { 20 } else { 400 };
            let values: Vec<Vec<u8>> = (0..values).map(|number| value(number, len)).collect();
            case(plan, report, kind, &values)?;
        }
    }
    Ok(())
}

/// What the adaptive choice takes the time from: asking the processor's clock takes longer than some codecs.
fn clock_ns() -> u64 {
    static BEGAN: OnceLock<Instant> = OnceLock::new();
    u64::try_from(BEGAN.get_or_init(Instant::now).elapsed().as_nanos()).unwrap_or(u64::MAX)
}

/// One that encodes a value and says how.
type Encode<'a> = Box<dyn FnMut(&mut Coder, &[u8], &mut Vec<u8>) -> Compression + Send + 'a>;

fn fixed(how: Compression) -> Encode<'static> {
    Box::new(move |coder, value, out| {
        out.clear();
        if coder.encode(how, None, value, out).is_ok_and(|len| len < value.len()) {
            return how;
        }
        out.clear();
        out.extend_from_slice(value);
        Compression::None
    })
}

/// How each value was encoded, and into what. The room is used again, so that no subject pays for fresh memory.
type Outs = Vec<(Compression, Vec<u8>)>;

/// Mean bytes of a value, and nanoseconds of encoding and of decoding it.
fn measure(values: &[Vec<u8>], encode: &mut Encode<'_>, room: &mut Outs) -> Result<[f64; 3], Failure> {
    let work = parking_lot::Mutex::new((Coder::new(), encode));
    let outs = parking_lot::Mutex::new(&mut *room);
    let encoding = timed(1, |_| {
        let (coder, encode) = &mut *work.lock();
        for (value, (how, out)) in values.iter().zip(outs.lock().iter_mut()) {
            *how = encode(coder, value, out);
        }
        values.len()
    });
    let failed = std::sync::atomic::AtomicBool::new(false);
    let outs = &*room;
    let decoding = timed(1, |_| {
        let (coder, _) = &mut *work.lock();
        let mut decoded = Vec::with_capacity(32 << 10);
        for ((how, out), value) in outs.iter().zip(values) {
            decoded.clear();
            let done = coder.decode(*how, None, out, 1 << 20, &mut decoded);
            if done.is_err() || decoded.len() != value.len() {
                failed.store(true, std::sync::atomic::Ordering::Relaxed);
            }
        }
        values.len()
    });
    if failed.into_inner() {
        return Err("a codec lost a value".into());
    }
    let bytes: usize = outs.iter().map(|(_, out)| out.len()).sum();
    Ok([bytes as f64 / values.len() as f64, encoding.cpu_ns, decoding.cpu_ns])
}

/// What such a value costs under an aim, in nanoseconds; for space in bytes.
fn cost(aim: Aim, [bytes, encode_ns, decode_ns]: [f64; 3]) -> f64 {
    if aim == Aim::Space {
        return bytes;
    }
    // In thousands of values, since it is counted in whole bytes and thousandths of a nanosecond.
    let thousand = |figure: f64| (figure * 1000.0) as u64;
    aim.cost(thousand(bytes), thousand(encode_ns) * 1000, thousand(decode_ns) * 1000) as f64 / 1e6
}

fn case(plan: &Plan, report: &mut Report, kind: &str, values: &[Vec<u8>]) -> Result<(), Failure> {
    let built: Vec<Compression> = std::iter::once(Compression::None)
        .chain(ALGORITHMS.into_iter().filter(|how| is_built(*how)))
        .collect();
    let adaptive = AIMS.map(|(aim, _)| Adaptive::new(aim, 0, clock_ns));
    let mut encoders: Vec<Encode<'_>> = built.iter().map(|how| fixed(*how)).collect();
    for choice in &adaptive {
        encoders.push(Box::new(|coder, value, out| choice.encode(coder, None, value, out)));
    }
    let mut room: Outs = values.iter().map(|_| (Compression::None, vec![0; 32 << 10])).collect();
    // Warm: the memory is there, and the choices have been made.
    for encode in &mut encoders {
        for _ in 0..if plan.quick { 1 } else { 4 } {
            measure(values, encode, &mut room)?;
        }
    }
    let figures = in_turns(plan.rounds, encoders.len(), |subject| -> Result<Vec<f64>, Failure> {
        Ok(measure(values, &mut encoders[subject], &mut room)?.to_vec())
    })?;
    for (at, (aim, name)) in AIMS.into_iter().enumerate() {
        let under = |rounds: &Vec<Vec<f64>>| -> Vec<Vec<f64>> {
            let with_cost = |round: &Vec<f64>| {
                let parts = [round[0], round[1], round[2]];
                [cost(aim, parts)].into_iter().chain(parts).collect()
            };
            rounds.iter().map(with_cost).collect()
        };
        let mut rows: Vec<Row> = built
            .iter()
            .zip(&figures)
            .map(|(how, rounds)| Row { subject: how.name(), against: None, rounds: under(rounds) })
            .collect();
        let best = rows.iter().min_by(|one, other| one.median_of(0).total_cmp(&other.median_of(0)));
        let against = best.and_then(|best| crate::report::Against::at_most(GOAL, best.subject));
        rows.insert(0, Row { subject: "adaptive", against, rounds: under(&figures[built.len() + at]) });
        report.case(&format!("codec, {name}, {} B of {kind}", values[0].len()), &FIGURES, &rows)?;
    }
    Ok(())
}
