//! `terrace replay`.

mod drive;
mod value;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use clap::{ArgGroup, Args};
use serde_json::{Value, json};
use terrace::Cache;
use terrace_sim::Trace;

use super::output;
use super::progress::Progress;
use super::sim::Formula;
use crate::config::units::{Size, Span};
use crate::exit::{Exit, Failure};
use drive::{Outcome, Plan, drive};

const EXAMPLES: &str = "\
Examples:
  terrace replay --trace oltp.trc.zst
  terrace replay --trace wiki.trc.zst --hot 8mib --cold 1gib --loader-latency 20ms --clients 64
  terrace replay --generate zipf:keys=50000,requests=500000,size=2000 --json
  terrace replay --trace oltp.trc.zst --dir /tmp/replay     kill it, start it again: it goes on from the disk

Drives a whole cache: memory, then disk, then a loader that takes its time. Values have the sizes of the trace and
follow from their keys; each one that is read is verified, and a wrong one ends the replay with exit code 11.";

/// Drives a whole cache with a trace.
#[derive(Args)]
#[command(after_help = EXAMPLES, group(ArgGroup::new("source").required(true)))]
pub(super) struct Replay {
    /// A trace file
    #[arg(long, value_name = "FILE", group = "source")]
    trace: Option<String>,
    /// A formula of a trace that needs no file; `terrace sim --help` lists them
    #[arg(long, value_name = "FORMULA", group = "source")]
    generate: Option<Formula>,
    /// Memory for live values
    #[arg(long, value_name = "SIZE", default_value = "64mib")]
    hot: Size,
    /// Room on the disk; 0 for no disk
    #[arg(long, value_name = "SIZE", default_value = "1gib")]
    cold: Size,
    /// The folder on the disk; without it a new one that is removed in the end
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
    /// How long the loader takes for a value
    #[arg(long, value_name = "TIME", default_value = "5ms")]
    loader_latency: Span,
    /// How many requests are under way at a time
    #[arg(long, value_name = "N", default_value_t = 32, value_parser = clap::value_parser!(u16).range(1..))]
    clients: u16,
    /// The size of values whose size the trace does not know
    #[arg(long, value_name = "SIZE", default_value = "256")]
    unknown_size: Size,
    /// Only so many requests from the beginning
    #[arg(long, value_name = "N")]
    requests: Option<usize>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Marks a folder as a replay's. Anybody else's data would be evicted to make room for the trace.
fn claim(folder: &Path) -> Result<(), Failure> {
    let mark = folder.join(MARK);
    let failed = |error: std::io::Error| {
        Failure::new(Exit::Directory, format!("the folder {} cannot be used: {error}", folder.display()))
    };
    std::fs::create_dir_all(folder).map_err(failed)?;
    if mark.exists() {
        return Ok(());
    }
    if std::fs::read_dir(folder).map_err(failed)?.next().is_some() {
        let text = format!(
            "the folder {} holds something that is no replay's: choose an empty or a new one",
            folder.display()
        );
        return Err(Failure::new(Exit::Directory, text));
    }
    std::fs::write(mark, "made by terrace replay\n").map_err(failed)
}

/// What a replay's folder holds, so that it is known again, and a server refuses it.
pub(crate) const MARK: &str = "terrace-replay";

impl Replay {
    pub(super) fn run(&self) -> Result<Exit, Failure> {
        let plan = Arc::new(self.plan()?);
        let made;
        let folder = match &self.dir {
            Some(folder) => {
                claim(folder)?;
                folder.as_path()
            }
            None => {
                made = tempfile::tempdir().map_err(|error| {
                    Failure::new(Exit::Directory, format!("no folder for the disk tier: {error}"))
                })?;
                made.path()
            }
        };
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
        let runtime = runtime
            .map_err(|error| Failure::new(Exit::Internal, format!("cannot start threads: {error}")))?;
        let outcome = runtime.block_on(self.replay(&plan, folder))?;
        drop(runtime);
        match self.json {
            true => output::line(self.report(&plan, &outcome).to_string())?,
            false => output::raw(self.table(&plan, &outcome).as_bytes())?,
        }
        Ok(Exit::Success)
    }

