//! `terrace scrub`: reading a store to find what is damaged before somebody needs it.

use std::sync::Arc;

use clap::Args;
use serde_json::json;
use terrace::layers::Checksum;
use terrace::layers::checksum::scrub::{ScrubConfig, ScrubReport};

use super::progress::Progress;
use super::{output, stack};
use crate::config::units::Size;
use crate::exit::{Exit, Failure};

const EXAMPLES: &str = "\
Examples:
  terrace scrub disk:/var/lib/app --rate 50MiB   what was written under the layer checksum, at most 50 MiB a second
  terrace scrub stack.toml                       the store of a configuration, which has the layer checksum
  terrace scrub redis://cache.internal --keep    only report, move nothing

Damaged entries are moved out of the way, as they are, into a namespace of Terrace's own: a reader then finds nothing
instead of an error. It exits with 8 if something is damaged or cannot be read.";

/// Checks what the layer checksum can check.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Scrub {
    /// The URL of the store, or the configuration of a stack with the layer checksum
    store: String,
    /// Bytes a second at most
    #[arg(long, value_name = "SIZE", default_value = "64mib")]
    rate: Size,
    /// Entries a second at most
    #[arg(long, value_name = "N", default_value_t = 50_000)]
    entries: u64,
    /// Leave damaged entries where they are
    #[arg(long)]
    keep: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Scrub {
    pub(super) fn run(&self) -> Result<Exit, Failure> {
        if self.rate.0 == 0 || self.entries == 0 {
            return Err(Failure::new(Exit::Usage, "at a rate of 0 nothing is ever read"));
        }
        let report = stack::block_on(self.scrub())?;
        self.tell(&report)
    }

    async fn scrub(&self) -> Result<ScrubReport, Failure> {
        let config = stack::config(&self.store)?;
        stack::must_be_there(&config)?;
        let of_layers =
            self.store != config.storage.as_ref().map(terrace::stack::Storage::to_url).unwrap_or_default();
        let opened = stack::open(config).await?;
        let checksum = match opened.layer::<Checksum>() {
            Some(checksum) => checksum,
            None if of_layers => {
                let told = format!("{} has no layer `checksum`, so nothing in it can be checked", self.store);
                let _ = opened.close().await;
                return Err(Failure::new(Exit::Config, told));
            }
            None => Arc::new(Checksum::over(Arc::clone(opened.store()))),
        };
        let config = ScrubConfig {
            bytes_per_second: self.rate.0,
            entries_per_second: self.entries,
            quarantine: !self.keep,
            ..ScrubConfig::default()
        };
        let mut bar: Option<Progress> = None;
        let mut at = |done: u64, total: u64| {
            let bar = bar.get_or_insert_with(|| {
                let bar = Progress::new(total);
                bar.about("scrub");
                bar
            });
            bar.at(done);
        };
        let report = checksum.scrub_telling(config, &stack::world()?, &mut at).await;
        drop(bar);
        let closed = opened.close().await;
        let report = report.map_err(|error| stack::failed(&error))?;
        closed.map_err(|error| stack::failed(&error))?;
        Ok(report)
    }

    fn tell(&self, report: &ScrubReport) -> Result<Exit, Failure> {
        let ScrubReport { entries, bytes, unchecked, damaged, unreadable, quarantined, keys } = report;
        if self.json {
            let keys: Vec<_> = keys
                .iter()
                .map(|key| json!({ "namespace": output::bytes(key.namespace_name()), "key": output::bytes(key.bytes()) }))
                .collect();
            let all = json!({
                "entries": entries, "bytes": bytes, "unchecked": unchecked, "damaged": damaged,
                "unreadable": unreadable, "quarantined": quarantined, "keys": keys,
            });
            output::line(all.to_string())?;
        } else {
            output::line(format!(
                "{entries} entries with {bytes} bytes read; {damaged} are damaged, {quarantined} of them moved out of the way; \
                 {unreadable} cannot be read; {unchecked} have no checksum"
            ))?;
            for key in keys {
                output::line(format!(
                    "damaged: {} {}",
                    key.namespace_name().escape_ascii(),
                    key.bytes().escape_ascii()
                ))?;
            }
        }
        Ok(if report.is_clean() { Exit::Success } else { Exit::Damaged })
    }
}
