//! A client as CLIENT LIST and CLIENT INFO describe it.

use std::sync::atomic::Ordering;
use std::time::Duration;

use super::{Client, millis};
use crate::resp::command::table::TABLE;
use crate::resp::reply::Proto;

impl Client {
    /// One line, without its end.
    pub fn describe(&self, now: Duration) -> Vec<u8> {
        let names = self.names().clone();
        let facts = &self.facts;
        let get = |number: &std::sync::atomic::AtomicUsize| number.load(Ordering::Relaxed);
        let idle = millis(now).saturating_sub(self.seen_ms.load(Ordering::Relaxed)) / 1000;
        let multi = get(&facts.queued).checked_sub(1).map_or(-1, |queued| queued as i64);
        let mut line =
            format!("id={} addr={} laddr={} fd=-1 name=", self.id, self.peer, self.local).into_bytes();
        line.extend_from_slice(&names.name);
        let rest = format!(
            " age={} idle={idle} flags={} db={} sub={} psub={} ssub=0 multi={multi} qbuf=0 qbuf-free=0 argv-mem=0 \
             multi-mem=0 rbs=0 rbp=0 obl=0 oll=0 omem={} tot-mem=0 events=r cmd={} user=default redir=-1 resp={}",
            now.saturating_sub(self.created).as_secs(),
            self.flags(),
            get(&facts.database),
            get(&facts.channels),
            get(&facts.patterns),
            get(&facts.unsent) + self.outbox_bytes(),
            self.last_command(),
            if self.proto() == Proto::Resp3 { 3 } else { 2 },
        );
        line.extend_from_slice(rest.as_bytes());
        line.extend_from_slice(b" lib-name=");
        line.extend_from_slice(&names.library);
        line.extend_from_slice(b" lib-ver=");
        line.extend_from_slice(&names.version);
        line
    }

    /// Whether it listens to anything.
    pub fn is_listening(&self) -> bool {
        self.facts.channels.load(Ordering::Relaxed) + self.facts.patterns.load(Ordering::Relaxed) > 0
    }

    fn flags(&self) -> String {
        let mut flags = String::new();
        for (set, letter) in [
            (self.is_listening(), 'P'),
            (self.facts.queued.load(Ordering::Relaxed) > 0, 'x'),
            (self.facts.no_evict.load(Ordering::Relaxed), 'e'),
        ] {
            if set {
                flags.push(letter);
            }
        }
        if flags.is_empty() {
            flags.push('N');
        }
        flags
    }

    /// `get`, or `client|list`.
    fn last_command(&self) -> String {
        let place = self.facts.command.load(Ordering::Relaxed);
        let Some(row) = place.checked_sub(1).and_then(|place| TABLE.get((place >> 8) as usize)) else {
            return "NULL".to_owned();
        };
        match ((place - 1) & 0xff).checked_sub(1).and_then(|sub| row.subcommands.get(sub as usize)) {
            Some(sub) => format!("{}|{}", row.name, sub.name),
            None => row.name.to_owned(),
        }
    }
}
