//! The trace file: a zstd stream of 16-byte records.
//!
//! Decision: no header and no index, so a trace can be cut, joined and piped with ordinary tools (zstd frames
//! one after another are one stream). A file that ends in the middle of a frame or a record is an error, never
//! a shorter trace: a comparison on half a trace looks right and is wrong.

use std::fmt;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};

use zstd::stream::{read, write};

/// Bytes of one record.
const RECORD_BYTES: usize = 16;

/// One request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record {
    /// What was asked for.
    pub key: u64,
    /// Its size in bytes; 1 if unknown.
    pub size: u32,
    /// When, in seconds since an origin of the trace's own; 0 if unknown.
    pub time: u32,
}

impl Record {
    fn decode(bytes: [u8; RECORD_BYTES]) -> Self {
        let all = u128::from_le_bytes(bytes);
        Record { key: all as u64, size: (all >> 64) as u32, time: (all >> 96) as u32 }
    }

    fn encode(self) -> [u8; RECORD_BYTES] {
        let all = u128::from(self.key) | u128::from(self.size) << 64 | u128::from(self.time) << 96;
        all.to_le_bytes()
    }
}

/// Why a trace file could not be read or written.
#[derive(Debug)]
pub struct TraceError {
    file: PathBuf,
    /// Bytes of records, after decompression, before the fault.
    offset: u64,
    fault: Fault,
}

#[derive(Debug)]
enum Fault {
    Io(io::Error),
    Empty,
    CutFrame,
    CutRecord(usize),
}

impl fmt::Display for TraceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "trace {}, byte {} after decompression: ", self.file.display(), self.offset)?;
        match &self.fault {
            Fault::Io(error) => write!(f, "{error}"),
            Fault::Empty => f.write_str("the file is empty, not even a zstd frame"),
            Fault::CutFrame => f.write_str("the file is truncated: its last zstd frame has no end"),
            Fault::CutRecord(bytes) => {
                write!(
                    f,
                    "the file is truncated: it ends with {bytes} of the {RECORD_BYTES} bytes of a record"
                )
            }
        }
    }
}

impl std::error::Error for TraceError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match &self.fault {
            Fault::Io(error) => Some(error),
            _ => None,
        }
    }
}

/// Reads a trace record by record, in memory that does not grow with the trace. Ends after the first error.
pub struct TraceReader {
    file: PathBuf,
    offset: u64,
    stream: Option<read::Decoder<'static, BufReader<Box<dyn Read + Send>>>>,
}

impl TraceReader {
    /// Opens a trace file.
    ///
    /// # Errors
    ///
    /// If the file cannot be opened or is empty.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, TraceError> {
        let path = path.as_ref();
        let file = File::open(path).map_err(|error| TraceError {
            file: path.to_path_buf(),
            offset: 0,
            fault: Fault::Io(error),
        })?;
        Self::new(file, path)
    }

    /// Reads a trace from any source; `name` stands for it in errors.
    ///
    /// # Errors
    ///
    /// If the source cannot be read or is empty.
    pub fn new(source: impl Read + Send + 'static, name: impl AsRef<Path>) -> Result<Self, TraceError> {
        let file = name.as_ref().to_path_buf();
        let failed = |fault| TraceError { file: file.clone(), offset: 0, fault };
        let mut source: BufReader<Box<dyn Read + Send>> = BufReader::new(Box::new(source));
        if source.fill_buf().map_err(|error| failed(Fault::Io(error)))?.is_empty() {
            return Err(failed(Fault::Empty));
        }
        let stream = read::Decoder::with_buffer(source).map_err(|error| failed(Fault::Io(error)))?;
        Ok(TraceReader { file, offset: 0, stream: Some(stream) })
    }

    fn read_record(&mut self) -> Result<Option<Record>, Fault> {
        let Some(stream) = &mut self.stream else { return Ok(None) };
        let mut bytes = [0; RECORD_BYTES];
        let mut filled = 0;
        while filled < RECORD_BYTES {
            match stream.read(&mut bytes[filled..]) {
                Ok(0) if filled == 0 => return Ok(None),
                Ok(0) => return Err(Fault::CutRecord(filled)),
                Ok(count) => filled += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Err(Fault::CutFrame),
                Err(error) => return Err(Fault::Io(error)),
            }
        }
        Ok(Some(Record::decode(bytes)))
    }
}

impl Iterator for TraceReader {
    type Item = Result<Record, TraceError>;

