//! A folder of files in object storage, which a log is backed up to and restored from.
//!
//! Decision: files are written from the beginning to the end, in parts of ten MiB, and are there once they are synced, as
//! backups write them; they are read eight MiB ahead. Nothing else that a log asks of its folder can be had of objects,
//! and nothing else is offered: a backup is restored before it is opened. Nobody can be kept out of a bucket, so a backup
//! needs a name that nothing else uses.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use object_store::buffered::BufWriter;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use terrace::backends::object_store::objects;
use terrace_disk::io::{File, Io, Map};
use tokio::io::AsyncWriteExt;
use tokio::runtime::Runtime;

/// How many bytes are read at once.
const AHEAD: u64 = 8 << 20;

/// A folder of files in object storage.
pub(super) struct BucketIo {
    runtime: Arc<Runtime>,
    objects: Arc<dyn ObjectStore>,
    folder: Path,
}

impl BucketIo {
    /// The folder that a URL names.
    pub(super) fn open(url: &str) -> terrace::Result<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
        let (objects, folder) = runtime.block_on(async { objects(url) })?;
        Ok(Self { runtime: Arc::new(runtime), objects, folder })
    }

    #[cfg(test)]
    fn over(objects: Arc<dyn ObjectStore>) -> Self {
        Self { runtime: Arc::new(Runtime::new().unwrap()), objects, folder: Path::from("backups/one") }
    }

    fn path(&self, name: &str) -> Path {
        self.folder.clone().join(name)
    }
}

fn unsupported<T>() -> io::Result<T> {
    Err(io::Error::new(io::ErrorKind::Unsupported, "objects are written once: restore the backup first"))
}

impl Io for BucketIo {
    fn list(&self) -> io::Result<Vec<String>> {
        let found = self.runtime.block_on(self.objects.list_with_delimiter(Some(&self.folder)))?;
        Ok(found.objects.iter().filter_map(|object| object.location.filename()).map(str::to_owned).collect())
    }

    fn create(&self, name: &str) -> io::Result<Arc<dyn File>> {
        let writer = BufWriter::new(Arc::clone(&self.objects), self.path(name));
        let state = Mutex::new(Written { writer: Some(writer), len: 0 });
        Ok(Arc::new(Writing { runtime: Arc::clone(&self.runtime), state }))
    }

    fn open(&self, name: &str, write: bool) -> io::Result<Arc<dyn File>> {
        if write {
            return unsupported();
        }
        let path = self.path(name);
        let len = self.runtime.block_on(self.objects.head(&path))?.size;
        let (runtime, objects) = (Arc::clone(&self.runtime), Arc::clone(&self.objects));
        Ok(Arc::new(Reading { runtime, objects, path, len, ahead: Mutex::default() }))
    }

    fn remove(&self, _: &str) -> io::Result<()> {
        unsupported()
    }

    fn rename(&self, _: &str, _: &str) -> io::Result<()> {
        unsupported()
    }

    /// An object is there, by its name, once it was written.
    fn sync_dir(&self) -> io::Result<()> {
        Ok(())
    }

    fn lock(&self) -> io::Result<Box<dyn Send + Sync>> {
        Ok(Box::new(()))
    }
}

/// A file that is being written.
struct Writing {
    runtime: Arc<Runtime>,
    state: Mutex<Written>,
}

struct Written {
    /// `None` once it is whole.
    writer: Option<BufWriter>,
    len: u64,
}

impl Writing {
    fn state(&self) -> MutexGuard<'_, Written> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What was begun and not ended is not left to be paid for.
impl Drop for Writing {
    fn drop(&mut self) {
        if let Some(mut writer) = self.state().writer.take() {
            let _ = self.runtime.block_on(writer.abort());
        }
    }
}

impl File for Writing {
    fn len(&self) -> io::Result<u64> {
        Ok(self.state().len)
    }

    fn read_at(&self, _: &mut [u8], _: u64) -> io::Result<usize> {
        unsupported()
    }

    fn write_all_at(&self, buf: &[u8], at: u64) -> io::Result<()> {
        let mut state = self.state();
        let Written { writer: Some(writer), len } = &mut *state else { return unsupported() };
        if at != *len {
            return unsupported();
        }
        self.runtime.block_on(writer.put(Bytes::copy_from_slice(buf)))?;
        *len += buf.len() as u64;
        Ok(())
    }

    fn allocate(&self, _: u64) -> io::Result<()> {
        unsupported()
    }

    fn truncate(&self, _: u64) -> io::Result<()> {
        unsupported()
    }

    fn sync(&self) -> io::Result<()> {
        match self.state().writer.take() {
            Some(mut writer) => self.runtime.block_on(writer.shutdown()),
            None => Ok(()),
        }
    }

