//! Traces in the formats of others.
//!
//! Decision: whatever the format, what comes out are requests: reads in order, with size and time where the
//! format has them. Writes are none, since the replayed cache fills itself; but a write tells the size of an
//! object whose read was a miss. Keys that are no numbers become their XXH3 hash. A line that makes no sense is
//! an error that names it, never skipped: half a trace looks right and is wrong. A file whose name ends with
//! `.zst` is decompressed on the way.

mod arc;
mod monitor;
mod oracle;
mod table;
mod twitter;

use std::collections::HashMap;
use std::fmt;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;
use std::str::FromStr;

use terrace_memory::RandomHash;
use xxhash_rust::xxh3::xxh3_64;

use crate::source::{MOST_REQUESTS, Trace, file_name};
use crate::trace::Record;

/// A longer line is no line of a trace.
const LONGEST_LINE: u64 = 64 << 20;
/// What one line may stand for, where it says how often.
const MOST_A_LINE: u64 = 1 << 20;

/// A format of traces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// libCacheSim's `oracleGeneral`: records of 24 bytes, little-endian: u32 seconds, u64 object, u32 size, i64
    /// next access.
    OracleGeneral,
    /// The ARC paper's `.lis`: lines of first block, number of blocks, and two more numbers. A line stands for
    /// as many requests as blocks.
    Arc,
    /// Columns after a heading that names them (`key`, `size`, `time` and usual other names), or without one:
    /// key; key, size; or time, key, size. Parted by commas, semicolons, tabs or spaces.
    Csv,
    /// Twitter's: timestamp, key, key size, value size, client, operation, TTL.
    Twitter,
    /// Meta's, of CacheLib, key-value and CDN: columns with a heading, an operation and how often it was done.
    Meta,
    /// What `redis-cli monitor` prints.
    RedisMonitor,
}

impl Format {
    /// Every format, with the name it goes by.
    pub const ALL: [(&'static str, Format); 6] = [
        ("oracle-general", Format::OracleGeneral),
        ("arc", Format::Arc),
        ("csv", Format::Csv),
        ("twitter", Format::Twitter),
        ("meta", Format::Meta),
        ("redis-monitor", Format::RedisMonitor),
    ];

    /// The format that files of this name usually have.
    pub fn of_file(name: &str) -> Option<Format> {
        let name = Path::new(name).file_name()?.to_string_lossy().to_lowercase();
        let plain = name.trim_end_matches(".zst").to_string();
        let has = |part: &str| plain.contains(part);
        let ends = |ending: &str| plain.ends_with(ending);
        if has("oraclegeneral") {
            Some(Format::OracleGeneral)
        } else if ends(".lis") {
            Some(Format::Arc)
        } else if ends(".monitor") || (has("monitor") && (ends(".txt") || ends(".log"))) {
            Some(Format::RedisMonitor)
        } else if has("kvcache") || has("cdn_") || has("meta") {
            Some(Format::Meta)
        } else if has("twitter") || (plain.starts_with("cluster") && has("sort")) {
            Some(Format::Twitter)
        } else if [".csv", ".tsv", ".txt"].into_iter().any(ends) {
            Some(Format::Csv)
        } else {
            None
        }
    }
}

impl FromStr for Format {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|(other, _)| *other == name);
        found.map(|(_, format)| format).ok_or_else(|| {
            let names: Vec<&str> = Self::ALL.iter().map(|(name, _)| *name).collect();
            format!("no format is named `{name}`; there are {}", names.join(", "))
        })
    }
}

/// Why a trace could not be imported.
#[derive(Debug)]
pub struct ImportError {
    file: String,
    /// The line, or for a binary format the record, from 1; 0 if it is about the file.
    place: u64,
    fault: Fault,
}

#[derive(Debug)]
enum Fault {
    Io(io::Error),
    Text(String),
}

impl fmt::Display for ImportError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "trace {}", self.file)?;
        if self.place > 0 {
            write!(f, ", line or record {}", self.place)?;
        }
        match &self.fault {
            Fault::Io(error) => write!(f, ": {error}"),
            Fault::Text(text) => write!(f, ": {text}"),
        }
    }
}

impl std::error::Error for ImportError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match &self.fault {
            Fault::Io(error) => Some(error),
            Fault::Text(_) => None,
        }
    }
}

