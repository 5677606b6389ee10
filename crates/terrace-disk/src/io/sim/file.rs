//! An open file of the simulated disk.

use std::io;
use std::sync::Arc;

use super::fault::{EFBIG, EIO, ENOSPC, Failure, Op};
use super::inode::{PER_PAGE, SECTOR};
use super::{Shared, State, failed};
use crate::io::{File, Map};

/// No file of a test is longer; a length beyond it is a mistake that must not take the machine's memory.
const LONGEST: u64 = 8 << 30;

pub(super) struct SimFile {
    shared: Arc<Shared>,
    inode: u64,
    name: String,
    write: bool,
}

impl SimFile {
    pub(super) fn new(shared: &Arc<Shared>, state: &mut State, inode: u64, name: &str, write: bool) -> Self {
        *state.handles.entry(inode).or_default() += 1;
        Self { shared: Arc::clone(shared), inode, name: name.to_owned(), write }
    }

    /// One operation: counted, watched before and after, and failed if its turn has come.
    fn run<T>(
        &self,
        op: Op,
        work: impl FnOnce(&mut State, Option<Failure>) -> io::Result<T>,
    ) -> io::Result<T> {
        let changes = matches!(op, Op::Write | Op::Allocate | Op::Truncate);
        if changes && !self.write {
            return Err(io::Error::from(io::ErrorKind::PermissionDenied));
        }
        self.shared.run(op, &self.name, work)
    }
}

/// A part of the bytes from the front, for a write that fails in between. Had it been all of them, the call would
/// not have failed.
fn part(state: &mut State, len: usize) -> usize {
    state.chance.index(len)
}

fn sync(state: &mut State, inode: u64, failure: Option<Failure>) -> io::Result<()> {
    let State { media, chance, .. } = state;
    match failure {
        None => media.inode(inode).sync(),
        Some(Failure::Ignored) => {}
        Some(Failure::KeptDirty(errno)) => return Err(failed(errno)),
        Some(Failure::Misdirected) => {
            let file = media.inode(inode);
            let sectors = file.dirty_sectors();
            if let Some(sector) = sectors.get(chance.index(sectors.len())) {
                let onto = chance.below(file.len().div_ceil(SECTOR as u64));
                // A whole page goes astray as often as a sector.
                let (run, from) =
                    if chance.percent(50) { (PER_PAGE as u64, sector / 8 * 8) } else { (1, *sector) };
                (0..run).for_each(|step| file.misdirect(from + step, onto + step));
            }
            file.sync();
        }
        Some(Failure::Error(errno)) => {
            media.lose_file(inode, chance);
            return Err(failed(errno));
        }
    }
    Ok(())
}

impl File for SimFile {
    fn len(&self) -> io::Result<u64> {
        self.run(Op::Len, |state, failure| {
            failure.map_or(Ok(()), |failure| failure.result())?;
            Ok(state.media.inode_ref(self.inode).map_or(0, |inode| inode.len()))
        })
    }

    fn read_at(&self, buf: &mut [u8], at: u64) -> io::Result<usize> {
        self.run(Op::Read, |state, failure| {
            failure.map_or(Ok(()), |failure| failure.result())?;
            let inode = state.media.inode_ref(self.inode).ok_or_else(|| failed(EIO))?;
            inode.read(buf, at).ok_or_else(|| failed(EIO))
        })
    }

    fn write_all_at(&self, buf: &[u8], at: u64) -> io::Result<()> {
        self.run(Op::Write, |state, failure| {
            if at.saturating_add(buf.len() as u64) > LONGEST {
                return Err(failed(EFBIG));
            }
            let mut result = failure.map_or(Ok(()), |failure| failure.result());
            let missing = state.media.inode(self.inode).missing(at, buf.len() as u64);
            if result.is_ok() && missing > state.free() {
                result = Err(failed(ENOSPC));
            }
            let len = if result.is_ok() { buf.len() } else { part(state, buf.len()) };
            let fits = state.media.inode(self.inode).missing(at, len as u64) <= state.free();
            if fits && len > 0 {
                let order = state.media.next_order();
                state.media.inode(self.inode).write(&buf[..len], at, order);
            }
            result
        })
    }

    fn allocate(&self, len: u64) -> io::Result<()> {
        self.run(Op::Allocate, |state, failure| {
            failure.map_or(Ok(()), |failure| failure.result())?;
            if len > LONGEST {
                return Err(failed(EFBIG));
            }
            let before = state.media.inode(self.inode).space();
            if len.saturating_sub(before) > state.free() {
                return Err(failed(ENOSPC));
            }
            let order = state.media.next_order();
            state.media.inode(self.inode).allocate(len, order);
            Ok(())
        })
    }

    fn truncate(&self, len: u64) -> io::Result<()> {
        self.run(Op::Truncate, |state, failure| {
            failure.map_or(Ok(()), |failure| failure.result())?;
            if len > LONGEST {
                return Err(failed(EFBIG));
            }
            let order = state.media.next_order();
            state.media.inode(self.inode).truncate(len, order);
            Ok(())
        })
    }

    fn sync(&self) -> io::Result<()> {
        self.run(Op::Sync, |state, failure| sync(state, self.inode, failure))
    }

    /// A copy: what is mapped here does not follow later writes, so only what no longer changes may be mapped.
    fn map(&self, len: u64) -> io::Result<Option<Arc<dyn Map>>> {
        self.run(Op::Map, |state, failure| {
            failure.map_or(Ok(()), |failure| failure.result())?;
            let inode = state.media.inode_ref(self.inode).ok_or_else(|| failed(EIO))?;
            let len = usize::try_from(len.min(inode.len())).unwrap_or_default();
            let mut bytes = vec![0; len];
            inode.read(&mut bytes, 0).ok_or_else(|| failed(EIO))?;
            Ok(Some(Arc::new(Copied(bytes)) as Arc<dyn Map>))
        })
    }
}

struct Copied(Vec<u8>);

impl Map for Copied {
    fn bytes(&self) -> &[u8] {
        &self.0
    }
}

impl Drop for SimFile {
    fn drop(&mut self) {
        let mut state = self.shared.state();
        if let Some(handles) = state.handles.get_mut(&self.inode) {
            *handles -= 1;
            if *handles == 0 {
                state.handles.remove(&self.inode);
            }
        }
    }
}
