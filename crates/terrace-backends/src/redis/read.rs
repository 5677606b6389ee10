//! Reads: the record and the floors that clears left, in one round trip.

use bytes::Bytes;
use redis::Pipeline;
use terrace_store::{Entry, Key, Result, Version};

use super::link::Intent;
use super::names::{self, HEADER, Header};
use super::{Redis, names::digits};
use crate::record::{self, Record};

/// What clears left for the namespaces of some keys.
pub(super) struct Floors(Vec<(Bytes, Version)>, Version);

impl Floors {
    /// Whether a clear removed what has this version.
    pub(super) fn bury(&self, key: &Key, version: Version) -> bool {
        let own = self.0.iter().find(|(space, _)| space[1..] == *key.namespace_name());
        version <= own.map_or(self.1, |(_, floor)| self.1.max(*floor))
    }
}

impl Redis {
    pub(super) async fn read(&self, key: &Key) -> Result<Option<Entry>> {
        self.ready("get").await?;
        let mut commands = redis::pipe();
        commands.cmd("GET").arg(self.names.record(key.flat()));
        let spaces = self.ask_floors(&mut commands, std::slice::from_ref(key));
        let (found, floors): (Option<Vec<u8>>, Vec<Option<Vec<u8>>>) =
            self.link.run_all(Intent::Read("get"), &commands).await?;
        self.entry(key, found, &self.floors(spaces, floors)?)
    }

    pub(super) async fn is_there(&self, key: &Key) -> Result<bool> {
        self.ready("exists").await?;
        let mut commands = redis::pipe();
        commands.cmd("GETRANGE").arg(self.names.record(key.flat())).arg(0).arg(HEADER - 1);
        let spaces = self.ask_floors(&mut commands, std::slice::from_ref(key));
        let (found, floors): (Vec<u8>, Vec<Option<Vec<u8>>>) =
            self.link.run_all(Intent::Read("exists"), &commands).await?;
        let floors = self.floors(spaces, floors)?;
        Ok(self.header(key, &found, &floors)?.is_some())
    }

    pub(super) async fn read_many(&self, keys: &[Key]) -> Result<Vec<Option<Entry>>> {
        self.ready("get").await?;
        if keys.is_empty() {
            return Ok(Vec::new());
        }
        let mut commands = redis::pipe();
        commands.cmd("MGET").arg(keys.iter().map(|key| self.names.record(key.flat())).collect::<Vec<_>>());
        let spaces = self.ask_floors(&mut commands, keys);
        let (found, floors): (Vec<Option<Vec<u8>>>, Vec<Option<Vec<u8>>>) =
            self.link.run_all(Intent::Read("get"), &commands).await?;
        let floors = self.floors(spaces, floors)?;
        keys.iter().zip(found).map(|(key, found)| self.entry(key, found, &floors)).collect()
    }

    /// The headers of these keys that count, as entries without a value.
    pub(super) async fn read_headers(&self, keys: &[Key]) -> Result<Vec<Option<Entry>>> {
        let mut commands = redis::pipe();
        for key in keys {
            commands.cmd("GETRANGE").arg(self.names.record(key.flat())).arg(0).arg(HEADER - 1);
        }
        let spaces = self.ask_floors(&mut commands, keys);
        let mut found: Vec<redis::Value> = self.link.run_all(Intent::Read("list"), &commands).await?;
        let read =
            |value| redis::from_redis_value(value).map_err(|_| names::corrupt("an answer of another kind"));
        let floors = self.floors(spaces, found.pop().map(read).transpose()?.unwrap_or_default())?;
        let headers = keys.iter().zip(found).map(|(key, value)| {
            let bytes: Vec<u8> =
                redis::from_redis_value(value).map_err(|_| names::corrupt("an answer of another kind"))?;
            let header = self.header(key, &bytes, &floors)?;
            Ok(header.map(|header| Entry {
                version: header.version,
                expires_ms: std::num::NonZeroU64::new(header.ends_ms),
                ..Entry::new(Bytes::new())
            }))
        });
        headers.collect()
    }

    /// Asks for the floors of these keys. After the records: what a floor that came meanwhile buries is then gone.
    fn ask_floors(&self, commands: &mut Pipeline, keys: &[Key]) -> Vec<Bytes> {
        let mut spaces: Vec<Bytes> = Vec::new();
        for key in keys {
            let space = key.flat_bytes().slice(..1 + key.namespace_name().len());
            if !spaces.contains(&space) {
                spaces.push(space);
            }
        }
        let ask = commands.cmd("HMGET").arg(self.names.floors()).arg(b"");
        spaces.iter().for_each(|space| {
            ask.arg(&space[..]);
        });
        spaces
    }

    fn floors(&self, spaces: Vec<Bytes>, found: Vec<Option<Vec<u8>>>) -> Result<Floors> {
        let mut found = found.into_iter().map(|floor| match floor {
            Some(floor) => names::version(floor.get(..20).unwrap_or_default()),
            None => Ok(Version::ZERO),
        });
        let all = found.next().unwrap_or(Ok(Version::ZERO))?;
        let own = spaces.into_iter().zip(found).map(|(space, floor)| Ok((space, floor?)));
        Ok(Floors(own.collect::<Result<_>>()?, all))
    }

    fn header(&self, key: &Key, record: &[u8], floors: &Floors) -> Result<Option<Header>> {
        if record.is_empty() {
            return Ok(None);
        }
        let header = Header::parse(record)?;
        let counts = header.is_live(self.life.wall_ms()) && !floors.bury(key, header.version);
        self.sequence.see(header.version);
        Ok(counts.then_some(header))
    }

    fn entry(&self, key: &Key, found: Option<Vec<u8>>, floors: &Floors) -> Result<Option<Entry>> {
        let record = Bytes::from(found.unwrap_or_default());
        let Some(header) = self.header(key, &record, floors)? else { return Ok(None) };
        match record::open(key, &record.slice(HEADER..))? {
            Record::Live(entry) => Ok(Some(Entry { version: header.version, ..entry })),
            Record::Tombstone { .. } => Err(names::corrupt("an entry whose envelope is a tombstone's")),
        }
    }
}

/// The header and envelope of an entry, without its version, as the script for writes wants them: its end, the bytes
/// that count, the envelope.
pub(super) fn parts(key: &Key, entry: &Entry, envelope: Vec<u8>) -> [Vec<u8>; 3] {
    let size = key.bytes().len() + entry.value.len();
    // An end of zero would be none.
    let ends = entry.deadline_ms().map_or(0, |ends| ends.max(1));
    [digits(ends).into_bytes(), format!("{size:010}").into_bytes(), envelope]
}
