//! compression: values made smaller, by an algorithm that is given or chosen for each value.
//!
//! Decision: a value that does not become smaller, is shorter than `min_size`, or is not to be compressed goes through
//! with its buffer; only a value that became smaller carries a frame, which names the algorithm and the dictionary, so
//! that any reader reads any writer, whatever either is set to. Nothing is allocated by a length above
//! [`VALUE_LIMIT`], whatever a frame claims.
//!
//! `Adaptive` keeps what it learned for each namespace. Dictionaries (Zstandard) are trained for a namespace from its
//! own entries, have numbers, and lie in the store itself under a namespace of Terrace's own, so a copy of the store has
//! what it takes to read it; a value names its dictionary only after the dictionary was stored.
//!
//! What is lost: [`Iterate::bytes`](terrace_store::capability::Iterate::bytes), see [transform](crate::transform).
//!
//! # Cost
//! That of the algorithm, in the caller's task: a value of 64 MiB takes some hundred milliseconds.

mod codec;
mod dictionaries;
#[cfg(test)]
mod tests;
mod train;

use std::cell::RefCell;
use std::sync::Arc;

use parking_lot::Mutex;
use terrace_envelope::Compression as Algorithm;
use terrace_envelope::codec::{Adaptive, Aim, Coder, Dictionary, Frame, is_built};
use terrace_store::store::VALUE_LIMIT;
use terrace_store::{
    BoxFuture, Clock, Compress, Entry, Error, ErrorKind, Key, Namespace, PutOptions, Result, Store,
};

use self::codec::Codecs;
use self::dictionaries::{Dictionaries, OWN};
use crate::transform::{Transform, Transformed, frame};
use crate::world::World;

pub use self::codec::{Codec, LEAST_CODEC};
pub use self::train::Training;

/// The kind of its frames.
const KIND: u8 = b'C';

/// Which algorithm a value is compressed with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Choice {
    /// Always this one.
    Fixed(Algorithm),
    /// Always the [`Codec`] of this number.
    Own(u8),
    /// Whatever serves this aim best, learned from the values before.
    Adaptive(Aim),
}

/// How values are compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CompressionConfig {
    /// By which algorithm.
    pub choice: Choice,
    /// Shorter values are left alone, in bytes.
    pub min_size: usize,
}

impl Default for CompressionConfig {
    /// The best balance of time and space, from 256 bytes on.
    fn default() -> Self {
        Self { choice: Choice::Adaptive(Aim::Balanced), min_size: 256 }
    }
}

/// A store whose values are compressed.
pub type Compression = Transformed<Compressor>;

impl Compression {
    /// Compresses the store's values, with the dictionaries that lie in it.
    ///
    /// # Errors
    /// `Config` for an algorithm that was left out of this build; `Corrupt` if a dictionary that lies in the store is
    /// damaged; whatever the store answers.
    pub async fn open(inner: Arc<dyn Store>, config: CompressionConfig, world: &World) -> Result<Self> {
        Self::with_codecs(inner, config, Vec::new(), world).await
    }

    /// The same with algorithms of a user's own, all of which it can read, whichever it writes.
    ///
    /// # Errors
    /// As [`Compression::open`]; and `Config` if two of them have one number, one has a number below [`LEAST_CODEC`], or
    /// the chosen one is not among them.
    pub async fn with_codecs(
        inner: Arc<dyn Store>,
        config: CompressionConfig,
        codecs: Vec<Arc<dyn Codec>>,
        world: &World,
    ) -> Result<Self> {
        let codecs = Codecs::new(codecs)?;
        if let Choice::Own(id) = config.choice {
            codecs.known(id)?;
        }
        if let Choice::Fixed(algorithm) = config.choice
            && !is_built(algorithm)
        {
            return Err(Error::new(ErrorKind::Config, "compression")
                .because(format!("the algorithm {} was left out of this build", algorithm.name())));
        }
        let compressor = Compressor {
            config,
            clock: Arc::clone(&world.clock),
            codecs,
            dictionaries: Dictionaries::load(&*inner).await?,
            learned: Mutex::default(),
        };
        Ok(Self::new(inner, compressor))
    }
}