    fn plan(&self) -> Result<Plan, Failure> {
        let trace = match (&self.trace, &self.generate) {
            (Some(path), _) => super::sim::open(path)?,
            (None, Some(formula)) => formula.trace(),
            (None, None) => return Err(Failure::new(Exit::Usage, "--trace or --generate is needed")),
        };
        let trace = match self.requests {
            Some(limit) if limit < trace.records().len() => {
                Trace::from_records(trace.name(), trace.records()[..limit].to_vec())
            }
            _ => trace,
        };
        let unknown = u32::try_from(self.unknown_size.0)
            .map_err(|_| Failure::new(Exit::Usage, "--unknown-size is less than 4gib"))?;
        Ok(Plan { trace, clients: usize::from(self.clients), loader_latency: self.loader_latency.0, unknown })
    }

    async fn replay(&self, plan: &Arc<Plan>, folder: &Path) -> Result<Outcome, Failure> {
        let mut builder = Cache::<u64, Bytes>::builder("replay").hot(self.hot.0);
        if self.cold.0 > 0 {
            builder = builder.cold(folder, self.cold.0);
        }
        let cache = builder.build().await.map_err(|error| Failure::of_store(&error))?;
        let mut progress = Progress::new(plan.trace.records().len() as u64);
        progress.about(plan.trace.name());
        let outcome = drive(&cache, plan, |done| progress.at(done)).await;
        drop(progress);
        let closed = cache.close().await;
        let outcome = outcome?;
        closed.map_err(|error| Failure::of_store(&error))?;
        Ok(outcome)
    }

    fn report(&self, plan: &Plan, outcome: &Outcome) -> Value {
        let tiers: Vec<Value> = outcome
            .shares
            .iter()
            .map(|share| {
                json!({
                    "tier": share.tier.name(),
                    "hits": share.hits,
                    "hit_ratio": ratio(share.hits, outcome.requests),
                    "bytes": share.bytes,
                    "p50_ns": share.latency.p50_ns,
                    "p99_ns": share.latency.p99_ns,
                    "p999_ns": share.latency.p999_ns,
                })
            })
            .collect();
        json!({
            "trace": plan.trace.name(),
            "requests": outcome.requests,
            "verified": outcome.requests,
            "hot_bytes": self.hot.0,
            "cold_bytes": self.cold.0,
            "clients": plan.clients,
            "loader_latency_ms": plan.loader_latency.as_millis() as u64,
            "tiers": tiers,
            "loads": outcome.loads,
            "loaded_bytes": outcome.loaded_bytes,
            "seconds": outcome.took.as_secs_f64(),
            "requests_per_second": outcome.requests as f64 / outcome.took.as_secs_f64(),
        })
    }

    fn table(&self, plan: &Plan, outcome: &Outcome) -> String {
        let row = |share: &drive::Share| {
            let latency = |ns| if share.hits == 0 { "-".to_owned() } else { output::human_ns(ns) };
            vec![
                share.tier.name().to_owned(),
                share.hits.to_string(),
                format!("{:.2} %", ratio(share.hits, outcome.requests) * 100.0),
                output::human_bytes(share.bytes),
                latency(share.latency.p50_ns),
                latency(share.latency.p99_ns),
                latency(share.latency.p999_ns),
            ]
        };
        let rows: Vec<Vec<String>> = outcome.shares.iter().map(row).collect();
        let seconds = outcome.took.as_secs_f64();
        format!(
            "{}: {} requests, every value verified, in {seconds:.1} s ({:.0} a second, {} clients)\n\
             hot {}, cold {}, loader {}\n\n{}\n{} loads, {} loaded\n",
            plan.trace.name(),
            outcome.requests,
            outcome.requests as f64 / seconds,
            plan.clients,
            self.hot,
            self.cold,
            self.loader_latency,
            output::table(&["answered by", "requests", "share", "bytes", "p50", "p99", "p99.9"], &rows),
            outcome.loads,
            output::human_bytes(outcome.loaded_bytes),
        )
    }
}

fn ratio(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}