/// Reads a trace file of a format, or of the one its name tells.
///
/// # Errors
///
/// If the file cannot be read, has no name that tells, or holds a line that makes no sense.
pub fn import(path: &str, format: Option<Format>) -> Result<Trace, ImportError> {
    let fail = |fault| ImportError { file: path.to_string(), place: 0, fault };
    let format = format
        .or_else(|| Format::of_file(path))
        .ok_or_else(|| fail(Fault::Text("its name does not tell its format: name the format".to_string())))?;
    let file = File::open(path).map_err(|error| fail(Fault::Io(error)))?;
    if path.ends_with(".zst") {
        let stream = zstd::stream::read::Decoder::new(file).map_err(|error| fail(Fault::Io(error)))?;
        return import_from(BufReader::new(stream), path, format);
    }
    import_from(BufReader::new(file), path, format)
}

/// Reads a trace of a format from any source; `name` stands for it in errors and reports.
///
/// # Errors
///
/// As [`import`].
pub fn import_from(mut source: impl BufRead, name: &str, format: Format) -> Result<Trace, ImportError> {
    let mut requests = Requests::default();
    let mut place = 0;
    let done = match format {
        Format::OracleGeneral => oracle::read(&mut source, &mut place, &mut requests),
        Format::Arc => lines(&mut source, &mut place, |line| arc::line(line, &mut requests)),
        Format::Csv => table::read(&mut source, &mut place, &mut requests, false),
        Format::Meta => table::read(&mut source, &mut place, &mut requests, true),
        Format::Twitter => lines(&mut source, &mut place, |line| twitter::line(line, &mut requests)),
        Format::RedisMonitor => lines(&mut source, &mut place, |line| monitor::line(line, &mut requests)),
    };
    done.map_err(|fault| ImportError { file: name.to_string(), place, fault })?;
    Ok(Trace::from_records(file_name(name), requests.records))
}

/// The requests read so far.
#[derive(Default)]
struct Requests {
    records: Vec<Record>,
    /// The last size heard of for each key, for reads that do not tell.
    sizes: HashMap<u64, u32, RandomHash>,
}

impl Requests {
    /// A read of a key. A size of 0 is unknown, and so is then the key's last one, or 1.
    fn read(&mut self, key: u64, size: u64, time: u64, times: u64) -> Result<(), Fault> {
        if times > MOST_A_LINE || self.records.len() as u64 + times > MOST_REQUESTS as u64 {
            return Err(text("more requests than a trace can hold"));
        }
        let size = self.sized(key, size);
        let time = u32::try_from(time).unwrap_or(u32::MAX);
        self.records.extend((0..times).map(|_| Record { key, size, time }));
        Ok(())
    }

    /// A write of a key.
    fn wrote(&mut self, key: u64, size: u64) {
        self.sized(key, size);
    }

    fn sized(&mut self, key: u64, size: u64) -> u32 {
        if size == 0 {
            return self.sizes.get(&key).copied().unwrap_or(1);
        }
        let size = u32::try_from(size).unwrap_or(u32::MAX);
        self.sizes.insert(key, size);
        size
    }
}

fn text(words: &str) -> Fault {
    Fault::Text(words.to_string())
}

/// Shows every line that is not empty, without its end.
fn lines(
    source: &mut impl BufRead,
    place: &mut u64,
    mut each: impl FnMut(&[u8]) -> Result<(), Fault>,
) -> Result<(), Fault> {
    let mut line = Vec::new();
    loop {
        line.clear();
        *place += 1;
        let read = source.by_ref().take(LONGEST_LINE).read_until(b'\n', &mut line).map_err(Fault::Io)?;
        if read == 0 {
            *place = 0;
            return Ok(());
        }
        if read as u64 == LONGEST_LINE && line.last() != Some(&b'\n') {
            return Err(text("a line of more than 64 MiB is no request"));
        }
        let line = line.trim_ascii();
        if !line.is_empty() {
            each(line)?;
        }
    }
}

/// A whole number, also one with decimals, which are dropped.
fn number(field: &[u8]) -> Result<u64, Fault> {
    let field = field.trim_ascii();
    let whole = field.split(|byte| *byte == b'.').next().unwrap_or_default();
    let parsed = std::str::from_utf8(whole).ok().and_then(|digits| digits.parse().ok());
    parsed.ok_or_else(|| Fault::Text(format!("`{}` is no number", String::from_utf8_lossy(field))))
}

/// A number stands for itself, everything else for its hash.
fn key(field: &[u8]) -> u64 {
    let digits = field.iter().all(u8::is_ascii_digit).then(|| std::str::from_utf8(field).ok()).flatten();
    digits.and_then(|digits| digits.parse().ok()).unwrap_or_else(|| xxh3_64(field))
}
