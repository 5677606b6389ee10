//! When the learner looks and when it rests.
//!
//! Decision: once the same rules have led for long, looking on costs more than it finds. The learner then
//! sleeps, seven times as long as it looks on in between, and each time twice as long as before, up to 255 times. While it
//! sleeps it still sees one key in 16 of its sample, to tell the time and to wake at once if their hit ratio is no longer
//! what it was. That of so few keys says nothing about the whole, so it is only compared with itself.
//!
//! Whatever the workload does, no more than a part of all requests is looked at, beside some at first: a small cache is
//! simulated whole, and one look takes as long as several requests. What is not spent is saved for the next change, and
//! where nothing is left a change may be looked into on credit, once.

/// While asleep, one sampled request in two to the power of this is seen.
pub(super) const SPARSER: u32 = 4;
/// Sampled requests without a change, per entry of a miniature and at least, after which it first sleeps. As many may be
/// looked at before the limit on looks counts.
const SETTLED: (u32, u32) = (64, 1 << 14);
/// The same after other rules took over.
const CHANGED: (u32, u32) = (32, 1 << 13);
/// The same for each later look.
const LOOK: (u32, u32) = (8, 1 << 11);
/// One request to the cache in so many may be looked at in the long run.
const PART: u32 = 128;
/// How many times as long as it looks it sleeps at first, and at most.
const SLEEP: (u32, u32) = (7, 255);
/// Requests seen asleep between two checks of the hit ratio.
const CHECK: u32 = 128;
/// The first so many checks tell what to expect.
const CHECKS_AT_FIRST: u32 = 4;
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
    /// How many times as long as it looks it sleeps the next time.
    sleep: u32,
    /// What was seen asleep since the last check.
    tally: Tally,
    /// The hit ratio asleep at the first checks since something changed.
    expected: Option<f64>,
    /// The looks that it may still have, in parts of a look; `None` until it first looks.
    credit: Option<i64>,
    /// Whether another hit ratio woke it.
    woken: bool,
    /// How many times as much as usual it may look.
    share: u32,
}

fn span((per_entry, least): (u32, u32), entries: u64) -> u32 {
    per_entry.saturating_mul(u32::try_from(entries).unwrap_or(u32::MAX)).clamp(least, 1 << 20)
}

/// Parts of a look that may be saved up.
fn most_credit(entries: u64) -> i64 {
    i64::from(span(SETTLED, entries)) * i64::from(PART)
}

/// Parts of a look that may be owed where something has changed.
fn most_debt(entries: u64) -> i64 {
    i64::from(span(CHANGED, entries)) * i64::from(PART)
}

/// Parts of a look that are earned while so many sampled requests pass, of which each stands for two to the power of
/// `shift`.
fn earned(sampled: u32, shift: u32) -> i64 {
    i64::from(sampled) << shift.min(20)
}

impl Rest {
    pub(super) fn new() -> Self {
        Rest {
            left: SETTLED.1,
            asleep: false,
            sleep: SLEEP.0,
            tally: Tally::default(),
            expected: None,
            credit: None,
            woken: false,
            share: 1,
        }
    }

    /// Evidence takes so many times as many looks from now on.
    pub(super) fn look_more(&mut self, share: u32) {
        self.share = share;
    }

    /// Other rules lead now.
    pub(super) fn changed(&mut self, entries: u64) {
        let left = span(CHANGED, entries).saturating_mul(self.share);
        *self = Rest { left, credit: self.credit, woken: self.woken, share: self.share, ..Rest::new() };
    }

    #[inline]
    pub(super) fn is_asleep(&self) -> bool {
        self.asleep
    }

