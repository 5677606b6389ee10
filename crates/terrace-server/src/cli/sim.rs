//! `terrace sim`.

use std::num::NonZeroUsize;

use clap::{ArgGroup, Args, ValueEnum};
use terrace_sim::{Capacity, Curves, Format, ReplayError, Report, Setting, Trace};

use super::output;
use super::progress::Progress;
use crate::exit::{Exit, Failure};

const EXAMPLES: &str = "\
Examples:
  terrace sim --trace oltp.trc.zst --policy opt,lru,terrace --capacity 1000,5000
  terrace sim --trace a.trc.zst b.trc.zst --capacity 0.1%,1%,10% --json
  terrace sim --generate zipf:keys=100000,theta=0.9,requests=1000000 --capacity 1%
  terrace sim --trace P3.lis --import auto --policy lru,arc,opt --capacity 1%,3%,10%,30% --curve p3.svg
  terrace sim --trace oltp.trc.zst --policy terrace --threads 4
  terrace sim --trace cdn.trc.zst --policy gdsf,terrace --unit bytes --aim bytes

Policies: opt (clairvoyant: no policy can hit more often; for --unit objects only), min (Belady's, which admits
          everything), bound (what no policy can pass, for objects of any size), terrace (the engine that
          ships), and single policies.
Capacities: entries, or bytes with --unit bytes, or a percentage of the trace's unique keys or bytes.
Formulas: zipf:keys=K,theta=T  scan:  loop:keys=K  shift:keys=K,hot=H,share=P,period=M
          drift:keys=K,hot=H,share=P,period=M; each with requests=N,seed=S,size=B
Formats:  oracle-general, arc, csv, twitter, meta, redis-monitor, or auto, which goes by the file's name.
A trace file is one zstd stream of 16-byte records, little-endian: u64 key, u32 size, u32 time in seconds.";

/// The policies that are compared unless others are named.
const POLICIES: [&str; 4] = [OPTIMUM, "lru", "fifo", "terrace"];
const OPTIMUM: &str = "opt";

#[derive(Clone, Copy, Default, PartialEq, ValueEnum)]
enum Unit {
    /// Every object counts one
    #[default]
    Objects,
    /// An object counts its size
    Bytes,
}

impl From<Unit> for terrace_sim::Unit {
    fn from(unit: Unit) -> Self {
        match unit {
            Unit::Objects => Self::Objects,
            Unit::Bytes => Self::Bytes,
        }
    }
}

#[derive(Clone, Copy, Default, PartialEq, ValueEnum)]
enum Aim {
    /// As many requests as possible
    #[default]
    Objects,
    /// As many bytes as possible
    Bytes,
}

impl From<Aim> for terrace_sim::Aim {
    fn from(aim: Aim) -> Self {
        match aim {
            Aim::Objects => Self::Objects,
            Aim::Bytes => Self::Bytes,
        }
    }
}

/// A formula, and how it was written.
#[derive(Clone)]
pub(super) struct Formula {
    text: String,
    generator: terrace_sim::Generator,
}

impl std::str::FromStr for Formula {
    type Err = terrace_sim::GeneratorError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(Self { text: text.to_owned(), generator: text.parse()? })
    }
}

/// Replays traces through eviction policies and compares their hits.
#[derive(Args)]
#[command(after_help = EXAMPLES, group(ArgGroup::new("source").required(true).multiple(true)))]
pub(super) struct Sim {
    /// Trace files
    #[arg(long, value_name = "FILE", num_args = 1.., group = "source")]
    trace: Vec<String>,
    /// Formulas of traces that need no file
    #[arg(long, value_name = "FORMULA", num_args = 1.., group = "source")]
    generate: Vec<Formula>,
    /// Which policies [default: opt,lru,fifo,terrace]
    #[arg(long, value_name = "NAME,...", value_delimiter = ',', value_parser = terrace_sim::POLICIES)]
    policy: Vec<String>,
    /// How large the cache is
    #[arg(long, value_name = "N|P%,...", value_delimiter = ',', default_value = "0.1%,1%,10%")]
    capacity: Vec<Capacity>,
    /// What a capacity counts
    #[arg(long, value_enum, default_value_t)]
    unit: Unit,
    /// What policies terrace and adaptive should hit where sizes differ
    #[arg(long, value_enum, default_value_t)]
    aim: Aim,
    /// Read the trace files in a format of others
    #[arg(long, value_name = "FORMAT")]
    import: Option<Import>,
    /// Replay on so many threads at once; more than one for policy terrace only
    #[arg(long, value_name = "N", default_value = "1")]
    threads: NonZeroUsize,
    /// Write the miss-ratio curves of one trace to a file, .csv, .svg or .png
    #[arg(long, value_name = "FILE")]
    curve: Option<String>,
    /// Print one JSON object a line
    #[arg(long)]
    json: bool,
}

impl Sim {
    pub(super) fn run(&self) -> Result<Exit, Failure> {
        self.check_curve()?;
        let mut rows = Vec::new();
        let policies = self.policies()?;
        for source in &self.trace {
            let trace = self.import.map_or_else(|| open(source), |import| import.read(source))?;
            self.replay(&trace, &policies, &mut rows)?;
        }
        for formula in &self.generate {
            self.replay(&formula.trace(), &policies, &mut rows)?;
        }
        if !self.json {
            output::raw(table(rows).as_bytes())?;
        }
        Ok(Exit::Success)
    }

