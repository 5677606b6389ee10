//! `terrace copy`: all entries of one store into another.

use clap::Args;
use serde_json::json;
use terrace::layers::copy::{CopyConfig, CopyProgress, CopyReport, Phase, copy};

use super::progress::Progress;
use super::{output, stack};
use crate::config::units::Size;
use crate::exit::{Exit, Failure};

const EXAMPLES: &str = "\
Examples:
  terrace copy fjall:/var/lib/old disk:/var/lib/new                 from one engine to another
  terrace copy old.toml new.yaml --rate 20MiB                       from one stack to another, through their layers
  terrace copy redis://cache.internal disk:/backup --passes 10      a server that is in use meanwhile

Versions, ends, tags and metadata stay as they are. Both are compared afterwards, and what differs is copied again;
it exits with 1 if they are still not equal after so many passes, and with 8 if entries cannot be read. Interrupted or
killed, run it again: it goes on where it was. A folder must not be open elsewhere; a process that uses one moves itself
with the library's `Switch`.";

/// Copies a store, and compares.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Copy {
    /// The URL of a store, or the configuration of a stack
    from: String,
    /// The same; it must be empty, or hold the beginning of this copy
    to: String,
    /// Bytes a second at most [default: as fast as it goes]
    #[arg(long, value_name = "SIZE")]
    rate: Option<Size>,
    /// Entries a second at most [default: as fast as it goes]
    #[arg(long, value_name = "N")]
    entries: Option<u64>,
    /// How often both are compared at most
    #[arg(long, value_name = "N", default_value_t = 5)]
    passes: u32,
    /// Leave what the target holds, and do not compare it
    #[arg(long)]
    merge: bool,
    /// Begin anew; what the source does not have is then removed from the target
    #[arg(long, conflicts_with = "merge")]
    restart: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Copy {
    pub(super) fn run(&self) -> Result<Exit, Failure> {
        if self.rate == Some(Size(0)) || self.entries == Some(0) || self.passes == 0 {
            return Err(Failure::new(Exit::Usage, "a rate and the passes are at least 1"));
        }
        if self.from == self.to {
            return Err(Failure::new(Exit::Usage, "a store cannot be copied into itself"));
        }
        let report = stack::block_on(self.copy())?;
        self.tell(&report)
    }

    async fn copy(&self) -> Result<CopyReport, Failure> {
        let (from, to) = (stack::config(&self.from)?, stack::config(&self.to)?);
        stack::must_be_there(&from)?;
        let from = stack::open(from).await?;
        let to = match stack::open(to).await {
            Ok(to) => to,
            Err(failure) => {
                let _ = from.close().await;
                return Err(failure);
            }
        };
        let config = CopyConfig {
            bytes_per_second: self.rate.map_or(u64::MAX, |rate| rate.0),
            entries_per_second: self.entries.unwrap_or(u64::MAX),
            passes: self.passes,
            merge: self.merge,
            restart: self.restart,
            ..CopyConfig::new(stack::without_password(&self.from))
        };
        let mut bars = Bars(None);
        let world = stack::world()?;
        let copied = copy(&**from.store(), &**to.store(), &config, &world, &mut |at| bars.at(at)).await;
        drop(bars);
        let closed = from.close().await.and(to.close().await);
        let report = copied.map_err(|error| stack::failed(&error))?;
        closed.map_err(|error| stack::failed(&error))?;
        Ok(report)
    }

    fn tell(&self, report: &CopyReport) -> Result<Exit, Failure> {
        let equal = report.is_equal();
        let CopyReport {
            resumed,
            copied,
            bytes,
            present,
            passes,
            compared,
            repaired,
            removed,
            changed,
            different,
            unreadable,
            keys,
        } = report;
        if self.json {
            let keys: Vec<_> = keys
                .iter()
                .map(|key| json!({ "namespace": output::bytes(key.namespace_name()), "key": output::bytes(key.bytes()) }))
                .collect();
            let all = json!({
                "equal": equal, "resumed": resumed, "copied": copied, "bytes": bytes, "present": present,
                "passes": passes, "compared": compared, "repaired": repaired, "removed": removed, "changed": changed,
                "different": different, "unreadable": unreadable, "keys": keys,
            });
            output::line(all.to_string())?;
        } else {
            output::line(format!(
                "{copied} entries with {bytes} bytes copied, {present} were there; compared {passes} times: {compared} are \
                 equal, {repaired} were copied again and {removed} removed"
            ))?;
            if !equal {
                output::line(format!(
                    "not equal: {changed} changed during the last comparison, {different} differ, {unreadable} cannot be read"
                ))?;
            }
            for key in keys {
                output::line(format!(
                    "differs: {} {}",
                    key.namespace_name().escape_ascii(),
                    key.bytes().escape_ascii()
                ))?;
            }
        }
        Ok(match (equal, unreadable) {
            (true, _) => Exit::Success,
            (false, 0) => Exit::No,
            (false, _) => Exit::Damaged,
        })
    }
}

/// A bar for each phase.
struct Bars(Option<(Phase, Progress)>);

impl Bars {
    fn at(&mut self, CopyProgress { phase, done, total }: CopyProgress) {
        if self.0.as_ref().is_none_or(|(shown, _)| *shown != phase) {
            // The bar before is cleared before the next is drawn.
            self.0 = None;
            let bar = Progress::new(total);
            bar.about(match phase {
                Phase::Copy => "copy".to_owned(),
                Phase::Compare(pass) => format!("compare, pass {pass}"),
            });
            self.0 = Some((phase, bar));
        }
        if let Some((_, bar)) = &mut self.0 {
            bar.at(done);
        }
    }
}
