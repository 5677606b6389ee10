//! The limit: a file that is appended to, and a map in memory of what lies where. It checks nothing, and frees nothing.

use std::collections::HashMap;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

use parking_lot::RwLock;

use crate::suite::Failure;
use crate::suite::disk::engine::{Engine, Pair, Sync};

const HEAD: usize = 16 + 4;

struct Log {
    file: File,
    sync: Sync,
    state: RwLock<State>,
}

#[derive(Default)]
struct State {
    end: u64,
    index: HashMap<[u8; 16], (u64, u32)>,
    buffer: Vec<u8>,
}

pub(super) fn open(folder: &Path, sync: Sync) -> Result<Box<dyn Engine>, Failure> {
    let path = folder.join("values.log");
    let file = File::options().read(true).append(true).create(true).open(&path)?;
    let mut state = State::default();
    let bytes = std::fs::read(&path)?;
    while let Some(head) = bytes.get(state.end as usize..).and_then(|rest| rest.first_chunk::<HEAD>()) {
        let mut key = [0; 16];
        key.copy_from_slice(&head[..16]);
        let length = u32::from_le_bytes([head[16], head[17], head[18], head[19]]);
        state.index.insert(key, (state.end + HEAD as u64, length));
        state.end += HEAD as u64 + u64::from(length);
    }
    Ok(Box::new(Log { file, sync, state: RwLock::new(state) }))
}

impl Engine for Log {
    fn write(&self, pairs: &[Pair]) -> Result<(), Failure> {
        use std::io::Write;
        let mut state = self.state.write();
        let state = &mut *state;
        state.buffer.clear();
        for (key, value) in pairs {
            let length = value.len() as u32;
            state.buffer.extend_from_slice(key);
            state.buffer.extend_from_slice(&length.to_le_bytes());
            state.index.insert(*key, (state.end + state.buffer.len() as u64, length));
            state.buffer.extend_from_slice(value);
        }
        (&self.file).write_all(&state.buffer)?;
        state.end += state.buffer.len() as u64;
        if self.sync == Sync::Each {
            self.file.sync_data()?;
        }
        Ok(())
    }

    fn read(&self, key: &[u8], out: &mut Vec<u8>) -> Result<bool, Failure> {
        let Some((at, length)) = self.state.read().index.get(key).copied() else { return Ok(false) };
        out.resize(length as usize, 0);
        self.file.read_exact_at(out, at)?;
        Ok(true)
    }

    fn close(self: Box<Self>) -> Result<(), Failure> {
        Ok(self.file.sync_data()?)
    }
}
