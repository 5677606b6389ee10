//! How the tiers are doing.

use terrace_store::Health;

use crate::tier::Tier;
use crate::tiers::Tiers;

impl Tiers {
    /// The health of every tier below the hot one, which is always up.
    pub async fn health(&self) -> Vec<(Tier, Health)> {
        let mut all = Vec::with_capacity(self.lower.len());
        for lower in &self.lower {
            let health = match (lower.store.health().await, lower.suspects()) {
                (Health::Up, None) => Health::Degraded("too many writes failed here; it is passed by".into()),
                (Health::Up, Some(n)) if n > 0 => Health::Degraded(format!("writes of {n} keys failed here")),
                (health, _) => health,
            };
            all.push((lower.tier, health));
        }
        all
    }
}
