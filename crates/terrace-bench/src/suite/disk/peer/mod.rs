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
    Peer { name: "terrace", open: terrace::open, syncs: true, variant: false },
    Peer { name: "terrace-lz4", open: terrace::open_lz4, syncs: false, variant: true },
    Peer { name: "terrace-zstd", open: terrace::open_zstd, syncs: false, variant: true },
    Peer { name: "terrace-plain", open: terrace::open_plain, syncs: true, variant: true },
    Peer { name: "terrace-mapped", open: terrace::open_mapped, syncs: false, variant: true },
    Peer { name: "fjall", open: fjall::open, syncs: true, variant: false },
    Peer { name: "redb", open: redb::open, syncs: true, variant: false },
    #[cfg(terrace_rocksdb)]
    Peer { name: "rocksdb", open: rocksdb::open, syncs: true, variant: false },
    Peer { name: "sled", open: sled::open, syncs: true, variant: false },
    Peer { name: "sqlite", open: sqlite::open, syncs: true, variant: false },
    Peer { name: "lmdb", open: lmdb::open, syncs: true, variant: false },
    Peer { name: "foyer", open: foyer::open, syncs: false, variant: false },
    Peer { name: "log", open: log::open, syncs: true, variant: false },
];
