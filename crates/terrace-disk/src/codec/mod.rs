//! How values are made shorter, and the working memory that this takes.
//!
//! Decision: the choice is made for each record and stands in it, so a log may hold every kind and the setting may
//! change between two openings. Values are encoded before the writer's lock is taken and decoded after all locks
//! were given back.

pub(crate) mod training;

use std::cell::Cell;
use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::RwLock;
use terrace_envelope::Compression as Algorithm;
use terrace_envelope::codec::{Choice, Coder, Dictionary, Worth};

use crate::config::Compression;
use crate::record::{Coded, VALUE_LIMIT};

/// Whether one value should be made shorter.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Compress {
    /// As the log was set up.
    #[default]
    Default,
    /// No.
    Never,
    /// Yes, if that makes it shorter at all.
    Always,
}

/// The codecs of an open log.
pub(crate) struct Codecs {
    how: Compression,
    choice: Choice,
    dictionaries: RwLock<Dictionaries>,
    pub(crate) training: parking_lot::Mutex<training::Progress>,
}

#[derive(Default)]
struct Dictionaries {
    all: BTreeMap<u32, Arc<Dictionary>>,
    /// What new values are encoded with; 0 for none.
    current: u32,
}

impl Codecs {
    pub(crate) fn new(how: Compression) -> Self {
        Self {
            how,
            choice: Choice::default(),
            dictionaries: RwLock::default(),
            training: parking_lot::Mutex::default(),
        }
    }

    /// Whether dictionaries are of any use.
    pub(crate) fn learns(&self) -> bool {
        uses_dictionaries(self.how)
    }

    /// The algorithm that tells what a dictionary is worth.
    pub(crate) fn judged_by(&self) -> Algorithm {
        if self.how == Compression::Lz4 { Algorithm::Lz4 } else { Algorithm::Zstd }
    }

    pub(crate) fn add_dictionary(&self, id: u32, dictionary: Dictionary) {
        let mut dictionaries = self.dictionaries.write();
        dictionaries.all.insert(id, Arc::new(dictionary));
        dictionaries.current = dictionaries.current.max(id);
    }

    /// The bytes that the files of all dictionaries take.
    pub(crate) fn dictionary_bytes(&self) -> u64 {
        let dictionaries = self.dictionaries.read();
        dictionaries.all.values().map(|dictionary| training::file_len(dictionary)).sum()
    }

    pub(crate) fn dictionary_ids(&self) -> Vec<u32> {
        self.dictionaries.read().all.keys().copied().collect()
    }

    pub(crate) fn current(&self) -> Option<(u32, Arc<Dictionary>)> {
        let dictionaries = self.dictionaries.read();
        let dictionary = dictionaries.all.get(&dictionaries.current)?;
        Some((dictionaries.current, Arc::clone(dictionary)))
    }

    /// Encodes a value into `out`, if that makes it shorter.
    pub(crate) fn encode(
        &self,
        wish: Compress,
        value: &[u8],
        coder: &mut Coder,
        out: &mut Vec<u8>,
    ) -> Option<Coded> {
        let how = match (wish, self.how) {
            (Compress::Never, _) | (Compress::Default, Compression::None) => return None,
            (Compress::Always, Compression::None) => Compression::Adaptive,
            (_, how) => how,
        };
        let dictionary = if uses_dictionaries(how) { self.current() } else { None };
        let with = dictionary.as_ref().map(|(_, dictionary)| dictionary.as_ref());
        let worth = if wish == Compress::Always { Worth::AnyByte } else { Worth::Enough };
        let algorithm = self.choice.encode(asked_for(how), worth, coder, with, value, out)?;
        let dictionary = match algorithm {
            Algorithm::Lz4 | Algorithm::Zstd => dictionary.as_ref().map_or(0, |(id, _)| *id),
            _ => 0,
        };
        Some(Coded { codec: algorithm.id(), dictionary, len: value.len() as u32 })
    }

    /// Appends the value that was stored.
    pub(crate) fn decode(
        &self,
        coded: Coded,
        stored: &[u8],
        coder: &mut Coder,
        out: &mut Vec<u8>,
    ) -> Result<(), &'static str> {
        let algorithm = Algorithm::from_id(coded.codec).ok_or("its codec is unknown to this release")?;
        let dictionary = match coded.dictionary {
            0 => None,
            id => {
                let known = self.dictionaries.read().all.get(&id).map(Arc::clone);
                Some(known.ok_or("the dictionary it was encoded with is missing")?)
            }
        };
        match coder.decode(algorithm, dictionary.as_deref(), stored, VALUE_LIMIT, out) {
            Ok(len) if len == coded.len as usize => Ok(()),
            _ => Err("its value cannot be decoded"),
        }
    }
}

/// The algorithm that a setting asks for; `None` for whichever suits the value.
fn asked_for(how: Compression) -> Option<Algorithm> {
    Some(match how {
        Compression::None => Algorithm::None,
        Compression::Lz4 => Algorithm::Lz4,
        Compression::Zstd => Algorithm::Zstd,
        Compression::Snappy => Algorithm::Snappy,
        Compression::Deflate => Algorithm::Deflate,
        Compression::Brotli => Algorithm::Brotli,
        Compression::Adaptive => return None,
    })
}

fn uses_dictionaries(how: Compression) -> bool {
    matches!(how, Compression::Lz4 | Compression::Zstd | Compression::Adaptive)
}

/// What one thread needs to read and write. It is reused, so that neither allocates once it is warm.
#[derive(Default)]
pub(crate) struct Workspace {
    pub(crate) coder: Coder,
    /// A record as it stands in the log.
    pub(crate) record: Vec<u8>,
    /// Its head, as the cipher wants it.
    pub(crate) head: Vec<u8>,
    /// Its body, decrypted.
    pub(crate) body: Vec<u8>,
    /// A value as it will be stored.
    pub(crate) stored: Vec<u8>,
}

/// One long value must not leave its size behind in every thread.
const LARGEST_WORKSPACE: usize = 1 << 20;

thread_local! {
    static WORKSPACE: Cell<Option<Box<Workspace>>> = const { Cell::new(None) };
}

/// Lends the thread's workspace. A thread that is ending has none any more and gets one for this call.
pub(crate) fn with_workspace<T>(work: impl FnOnce(&mut Workspace) -> T) -> T {
    let mut workspace = WORKSPACE.try_with(Cell::take).ok().flatten().unwrap_or_default();
    let result = work(&mut workspace);
    for bytes in [&mut workspace.record, &mut workspace.head, &mut workspace.body, &mut workspace.stored] {
        if bytes.capacity() > LARGEST_WORKSPACE {
            *bytes = Vec::new();
        }
    }
    let _ = WORKSPACE.try_with(|kept| kept.set(Some(workspace)));
    result
}
