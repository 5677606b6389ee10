//! How a store over the log is set up.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use terrace_disk::{Compression, Config, Mode, Reads};
use terrace_envelope::crypt::Keyring;
use terrace_store::{Durability, Error, ErrorKind, Result};

use crate::url::{Url, refused};

/// How a [`DiskStore`](super::DiskStore) is set up.
#[derive(Clone, Debug)]
pub struct DiskConfig {
    /// The folder; it is made if it is not there.
    pub path: PathBuf,
    /// When a write is acknowledged. [`Durability::Process`] is refused.
    pub durability: Durability,
    /// The most bytes it may take. Of a store, those of its records: a put beyond it is `Full`. Of a cache, those of
    /// its files: the oldest entries leave.
    pub capacity: Option<u64>,
    /// Whether it is a cache. That takes a capacity.
    pub cache: bool,
    /// How values are made shorter: `none`, `lz4`, `zstd` or `adaptive`.
    pub compression: &'static str,
    /// How it is read: `positioned`, by system calls; `mapped`, sealed segments from a mapping: faster when warm, but an
    /// error of the device ends the process; `ring`, by system calls, and many keys in one go by io_uring, which is
    /// refused where it is not built in or not allowed; `auto`, as `ring` where that is possible.
    pub reads: &'static str,
    /// The size of a segment in bytes; `None` for what suits the store.
    pub segment_bytes: Option<u64>,
    /// How many bytes a second compaction may read at most.
    pub compaction_bytes_per_second: u64,
    /// The keys of an encrypted store: new segments are written with the current one, older ones are read with theirs, and
    /// those that are not encrypted are read as they are. Not in a URL.
    pub keys: Option<Arc<Keyring>>,
}

const COMPRESSIONS: [(&str, Compression); 4] = [
    ("adaptive", Compression::Adaptive),
    ("none", Compression::None),
    ("lz4", Compression::Lz4),
    ("zstd", Compression::Zstd),
];

const READS: [(&str, Reads); 4] = [
    ("positioned", Reads::Positioned),
    ("mapped", Reads::Mapped),
    ("ring", Reads::Ring),
    ("auto", Reads::Auto),
];

impl DiskConfig {
    /// A store in this folder: acknowledged after write(2), synced every second, without a limit, compressed where that
    /// pays.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            durability: Durability::Interval(Duration::from_secs(1)),
            capacity: None,
            cache: false,
            compression: "adaptive",
            reads: "positioned",
            segment_bytes: None,
            compaction_bytes_per_second: 64 << 20,
            keys: None,
        }
    }

    /// A cache in this folder, of so many bytes.
    pub fn cache(path: impl Into<PathBuf>, bytes: u64) -> Self {
        Self { capacity: Some(bytes), cache: true, ..Self::new(path) }
    }

    /// What a URL such as `disk:/var/lib/terrace?durability=always` says.
    ///
    /// # Errors
    /// `Config` for an option it does not know or cannot read.
    pub(crate) fn from_url(mut url: Url) -> Result<Self> {
        let mut config = Self::new(url.path()?);
        config.durability = url.durability(config.durability)?;
        config.capacity = url.number("capacity")?;
        config.cache = match url.text("mode").as_deref() {
            None | Some("store") => false,
            Some("cache") => true,
            Some(other) => {
                return Err(refused(format!("option `mode` is `store` or `cache`, not `{other}`")));
            }
        };
        if let Some(wanted) = url.text("compression") {
            let found = COMPRESSIONS.iter().find(|(name, _)| *name == wanted);
            let Some((name, _)) = found else {
                let known: Vec<&str> = COMPRESSIONS.iter().map(|(name, _)| *name).collect();
                return Err(refused(format!(
                    "there is no compression `{wanted}`; there are: {}",
                    known.join(", ")
                )));
            };
            config.compression = name;
        }
        if let Some(wanted) = url.text("reads") {
            let Some((name, _)) = READS.iter().find(|(name, _)| *name == wanted) else {
                let known: Vec<&str> = READS.iter().map(|(name, _)| *name).collect();
                return Err(refused(format!(
                    "option `reads` is one of {}, not `{wanted}`",
                    known.join(", ")
                )));
            };
            config.reads = name;
        }
        config.segment_bytes = url.number("segment_bytes")?;
        config.compaction_bytes_per_second =
            url.number("compaction_bytes_per_second")?.unwrap_or(config.compaction_bytes_per_second);
        url.finish()?;
        Ok(config)
    }

    /// The engine's configuration.
    ///
    /// # Errors
    /// `Config` for what the store cannot do.
    pub(super) fn engine(&self) -> Result<Config> {
        let refused =
            |why: &str| Error::new(ErrorKind::Config, "open").with("store", super::NAME).because(why);
        let durability = match self.durability {
            Durability::Process => {
                return Err(refused("a store on disk has a durability of at least `never`"));
            }
            Durability::Never => terrace_disk::Durability::Never,
            Durability::Interval(interval) => terrace_disk::Durability::Interval(interval),
            Durability::Group(gather) => terrace_disk::Durability::Group(gather),
            Durability::Always => terrace_disk::Durability::Always,
        };
        let base = match (self.cache, self.capacity) {
            (true, None) => return Err(refused("a cache needs a capacity")),
            (true, Some(budget)) => Config::cache(budget),
            (false, capacity) => Config { mode: Mode::Store { capacity }, ..Config::store() },
        };
        let compression = COMPRESSIONS.iter().find(|(name, _)| *name == self.compression);
        let Some((_, compression)) = compression else {
            return Err(refused("there is no such compression").with("compression", self.compression));
        };
        let Some((_, reads)) = READS.iter().find(|(name, _)| *name == self.reads) else {
            return Err(refused("there is no such way of reading").with("reads", self.reads));
        };
        let (compression, reads, segment_bytes) = (*compression, *reads, self.segment_bytes);
        Ok(Config { durability, compression, reads, segment_bytes, ..base })
    }
}
