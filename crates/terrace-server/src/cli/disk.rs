//! `terrace disk`: looking into a log, checking it, making it smaller, copying it.

#[cfg(feature = "object_store")]
mod bucket;
mod migrate;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::{Args, Subcommand};
use serde_json::json;
use terrace_disk::io::{Io, OsIo};
use terrace_disk::{Config, Copied, Disk as Log, Durability, Error, restore};

use super::output;
use super::progress::Progress;
use crate::exit::{Exit, Failure};
pub(crate) use migrate::WITHOUT_FJALL;

const EXAMPLES: &str = "\
Examples:
  terrace disk inspect /var/lib/log              its files; also while it is open
  terrace disk verify /var/lib/log               read every record; exits with 8 if some do not check
  terrace disk compact /var/lib/log              win back the room of what was overwritten or deleted
  terrace disk backup /var/lib/log /backup/log   a copy that can be opened where it lies
  terrace disk restore /backup/log /var/lib/log  back into an empty folder
  terrace disk backup /var/lib/log s3://key:secret@bucket/log-1   the same, into objects; restore takes such a URL, too
  terrace disk migrate /var/lib/terrace          what fjall, the default before, has written; interrupted, run it again

DIR is the folder of a store `disk:DIR`, which only one process at a time has open: all but `inspect` exit with 6
while another has. A damaged log is reported, and what can be read of it is kept.";

/// Looks after a log on the disk.
#[derive(Subcommand)]
pub(super) enum Disk {
    /// Show what files a log has
    #[command(after_help = EXAMPLES)]
    Inspect(One),
    /// Read every record and check it
    #[command(after_help = EXAMPLES)]
    Verify(One),
    /// Win back the room of what was overwritten or deleted
    #[command(after_help = EXAMPLES)]
    Compact(One),
    /// Copy a log into an empty folder
    #[command(after_help = EXAMPLES)]
    Backup(Two),
    /// Copy a backup into an empty folder
    #[command(after_help = EXAMPLES)]
    Restore(Two),
    /// Move a data directory of fjall, the engine before, over to a log
    #[command(after_help = EXAMPLES)]
    Migrate(migrate::Migrate),
}

#[derive(Args)]
pub(super) struct One {
    /// The folder of the log
    dir: PathBuf,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Args)]
