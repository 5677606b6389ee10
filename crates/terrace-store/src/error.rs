//! One error for everything that crosses the seam between a store and its callers.
//!
//! It says what kind of failure it is, whether trying again may help, which operation failed, where, and what
//! lay beneath. A miss is no error: it is `Ok(None)`.

use std::error::Error as StdError;
use std::fmt;

/// What the operations of a store return.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What kind of failure an [`Error`] is. Callers branch on this and on [`Error::is_transient`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The store cannot do this at all.
    NotSupported,
    /// A setting is wrong, or asks for more than the store can give.
    Config,
    /// An argument breaks a limit or a rule of its form.
    Invalid,
    /// The connection to the store failed.
    Network,
    /// It took longer than it was allowed to. A write that timed out reports [`ErrorKind::Unknown`].
    Timeout,
    /// There is no room: of memory, of the budget, or on the disk.
    Full,
    /// Somebody else changed it first.
    Conflict,
    /// Stored bytes are damaged.
    Corrupt,
    /// A value could not be encoded or decoded.
    Codec,
    /// The value is of another type than the one asked for.
    TypeMismatch,
    /// The caller may not do this, or not from here.
    Denied,
    /// The store has too much to do; ask again later.
    Busy,
    /// The store cannot be reached or has stopped working.
    Unavailable,
    /// The store or cache was closed.
    Closed,
    /// A write was cut short: it may have been applied, or not.
    Unknown,
    /// The caller's own loader failed.
    Load,
}

impl ErrorKind {
    /// The kind as one word, for metrics and logs.
    pub fn name(self) -> &'static str {
        match self {
            Self::NotSupported => "not_supported",
            Self::Config => "config",
            Self::Invalid => "invalid",
            Self::Network => "network",
            Self::Timeout => "timeout",
            Self::Full => "full",
            Self::Conflict => "conflict",
            Self::Corrupt => "corrupt",
            Self::Codec => "codec",
            Self::TypeMismatch => "type_mismatch",
            Self::Denied => "denied",
            Self::Busy => "busy",
            Self::Unavailable => "unavailable",
            Self::Closed => "closed",
            Self::Unknown => "unknown_outcome",
            Self::Load => "load",
        }
    }

    fn usually_transient(self) -> bool {
        matches!(self, Self::Network | Self::Timeout | Self::Busy | Self::Unavailable)
    }
}

/// A failed operation. One pointer wide, so that `Result`s stay small; cheap to clone, so that everybody who
/// waits for one load can be told.
#[derive(Clone)]
pub struct Error(Box<Inner>);

#[derive(Clone)]
struct Inner {
    kind: ErrorKind,
    transient: bool,
    operation: &'static str,
    reason: String,
    context: Vec<(&'static str, String)>,
    source: Option<std::sync::Arc<dyn StdError + Send + Sync>>,
}

impl Error {
    /// A failure of this kind in this operation (a verb or noun such as `put` or `open`).
    pub fn new(kind: ErrorKind, operation: &'static str) -> Self {
        Self(Box::new(Inner {
            kind,
            transient: kind.usually_transient(),
            operation,
            reason: String::new(),
            context: Vec::new(),
            source: None,
        }))
    }

    /// Says in words what is wrong and, where there is something to be done, what.
    #[must_use]
    pub fn because(mut self, reason: impl Into<String>) -> Self {
        self.0.reason = reason.into();
        self
    }

    /// Adds a fact: which store, which file, how long.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: impl fmt::Display) -> Self {
        self.0.context.push((name, value.to_string()));
        self
    }

    /// Adds the error beneath this one.
    #[must_use]
    pub fn caused_by(mut self, source: impl StdError + Send + Sync + 'static) -> Self {
        self.0.source = Some(std::sync::Arc::new(source));
        self
    }

    /// Overrules whether trying again may help.
    #[must_use]
    pub fn transient(mut self, transient: bool) -> Self {
        self.0.transient = transient;
        self
    }

    /// What kind of failure it is.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// Whether the same call may succeed a little later with nothing changed.
    pub fn is_transient(&self) -> bool {
        self.0.transient
    }

