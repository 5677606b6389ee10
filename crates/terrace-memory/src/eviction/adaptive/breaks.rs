//! Whether the workload has become another one, so that what the cache holds is worth nothing any more.
//!
//! Decision: where all candidates hit far less than they used to, either something passes through the cache, after which what
//! it holds is worth as much as before, or nobody will ask for that again. Acting at once would give away the first for the
//! second, so this waits for proof: CLOCK, which renews everything, must hit more from then on than the present rules do. If these hit
//! again as they did, nothing had happened. Counted is from the suspicion on only: the evidence gathered before speaks for
//! keeping what was good then.

/// Epochs before what is usual is known.
const EPOCHS_AT_FIRST: u32 = 4;
/// What an epoch counts in what is usual.
const NEWEST: f64 = 0.1;
/// Fewer hits an epoch tell nothing when they stop.
const LEAST: f64 = 3.0;
/// Below this part of what is usual something is suspected; back above it, nothing had happened.
const PART: f64 = 0.5;
/// Epochs after which a suspicion is given up.
const PATIENCE: u32 = 32;
/// How far CLOCK has to lead: so many standard deviations and so many hits.
const DEVIATIONS: f64 = 1.5;
const HITS: f64 = 3.0;

/// What candidates hit in an epoch.
#[derive(Clone, Copy, Debug)]
pub(super) struct Hits {
    /// That with the most hits.
    pub(super) most: u32,
    /// The present rules.
    pub(super) present: u32,
    /// CLOCK where the present rules missed.
    pub(super) clock_only: u32,
    /// The present rules where CLOCK missed.
    pub(super) present_only: u32,
}

#[derive(Clone, Copy, Debug)]
struct Suspicion {
    /// The rules that were present when it began.
    rules: usize,
    epochs: u32,
    clock_only: u32,
    present_only: u32,
}

/// Watches epochs for the end of a workload.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Breaks {
    epochs: u32,
    usual: f64,
    suspicion: Option<Suspicion>,
}

impl Breaks {
    /// An epoch is over; tells whether the workload has become another one. `renews` tells whether the present rules renew everything
    /// by themselves.
    pub(super) fn note(&mut self, hits: Hits, rules: usize, renews: bool) -> bool {
        self.epochs = self.epochs.saturating_add(1);
        let Some(mut suspicion) = self.suspicion.take() else {
            self.suspect(hits, rules, renews);
            return false;
        };
        suspicion.epochs += 1;
        suspicion.clock_only += hits.clock_only;
        suspicion.present_only += hits.present_only;
        let lead = f64::from(suspicion.clock_only) - f64::from(suspicion.present_only);
        let deviation = f64::from(suspicion.clock_only + suspicion.present_only).sqrt();
        if suspicion.rules == rules && lead > DEVIATIONS * deviation + HITS {
            *self = Breaks { usual: f64::from(hits.most), ..Breaks::default() };
            return true;
        }
        let over = f64::from(hits.present) >= PART * self.usual || suspicion.epochs > PATIENCE;
        self.suspicion = (!over && suspicion.rules == rules).then_some(suspicion);
        false
    }

    fn suspect(&mut self, hits: Hits, rules: usize, renews: bool) {
        let most = f64::from(hits.most);
        if self.epochs > EPOCHS_AT_FIRST && self.usual >= LEAST && most < PART * self.usual && !renews {
            let Hits { clock_only, present_only, .. } = hits;
            self.suspicion = Some(Suspicion { rules, epochs: 0, clock_only, present_only });
            return;
        }
        self.usual += (most - self.usual) * if self.epochs == 1 { 1.0 } else { NEWEST };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const USUAL: Hits = Hits { most: 30, present: 30, clock_only: 1, present_only: 5 };
    const NONE: Hits = Hits { most: 0, present: 0, clock_only: 0, present_only: 0 };

    /// The epoch in which a break is seen, after ten usual ones.
    fn seen(after: &[Hits], renews: bool) -> Option<usize> {
        let mut breaks = Breaks::default();
        assert!((0..10).all(|_| !breaks.note(USUAL, 3, renews)));
        after.iter().position(|hits| breaks.note(*hits, 3, renews))
    }

    #[test]
    fn a_workload_has_ended_where_renewing_everything_hits_and_keeping_it_does_not() {
        let other = Hits { most: 9, present: 2, clock_only: 5, present_only: 0 };
        assert_eq!(seen(&[NONE, other, other, other], false), Some(2));
        assert_eq!(seen(&[NONE, other, other, other], true), None);
    }

    #[test]
    fn what_only_passes_through_ends_nothing() {
        let after = [[NONE; 20].as_slice(), &[USUAL; 20]].concat();
        assert_eq!(seen(&after, false), None);
        assert_eq!(seen(&[NONE; 200], false), None);
    }

    #[test]
    fn hits_that_stay_much_the_same_raise_no_suspicion() {
        let fewer = Hits { most: 20, present: 15, clock_only: 8, present_only: 3 };
        assert_eq!(seen(&[fewer; 200], false), None);
    }
}
