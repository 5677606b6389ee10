//! The folder of the simulated disk.

use std::io;
use std::sync::Arc;

use super::fault::{Failure, Op};
use super::file::SimFile;
use super::inode::Inode;
use super::media::Kind;
use super::{Shared, SimDisk, State, failed};
use crate::io::{File, Io};

fn check_name(name: &str) -> io::Result<()> {
    let sound = !name.is_empty() && !name.contains(['/', '\0']) && name != "." && name != "..";
    if sound { Ok(()) } else { Err(io::Error::from(io::ErrorKind::InvalidInput)) }
}

impl Io for SimDisk {
    fn list(&self) -> io::Result<Vec<String>> {
        self.shared.run(Op::List, "", |state, failure| {
            failure.map_or(Ok(()), Failure::result)?;
            Ok(state.media.names.keys().cloned().collect())
        })
    }

    fn create(&self, name: &str) -> io::Result<Arc<dyn File>> {
        check_name(name)?;
        self.shared.run(Op::Create, name, |state, failure| {
            failure.map_or(Ok(()), Failure::result)?;
            if state.media.names.contains_key(name) {
                return Err(io::Error::from(io::ErrorKind::AlreadyExists));
            }
            let inode = state.media.create(name, Inode::default());
            Ok(Arc::new(SimFile::new(&self.shared, state, inode, name, true)) as Arc<dyn File>)
        })
    }

    fn open(&self, name: &str, write: bool) -> io::Result<Arc<dyn File>> {
        self.shared.run(Op::Open, name, |state, failure| {
            failure.map_or(Ok(()), Failure::result)?;
            let inode = state.named(name)?;
            Ok(Arc::new(SimFile::new(&self.shared, state, inode, name, write)) as Arc<dyn File>)
        })
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.shared.run(Op::Remove, name, |state, failure| {
            failure.map_or(Ok(()), Failure::result)?;
            state.named(name)?;
            state.media.change(Kind::Unlink(name.to_owned()));
            Ok(())
        })
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        check_name(to)?;
        self.shared.run(Op::Rename, from, |state, failure| {
            failure.map_or(Ok(()), Failure::result)?;
            state.named(from)?;
            state.media.change(Kind::Rename(from.to_owned(), to.to_owned()));
            Ok(())
        })
    }

    fn sync_dir(&self) -> io::Result<()> {
        self.shared.run(Op::SyncDir, "", |state, failure| match failure {
            Some(Failure::Ignored) => Ok(()),
            Some(Failure::KeptDirty(errno)) => Err(failed(errno)),
            Some(Failure::Error(errno)) => {
                let State { media, chance, .. } = state;
                media.fail_names(chance);
                Err(failed(errno))
            }
            None | Some(Failure::Misdirected) => {
                state.media.sync_names();
                Ok(())
            }
        })
    }

    fn lock(&self) -> io::Result<Box<dyn Send + Sync>> {
        self.shared.run(Op::Lock, "", |state, failure| {
            failure.map_or(Ok(()), Failure::result)?;
            if state.locked {
                return Err(io::Error::from(io::ErrorKind::WouldBlock));
            }
            state.locked = true;
            Ok(Box::new(Locked(Arc::clone(&self.shared))) as Box<dyn Send + Sync>)
        })
    }

    /// It has no ring, and reads one after another; what is above it goes the way that it goes with one.
    fn ringed(&self) -> io::Result<Arc<dyn Io>> {
        Ok(Arc::new(self.clone()))
    }
}

struct Locked(Arc<Shared>);

impl Drop for Locked {
    fn drop(&mut self) {
        self.0.state().locked = false;
    }
}
