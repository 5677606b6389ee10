//! Writes: one script for one or many.

use terrace_store::capability::{Outcome, Write};
use terrace_store::{Condition, Deleted, Error, ErrorKind, Key, Namespace, Result, Version, Written};

use super::link::Intent;
use super::names::{self, digits};
use super::script::{APPLY, CLEAR, Call, RESERVE};
use super::{Redis, read};
use crate::record;
use crate::remote::validate;

impl Redis {
    /// Applies writes, if these keys still have the versions they were read with.
    ///
    /// # Errors
    /// `Conflict` if one has not; otherwise as [`Store::put`](terrace_store::Store::put).
    pub(super) async fn write(
        &self,
        operation: &'static str,
        writes: &[Write],
        unchanged: &[(Key, Option<Version>)],
    ) -> Result<Vec<Outcome>> {
        validate(writes)?;
        self.ready(operation).await?;
        let mut call = self.call();
        call.argument(unchanged.len().to_string());
        call.argument(writes.len().to_string());
        for (key, version) in unchanged {
            call.key(self.names.record(key.flat()));
            call.argument(key.namespace().flat_prefix());
            call.argument(version.map_or_else(String::new, |version| digits(version.0)));
        }
        for write in writes {
            self.add(&mut call, write)?;
        }
        let outcomes: Option<Vec<Vec<u8>>> = call.run(&self.link, Intent::Write(operation), &APPLY).await?;
        let outcomes = outcomes.ok_or_else(|| {
            let error = Error::new(ErrorKind::Conflict, operation).with("store", super::NAME);
            error.because("something that was read has changed meanwhile; begin again")
        })?;
        let outcomes = writes.iter().zip(outcomes).map(|(write, outcome)| {
            let outcome = read_outcome(write, &outcome)?;
            if let Outcome::Put(Written::Stored { version, .. })
            | Outcome::Delete(Deleted::Done { version, .. }) = outcome
            {
                self.sequence.see(version);
            }
            Ok(outcome)
        });
        outcomes.collect()
    }

    fn add(&self, call: &mut Call, write: &Write) -> Result<()> {
        let key = write.key();
        let (condition, [kind, ends, size, envelope]) = match write {
            Write::Put(key, entry, options) => {
                let mut envelope = Vec::with_capacity(entry.value.len() + 128);
                let from = self.config.compress_from;
                record::seal(key, entry, Version::ZERO, options.compress, from, &mut envelope)?;
                let [ends, size, envelope] = read::parts(key, entry, envelope);
                (options.condition, [b"P".to_vec(), ends, size, envelope])
            }
            Write::Delete(_, options) => {
                (options.condition, [b"D".to_vec(), Vec::new(), Vec::new(), Vec::new()])
            }
        };
        let (sign, version) = match condition {
            Condition::Any => ("*", Version::ZERO),
            Condition::Absent => ("0", Version::ZERO),
            Condition::Match(version) => ("=", version),
            Condition::Newer(version) => (">", version),
        };
        let space = key.namespace();
        call.key(self.names.record(key.flat()));
        call.key(self.names.index(space.flat_prefix()));
        call.argument(kind);
        call.argument(space.flat_prefix());
        call.argument(key.bytes());
        call.argument(sign);
        call.argument(digits(version.0));
        call.argument(ends);
        call.argument(size);
        call.argument(envelope);
        Ok(())
    }

    /// Removes every entry of a namespace, or of all.
    pub(super) async fn clear_all(&self, namespace: Option<&Namespace>) -> Result<u64> {
        self.ready("clear").await?;
        loop {
            let spaces = match namespace {
                Some(namespace) => vec![namespace.flat_prefix().to_vec()],
                None => {
                    let mut ask = redis::cmd("HKEYS");
                    ask.arg(self.names.sizes());
                    self.link.run(Intent::Read("clear"), &ask).await?
                }
            };
            // Heaps get names that nobody used before.
            let number: Vec<u8> = self.call().run(&self.link, Intent::Read("clear"), &RESERVE).await?;
            let mut call = self.call();
            call.argument(if namespace.is_none() { "1" } else { "0" });
            call.argument(spaces.len().to_string());
            for space in &spaces {
                call.key(self.names.index(space));
                call.key(self.names.heap(&[&number[..], space].concat()));
                call.argument(&space[..]);
            }
            let removed: Option<u64> = call.run(&self.link, Intent::Write("clear"), &CLEAR).await?;
            // A namespace that came up meanwhile is to be cleared too.
            if let Some(removed) = removed {
                return Ok(removed);
            }
        }
    }

    /// Asks the server to sync its log, where it knows how: since Redis 7.2.
    pub(super) async fn sync(&self) -> Result<()> {
        self.ready("flush").await?;
        let mut wait = redis::cmd("WAITAOF");
        wait.arg(1).arg(0).arg(u64::try_from(self.config.timeout.as_millis()).unwrap_or(u64::MAX));
        // The server waits for what came over the connection that asks.
        match self.link.run_on_each(Intent::Read("flush"), &wait).await {
            Err(error) if error.kind() == ErrorKind::Unavailable => Ok(()),
            done => done,
        }
    }
}

fn read_outcome(write: &Write, outcome: &[u8]) -> Result<Outcome> {
    let silent = || names::corrupt("a script that says something else");
    let (kind, rest) = outcome.split_first().ok_or_else(silent)?;
    if *kind == b'C' {
        let current = (!rest.is_empty()).then(|| names::version(rest)).transpose()?;
        return Ok(match write {
            Write::Put(..) => Outcome::Put(Written::Conflict { current }),
            Write::Delete(..) => Outcome::Delete(Deleted::Conflict { current }),
        });
    }
    let (version, existed) = rest.split_at_checked(20).ok_or_else(silent)?;
    let (version, existed) = (names::version(version)?, existed == b"1");
    Ok(match write {
        Write::Put(..) => Outcome::Put(Written::Stored { version, replaced: existed }),
        Write::Delete(..) => Outcome::Delete(Deleted::Done { version, existed }),
    })
}
