//! Says on stderr when a store stops doing its work, or does it with a restriction: at the start, and when it happens.

use std::collections::HashMap;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use terrace::tiers::Tier;
use terrace_store::Health;
use tokio::sync::watch;

use super::stop::noticed;
use crate::keyspace::Keyspace;

const PERIOD: Duration = Duration::from_secs(1);
/// A state that comes and goes is told of no more often.
const PAUSE: Duration = Duration::from_secs(60);

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum State {
    Up,
    Degraded,
    Down,
}

/// What was said of each store.
#[derive(Default)]
struct Reports {
    said: HashMap<Tier, State>,
    times: HashMap<(Tier, State), Instant>,
}

impl Reports {
    /// Looks at every store, and says what is new.
    async fn look(&mut self, keyspace: &Keyspace) {
        for (tier, health) in keyspace.tiers().health().await {
            if let Some(line) = self.line(tier, &health, Instant::now()) {
                eprintln!("terrace: {line}");
            }
        }
    }

    /// What is to be said of a store, if anything.
    fn line(&mut self, tier: Tier, health: &Health, now: Instant) -> Option<String> {
        let (state, line) = match health {
            Health::Up => (State::Up, format!("the {tier} store is well again")),
            Health::Degraded(reason) => (State::Degraded, format!("the {tier} store is degraded: {reason}")),
            Health::Down(reason) => (State::Down, format!("the {tier} store is down: {reason}")),
        };
        let said = self.said.get(&tier).copied().unwrap_or(State::Up);
        let lately = self.times.get(&(tier, state)).is_some_and(|then| now.duration_since(*then) < PAUSE);
        if state == said || lately {
            return None;
        }
        self.said.insert(tier, state);
        self.times.insert((tier, state), now);
        Some(line)
    }
}

/// Looks every second, until the notice.
async fn watch(mut reports: Reports, keyspace: Weak<Keyspace>, mut notice: watch::Receiver<bool>) {
    loop {
        tokio::select! {
            () = noticed(&mut notice) => return,
            () = tokio::time::sleep(PERIOD) => {}
        }
        let Some(keyspace) = keyspace.upgrade() else { return };
        reports.look(&keyspace).await;
    }
}

/// Looks once, and begins to watch.
pub(super) async fn start(keyspace: &Arc<Keyspace>, notice: watch::Receiver<bool>) {
    let mut reports = Reports::default();
    reports.look(keyspace).await;
    let watching = watch(reports, Arc::downgrade(keyspace), notice);
    keyspace.tiers().tasks().spawn("health reports", watching);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_is_told_once_and_one_that_comes_and_goes_once_a_minute() {
        let (mut reports, begun) = (Reports::default(), Instant::now());
        let mut at = |second: u64, health: Health| {
            reports.line(Tier::Durable, &health, begun + Duration::from_secs(second)).is_some()
        };
        let full = || Health::Degraded("full".into());
        assert!(!at(0, Health::Up));
        assert!(at(1, full()));
        assert!(!at(2, full()));
        assert!(at(3, Health::Down("the disk is full".into())), "what is worse is told at once");
        assert!(at(4, Health::Up));
        assert!(!at(5, full()) && !at(6, Health::Up) && !at(60, full()));
        assert!(at(61, full()));
    }
}