/// Compresses values. Made by [`Compression::open`].
pub struct Compressor {
    config: CompressionConfig,
    clock: Arc<dyn Clock>,
    codecs: Codecs,
    dictionaries: Dictionaries,
    /// What was learned, for each namespace up to so many; the rest share that of the last.
    learned: Mutex<Vec<(Namespace, Arc<Adaptive>)>>,
}

/// As many namespaces are learned about one by one.
const LEARNED: usize = 256;

thread_local! {
    /// The working memory of the codecs, and room for what they make.
    static CODER: RefCell<(Coder, Vec<u8>)> = RefCell::default();
    /// What [`tick_ns`] reads while a value is encoded on this thread.
    static CLOCK: RefCell<Option<Arc<dyn Clock>>> = const { RefCell::new(None) };
}

/// The time of the clock that was handed in: the codecs take a plain function.
fn tick_ns() -> u64 {
    CLOCK.with_borrow(|clock| {
        clock.as_ref().map_or(0, |clock| u64::try_from(clock.now().as_nanos()).unwrap_or(u64::MAX))
    })
}

impl Compressor {
    /// What values of this length in this namespace would be compressed with now.
    pub fn current(&self, namespace: &Namespace, len: usize) -> Algorithm {
        match self.config.choice {
            _ if len < self.config.min_size => Algorithm::None,
            Choice::Fixed(algorithm) => algorithm,
            // None of those that are built in.
            Choice::Own(_) => Algorithm::None,
            Choice::Adaptive(aim) => self.learned(namespace, aim).current(len),
        }
    }

    fn learned(&self, namespace: &Namespace, aim: Aim) -> Arc<Adaptive> {
        let mut learned = self.learned.lock();
        if let Some(at) = learned.iter().position(|(known, _)| known == namespace) {
            return Arc::clone(&learned[at].1);
        }
        if learned.len() >= LEARNED {
            return Arc::clone(&learned[LEARNED - 1].1);
        }
        let fresh = Arc::new(Adaptive::new(aim, self.config.min_size, tick_ns));
        learned.push((namespace.clone(), Arc::clone(&fresh)));
        fresh
    }

    /// Begins to learn anew, as a new dictionary wants it.
    fn forget(&self, namespace: &Namespace) {
        self.learned.lock().retain(|(known, _)| known != namespace);
    }

    /// Whether this value is to be compressed at all.
    fn wants(&self, value: &[u8], compress: Compress) -> bool {
        match compress {
            Compress::Never => false,
            Compress::Default => value.len() >= self.config.min_size && !value.is_empty(),
            Compress::Always => !value.is_empty(),
        }
    }

    /// The entry as the codec of a user's own makes it; `None` if it does not become smaller.
    fn own(&self, id: u8, entry: &Entry) -> Result<Option<Vec<u8>>> {
        let mut framed = Vec::with_capacity(entry.value.len());
        frame::begin(KIND, entry, &mut framed);
        self.codecs.append(id, &entry.value, &mut framed)?;
        Ok((framed.len() < entry.value.len()).then_some(framed))
    }

    /// Encodes the value into `out` and says how; `None` if it is to stay as it is.
    fn squeeze(
        &self,
        coder: &mut Coder,
        key: &Key,
        value: &[u8],
        compress: Compress,
        dictionary: Option<&Dictionary>,
        out: &mut Vec<u8>,
    ) -> Algorithm {
        out.clear();
        if !self.wants(value, compress) {
            return Algorithm::None;
        }
        let how = match self.config.choice {
            Choice::Fixed(algorithm) => algorithm,
            Choice::Own(_) => Algorithm::None,
            Choice::Adaptive(aim) => {
                let adaptive = self.learned(&key.namespace(), aim);
                CLOCK.set(Some(Arc::clone(&self.clock)));
                let how = adaptive.encode(coder, dictionary, value, out);
                CLOCK.set(None);
                if how != Algorithm::None {
                    return how;
                }
                // It is not worth it, or unknown; who wants it always gets what is fastest to read.
                if compress == Compress::Always { Algorithm::Lz4 } else { Algorithm::None }
            }
        };
        out.clear();
        if how == Algorithm::None || coder.encode(how, dictionary, value, out).is_err() {
            return Algorithm::None;
        }
        // A byte less is worth it only if the frame does not take it.
        if out.len() + frame::HEAD + Frame::MOST_ADDED < value.len() { how } else { Algorithm::None }
    }
}

