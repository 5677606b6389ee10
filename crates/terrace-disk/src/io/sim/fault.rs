//! Faults to order: the Nth operation of some kinds fails, once or from then on.

/// What a disk is asked to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Op {
    /// The names in the folder.
    List,
    /// A new file.
    Create,
    /// An existing file.
    Open,
    /// A name goes.
    Remove,
    /// A name changes.
    Rename,
    /// The names reach the platter.
    SyncDir,
    /// The lock that keeps a second process out.
    Lock,
    /// The length of a file.
    Len,
    /// Bytes out of a file.
    Read,
    /// Bytes into a file.
    Write,
    /// Space reserved for a file.
    Allocate,
    /// A file cut or grown.
    Truncate,
    /// A file's contents reach the platter.
    Sync,
    /// A file mapped into memory.
    Map,
}

impl Op {
    /// All of them.
    pub const ALL: &[Self] = &[
        Self::List,
        Self::Create,
        Self::Open,
        Self::Remove,
        Self::Rename,
        Self::SyncDir,
        Self::Lock,
        Self::Len,
        Self::Read,
        Self::Write,
        Self::Allocate,
        Self::Truncate,
        Self::Sync,
        Self::Map,
    ];
    /// Those that change the disk.
    pub const CHANGES: &[Self] = &[
        Self::Create,
        Self::Remove,
        Self::Rename,
        Self::SyncDir,
        Self::Write,
        Self::Allocate,
        Self::Truncate,
        Self::Sync,
    ];
    /// Those after which something is promised to be on the platter.
    pub const SYNCS: &[Self] = &[Self::Sync, Self::SyncDir];

    pub(super) fn mask(ops: &[Self]) -> u16 {
        ops.iter().fold(0, |mask, op| mask | 1 << *op as u8)
    }

    pub(super) fn is_in(self, mask: u16) -> bool {
        mask & 1 << self as u8 != 0
    }
}

/// How the chosen operation goes wrong.
///
/// A failing write has written any part of its bytes, from the front, but not all. A failing sync has written any subset of
/// the sectors; the others are marked clean and lost, though reads go on showing them and the next sync succeeds.
/// A failing sync of the folder may have written any of the changes of names, and forgets none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// It returns this error of the operating system ([`EIO`], [`ENOSPC`], ...).
    Error(i32),
    /// A sync returns this error and keeps what it did not write for the next one.
    KeptDirty(i32),
    /// A sync says that all is well, but the drive has put one sector where another belongs.
    Misdirected,
    /// A sync says that all is well, and has written nothing: a drive that lies about its cache.
    Ignored,
}

/// The device failed.
pub const EIO: i32 = 5;
/// No space is left.
pub const ENOSPC: i32 = 28;
/// The file system went read-only.
pub const EROFS: i32 = 30;
/// The file is larger than what the simulation keeps.
pub(super) const EFBIG: i32 = 27;

/// A failure in waiting.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fault {
    pub(super) mask: u16,
    pub(super) after: u64,
    pub(super) failure: Failure,
    pub(super) forever: bool,
}

/// The failures in waiting, and how often each kind of operation was asked for.
#[derive(Debug, Default)]
pub(super) struct Faults {
    waiting: Vec<Fault>,
    counts: [u64; Op::ALL.len()],
    struck: u64,
}

impl Faults {
    pub(super) fn add(&mut self, fault: Fault) {
        self.waiting.push(fault);
    }

    pub(super) fn clear(&mut self) {
        self.waiting.clear();
    }

    pub(super) fn count(&self, ops: &[Op]) -> u64 {
        ops.iter().map(|op| self.counts[*op as usize]).sum()
    }

    pub(super) fn struck(&self) -> u64 {
        self.struck
    }

    /// Counts an operation, and says whether it has to fail.
    pub(super) fn next(&mut self, op: Op) -> Option<Failure> {
        self.counts[op as usize] += 1;
        let mut failure = None;
        self.waiting.retain_mut(|fault| {
            if !op.is_in(fault.mask) {
                return true;
            }
            if fault.after > 0 {
                fault.after -= 1;
                return true;
            }
            failure = Some(fault.failure);
            fault.forever
        });
        self.struck += u64::from(failure.is_some());
        failure
    }
}
