//! Sweeps: candidates are asked for, and a script removes those of them that are over.

use terrace_store::{Result, Swept};

use super::Redis;
use super::link::Intent;
use super::names::{digits, split};
use super::script::SWEEP;

/// How many candidates beyond the limit are asked for: a clear leaves some that are none any more.
const SPARE: usize = 100;
/// How many names left by clears a sweep purges at most, whatever its limit: they count as nothing removed.
const PURGED: usize = 1_000;

type Name = Vec<u8>;

/// What may be over.
struct Candidates {
    entries: Vec<Name>,
    tombs: Vec<Name>,
    /// What clears left: the heap, the prefix of its namespace, the name.
    buried: Vec<(Name, Name, Name)>,
    /// Whether there may be more candidates than these.
    more: bool,
}

impl Redis {
    pub(super) async fn sweep_once(&self, limit: usize) -> Result<Swept> {
        self.ready("sweep").await?;
        let mut swept = Swept::default();
        loop {
            let left = limit - usize::try_from(swept.expired + swept.floors).unwrap_or(limit).min(limit);
            let candidates = self.candidates(left).await?;
            let (expired, floors, more): (u64, u64, bool) = self.remove(&candidates, left).await?;
            swept.expired += expired;
            swept.floors += floors;
            if more || !candidates.more || candidates.buried.len() == PURGED {
                swept.more = more || candidates.more;
                return Ok(swept);
            }
        }
    }

    async fn remove(&self, candidates: &Candidates, limit: usize) -> Result<(u64, u64, bool)> {
        let mut call = self.call();
        call.argument(digits(self.life.floor_now()));
        for count in [limit, candidates.entries.len(), candidates.tombs.len(), candidates.buried.len()] {
            call.argument(count.to_string());
        }
        for flat in &candidates.entries {
            let Some((space, name)) = split(flat) else { continue };
            call.key(self.names.record(flat));
            call.key(self.names.index(space));
            call.argument(space);
            call.argument(name);
        }
        for flat in &candidates.tombs {
            let Some((space, name)) = split(flat) else { continue };
            call.key(self.names.record(flat));
            call.argument(space);
            call.argument(name);
        }
        for (heap, space, name) in &candidates.buried {
            call.key(self.names.record(&[&space[..], name].concat()));
            call.key(&heap[..]);
            call.argument(&space[..]);
            call.argument(&name[..]);
        }
        call.run(&self.link, Intent::Write("sweep"), &SWEEP).await
    }

    async fn candidates(&self, limit: usize) -> Result<Candidates> {
        let most = limit.saturating_add(SPARE);
        let mut ask = redis::pipe();
        for (set, by) in
            [(self.names.ends(), self.life.wall_ms()), (self.names.graves(), self.life.floor_now())]
        {
            let command = ask.cmd("ZRANGEBYSCORE").arg(set).arg("-inf").arg(by);
            command.arg("LIMIT").arg(0).arg(most);
        }
        ask.cmd("HGETALL").arg(self.names.heaps());
        let (mut entries, mut tombs, heaps): (Vec<Name>, Vec<Name>, Vec<(Name, Name)>) =
            self.link.run_all(Intent::Read("sweep"), &ask).await?;
        let mut more = entries.len() == most || tombs.len() == most;
        entries.retain(|flat| split(flat).is_some());
        tombs.retain(|flat| split(flat).is_some());
        let mut buried = Vec::new();
        for (heap, space) in heaps {
            let mut ask = redis::cmd("ZRANGE");
            ask.arg(&heap[..]).arg(0).arg(PURGED - buried.len() - 1);
            let names: Vec<Name> = self.link.run(Intent::Read("sweep"), &ask).await?;
            buried.extend(names.into_iter().map(|name| (heap.clone(), space.clone(), name)));
            if buried.len() == PURGED {
                more = true;
                break;
            }
        }
        Ok(Candidates { entries, tombs, buried, more })
    }
}
