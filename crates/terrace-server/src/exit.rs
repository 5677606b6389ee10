//! How the program ends: a code for each thing a script may want to tell apart, and the words for people.
//!
//! Decision: the codes are part of the interface, listed in `terrace --help`, and never change their meaning.

use std::fmt;

use terrace_store::{Error, ErrorKind};

/// Exit codes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// It worked.
    Success = 0,
    /// The answer is no: `get` found nothing, `del` removed nothing, `copy` left two stores that differ.
    No = 1,
    /// A flag or argument is wrong.
    Usage = 2,
    /// The configuration is wrong, or not safe.
    Config = 3,
    /// The address cannot be listened on.
    Address = 4,
    /// The data directory, or a file, cannot be used.
    Directory = 5,
    /// Another process holds the data directory.
    Held = 6,
    /// A newer release wrote the data.
    Newer = 7,
    /// The data is damaged.
    Damaged = 8,
    /// The server cannot be reached.
    Unreachable = 9,
    /// The server refused, or failed.
    Refused = 10,
    /// A value read was not the value written.
    Wrong = 11,
    /// Something failed that should not.
    Internal = 70,
    /// A second signal cut the shutdown short.
    Interrupted = 130,
}

impl Exit {
    /// All of them, with what they mean.
    pub const MEANINGS: [(Exit, &'static str); 14] = [
        (Exit::Success, "it worked"),
        (
            Exit::No,
            "the answer is no: get found nothing, del removed nothing, copy left two stores that differ",
        ),
        (Exit::Usage, "a flag or an argument is wrong"),
        (Exit::Config, "the configuration is wrong, or not safe"),
        (Exit::Address, "the address or port cannot be listened on"),
        (Exit::Directory, "the data directory, or a file, cannot be used"),
        (Exit::Held, "another process holds the data directory"),
        (Exit::Newer, "a newer release wrote the data directory"),
        (Exit::Damaged, "the data is damaged"),
        (Exit::Unreachable, "the server cannot be reached"),
        (Exit::Refused, "the server refused or failed"),
        (Exit::Wrong, "a value read was not the value written"),
        (Exit::Internal, "something failed that should not"),
        (Exit::Interrupted, "another signal, a second or more after the first, cut the shutdown short"),
    ];
}

impl From<Exit> for std::process::ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// Why the program ends before its work is done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// With which code.
    pub exit: Exit,
    /// In words.
    pub reason: String,
}

impl Failure {
    /// A failure.
    pub fn new(exit: Exit, reason: impl Into<String>) -> Self {
        Self { exit, reason: reason.into() }
    }

    /// A store or cache could not be opened or closed.
    pub fn of_store(error: &Error) -> Self {
        let exit = match error.kind() {
            ErrorKind::Busy => Exit::Held,
            ErrorKind::Config => Exit::Newer,
            ErrorKind::Corrupt => Exit::Damaged,
            ErrorKind::Denied | ErrorKind::Full | ErrorKind::Unavailable => Exit::Directory,
            _ => Exit::Internal,
        };
        Self::new(exit, error.to_string())
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.reason)
    }
}

impl std::error::Error for Failure {}

impl From<crate::config::ConfigError> for Failure {
    fn from(error: crate::config::ConfigError) -> Self {
        Self::new(Exit::Config, error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_distinct_and_listed_in_order() {
        let codes: Vec<u8> = Exit::MEANINGS.iter().map(|(exit, _)| *exit as u8).collect();
        assert!(codes.is_sorted_by(|a, b| a < b), "{codes:?}");
    }
}
