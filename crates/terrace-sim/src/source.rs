//! A whole trace in memory, from a file or a formula.
//!
//! Decision: a trace is loaded once and replayed many times, and both the optimum and a capacity in percent
//! need all of it, so it is held as records of 16 bytes. [`TraceReader`] streams for those who need less.

use std::collections::HashMap;
use std::fmt;
use std::path::Path;

use terrace_memory::RandomHash;

use crate::generate::{Generator, GeneratorError};
use crate::trace::{Record, TraceError, TraceReader};

/// Requests in order, with a name.
#[derive(Clone, Debug)]
pub struct Trace {
    name: String,
    records: Vec<Record>,
    unique_keys: u64,
    unique_bytes: u64,
}

/// Why a trace could not be had.
#[derive(Debug)]
pub enum SourceError {
    /// The file could not be read.
    File(TraceError),
    /// The formula was not understood.
    Formula(GeneratorError),
}

impl fmt::Display for SourceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SourceError::File(error) => error.fmt(f),
            SourceError::Formula(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for SourceError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            SourceError::File(error) => error.source(),
            SourceError::Formula(_) => None,
        }
    }
}

impl Trace {
    /// Loads the file of this path, or makes the trace of this formula. A text that begins like a formula is
    /// taken for a path only if a file of that name exists.
    ///
    /// # Errors
    ///
    /// If the file cannot be read to its end, or the formula is wrong.
    pub fn open(source: &str) -> Result<Self, SourceError> {
        if Generator::is_named_by(source) && !Path::new(source).exists() {
            let generator: Generator = source.parse().map_err(SourceError::Formula)?;
            return Ok(Trace::from_records(source, generator.records().collect()));
        }
        let reader = TraceReader::open(source).map_err(SourceError::File)?;
        let records = reader.collect::<Result<_, _>>().map_err(SourceError::File)?;
        Ok(Trace::from_records(file_name(source), records))
    }

    /// A trace of these requests.
    pub fn from_records(name: impl Into<String>, records: Vec<Record>) -> Self {
        let mut sizes: HashMap<u64, u32, RandomHash> = HashMap::default();
        for record in &records {
            let size = sizes.entry(record.key).or_default();
            *size = record.size.max(*size);
        }
        let unique_bytes = sizes.values().map(|size| u64::from(*size)).sum();
        Trace { name: name.into(), records, unique_keys: sizes.len() as u64, unique_bytes }
    }

    /// The file's name without its endings, or the formula.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The requests in order.
    pub fn records(&self) -> &[Record] {
        &self.records
    }

    /// How many different keys are asked for.
    pub fn unique_keys(&self) -> u64 {
        self.unique_keys
    }

    /// The bytes of all keys' objects, each at its largest.
    pub fn unique_bytes(&self) -> u64 {
        self.unique_bytes
    }
}

fn file_name(path: &str) -> String {
    let name = Path::new(path).file_name().map_or(path.into(), |name| name.to_string_lossy());
    name.trim_end_matches(".zst").trim_end_matches(".trc").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trace_knows_its_keys_and_bytes() {
        let record = |key, size| Record { key, size, time: 0 };
        let trace = Trace::from_records("t", vec![record(1, 5), record(2, 7), record(1, 9)]);
        assert_eq!((trace.unique_keys(), trace.unique_bytes()), (2, 16));
    }

    #[test]
    fn sources_are_formulas_or_files() {
        let trace = Trace::open("loop:keys=7,requests=20").unwrap();
        assert_eq!((trace.name(), trace.records().len()), ("loop:keys=7,requests=20", 20));
        assert!(matches!(Trace::open("zipf:keys=x"), Err(SourceError::Formula(_))));
        assert!(matches!(Trace::open("no/such/file.trc.zst"), Err(SourceError::File(_))));
        assert_eq!(file_name("a/b/arc_oltp.trc.zst"), "arc_oltp");
    }
}
