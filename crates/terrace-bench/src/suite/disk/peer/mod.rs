//! The engines, a file each.

mod fjall;
mod foyer;
mod lmdb;
mod log;
mod redb;
#[cfg(terrace_rocksdb)]
mod rocksdb;
mod sled;
mod sqlite;
mod terrace;

use super::engine::Peer;

/// What engines with a cache of their own may use for it.
const CACHE: usize = 64 << 20;

/// All of them; Terrace first.
#[rustfmt::skip] // One line an engine.
pub(in crate::suite) const ALL: &[Peer] = &[
    Peer { name: "terrace", open: terrace::open, syncs: true },
    Peer { name: "terrace-plain", open: terrace::open_plain, syncs: true },
    Peer { name: "terrace-mapped", open: terrace::open_mapped, syncs: false },
    Peer { name: "fjall", open: fjall::open, syncs: true },
    Peer { name: "redb", open: redb::open, syncs: true },
    #[cfg(terrace_rocksdb)]
    Peer { name: "rocksdb", open: rocksdb::open, syncs: true },
    Peer { name: "sled", open: sled::open, syncs: true },
    Peer { name: "sqlite", open: sqlite::open, syncs: true },
    Peer { name: "lmdb", open: lmdb::open, syncs: true },
    Peer { name: "foyer", open: foyer::open, syncs: false },
    Peer { name: "log", open: log::open, syncs: true },
];
