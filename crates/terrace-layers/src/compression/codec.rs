//! Algorithms of a user's own.
//!
//! ```text
//! [127: u8] [number of the codec: u8] [length of the value: u32, little-endian] [what the codec made of it]
//! ```
//!
//! Decision: the first byte is none that the built-in algorithms have, so a reader without the codec says which number it
//! misses instead of guessing. The length is compared with the limit of all values before the codec is asked, and with what
//! it gave afterwards.

use std::sync::Arc;

use terrace_store::store::VALUE_LIMIT;
use terrace_store::{Error, ErrorKind, Key, Result};

use crate::transform::frame;

/// Tells values that a codec of a user's own made.
const MARK: u8 = 127;

/// Bytes before what the codec made.
const HEAD: usize = 6;

/// The lowest number of a user's own codec; those below are Terrace's.
pub const LEAST_CODEC: u8 = 128;

/// A way to make values smaller.
pub trait Codec: Send + Sync + 'static {
    /// Its name in configurations.
    fn name(&self) -> &str;

    /// Its number, which is stored with each value that it made and must never mean another: [`LEAST_CODEC`] to 255.
    fn id(&self) -> u8;

    /// Appends what it makes of the value, which may be longer than the value: it is stored plain then.
    ///
    /// # Errors
    /// What keeps the value from being written.
    fn encode(&self, value: &[u8], out: &mut Vec<u8>) -> Result<()>;

    /// Appends the value, which is `length` bytes long. More must not be allocated, whatever `encoded` claims.
    ///
    /// # Errors
    /// `Corrupt` for what it has not made.
    fn decode(&self, encoded: &[u8], length: usize, out: &mut Vec<u8>) -> Result<()>;
}

/// Those that were given.
pub(super) struct Codecs(Vec<Arc<dyn Codec>>);

impl Codecs {
    pub(super) fn new(codecs: Vec<Arc<dyn Codec>>) -> Result<Self> {
        for (place, codec) in codecs.iter().enumerate() {
            if codec.id() < LEAST_CODEC {
                return Err(refused(format!(
                    "the codec {} has the number {}; those of users begin with {LEAST_CODEC}",
                    codec.name(),
                    codec.id()
                )));
            }
            if let Some(other) = codecs[..place].iter().find(|other| other.id() == codec.id()) {
                let (a, b) = (other.name(), codec.name());
                return Err(refused(format!(
                    "the codecs {a} and {b} have one number; give one of them another"
                )));
            }
        }
        Ok(Self(codecs))
    }

    /// The codec of this number.
    pub(super) fn known(&self, id: u8) -> Result<&dyn Codec> {
        let found = self.0.iter().find(|codec| codec.id() == id);
        found.map(|codec| &**codec).ok_or_else(|| refused(format!("there is no codec with the number {id}")))
    }

    /// Whether the framed value was made by a codec of a user's own.
    pub(super) fn made(framed: &[u8]) -> bool {
        framed.first() == Some(&MARK)
    }

    pub(super) fn append(&self, id: u8, value: &[u8], out: &mut Vec<u8>) -> Result<()> {
        let codec = self.known(id)?;
        let length = u32::try_from(value.len()).unwrap_or(u32::MAX);
        out.extend_from_slice(&[MARK, id]);
        out.extend_from_slice(&length.to_le_bytes());
        codec.encode(value, out)
    }

    pub(super) fn decode(&self, key: &Key, framed: &[u8]) -> Result<Vec<u8>> {
        let cut = || frame::corrupt(key, "it is cut short");
        let (head, encoded) = framed.split_at_checked(HEAD).ok_or_else(cut)?;
        let id = head[1];
        let length = u32::from_le_bytes([head[2], head[3], head[4], head[5]]) as usize;
        if length > VALUE_LIMIT {
            return Err(frame::corrupt(key, "it claims to be longer than a value may be"));
        }
        let codec = self.known(id).map_err(|_| {
            Error::new(ErrorKind::Config, "get")
                .because("the codec that the value was written with was not given; register it")
                .with("codec", id)
                .with("key", key.flat().escape_ascii())
        })?;
        let mut value = Vec::new();
        codec.decode(encoded, length, &mut value).map_err(|error| {
            frame::corrupt(key, "it cannot be decompressed").with("codec", codec.name()).caused_by(error)
        })?;
        if value.len() != length {
            return Err(frame::corrupt(key, "it is not as long as it was").with("codec", codec.name()));
        }
        Ok(value)
    }
}

