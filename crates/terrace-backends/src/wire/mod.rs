//! What two Terraces say to each other about a store: operations, outcomes and pages, as bytes.
//!
//! Decision: entries travel as the [records](crate::record) that stores on disk keep, so every field arrives as it was
//! and what was damaged on the way does not check. The rest is a few numbers around them, little-endian:
//!
//! ```text
//! ask      kind u8
//!          1 get      key*
//!          2 exists   key
//!          3 write    operation*
//!          4 commit   count u32, (key, version?)*, operation*
//! operation  1 put     key, condition, compress u8, record
//!            2 delete  key, condition
//! answer   to get     (0 | 1 record)*, then 2 if the rest has to be asked for again
//!          to exists  0 | 1
//!          to write   (3 version u64, replaced u8 | 4 version u64, existed u8 | 5 version?)*, one an operation:
//!                     stored, deleted, conflict
//!          to commit  nothing
//! list     namespace bytes, prefix bytes, from bytes?, before bytes?, order u8, keys only u8, limit u32, after bytes?
//! page     (1 key record)*, then 0, or 2 bytes: the key after which it goes on
//!
//! key      length u32, flat key            bytes     length u32, that many
//! record   length u32, envelope            x?        0, or 1 and x
//! condition  0 any, 1 absent, 2 match version u64, 3 newer version u64
//! compress   0 as the store was set up, 1 never, 2 always          order   0 key, 1 any
//! ```
//!
//! Whoever reads trusts nothing: each length is compared with what there is before it is used, and nothing may follow the
//! last part.

mod ask;
mod listing;
mod outcome;
mod reader;
#[cfg(test)]
mod tests;
mod writer;

pub use ask::{Ask, commit, exists, get, writes};
pub use listing::{Asked, PageWriter, list, page};
pub use outcome::{EntriesWriter, entries, outcomes, read_outcomes};

/// The media type of all of these.
pub const MEDIA: &str = "application/vnd.terrace.store";

/// The number of this format.
pub const FORMAT: u64 = 1;

/// The longest message: a value of the greatest length, and what is said about it.
pub const LONGEST: usize = terrace_store::store::VALUE_LIMIT + (8 << 20);

/// The most keys of a read, and the most operations of a write: so many small ones would otherwise take a server's thread
/// for seconds.
pub const KEYS: usize = 4096;
/// As [`KEYS`], of writes and of what a commit depends on.
pub const OPERATIONS: usize = 65_536;

/// The length from which on an answer takes no further entry.
pub const FULL: usize = 16 << 20;
