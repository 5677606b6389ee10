#![doc = include_str!("../README.md")]

mod bound;
mod capacity;
mod curve;
mod drive;
mod engine;
mod generate;
mod import;
mod min;
mod opt;
mod policies;
mod replay;
mod source;
mod stack;
mod trace;

pub use bound::{Bound, upper_bound};
pub use capacity::{Capacity, CapacityError};
pub use curve::Curves;
pub use generate::{Generator, GeneratorError};
pub use import::{Format, ImportError, import, import_from};
pub use min::min_hits;
pub use opt::optimal_hits;
pub use policies::POLICIES;
pub use replay::{ReplayError, Report, Setting, Unit, replay, replay_in};
pub use source::{SourceError, Trace};
pub use stack::LruCurve;
pub use terrace_memory::eviction::Aim;
pub use trace::{Record, TraceError, TraceReader, TraceWriter};