fn refused(why: String) -> Error {
    Error::new(ErrorKind::Config, "compression").because(why)
}

#[cfg(test)]
mod tests {
    use terrace_store::fakes::{FrozenClock, MapStore};
    use terrace_store::{Store, StoreExt, block_on};

    use super::*;
    use crate::world::tests::world;
    use crate::{Compression, CompressionConfig};

    /// Runs of one byte: a count and the byte.
    struct Runs(u8);

    impl Codec for Runs {
        fn name(&self) -> &str {
            "runs"
        }

        fn id(&self) -> u8 {
            self.0
        }

        fn encode(&self, value: &[u8], out: &mut Vec<u8>) -> Result<()> {
            for run in value.chunk_by(|a, b| a == b).flat_map(|run| run.chunks(255)) {
                out.extend_from_slice(&[run.len() as u8, run[0]]);
            }
            Ok(())
        }

        fn decode(&self, encoded: &[u8], length: usize, out: &mut Vec<u8>) -> Result<()> {
            for run in encoded.chunks_exact(2) {
                if out.len() + usize::from(run[0]) > length {
                    return Err(Error::new(ErrorKind::Corrupt, "runs"));
                }
                out.resize(out.len() + usize::from(run[0]), run[1]);
            }
            Ok(())
        }
    }

    fn open(
        map: &Arc<MapStore>,
        choice: super::super::Choice,
        codecs: Vec<Arc<dyn Codec>>,
    ) -> Result<Compression> {
        let config = CompressionConfig { choice, min_size: 16 };
        block_on(Compression::with_codecs(map.clone(), config, codecs, &world(&FrozenClock::default())))
    }

    #[test]
    fn a_codec_of_a_users_own_writes_and_every_reader_that_has_it_reads() {
        use super::super::Choice;
        let map = Arc::new(MapStore::default());
        let own = open(&map, Choice::Own(200), vec![Arc::new(Runs(200))]).unwrap();
        let [runs, mixed, short] = ["runs", "mixed", "short"].map(|name| Key::new("n", name).unwrap());
        let noise: Vec<u8> = (0..100).collect();
        let _ = block_on(own.put_with(&runs, vec![7; 1_000])).unwrap();
        let _ = block_on(own.put_with(&mixed, noise.clone())).unwrap();
        let _ = block_on(own.put_with(&short, vec![7; 10])).unwrap();
        assert!(block_on(map.get(&runs)).unwrap().unwrap().value.len() < 40);
        assert_eq!(block_on(map.get(&mixed)).unwrap().unwrap().value, noise, "it does not become smaller");
        assert_eq!(block_on(own.get(&runs)).unwrap().unwrap().value, vec![7; 1_000]);
        let adaptive = open(&map, CompressionConfig::default().choice, vec![Arc::new(Runs(200))]).unwrap();
        assert_eq!(block_on(adaptive.get(&runs)).unwrap().unwrap().value, vec![7; 1_000]);
        let without = open(&map, CompressionConfig::default().choice, Vec::new()).unwrap();
        let error = block_on(without.get(&runs)).unwrap_err();
        assert!(error.to_string().contains("codec: 200"), "{error}");
    }

    #[test]
    fn what_cannot_be_told_apart_or_was_damaged_is_an_error() {
        use super::super::Choice;
        let map = Arc::new(MapStore::default());
        for (choice, codecs, words) in [
            (Choice::Own(200), vec![], "number 200"),
            (Choice::Own(3), vec![3], "begin with 128"),
            (Choice::Own(200), vec![200, 200], "one number"),
        ] {
            let codecs = codecs.into_iter().map(|id| Arc::new(Runs(id)) as Arc<dyn Codec>).collect();
            let error = open(&map, choice, codecs).err().unwrap();
            assert_eq!(error.kind(), ErrorKind::Config);
            assert!(error.to_string().contains(words), "{error}");
        }
        let codecs = Codecs::new(vec![Arc::new(Runs(200))]).unwrap();
        let key = Key::new("n", "k").unwrap();
        let mut framed = Vec::new();
        codecs.append(200, &[7; 600], &mut framed).unwrap();
        for len in 1..framed.len() {
            assert!(codecs.decode(&key, &framed[..len]).is_err(), "cut to {len}");
        }
        framed[2..6].copy_from_slice(&u32::MAX.to_le_bytes());
        assert!(codecs.decode(&key, &framed).unwrap_err().to_string().contains("longer"));
    }
}