    fn next(&mut self) -> Option<Self::Item> {
        match self.read_record() {
            Ok(Some(record)) => {
                self.offset += RECORD_BYTES as u64;
                Some(Ok(record))
            }
            Ok(None) => {
                self.stream = None;
                None
            }
            Err(fault) => {
                self.stream = None;
                Some(Err(TraceError { file: self.file.clone(), offset: self.offset, fault }))
            }
        }
    }
}

impl fmt::Debug for TraceReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TraceReader").field("file", &self.file).field("offset", &self.offset).finish()
    }
}

/// Writes a trace. Without [`finish`](TraceWriter::finish) the file is truncated, and readers will say so.
pub struct TraceWriter<W: Write> {
    stream: write::Encoder<'static, W>,
}

impl<W: Write> TraceWriter<W> {
    /// Begins a trace.
    ///
    /// # Errors
    ///
    /// If the compressor cannot be set up.
    pub fn new(sink: W) -> io::Result<Self> {
        Ok(TraceWriter { stream: write::Encoder::new(sink, zstd::DEFAULT_COMPRESSION_LEVEL)? })
    }

    /// Appends a record.
    ///
    /// # Errors
    ///
    /// If the sink fails.
    pub fn write(&mut self, record: Record) -> io::Result<()> {
        self.stream.write_all(&record.encode())
    }

    /// Ends the trace and returns the sink, flushed.
    ///
    /// # Errors
    ///
    /// If the sink fails.
    pub fn finish(self) -> io::Result<W> {
        let mut sink = self.stream.finish()?;
        sink.flush()?;
        Ok(sink)
    }
}

impl<W: Write> fmt::Debug for TraceWriter<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TraceWriter")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Cursor;

    fn records() -> Vec<Record> {
        (0..5000u32).map(|i| Record { key: u64::MAX - u64::from(i * i), size: i + 1, time: i / 7 }).collect()
    }

    fn encoded() -> Vec<u8> {
        let mut writer = TraceWriter::new(Vec::new()).unwrap();
        for record in records() {
            writer.write(record).unwrap();
        }
        writer.finish().unwrap()
    }

    fn read(bytes: Vec<u8>) -> Result<Vec<Record>, TraceError> {
        TraceReader::new(Cursor::new(bytes), "some.trc.zst")?.collect()
    }

    #[test]
    fn a_record_is_key_size_time_in_little_endian() {
        let record = Record { key: 0x0102_0304_0506_0708, size: 0x1112_1314, time: 0x2122_2324 };
        let bytes = [8, 7, 6, 5, 4, 3, 2, 1, 0x14, 0x13, 0x12, 0x11, 0x24, 0x23, 0x22, 0x21];
        assert_eq!(record.encode(), bytes);
        assert_eq!(Record::decode(bytes), record);
    }

    #[test]
    fn what_is_written_is_read_again_and_streams_can_be_joined() {
        assert_eq!(read(encoded()).unwrap(), records());
        let twice = [encoded(), encoded()].concat();
        assert_eq!(read(twice).unwrap(), [records(), records()].concat());
    }

    #[test]
    fn a_file_cut_anywhere_is_an_error_that_names_the_file() {
        let whole = encoded();
        for length in (0..whole.len()).step_by(97).chain([whole.len() - 1]) {
            let error = read(whole[..length].to_vec()).unwrap_err().to_string();
            assert!(error.contains("some.trc.zst"), "{error}");
            let expect = if length == 0 { "empty" } else { "truncated" };
            assert!(error.contains(expect), "cut at {length}: {error}");
        }
    }

    #[test]
    fn half_a_record_is_an_error_that_names_the_offset() {
        let bytes = zstd::encode_all(&[0u8; 16 * 3 + 5][..], 1).unwrap();
        let error = read(bytes).unwrap_err().to_string();
        assert!(error.contains("byte 48") && error.contains("5 of the 16"), "{error}");
    }

    #[test]
    fn other_files_are_refused_and_a_trace_without_records_is_not() {
        assert!(read(b"key,size,time\n1,2,3\n".to_vec()).is_err());
        assert_eq!(read(TraceWriter::new(Vec::new()).unwrap().finish().unwrap()).unwrap(), []);
        let error = TraceReader::open("/nonexistent/x.trc.zst").unwrap_err().to_string();
        assert!(error.contains("/nonexistent/x.trc.zst"), "{error}");
    }
}
