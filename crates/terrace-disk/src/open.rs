//! Opening a log.
//!
//! Decision: recovery only reads, but for cutting a torn tail off the last segment and removing what the log says
//! was removed; both may be done any number of times. The first write begins a new segment whose versions lie above
//! everything the last one could have held, so that none is ever given twice even if a tail was lost.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, OnceLock};

use parking_lot::{Mutex, RwLock};

use crate::admission::Gate;
use crate::cipher::KeySource;
use crate::codec::Codecs;
use crate::config::{Config, Reads};
use crate::error::{Error, Result};
use crate::evicted::Evicted;
use crate::header::{HEADER_LEN, Header, MARK_NAME, Mark, id_of, segment_name};
use crate::index::Index;
use crate::io::Io;
use crate::order::Orders;
use crate::point::point;
use crate::recover::Recovery;
use crate::report::OpenReport;
use crate::roll::random_bytes;
use crate::shared::{Segments, Shared};
use crate::writer::Writer;

/// A whole file.
pub(crate) fn read_file(io: &dyn Io, name: &str) -> Result<Vec<u8>> {
    let file = io.open(name, false).map_err(Error::io("open", name))?;
    let len = file.len().map_err(Error::io("read", name))?;
    let mut bytes = vec![0; usize::try_from(len).map_err(|_| Error::Full("a file is too long"))?];
    let read = file.read_at(&mut bytes, 0).map_err(Error::io("read", name))?;
    bytes.truncate(read);
    Ok(bytes)
}

/// The mark of the folder, which is made if there is no log in it.
fn read_mark(io: &dyn Io, names: &[String], report: &mut OpenReport) -> Result<Mark> {
    if names.iter().any(|name| name == MARK_NAME) {
        return Mark::parse(&read_file(io, MARK_NAME)?);
    }
    if names.iter().any(|name| id_of(name, "", ".seg").is_some()) {
        return Err(Error::Foreign(format!("there are segments but no file {MARK_NAME}")));
    }
    report.created = true;
    let mut random = [0; 16];
    random_bytes(&mut random)?;
    let (store, seed) = random.split_at(8);
    let number = |bytes: &[u8]| bytes.try_into().map_or(0, u64::from_le_bytes);
    let mark = Mark { store: number(store), seed: number(seed) };
    let temporary = format!("{MARK_NAME}.new");
    let _ = io.remove(&temporary);
    let file = io.create(&temporary).map_err(Error::io("create", &temporary))?;
    file.write_all_at(&mark.to_bytes(), 0).map_err(Error::io("write", &temporary))?;
    file.sync().map_err(Error::io("sync", &temporary))?;
    io.rename(&temporary, MARK_NAME).map_err(Error::io("rename", &temporary))?;
    io.sync_dir().map_err(Error::io("sync", "the folder"))?;
    point("open.after_mark");
    Ok(mark)
}

/// The segments as they are found.
#[derive(Default)]
pub(crate) struct Found {
    /// Those with a header, by number, with the length of their files.
    pub(crate) sound: BTreeMap<u64, (Header, u64)>,
    /// Those without, with the length of their files.
    pub(crate) unreadable: BTreeMap<u64, u64>,
}

fn find_segments(io: &dyn Io, names: &[String], mark: Mark) -> Result<Found> {
    let mut found = Found::default();
    for id in names.iter().filter_map(|name| id_of(name, "", ".seg")) {
        let name = segment_name(id);
        let file = io.open(&name, false).map_err(Error::io("open", &name))?;
        let len = file.len().map_err(Error::io("read", &name))?;
        let mut bytes = [0; HEADER_LEN as usize];
        let read = file.read_at(&mut bytes, 0).map_err(Error::io("read", &name))?;
        match Header::parse(bytes.get(..read).unwrap_or_default())? {
            Some(header) if header.store != mark.store => {
                return Err(Error::Foreign(format!("{name} belongs to another log")));
            }
            Some(header) if header.id == id => {
                found.sound.insert(id, (header, len));
            }
            _ => {
                found.unreadable.insert(id, len);
            }
        }
    }
    Ok(found)
}

/// The folder as it is to be read, and whether that is by a ring.
fn choose_reads(io: Arc<dyn Io>, reads: Reads) -> Result<(Arc<dyn Io>, bool)> {
    if !matches!(reads, Reads::Ring | Reads::Auto) {
        return Ok((io, false));
    }
    match io.ringed() {
        Ok(ringed) => Ok((ringed, true)),
        Err(_) if reads == Reads::Auto => Ok((io, false)),
        Err(error) => {
            let why = format!("{error}: choose positioned reads, or `auto` to do without where it must be");
            Err(Error::Invalid(why))
        }
    }
}

/// Opens the log in a folder, or makes one.
pub(crate) fn open(
    io: Arc<dyn Io>,
    config: Config,
    keys: Option<Arc<dyn KeySource>>,
    now: u64,
) -> Result<(Arc<Shared>, OpenReport)> {
    config.check()?;
    let (io, ringed) = choose_reads(io, config.reads)?;
    let lock = io.lock().map_err(|error| match error.kind() {
        io::ErrorKind::WouldBlock => Error::Busy,
        _ => Error::Io { op: "lock", name: "the folder".to_owned(), source: error },
    })?;
    let mut report = OpenReport::default();
    let names = io.list().map_err(Error::io("list", "the folder"))?;
    let mark = read_mark(&*io, &names, &mut report)?;
    let found = find_segments(&*io, &names, mark)?;
    let shared = Shared {
        index: Index::new(mark.seed),
        codecs: Codecs::new(config.compression),
        gate: Gate::new(config.admission),
        evicted: Evicted::new(config.mode),
        io,
        ringed,
        config,
        mark,
        keys,
        segments: RwLock::new(Segments::default()),
        writer: Mutex::new(Writer::default()),
        commit: Default::default(),
        floors: Default::default(),
        horizons: Default::default(),
        floor_time_ms: u64::MAX.into(),
        snapshots: 0.into(),
        counters: Default::default(),
        compaction: Mutex::new(None),
        checkpointing: Mutex::new(()),
        orders: Orders::default(),
        listener: OnceLock::new(),
        closed: false.into(),
        damaged: 0.into(),
        lock: Mutex::new(Some(lock)),
    };
    let mut recovery = Recovery { shared: &shared, found, loaded: None, now };
    recovery.load_dictionaries(&names, &mut report)?;
    recovery.load_snapshot(&names, &mut report);
    recovery.run(&names, &mut report)?;
    Ok((Arc::new(shared), report))
}
