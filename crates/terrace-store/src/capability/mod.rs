//! What some stores can do beyond [`Store`](crate::Store). Each is a question a store answers:
//! `store.as_batch()` gives the capability or `None`. [`StoreExt`](crate::StoreExt) emulates what can soundly be
//! emulated.

mod batch;
mod iterate;
mod lock;
mod path;
mod publish;
mod snapshot;
mod transaction;
mod watch;

pub use batch::{Batch, Outcome, Write};
pub use iterate::{Cursor, Iterate, List, Order, Page};
pub use lock::{Lease, Lock};
pub use path::{PathKind, Paths};
pub use publish::{Message, Publish, Subscription};
pub use snapshot::{Snapshot, SnapshotView};
pub use transaction::{Transact, Transaction};
pub use watch::{Change, Changes, Watch};
