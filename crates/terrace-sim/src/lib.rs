#![doc = include_str!("../README.md")]

mod capacity;
mod generate;
mod opt;
mod replay;
mod source;
mod trace;

pub use capacity::{Capacity, CapacityError};
pub use generate::{Generator, GeneratorError};
pub use opt::optimal_hits;
pub use replay::{POLICIES, ReplayError, Report, Unit, replay};
pub use source::{SourceError, Trace};
pub use trace::{Record, TraceError, TraceReader, TraceWriter};
