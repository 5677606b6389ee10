//! A call of a store, told to whoever stands in its way: which operation, what it is about, how much goes in.

use terrace_store::capability::{List, Write};
use terrace_store::{Condition, Key, Namespace};

/// What an operation does to the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Class {
    /// It changes nothing.
    Read,
    /// It changes entries, groups, leases, or tells listeners something.
    Write,
    /// It changes nothing that a reader sees: versions, durability, room.
    Upkeep,
}

macro_rules! operations {
    ($($operation:ident $name:literal $class:ident,)*) => {
        /// Which operation of a store or of one of its capabilities.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[allow(missing_docs, reason = "each is the method of its name")]
        pub enum Operation { $($operation,)* }

        impl Operation {
            /// Every operation, in the order of their numbers.
            pub const ALL: &[Self] = &[$(Self::$operation,)*];

            /// Its name in errors, metrics and records.
            pub fn name(self) -> &'static str {
                match self { $(Self::$operation => $name,)* }
            }

            /// What it does.
            pub fn class(self) -> Class {
                match self { $(Self::$operation => Class::$class,)* }
            }
        }
    };
}

operations! {
    Get "get" Read,
    Exists "exists" Read,
    GetMany "get_many" Read,
    List "list" Read,
    Count "count" Read,
    Bytes "bytes" Read,
    Namespaces "namespaces" Read,
    Begin "begin" Read,
    TransactionGet "transaction_get" Read,
    Snapshot "snapshot" Read,
    SnapshotGet "snapshot_get" Read,
    SnapshotList "snapshot_list" Read,
    Watch "watch" Read,
    Subscribe "subscribe" Read,
    Kind "kind" Read,
    ListGroup "list_group" Read,
    Resolve "resolve" Read,
    Put "put" Write,
    Delete "delete" Write,
    Apply "apply" Write,
    Clear "clear" Write,
    TransactionCommit "transaction_commit" Write,
    Acquire "acquire" Write,
    Renew "renew" Write,
    Release "release" Write,
    Publish "publish" Write,
    MakeGroup "make_group" Write,
    MakeLink "make_link" Write,
    Reserve "reserve" Upkeep,
    Commit "commit" Upkeep,
    Flush "flush" Upkeep,
    Sweep "sweep" Upkeep,
    Close "close" Upkeep,
}

impl Operation {
    /// Whether it changes entries, or what stands beside them.
    pub fn is_write(self) -> bool {
        self.class() == Class::Write
    }

    /// Whether a call that was cut short may have had an effect that matters: a write, or a promise of durability.
    pub fn leaves_unknown(self) -> bool {
        self.is_write() || matches!(self, Self::Commit | Self::Flush | Self::Close)
    }
}

/// What a call is about.
#[derive(Clone, Copy, Debug)]
pub enum Subject<'a> {
    /// The store as a whole.
    Store,
    /// One key.
    Key(&'a Key),
    /// Several keys.
    Keys(&'a [Key]),
    /// The writes of a batch. A layer that did not ask to look sees none.
    Writes(&'a [Write]),
    /// A listing.
    List(&'a List),
    /// A namespace; `None` for all of them.
    Namespace(Option<&'a Namespace>),
    /// The keys of a namespace that begin so.
    Prefix(&'a Namespace, &'a [u8]),
    /// A lease or a channel.
    Name(&'a [u8]),
    /// A path.
    Path(&'a str),
}

/// A call that is about to be made.
#[derive(Clone, Copy, Debug)]
pub struct Call<'a> {
    /// Which operation.
    pub operation: Operation,
    /// What it is about.
    pub subject: Subject<'a>,
    /// On what a write of one key depends.
    pub condition: Option<Condition>,
    /// The bytes of the values that go in.
    pub bytes_in: u64,
    /// Whether it can be made a second time at all. What a transaction does cannot.
    pub repeatable: bool,
}

impl<'a> Call<'a> {
    /// A call of this operation about this.
    pub fn new(operation: Operation, subject: Subject<'a>) -> Self {
        Self { operation, subject, condition: None, bytes_in: 0, repeatable: true }
    }

    pub(crate) fn once(self) -> Self {
        Self { repeatable: false, ..self }
    }

    pub(crate) fn depending_on(self, condition: Condition) -> Self {
        Self { condition: Some(condition), ..self }
    }

    pub(crate) fn bringing(self, bytes_in: usize) -> Self {
        Self { bytes_in: bytes_in as u64, ..self }
    }
}
