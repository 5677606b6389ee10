//! Clocks and turns.
//!
//! Decision: what is compared is processor time, not time on the wall. On a machine that does something else as
//! well, the wall also shows how long the others ran; processor time is what the code itself took. Wall time is
//! told beside it, because waiting for a lock shows only there.

use std::sync::Barrier;
use std::time::Instant;

use rustix::time::{ClockId, clock_gettime};

/// What operations cost, each.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cost {
    /// Nanoseconds of processor time, of all threads together.
    pub(crate) cpu_ns: f64,
    /// Nanoseconds that passed while a thread did one.
    pub(crate) wall_ns: f64,
}

impl Cost {
    /// The figures in the order of [`COST`](crate::report::COST).
    pub(crate) fn figures(self) -> Vec<f64> {
        vec![self.cpu_ns, self.wall_ns]
    }
}

fn clock_ns(clock: ClockId) -> f64 {
    let time = clock_gettime(clock);
    time.tv_sec as f64 * 1e9 + time.tv_nsec as f64
}

/// Processor time of this process so far, of all its threads, in nanoseconds.
pub(crate) fn process_cpu_ns() -> f64 {
    clock_ns(ClockId::ProcessCPUTime)
}

/// What one thread did.
struct Stint {
    cpu_ns: f64,
    began: Instant,
    ended: Instant,
    operations: usize,
}

fn stint(work: impl FnOnce() -> usize) -> Stint {
    let (cpu, began) = (clock_ns(ClockId::ThreadCPUTime), Instant::now());
    let operations = work();
    Stint { cpu_ns: clock_ns(ClockId::ThreadCPUTime) - cpu, began, ended: Instant::now(), operations }
}

/// Lets so many threads work at once, each told its number and telling how many operations it did.
pub(crate) fn timed(threads: usize, work: impl Fn(usize) -> usize + Sync) -> Cost {
    if threads == 1 {
        return cost(&[stint(|| work(0))]);
    }
    let (barrier, work) = (&Barrier::new(threads), &work);
    let stints: Vec<Stint> = std::thread::scope(|scope| {
        let begin = |thread| {
            scope.spawn(move || {
                barrier.wait();
                stint(|| work(thread))
            })
        };
        let running: Vec<_> = (0..threads).map(begin).collect();
        running.into_iter().filter_map(|thread| thread.join().ok()).collect()
    });
    assert_eq!(stints.len(), threads, "a measured thread panicked");
    cost(&stints)
}

fn cost(stints: &[Stint]) -> Cost {
    let operations: usize = stints.iter().map(|stint| stint.operations).sum();
    let cpu_ns: f64 = stints.iter().map(|stint| stint.cpu_ns).sum();
    let began = stints.iter().map(|stint| stint.began).min();
    let ended = stints.iter().map(|stint| stint.ended).max();
    let wall = began.zip(ended).map_or(0.0, |(began, ended)| (ended - began).as_nanos() as f64);
    let each = operations.max(1) as f64;
    Cost { cpu_ns: cpu_ns / each, wall_ns: wall * stints.len() as f64 / each }
}

/// Measures subjects in turns: each once a round, and each round begins with the next one, so that what changes
/// on the machine meanwhile meets all alike. Returns the figures by subject, then by round.
///
/// # Errors
/// The first of `sample`, which is told the subject.
pub(crate) fn in_turns<E>(
    rounds: usize,
    subjects: usize,
    mut sample: impl FnMut(usize) -> Result<Vec<f64>, E>,
) -> Result<Vec<Vec<Vec<f64>>>, E> {
    let mut figures = vec![Vec::with_capacity(rounds); subjects];
    for round in 0..rounds {
        for turn in 0..subjects {
            let subject = (round + turn) % subjects;
            figures[subject].push(sample(subject)?);
        }
    }
    Ok(figures)
}

/// The middle of these values; of an even number, the mean of the two in the middle; of none, not a number.
pub(crate) fn median(values: impl IntoIterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.into_iter().collect();
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => f64::NAN,
        odd if odd % 2 == 1 => values[middle],
        _ => f64::midpoint(values[middle - 1], values[middle]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_middle_whatever_the_order() {
        assert_eq!(median([3.0, 1.0, 100.0]), 3.0);
        assert_eq!(median([4.0, 1.0, 2.0, 100.0]), 3.0);
        assert_eq!(median([7.0]), 7.0);
        assert!(median([]).is_nan());
    }

    #[test]
    fn everyone_has_a_turn_in_each_round_and_the_first_changes() {
        let mut order = Vec::new();
        let figures = in_turns(3, 3, |subject| {
            order.push(subject);
            Ok::<_, ()>(vec![subject as f64])
        });
        assert_eq!(order, [0, 1, 2, 1, 2, 0, 2, 0, 1]);
        assert_eq!(figures, Ok((0..3).map(|subject| vec![vec![f64::from(subject)]; 3]).collect()));
    }

    #[test]
    fn work_of_all_threads_is_counted_and_waiting_is_not_processor_time() {
        let pause = std::time::Duration::from_millis(20);
        let cost = timed(2, |thread| {
            // One pauses, the other has nothing to do.
            if thread == 0 {
                std::thread::sleep(pause);
            }
            50
        });
        // Two threads, 100 operations, 20 ms.
        assert!(cost.wall_ns >= pause.as_nanos() as f64 * 2.0 / 100.0, "{cost:?}");
        assert!(cost.cpu_ns < cost.wall_ns / 2.0, "{cost:?}");
    }
}
