//! `terrace replay`.

mod drive;
mod folder;
mod tiers;
mod value;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::{ArgGroup, Args};
use serde_json::{Value, json};
use terrace_sim::Trace;

use super::output;
use super::progress::Progress;
use super::sim::Formula;
use crate::config::Sources;
use crate::config::units::{Size, Span};
use crate::exit::{Exit, Failure};
use drive::{Outcome, Plan, drive};
pub(crate) use folder::MARK;
use tiers::Tiers;

const EXAMPLES: &str = "\
Examples:
  terrace replay --trace oltp.trc.zst
  terrace replay --trace wiki.trc.zst --hot 8mib --cold 1gib --loader-latency 20ms --clients 64
  terrace replay --generate zipf:keys=50000,requests=500000,size=2000 --json
  terrace replay --trace oltp.trc.zst --dir /tmp/replay     kill it, start it again: it goes on from the disk
  terrace replay --trace oltp.trc.zst --config terrace.toml --hot 1gib     a server's tiers, but for more memory

Drives a whole cache: memory, then disk, then a loader that takes its time. Values have the sizes of the trace and
follow from their keys; each one that is read is verified, and a wrong one ends the replay with exit code 11.

Of a configuration file it takes the tiers: hot.size, and store.kind, store.maxmemory and store.durability. The data
directory of the server is left alone, the environment is not asked, and a full tier evicts as a cache does.";

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
    /// A server's configuration file (TOML), whose tiers to drive; flags win over it
    #[arg(long, short, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Memory for live values [default: 64mib]
    #[arg(long, value_name = "SIZE")]
    hot: Option<Size>,
    /// Room on the disk, 0 for no disk: bytes of the log's files, below 1mib of its records; how large the folder became is told
    /// in the end [default: 1gib]
    #[arg(long, value_name = "SIZE")]
    cold: Option<Size>,
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

impl Replay {
    pub(super) fn run(&self) -> Result<Exit, Failure> {
        let plan = Arc::new(self.plan()?);
        let tiers = self.tiers()?;
        let made;
        let folder = match &self.dir {
            Some(folder) => {
                folder::claim(folder)?;
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
        let outcome = runtime.block_on(self.replay(&plan, &tiers, folder))?;
        drop(runtime);
        let measured = tiers.cold.is_some().then(|| folder::size(folder)).transpose();
        let folder_bytes = measured.map_err(|error| {
            Failure::new(
                Exit::Directory,
                format!("the folder {} cannot be measured: {error}", folder.display()),
            )
        })?;
        match self.json {
            true => output::line(self.report(&plan, &tiers, &outcome, folder_bytes).to_string())?,
            false => output::raw(self.table(&plan, &tiers, &outcome, folder_bytes).as_bytes())?,
        }
        Ok(Exit::Success)
    }

    fn tiers(&self) -> Result<Tiers, Failure> {
        let tiers = match &self.config {
            None => Tiers::default(),
            Some(file) => {
                let mut sources = Sources::new();
                sources.file(file)?;
                Tiers::of_server(&sources.unchecked()?)
            }
        };
        Ok(tiers.with_flags(self.hot, self.cold))
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

    async fn replay(&self, plan: &Arc<Plan>, tiers: &Tiers, folder: &Path) -> Result<Outcome, Failure> {
        let cache = tiers.open(folder).await.map_err(|error| Failure::of_store(&error))?;
        let mut progress = Progress::new(plan.trace.records().len() as u64);
        progress.about(plan.trace.name());
        let outcome = drive(&cache, plan, |done| progress.at(done)).await;
        drop(progress);
        let closed = cache.close().await;
        let outcome = outcome?;
        closed.map_err(|error| Failure::of_store(&error))?;
        Ok(outcome)
    }

    fn report(&self, plan: &Plan, tiers: &Tiers, outcome: &Outcome, folder_bytes: Option<u64>) -> Value {
        let shares: Vec<Value> = outcome
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
            "hot_bytes": tiers.hot,
            // Without a limit it is null, without a disk 0.
            "cold_bytes": tiers.cold.as_ref().map_or(Some(0), |cold| cold.capacity),
            "folder_bytes": folder_bytes,
            "clients": plan.clients,
            "loader_latency_ms": plan.loader_latency.as_millis() as u64,
            "tiers": shares,
            "loads": outcome.loads,
            "loaded_bytes": outcome.loaded_bytes,
            "seconds": outcome.took.as_secs_f64(),
            "requests_per_second": outcome.requests as f64 / outcome.took.as_secs_f64(),
        })
    }

    fn table(&self, plan: &Plan, tiers: &Tiers, outcome: &Outcome, folder_bytes: Option<u64>) -> String {
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
        let folder = folder_bytes
            .map(|bytes| format!(", {} on the disk in the end", output::human_bytes(bytes)))
            .unwrap_or_default();
        format!(
            "{}: {} requests, every value verified, in {seconds:.1} s ({:.0} a second, {} clients)\n\
             {tiers}, loader {}\n\n{}\n{} loads, {} loaded{folder}\n",
            plan.trace.name(),
            outcome.requests,
            outcome.requests as f64 / seconds,
            plan.clients,
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