    /// A request that is looked at, where one in two to the power of `shift` is.
    pub(super) fn look(&mut self, entries: u64, shift: u32) {
        let share = i64::from(self.share);
        let most = most_credit(entries) * share;
        if self.credit.is_none() {
            self.left = span(SETTLED, entries).saturating_mul(self.share);
        }
        let credit = (self.credit.unwrap_or(most) + earned(1, shift) * share - i64::from(PART)).min(most);
        self.credit = Some(credit);
        self.left = self.left.saturating_sub(1);
        let least = if self.woken { -most_debt(entries) } else { 0 };
        if self.left == 0 || credit <= least {
            // As long as it takes to earn the next look.
            let sleep = self.sleep.max(PART >> shift.min(31));
            let left = span(LOOK, entries).saturating_mul(sleep);
            *self = Rest { left, asleep: true, woken: false, ..*self };
            self.sleep = (2 * self.sleep + 1).min(SLEEP.1);
        }
    }

    /// A request seen while asleep.
    pub(super) fn doze(&mut self, hit: bool, entries: u64, shift: u32) {
        let share = i64::from(self.share);
        let credit = self.credit.unwrap_or(0) + earned(1 << SPARSER, shift) * share;
        self.credit = Some(credit.min(most_credit(entries) * share));
        self.tally.add(hit);
        self.left = self.left.saturating_sub(1 << SPARSER);
        if self.left == 0 {
            *self = Rest { left: span(LOOK, entries), asleep: false, ..*self };
            return;
        }
        match self.expected {
            None if self.tally.requests >= CHECKS_AT_FIRST * CHECK => {
                self.expected = Some(self.tally.ratio());
                self.tally = Tally::default();
            }
            Some(expected) if self.tally.requests >= CHECK => {
                let deviation = (expected * (1.0 - expected)).max(0.01) / f64::from(CHECK);
                let change = (self.tally.ratio() - expected).abs();
                self.tally = Tally::default();
                let may_look = credit > -most_debt(entries) / 2;
                if may_look && change > DEVIATIONS * deviation.sqrt() {
                    self.woken = true;
                    self.changed(entries);
                }
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many requests of so many it looked at, if one in so many hits.
    fn looked(rest: &mut Rest, shift: u32, time: u32, one_hit_in: u32) -> u32 {
        let (mut looked, mut passed) = (0, 0u32);
        while passed < time {
            if rest.is_asleep() {
                rest.doze((passed >> SPARSER).is_multiple_of(one_hit_in), 100, shift);
                passed += 1 << SPARSER;
            } else {
                rest.look(100, shift);
                looked += 1;
                passed += 1;
            }
        }
        looked
    }

    #[test]
    fn it_looks_ever_more_rarely_once_it_has_settled() {
        let mut rest = Rest::new();
        rest.changed(100);
        let looks = [1u32 << 18, 1 << 20, 1 << 22].map(|time| looked(&mut rest, 6, time, 3) / (time >> 12));
        // Out of 4096: a sixteenth or more at first, less than a hundredth in the end.
        assert!(looks[0] > 250 && looks[1] < 200 && (4..40).contains(&looks[2]), "{looks:?}");
    }

    #[test]
    fn another_hit_ratio_wakes_it_and_one_that_was_never_the_whole_caches_does_not() {
        let mut rest = Rest::new();
        rest.changed(100);
        let before = looked(&mut rest, 6, 1 << 20, 2);
        assert!(before < 1 << 17, "{before}");
        while !rest.is_asleep() {
            rest.look(100, 6);
        }
        let woken_after = (0..1000).position(|_| {
            rest.doze(false, 100, 6);
            !rest.is_asleep()
        });
        assert!(woken_after.is_some_and(|after| after < 2 * CHECK as usize), "{woken_after:?}");
    }
    #[test]
    fn however_often_something_changes_few_of_all_requests_are_looked_at() {
        for shift in [0, 2] {
            let mut rest = Rest::new();
            let (mut looked_at, time) = (0, 1u32 << 22);
            for _ in 0..1 << 8 {
                looked_at += looked(&mut rest, shift, (time >> shift) / (1 << 8), 3);
                rest.changed(100);
            }
            let most = span(SETTLED, 100) + time / PART + (1 << 8);
            assert!(looked_at <= most && looked_at > most / 2, "{looked_at} of {most}");
        }
    }
}
