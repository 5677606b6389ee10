//! How a log is set up.

use std::time::Duration;

use crate::error::{Error, Result};

/// What the log is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Nothing is ever evicted; the room of what was overwritten or deleted is won back by compaction.
    Store {
        /// The most bytes that records may take; `None` for as many as the disk has. A put beyond it is `Full`.
        capacity: Option<u64>,
    },
    /// The oldest segments go when the budget is used up.
    Cache {
        /// The bytes that all files may take together. At least 1 MiB.
        budget: u64,
    },
}

/// When a write is acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// After an fsync that covers it.
    Always,
    /// The same; whoever syncs for others waits this long at most for more of them to come.
    Group(Duration),
    /// After write(2). [`Disk::sync_due`](crate::Disk::sync_due) says when an fsync is due: no more than this
    /// is lost on power loss, and nothing when the process is killed.
    Interval(Duration),
    /// After write(2); the operating system decides when the disk has it.
    Never,
}

impl Durability {
    /// Whether an acknowledged write outlives a power cut.
    pub(crate) fn is_durable(self) -> bool {
        matches!(self, Self::Always | Self::Group(_))
    }
}

/// How values are made shorter.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Compression {
    /// Not at all.
    None,
    /// By LZ4, where it gains anything.
    Lz4,
    /// By Zstandard, where it gains anything.
    Zstd,
    /// By Snappy, where it gains anything.
    Snappy,
    /// By Deflate, where it gains anything.
    Deflate,
    /// By Brotli, where it gains anything.
    Brotli,
    /// By what made the last values of that length shorter, LZ4 unless Zstandard is shorter by an eighth.
    #[default]
    Adaptive,
}

/// How segments are read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Reads {
    /// By positioned reads: an error of the device is an error.
    #[default]
    Positioned,
    /// Sealed segments from a mapping: faster when warm, but an error of the device ends the process.
    Mapped,
    /// As `Positioned`, and [`Disk::get_many`](crate::Disk::get_many) hands all of its reads to the kernel together, by
    /// io_uring. Where the kernel or a container forbids that, or this build is without it, opening is refused.
    Ring,
    /// As `Ring` where that is possible, and as `Positioned` elsewhere.
    Auto,
}

/// What a cache takes in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Admission {
    /// The most bytes that are written a day, averaged over an hour; `None` for any number. Close to it, only
    /// keys are admitted that were offered repeatedly.
    pub bytes_per_day: Option<u64>,
    /// Values longer than this are not admitted. `None` for half of a segment.
    pub longest_value: Option<usize>,
    /// How often a key must have been offered lately to be admitted: 1 admits every key the first time.
    pub offers: u8,
}

/// How a log is set up.
#[derive(Clone, Debug)]
pub struct Config {
    /// What it is for.
    pub mode: Mode,
    /// When a write is acknowledged.
    pub durability: Durability,
    /// The size of a segment in bytes; `None` for what suits the mode. 64 KiB to 1 GiB.
    pub segment_bytes: Option<u64>,
    /// How values are made shorter.
    pub compression: Compression,
    /// How segments are read.
    pub reads: Reads,
    /// What a cache takes in.
    pub admission: Admission,
    /// The share of all that is written, in hundredths, that may be written again because it was read.
    pub reinsert_percent: u8,
    /// Compaction takes segments of which at least so many hundredths are garbage.
    pub garbage_percent: u8,
    /// How long a key remembers the version of an entry that expired, so that no older one is taken in with
    /// [`Condition::Newer`](crate::Condition::Newer). In whole seconds.
    pub floor_retention: Duration,
    /// How many threads read when it is opened; 0 for as many as there are processors, at most 8.
    pub open_threads: usize,
}

impl Config {
    /// A store without a limit, synced for each acknowledgement.
    #[must_use]
    pub fn store() -> Self {
        Self {
            mode: Mode::Store { capacity: None },
            durability: Durability::Always,
            segment_bytes: None,
            compression: Compression::default(),
            reads: Reads::default(),
            admission: Admission::default(),
            reinsert_percent: 8,
            garbage_percent: 40,
            floor_retention: Duration::from_secs(3600),
            open_threads: 0,
        }
    }

    /// A cache of this many bytes on the disk, synced every second.
    #[must_use]
    pub fn cache(budget: u64) -> Self {
        Self {
            mode: Mode::Cache { budget },
            durability: Durability::Interval(Duration::from_secs(1)),
            ..Self::store()
        }
    }

    /// # Errors
    /// `Invalid` with what is wrong.
    pub(crate) fn check(&self) -> Result<()> {
        let refuse = |why: &str| Err(Error::Invalid(why.to_owned()));
        match (self.mode, self.durability) {
            (Mode::Cache { budget }, _) if budget < 1 << 20 => {
                return refuse("the budget of a cache is at least 1 MiB");
            }
            (_, Durability::Interval(interval)) if interval.is_zero() => {
                return refuse("an interval of zero is `always`; ask for that");
            }
            _ => {}
        }
        if let Some(bytes) = self.segment_bytes {
            if !(64 << 10..=1 << 30).contains(&bytes) {
                return refuse("a segment is 64 KiB to 1 GiB");
            }
            if let Mode::Cache { budget } = self.mode
                && bytes > budget / 4
            {
                return refuse("a segment of a cache is at most a quarter of its budget");
            }
        }
        if self.reinsert_percent > 50 {
            return refuse("at most 50 hundredths of an evicted segment are written again");
        }
        if !(1..=100).contains(&self.garbage_percent) {
            return refuse("garbage_percent is 1 to 100");
        }
        Ok(())
    }

    /// The size of a segment.
    pub(crate) fn segment_len(&self) -> u64 {
        self.segment_bytes.unwrap_or(match self.mode {
            Mode::Store { .. } => 64 << 20,
            Mode::Cache { budget } => (budget / 16).clamp(64 << 10, 64 << 20),
        })
    }

    pub(crate) fn threads(&self) -> usize {
        match self.open_threads {
            0 => std::thread::available_parallelism().map_or(1, usize::from).min(8),
            some => some.min(64),
        }
    }
}