    /// The policies to compare: those named, or the usual ones as far as they are exact.
    fn policies(&self) -> Result<Vec<&str>, Failure> {
        let mut policies: Vec<&str> = self.policy.iter().map(String::as_str).collect();
        if policies.is_empty() {
            policies.extend(POLICIES);
            if self.unit == Unit::Bytes {
                policies.retain(|policy| *policy != OPTIMUM);
                eprintln!(
                    "terrace: opt is left out: the optimum is exact only where every object counts one"
                );
            }
        } else if self.unit == Unit::Bytes && policies.contains(&OPTIMUM) {
            return Err(Failure::new(Exit::Usage, ReplayError::NoOptimumForSizes.to_string()));
        }
        Ok(policies)
    }

    fn replay(&self, trace: &Trace, policies: &[&str], rows: &mut Vec<Vec<String>>) -> Result<(), Failure> {
        let requests = trace.records().len() as u64;
        let sized = trace.records().windows(2).any(|pair| pair[0].size != pair[1].size);
        let mut progress = Progress::new(requests * (self.capacity.len() * policies.len()) as u64);
        let mut curves = Curves::new(trace.name(), self.unit.into());
        let mut done = 0;
        for capacity in &self.capacity {
            let capacity = capacity.resolve(trace, self.unit.into());
            for policy in policies {
                progress.about(format!("{} {policy} {capacity}", trace.name()));
                let mut told = |replayed| progress.at(done + replayed);
                let (unit, aim, threads) = (self.unit.into(), self.aim.into(), self.threads);
                let report = terrace_sim::replay_in(
                    trace,
                    policy,
                    Setting { capacity, unit, aim, threads },
                    &mut told,
                )
                .map_err(|error| Failure::new(Exit::Usage, error.to_string()))?;
                done += requests;
                curves.add(report.clone());
                match self.json {
                    true => progress.aside(|| output::line(report.to_json()))?,
                    false => rows.push(row(&report, sized)),
                }
            }
        }
        self.write_curves(&curves)
    }

    /// Refuses a curve that could not be written before the work is done for it.
    fn check_curve(&self) -> Result<(), Failure> {
        let Some(file) = &self.curve else { return Ok(()) };
        if ![".csv", ".svg", ".png"].iter().any(|end| file.ends_with(end)) {
            let what = format!("--curve {file}: name a file that ends with .csv, .svg or .png");
            return Err(Failure::new(Exit::Usage, what));
        }
        if self.trace.len() + self.generate.len() > 1 {
            let what = "--curve is of one trace: give one --trace or one --generate";
            return Err(Failure::new(Exit::Usage, what.to_owned()));
        }
        Ok(())
    }

    fn write_curves(&self, curves: &Curves) -> Result<(), Failure> {
        let Some(file) = &self.curve else { return Ok(()) };
        let bytes = match file.rsplit('.').next() {
            Some("csv") => Ok(curves.to_csv().into_bytes()),
            Some("png") => curves.to_png(),
            _ => Ok(curves.to_svg().into_bytes()),
        };
        let written = bytes.and_then(|bytes| std::fs::write(file, bytes));
        written.map_err(|error| Failure::new(Exit::Directory, format!("{file}: {error}")))
    }
}

/// The format of trace files: one by name, or whichever a file's name tells.
#[derive(Clone, Copy)]
struct Import(Option<Format>);

impl std::str::FromStr for Import {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        if name == "auto" { Ok(Self(None)) } else { name.parse().map(|format| Self(Some(format))) }
    }
}

impl Import {
    fn read(self, path: &str) -> Result<Trace, Failure> {
        terrace_sim::import(path, self.0).map_err(|error| Failure::new(Exit::Directory, error.to_string()))
    }
}

impl Formula {
    /// Its trace.
    pub(super) fn trace(&self) -> Trace {
        Trace::from_records(&self.text, self.generator.records().collect())
    }
}

/// The trace in a file. A name that looks like a formula is still a file: that is what was said.
pub(super) fn open(path: &str) -> Result<Trace, Failure> {
    let path = if path.contains('/') { path.to_owned() } else { format!("./{path}") };
    Trace::open(&path).map_err(|error| Failure::new(Exit::Directory, error.to_string()))
}

/// The columns, and where the one stands that is left out if no trace has objects of different sizes.
const HEADING: [&str; 9] = [
    "trace",
    "capacity",
    "policy",
    "requests",
    "hits",
    "hit ratio",
    "byte hit ratio",
    "ns/request",
    "bytes/entry",
];
const BYTE_HIT_RATIO: usize = 6;
const NOTHING: &str = "-";

fn row(report: &Report, sized: bool) -> Vec<String> {
    let percent = |ratio: f64| format!("{:.2} %", ratio * 100.0);
    vec![
        report.trace.clone(),
        report.capacity.to_string(),
        report.policy.clone(),
        report.requests.to_string(),
        report.hits.to_string(),
        percent(report.hit_ratio),
        report.byte_hit_ratio.filter(|_| sized).map_or_else(|| NOTHING.into(), percent),
        format!("{:.0}", report.ns_per_request),
        report.bytes_per_entry.map_or_else(|| NOTHING.into(), |bytes| format!("{bytes:.0}")),
    ]
}

fn table(mut rows: Vec<Vec<String>>) -> String {
    let mut heading = HEADING.to_vec();
    if rows.iter().all(|row| row[BYTE_HIT_RATIO] == NOTHING) {
        heading.remove(BYTE_HIT_RATIO);
        rows.iter_mut().for_each(|row| drop(row.remove(BYTE_HIT_RATIO)));
    }
    output::table(&heading, &rows)
}