pub(super) struct Two {
    /// What is copied: of a backup a folder, of a restoration a folder, or s3://bucket/prefix, object+file:DIR
    from: PathBuf,
    /// The folder it is copied into; it must be empty or not there. Of a backup also such a URL
    to: PathBuf,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// So many bytes are compacted at a time.
const STEP: u64 = 4 << 20;

impl Disk {
    pub(super) fn run(&self) -> Result<Exit, Failure> {
        match self {
            Self::Inspect(one) => inspect(one),
            Self::Verify(one) => verify(one),
            Self::Migrate(migrate) => migrate.run(),
            Self::Compact(one) => compact(one),
            Self::Backup(two) => {
                let log = open(&two.from)?;
                let to = place(&two.to, true)?;
                let mut bar = Bar::new("backup");
                let copied = log.backup(&*to, &mut |done, total| bar.at(done, total));
                drop(bar);
                told(two, copied.map_err(failed(&two.to))?)
            }
            Self::Restore(two) => {
                let from = place(&two.from, false)?;
                let to = folder(&two.to, true)?;
                let mut bar = Bar::new("restore");
                let copied = restore(&*from, &to, &mut |done, total| bar.at(done, total));
                drop(bar);
                told(two, copied.map_err(failed(&two.from))?)
            }
        }
    }
}

/// Where a backup is: a folder, or objects.
fn place(path: &Path, make: bool) -> Result<Box<dyn Io>, Failure> {
    let url =
        path.to_str().filter(|path| ["s3:", "object+file:"].iter().any(|scheme| path.starts_with(scheme)));
    match url {
        None => Ok(Box::new(folder(path, make)?)),
        #[cfg(feature = "object_store")]
        Some(url) => match bucket::BucketIo::open(url) {
            Ok(bucket) => Ok(Box::new(bucket)),
            Err(error) => Err(Failure::new(Exit::Directory, error.to_string())),
        },
        #[cfg(not(feature = "object_store"))]
        Some(_) => Err(Failure::new(
            Exit::Directory,
            "this build does not know object storage: build it with the feature `object_store`",
        )),
    }
}

/// A place as it may be told: without a secret.
fn named(path: &Path) -> String {
    let path = path.display().to_string();
    match path.split_once("://").and_then(|(scheme, rest)| Some((scheme, rest.rsplit_once('@')?.1))) {
        Some((scheme, rest)) => format!("{scheme}://...@{rest}"),
        None => path,
    }
}

fn folder(path: &Path, make: bool) -> Result<OsIo, Failure> {
    let opened = if make { OsIo::new(path) } else { OsIo::existing(path) };
    opened.map_err(|error| Failure::new(Exit::Directory, format!("{}: {error}", path.display())))
}

/// Opens a log that is there, and tells what opening came across.
fn open(path: &Path) -> Result<Log, Failure> {
    let io = folder(path, false)?;
    // A folder that is no log must not become one.
    terrace_disk::inspect(&io).map_err(failed(path))?;
    let config = Config { durability: Durability::Never, ..Config::store() };
    let now_ms = wall_ms();
    let (log, report) = Log::open(Arc::new(io) as Arc<dyn Io>, config, now_ms).map_err(failed(path))?;
    if !report.is_sound() {
        eprintln!("terrace: {}: {report}", path.display());
    }
    Ok(log)
}

fn wall_ms() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

fn failed(path: &Path) -> impl FnOnce(Error) -> Failure {
    move |error| {
        let exit = match error {
            Error::Busy => Exit::Held,
            Error::Newer { .. } => Exit::Newer,
            Error::Corrupt { .. } => Exit::Damaged,
            _ => Exit::Directory,
        };
        Failure::new(exit, format!("{}: {error}", named(path)))
    }
}

fn inspect(one: &One) -> Result<Exit, Failure> {
    let found = terrace_disk::inspect(&folder(&one.dir, false)?).map_err(failed(&one.dir))?;
    let bytes: u64 = found.segments.iter().map(|segment| segment.bytes).sum();
    if one.json {
        let segments: Vec<_> = found
            .segments
            .iter()
            .map(|segment| {
                json!({
                    "id": segment.id, "bytes": segment.bytes, "created_ms": segment.created_ms,
                    "key_id": segment.key_id,
                })
            })
            .collect();
        let snapshots: Vec<_> =
            found.snapshots.iter().map(|(name, bytes)| json!({ "name": name, "bytes": bytes })).collect();
        let all = json!({
            "store": format!("{:016x}", found.store), "bytes": bytes, "segments": segments,
            "snapshots": snapshots, "dictionaries": found.dictionaries,
        });
        output::line(all.to_string())?;
        return Ok(Exit::Success);
    }
    let rows: Vec<Vec<String>> = found
        .segments
        .iter()
        .map(|segment| {
            let header = match (segment.created_ms, segment.key_id) {
                (None, _) => "damaged".to_owned(),
                (Some(_), None) => "plain".to_owned(),
                (Some(_), Some(key)) => format!("key {key}"),
            };
            vec![segment.id.to_string(), segment.bytes.to_string(), header]
        })
        .collect();
    output::line(format!(
        "log {:016x}: {} segments with {bytes} bytes, {} index snapshots, {} dictionaries",
        found.store,
        found.segments.len(),
        found.snapshots.len(),
        found.dictionaries
    ))?;
    output::raw(output::table(&["segment", "bytes", "header"], &rows).as_bytes())?;
    Ok(Exit::Success)
}

fn verify(one: &One) -> Result<Exit, Failure> {
    let log = open(&one.dir)?;
    let mut bar = Bar::new("verify");
    let verified = log.verify(&mut |done, total| bar.at(done, total)).map_err(failed(&one.dir))?;
    drop(bar);
    log.close().map_err(failed(&one.dir))?;
    let damaged: Vec<_> = verified
        .damaged
        .iter()
        .map(|damage| json!({ "segment": damage.segment, "from": damage.from, "to": damage.to }))
        .collect();
    let sound = damaged.is_empty() && verified.unreadable == 0;
    if one.json {
        let all = json!({
            "segments": verified.segments, "records": verified.records, "bytes": verified.bytes,
            "damaged": damaged, "unreadable": verified.unreadable,
        });
        output::line(all.to_string())?;
    } else {
        output::line(format!(
            "{} records in {} segments with {} bytes check",
            verified.records, verified.segments, verified.bytes
        ))?;
        for damage in &verified.damaged {
            output::line(format!(
                "damaged: segment {} from byte {} to {}",
                damage.segment, damage.from, damage.to
            ))?;
        }
        if verified.unreadable > 0 {
            output::line(format!("{} entries cannot be read", verified.unreadable))?;
        }
    }
    Ok(if sound { Exit::Success } else { Exit::Damaged })
}

/// The bytes of a log's segments.
fn bytes(path: &Path) -> Result<u64, Failure> {
    let found = terrace_disk::inspect(&folder(path, false)?).map_err(failed(path))?;
    Ok(found.segments.iter().map(|segment| segment.bytes).sum())
}

fn compact(one: &One) -> Result<Exit, Failure> {
    let before = bytes(&one.dir)?;
    let log = open(&one.dir)?;
    let mut bar = Bar::new("compact");
    let mut read = 0;
    while log.compaction_due() {
        let step = log.compact_step(STEP, wall_ms()).map_err(failed(&one.dir))?;
        read += step.read;
        bar.at(read, before.max(read));
        if step.read == 0 && step.freed == 0 {
            break;
        }
    }
    drop(bar);
    log.sync().map_err(failed(&one.dir))?;
    log.close().map_err(failed(&one.dir))?;
    let after = bytes(&one.dir)?;
    match one.json {
        true => output::line(
            json!({ "bytes_before": before, "bytes_after": after, "bytes_read": read }).to_string(),
        )?,
        false => output::line(format!("{before} bytes before, {after} bytes now"))?,
    }
    Ok(Exit::Success)
}

fn told(two: &Two, copied: Copied) -> Result<Exit, Failure> {
    match two.json {
        true => output::line(json!({ "files": copied.files, "bytes": copied.bytes }).to_string())?,
        false => output::line(format!(
            "{} files with {} bytes copied to {}",
            copied.files,
            copied.bytes,
            named(&two.to)
        ))?,
    }
    Ok(Exit::Success)
}

/// A progress bar whose length is known when the first step is done.
struct Bar {
    what: &'static str,
    progress: Option<Progress>,
}

impl Bar {
    fn new(what: &'static str) -> Self {
        Self { what, progress: None }
    }

    fn at(&mut self, done: u64, total: u64) {
        let progress = self.progress.get_or_insert_with(|| {
            let progress = Progress::new(total);
            progress.about(self.what);
            progress
        });
        progress.at(done);
    }
}