    /// Whether the disk beneath has no room. No eviction within a budget helps then, as it does with any other
    /// [`ErrorKind::Full`].
    pub fn is_disk_full(&self) -> bool {
        let mut next = StdError::source(self);
        while let Some(error) = next {
            if error.downcast_ref::<std::io::Error>().is_some_and(|error| has_no_space(error.kind())) {
                return true;
            }
            next = error.source();
        }
        false
    }

    /// The operation that failed.
    pub fn operation(&self) -> &'static str {
        self.0.operation
    }

    /// What is wrong, in words; empty where the kind and the source say it all.
    pub fn reason(&self) -> &str {
        &self.0.reason
    }

    /// The facts added on the way up.
    pub fn context(&self) -> impl Iterator<Item = (&'static str, &str)> {
        self.0.context.iter().map(|(name, value)| (*name, value.as_str()))
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Inner { kind, operation, reason, context, source, .. } = &*self.0;
        write!(f, "{operation}: ")?;
        if reason.is_empty() {
            f.write_str(&kind.name().replace('_', " "))?;
        } else {
            f.write_str(reason)?;
        }
        for (i, (name, value)) in context.iter().enumerate() {
            write!(f, "{}{name}: {value}", if i == 0 { " (" } else { ", " })?;
        }
        if !context.is_empty() {
            f.write_str(")")?;
        }
        if let Some(source) = source {
            write!(f, ": {source}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {self}", self.0.kind)
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.source.as_deref().map(|source| source as &(dyn StdError + 'static))
    }
}

fn has_no_space(kind: std::io::ErrorKind) -> bool {
    use std::io::ErrorKind as Io;
    matches!(kind, Io::StorageFull | Io::QuotaExceeded | Io::FileTooLarge)
}

/// Operating-system errors by what a caller can do about them.
impl From<std::io::Error> for Error {
    fn from(source: std::io::Error) -> Self {
        use std::io::ErrorKind as Io;
        let kind = match source.kind() {
            kind if has_no_space(kind) => ErrorKind::Full,
            Io::PermissionDenied | Io::ReadOnlyFilesystem => ErrorKind::Denied,
            Io::TimedOut => ErrorKind::Timeout,
            Io::InvalidData | Io::UnexpectedEof => ErrorKind::Corrupt,
            Io::ConnectionRefused
            | Io::ConnectionReset
            | Io::ConnectionAborted
            | Io::NotConnected
            | Io::BrokenPipe
            | Io::HostUnreachable
            | Io::NetworkUnreachable => ErrorKind::Network,
            _ => ErrorKind::Unavailable,
        };
        Error::new(kind, "io")
            .transient(kind.usually_transient() && kind != ErrorKind::Unavailable)
            .caused_by(source)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_reads_as_one_sentence_with_its_facts_and_cause() {
        let beneath = std::io::Error::new(std::io::ErrorKind::StorageFull, "no space left on device");
        let error = Error::new(ErrorKind::Full, "put")
            .because("the disk is full; free space or raise the budget")
            .with("store", "fs")
            .with("bytes", 4096)
            .caused_by(beneath);
        assert_eq!(
            error.to_string(),
            "put: the disk is full; free space or raise the budget (store: fs, bytes: 4096): no space left on device"
        );
        assert!(!error.is_transient());
        assert!(error.source().is_some());
    }

    #[test]
    fn an_error_is_one_pointer_wide() {
        assert_eq!(size_of::<Result<(), Error>>(), size_of::<usize>());
    }

    #[test]
    fn a_full_disk_is_full_and_a_lost_connection_is_transient() {
        let full: Error = std::io::Error::from(std::io::ErrorKind::StorageFull).into();
        assert_eq!((full.kind(), full.is_transient()), (ErrorKind::Full, false));
        let wrapped = Error::new(ErrorKind::Full, "put").caused_by(full);
        assert!(wrapped.is_disk_full() && !Error::new(ErrorKind::Full, "put").is_disk_full());
        let reset: Error = std::io::Error::from(std::io::ErrorKind::ConnectionReset).into();
        assert_eq!((reset.kind(), reset.is_transient()), (ErrorKind::Network, true));
    }
}
