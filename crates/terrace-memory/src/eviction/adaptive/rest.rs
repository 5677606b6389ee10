//! When the learner looks and when it rests.
//!
//! Decision: once the same rules have led for long, looking on costs more than it finds. The learner then
//! sleeps seven parts of the time and looks on in the eighth. While it sleeps it still sees one request in 64
//! of its sample, to tell the time and to wake at once if the hit ratio is no longer what it was.

/// While asleep, one sampled request in two to the power of this is seen.
pub(super) const SPARSER: u32 = 6;
/// Sampled requests without a change, per entry of a miniature and at least, after which it first sleeps.
const SETTLED: (u32, u32) = (64, 1 << 15);
/// The same for each later look.
const LOOK: (u32, u32) = (16, 1 << 12);
/// How many times as long as it looks it sleeps.
const SLEEP: u32 = 7;
/// Requests seen asleep between two checks of the hit ratio.
const CHECK: u32 = 128;
/// Standard deviations by which the hit ratio must have changed to wake it.
const DEVIATIONS: f64 = 4.0;

/// Requests and how many of them the cache itself hit.
#[derive(Clone, Copy, Debug, Default)]
struct Tally {
    requests: u32,
    hits: u32,
}

impl Tally {
    fn add(&mut self, hit: bool) {
        self.requests += 1;
        self.hits += u32::from(hit);
    }

    fn ratio(self) -> f64 {
        f64::from(self.hits) / f64::from(self.requests.max(1))
    }
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Rest {
    /// Sampled requests left until it sleeps or wakes.
    left: u32,
    asleep: bool,
    /// While awake, all since it woke; while asleep, since the last check.
    tally: Tally,
    expected: f64,
}

fn span((per_entry, least): (u32, u32), entries: u64) -> u32 {
    per_entry.saturating_mul(u32::try_from(entries).unwrap_or(u32::MAX)).clamp(least, 1 << 20)
}

impl Rest {
    pub(super) fn new() -> Self {
        Rest { left: SETTLED.1, asleep: false, tally: Tally::default(), expected: 0.0 }
    }

    /// Other rules lead now, or everything is new.
    pub(super) fn changed(&mut self, entries: u64) {
        *self = Rest { left: span(SETTLED, entries), ..Rest::new() };
    }

    #[inline]
    pub(super) fn is_asleep(&self) -> bool {
        self.asleep
    }

    /// A request that is looked at.
    pub(super) fn look(&mut self, hit: bool, entries: u64) {
        self.tally.add(hit);
        self.left = self.left.saturating_sub(1);
        if self.left == 0 {
            let left = span(LOOK, entries) * SLEEP;
            *self = Rest { left, asleep: true, tally: Tally::default(), expected: self.tally.ratio() };
        }
    }

    /// A request seen while asleep.
    pub(super) fn doze(&mut self, hit: bool, entries: u64) {
        self.tally.add(hit);
        self.left = self.left.saturating_sub(1 << SPARSER);
        if self.left == 0 {
            *self = Rest { left: span(LOOK, entries), ..Rest::new() };
        } else if self.tally.requests == CHECK {
            let deviation = (self.expected * (1.0 - self.expected)).max(0.01) / f64::from(CHECK);
            if (self.tally.ratio() - self.expected).abs() > DEVIATIONS * deviation.sqrt() {
                self.changed(entries);
            }
            self.tally = Tally::default();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_looks_an_eighth_of_the_time_once_it_has_settled() {
        let mut rest = Rest::new();
        rest.changed(100);
        let mut looked = 0u32;
        let mut time = 0u32;
        while time < 4_000_000 {
            if rest.is_asleep() {
                rest.doze(time.is_multiple_of(3), 100);
                time += 1 << SPARSER;
            } else {
                rest.look(time.is_multiple_of(3), 100);
                looked += 1;
                time += 1;
            }
        }
        assert!((450_000..620_000).contains(&looked), "{looked}");
    }

    #[test]
    fn another_hit_ratio_wakes_it() {
        let mut rest = Rest::new();
        while !rest.is_asleep() {
            rest.look(true, 100);
        }
        rest.doze(true, 100);
        let woken_after = (0..1000).position(|_| {
            rest.doze(false, 100);
            !rest.is_asleep()
        });
        assert!(woken_after.is_some_and(|after| after < 2 * CHECK as usize), "{woken_after:?}");
    }
}