    fn map(&self, _: u64) -> io::Result<Option<Arc<dyn Map>>> {
        Ok(None)
    }
}

/// A file that is read.
struct Reading {
    runtime: Arc<Runtime>,
    objects: Arc<dyn ObjectStore>,
    path: Path,
    len: u64,
    /// Bytes that were read, and from where.
    ahead: Mutex<(u64, Bytes)>,
}

impl File for Reading {
    fn len(&self) -> io::Result<u64> {
        Ok(self.len)
    }

    fn read_at(&self, buf: &mut [u8], at: u64) -> io::Result<usize> {
        if at >= self.len {
            return Ok(0);
        }
        let mut ahead = self.ahead.lock().unwrap_or_else(PoisonError::into_inner);
        if at < ahead.0 || at >= ahead.0 + ahead.1.len() as u64 {
            let range = at..self.len.min(at + AHEAD.max(buf.len() as u64));
            *ahead = (at, self.runtime.block_on(self.objects.get_range(&self.path, range))?);
        }
        let rest = ahead.1.slice((at - ahead.0) as usize..);
        let read = rest.len().min(buf.len());
        if let (Some(room), Some(bytes)) = (buf.get_mut(..read), rest.get(..read)) {
            room.copy_from_slice(bytes);
        }
        Ok(read)
    }

    fn write_all_at(&self, _: &[u8], _: u64) -> io::Result<()> {
        unsupported()
    }

    fn allocate(&self, _: u64) -> io::Result<()> {
        unsupported()
    }

    fn truncate(&self, _: u64) -> io::Result<()> {
        unsupported()
    }

    fn sync(&self) -> io::Result<()> {
        Ok(())
    }

    fn map(&self, _: u64) -> io::Result<Option<Arc<dyn Map>>> {
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use object_store::memory::InMemory;
    use terrace_disk::io::OsIo;
    use terrace_disk::{Compress, Config, Disk, Durability, Put, restore};

    use super::*;

    #[test]
    fn a_file_is_read_as_it_was_written() {
        let bucket = BucketIo::over(Arc::new(InMemory::new()));
        for len in [0_usize, 1, 5 << 20, 25 << 20] {
            let bytes: Vec<u8> = (0..len).map(|n| (n >> 3) as u8).collect();
            let (name, mut at) = (format!("file-{len}"), 0);
            let file = bucket.create(&name).unwrap();
            for chunk in bytes.chunks(1 << 20) {
                file.write_all_at(chunk, at).unwrap();
                at += chunk.len() as u64;
            }
            assert!(file.write_all_at(b"x", at + 1).is_err());
            file.sync().unwrap();
            let file = bucket.open(&name, false).unwrap();
            let mut found = vec![0; len + 1];
            let mut read = 0;
            while let n @ 1.. = file.read_at(&mut found[read..], read as u64).unwrap() {
                read += n;
            }
            assert!(read == len && found[..len] == bytes && file.len().unwrap() == len as u64);
        }
        assert_eq!(bucket.list().unwrap().len(), 4);
        // One that was not ended is not there.
        drop(bucket.create("dropped").unwrap());
        assert_eq!(bucket.open("dropped", false).err().unwrap().kind(), io::ErrorKind::NotFound);
    }

    #[test]
    fn a_log_comes_back_from_objects_as_it_was() {
        let bucket = BucketIo::over(Arc::new(InMemory::new()));
        let folder = tempfile::tempdir().unwrap();
        let config = || Config { durability: Durability::Never, ..Config::store() };
        let open = |name: &str| {
            let io: Arc<dyn Io> = Arc::new(OsIo::new(folder.path().join(name)).unwrap());
            Disk::open(io, config(), 1).unwrap().0
        };
        let value = |n: u32| vec![n as u8; (n as usize * 37) % 5_000];
        let log = open("log");
        for n in 0..2_000_u32 {
            let put = Put { value: &value(n), compress: Compress::Never, ..Put::default() };
            let _ = log.put(&n.to_be_bytes(), &put, 1).unwrap();
        }
        let (mut last, mut all) = (0, 0);
        let copied = log.backup(&bucket, &mut |done, total| (last, all) = (done, total)).unwrap();
        assert!(copied.bytes == last && last == all && all > 1_000_000, "{copied:?}");
        // It is not written over another backup.
        assert!(log.backup(&bucket, &mut |_, _| {}).unwrap_err().to_string().contains("not empty"));
        let target = OsIo::new(folder.path().join("restored")).unwrap();
        assert_eq!(restore(&bucket, &target, &mut |_, _| {}).unwrap(), copied);
        let restored = open("restored");
        for n in 0..2_000_u32 {
            assert_eq!(restored.get(&n.to_be_bytes(), 1).unwrap().unwrap().value[..], value(n)[..]);
        }
        let empty = BucketIo::over(Arc::new(InMemory::new()));
        let other = OsIo::new(folder.path().join("other")).unwrap();
        assert!(restore(&empty, &other, &mut |_, _| {}).is_err());
    }
}