impl Transform for Compressor {
    fn encode(&self, key: &Key, entry: Entry, options: &PutOptions) -> Result<Entry> {
        if let Choice::Own(id) = self.config.choice
            && self.wants(&entry.value, options.compress)
            && let Some(framed) = self.own(id, &entry)?
        {
            return Ok(frame::close(KIND, entry, framed));
        }
        let dictionary = self.dictionaries.current(&key.namespace());
        let dictionary = dictionary.as_deref();
        CODER.with_borrow_mut(|(coder, room)| {
            let how = self.squeeze(coder, key, &entry.value, options.compress, dictionary, room);
            if how == Algorithm::None && !frame::is_framed(&entry) {
                return Ok(entry);
            }
            let body = if how == Algorithm::None { &entry.value[..] } else { &room[..] };
            let mut framed = Vec::with_capacity(frame::HEAD + Frame::MOST_ADDED + body.len());
            frame::begin(KIND, &entry, &mut framed);
            Frame::begin(how, dictionary, &mut framed);
            framed.extend_from_slice(body);
            if room.capacity() > 1 << 20 {
                // One large value must not leave its size behind in every thread.
                *room = Vec::new();
            }
            Ok(frame::close(KIND, entry, framed))
        })
    }

    fn decode(&self, key: &Key, entry: Entry) -> Result<Entry> {
        if !frame::is_of(KIND, &entry) {
            return Ok(entry);
        }
        let (mut entry, framed) = frame::open(KIND, key, entry)?;
        if Codecs::made(&framed) {
            entry.value = self.codecs.decode(key, &framed)?.into();
            return Ok(entry);
        }
        let Frame { how, dictionary, encoded } = Frame::read(&framed).map_err(|error| refused(key, error))?;
        if how == Algorithm::None {
            entry.value = framed.slice_ref(encoded);
            return Ok(entry);
        }
        let dictionary = match dictionary {
            Some(id) => Some(self.dictionaries.loaded(id).ok_or_else(|| no_dictionary(key, id))?),
            None => None,
        };
        let mut value = Vec::new();
        CODER
            .with_borrow_mut(|(coder, _)| {
                coder.decode(how, dictionary.as_deref(), encoded, VALUE_LIMIT, &mut value)
            })
            .map_err(|error| refused(key, error))?;
        entry.value = value.into();
        Ok(entry)
    }

    fn prepare<'a>(&'a self, beneath: &'a dyn Store, entry: &Entry) -> Option<BoxFuture<'a, Result<()>>> {
        if !frame::is_of(KIND, entry) {
            return None;
        }
        let framed = entry.value.get(frame::HEAD..)?;
        let id = Frame::read(framed).ok()?.dictionary?;
        if self.dictionaries.loaded(id).is_some() {
            return None;
        }
        Some(Box::pin(self.dictionaries.fetch(beneath, id)))
    }

    fn owns(&self, namespace: &Namespace) -> bool {
        namespace.name() == OWN
    }

    fn cleared<'a>(&'a self, beneath: &'a dyn Store, before: bool) -> Option<BoxFuture<'a, Result<()>>> {
        Some(Box::pin(self.dictionaries.cleared(beneath, before)))
    }
}

fn refused(key: &Key, error: terrace_envelope::Error) -> Error {
    frame::corrupt(key, "it cannot be decompressed").caused_by(error)
}

fn no_dictionary(key: &Key, id: u32) -> Error {
    Error::new(ErrorKind::Corrupt, "get")
        .because(
            "the dictionary that the value was compressed with is not in the store; restore it from a copy",
        )
        .with("dictionary", id)
        .with("key", key.flat().escape_ascii())
}
