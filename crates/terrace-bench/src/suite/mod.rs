//! The suites: which there are, which come later, and what each is asked with.

mod disk;
mod layers;
mod memory;
mod server;
mod stores;
mod tiers;
mod warm;

use std::path::PathBuf;

use crate::report::Report;

/// What went wrong, in words for whoever runs the program.
pub(crate) type Failure = Box<dyn std::error::Error>;

/// How to measure.
pub(crate) struct Plan {
    /// How often each subject is measured.
    pub(crate) rounds: usize,
    /// Small and fast.
    pub(crate) quick: bool,
    /// The program of suite `server`, if one was named.
    pub(crate) terrace: Option<PathBuf>,
    /// Where servers keep their data.
    pub(crate) dir: PathBuf,
    /// Words that the name of a case of suites `memory`, `disk` and `layers` has to contain to be measured.
    pub(crate) only: Vec<String>,
}

impl Plan {
    /// A number of operations, or a hundredth of it in a quick run.
    pub(crate) fn operations(&self, full: usize) -> usize {
        if self.quick { full / 100 } else { full }
    }

    /// Whether a case of this name is to be measured.
    pub(crate) fn wants(&self, case: &str) -> bool {
        self.only.iter().all(|word| case.contains(word))
    }
}

/// A suite that can be run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Suite {
    Disk,
    Layers,
    Memory,
    Server,
    Stores,
    Tiers,
    Warm,
}

/// Suites that measure what has not been built yet.
const LATER: [&str; 2] = ["graph", "coherence"];

/// The suite of this name.
pub(crate) fn parse(name: &str) -> Result<Suite, String> {
    match name {
        "disk" => Ok(Suite::Disk),
        "layers" => Ok(Suite::Layers),
        "memory" => Ok(Suite::Memory),
        "server" => Ok(Suite::Server),
        "stores" => Ok(Suite::Stores),
        "tiers" => Ok(Suite::Tiers),
        "warm" => Ok(Suite::Warm),
        _ if LATER.contains(&name) => {
            Err("this suite comes later, with what it measures; now there are disk, layers, memory, server, stores, tiers and warm"
                .into())
        }
        _ => Err("there is no such suite; there are disk, layers, memory, server, stores, tiers and warm".into()),
    }
}

impl Suite {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Disk => "disk",
            Self::Layers => "layers",
            Self::Memory => "memory",
            Self::Server => "server",
            Self::Stores => "stores",
            Self::Tiers => "tiers",
            Self::Warm => "warm",
        }
    }

    pub(crate) fn run(self, plan: &Plan, report: &mut Report) -> Result<(), Failure> {
        match self {
            Self::Disk => disk::run(plan, report),
            Self::Layers => layers::run(plan, report),
            Self::Memory => memory::run(plan, report),
            Self::Server => server::run(plan, report),
            Self::Stores => stores::run(plan, report),
            Self::Tiers => tiers::run(plan, report),
            Self::Warm => warm::run(plan, report),
        }
    }
}
