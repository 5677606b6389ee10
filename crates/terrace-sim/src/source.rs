//! A whole trace in memory, from a file or a formula.
//!
//! Decision: a trace is loaded once and replayed many times, and both the optimum and a capacity in percent
//! need all of it, so it is held as records of 16 bytes. Keys are numbered once, 4 bytes a request, so that a
//! replay looks keys up in vectors instead of hash tables. [`TraceReader`] streams for those who need less.

use std::collections::HashMap;
use std::fmt;
use std::path::Path;

use terrace_memory::RandomHash;

use crate::generate::{Generator, GeneratorError};
use crate::trace::{Record, TraceError, TraceReader};

/// The most requests a trace holds: each of them may be another key, and keys are numbered with 32 bits.
pub(crate) const MOST_REQUESTS: usize = u32::MAX as usize;

/// Requests in order, with a name.
#[derive(Clone, Debug)]
pub struct Trace {
    name: String,
    records: Vec<Record>,
    /// Each request's key, numbered from 0 in the order in which keys appear.
    ids: Vec<u32>,
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
    /// The file of this name holds more requests than a trace can.
    TooLong(String),
}

impl fmt::Display for SourceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SourceError::File(error) => error.fmt(f),
            SourceError::Formula(error) => error.fmt(f),
            SourceError::TooLong(file) => {
                write!(f, "trace {file} has more than {MOST_REQUESTS} requests: cut it into parts")
            }
        }
    }
}

impl std::error::Error for SourceError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            SourceError::File(error) => error.source(),
            SourceError::Formula(_) | SourceError::TooLong(_) => None,
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
        // One more than fit shows that there are more.
        let records =
            reader.take(MOST_REQUESTS + 1).collect::<Result<Vec<_>, _>>().map_err(SourceError::File)?;
        if records.len() > MOST_REQUESTS {
            return Err(SourceError::TooLong(source.to_string()));
        }
        Ok(Trace::from_records(file_name(source), records))
    }

    /// A trace of these requests.
    ///
    /// # Panics
    ///
    /// If there are more than 4294967295 of them.
    pub fn from_records(name: impl Into<String>, records: Vec<Record>) -> Self {
        assert!(records.len() <= MOST_REQUESTS, "a trace holds at most {MOST_REQUESTS} requests");
        let mut numbers: HashMap<u64, u32, RandomHash> = HashMap::default();
        let mut sizes: Vec<u32> = Vec::new();
        let mut ids = Vec::with_capacity(records.len());
        for record in &records {
            let id = *numbers.entry(record.key).or_insert(sizes.len() as u32);
            match sizes.get_mut(id as usize) {
                Some(size) => *size = record.size.max(*size),
                None => sizes.push(record.size),
            }
            ids.push(id);
        }
        let unique_bytes = sizes.iter().map(|size| u64::from(*size)).sum();
        Trace { name: name.into(), records, ids, unique_keys: sizes.len() as u64, unique_bytes }
    }

    /// The file's name without its endings, or the formula.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The requests in order.
    pub fn records(&self) -> &[Record] {
        &self.records
    }

    /// For each request the number of its key: keys are numbered from 0 in the order in which they appear.
    pub fn ids(&self) -> &[u32] {
        &self.ids
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

pub(crate) fn file_name(path: &str) -> String {
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
