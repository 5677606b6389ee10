//! A command being run: what it may use, how it refuses, and how it reads its arguments.

use std::borrow::Cow;
use std::sync::Arc;

use bytes::Bytes;
use terrace_store::{BoxFuture, Error, ErrorKind, Key};

use super::command::Command;
use super::number;
use super::parse::Request;
use super::reply::Output;
use super::server::Server;
use super::session::Session;

/// What a command may use while it runs.
pub struct Call<'c> {
    /// What all connections share.
    pub server: &'c Arc<Server>,
    /// What this one remembers.
    pub session: &'c mut Session,
    /// Where the reply goes.
    pub output: &'c mut Output,
    /// The arguments.
    pub request: Request<'c>,
    /// The row of the command: the subcommand's, if it has one.
    pub command: &'static Command,
    /// The command whose subcommand it is.
    pub parent: Option<&'static Command>,
}

/// Whether the reply was written. A command that refuses has written nothing.
pub type Reply = Result<(), Refusal>;

/// Runs a command.
pub type Run = for<'c> fn(Call<'c>) -> BoxFuture<'c, Reply>;

/// Runs a command that waits for nothing.
pub type RunNow = for<'c> fn(&mut Call<'c>) -> Reply;

/// Answers a command if that needs no waiting; `None` if it does, and nothing was done.
pub type Attempt = for<'c> fn(&mut Call<'c>) -> Option<Reply>;

/// Why a command was refused: an error reply.
#[derive(Debug)]
pub enum Refusal {
    /// In the words of the reply.
    Text(Cow<'static, [u8]>),
    /// The keys failed.
    Store(Error),
}

impl From<&'static str> for Refusal {
    fn from(text: &'static str) -> Self {
        Self::Text(Cow::Borrowed(text.as_bytes()))
    }
}

impl From<String> for Refusal {
    fn from(text: String) -> Self {
        Self::Text(Cow::Owned(text.into_bytes()))
    }
}

impl From<Vec<u8>> for Refusal {
    fn from(text: Vec<u8>) -> Self {
        Self::Text(Cow::Owned(text))
    }
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        Self::Store(error)
    }
}

impl Refusal {
    /// The text of the error reply.
    pub fn text(&self) -> Cow<'_, [u8]> {
        match self {
            Self::Text(text) => Cow::Borrowed(text),
            Self::Store(error) => Cow::Owned(store_error(error).into_bytes()),
        }
    }
}

/// What clients are told of a failure of the keys.
pub(super) fn store_error(error: &Error) -> String {
    match error.kind() {
        // No eviction and no higher limit would help.
        ErrorKind::Full if error.is_disk_full() => format!("OOM the disk is full: {error}"),
        ErrorKind::Full => "OOM command not allowed when used memory > 'maxmemory'.".to_owned(),
        ErrorKind::Unknown => format!("ERR the outcome of this write is unknown: {error}"),
        _ => format!("ERR {error}"),
    }
}

/// Redis's texts that several commands use.
pub(super) const SYNTAX: &str = "ERR syntax error";
pub(super) const NOT_INTEGER: &str = "ERR value is not an integer or out of range";
pub(super) const NO_SUCH_KEY: &str = "ERR no such key";
pub(super) const DB_RANGE: &str = "ERR DB index is out of range";

impl<'c> Call<'c> {
    /// The argument at `index`, empty if there is none.
    #[inline]
    pub fn arg(&self, index: usize) -> &'c [u8] {
        self.request.arg(index)
    }

    /// The argument at `index` in a form that outlives the request.
    #[inline]
    pub fn bytes(&self, index: usize) -> Bytes {
        self.request.bytes(index)
    }

    /// The number of arguments, the command's name counted.
    #[expect(clippy::len_without_is_empty, reason = "a command has a name at least")]
    #[inline]
    pub fn len(&self) -> usize {
        self.request.len()
    }

    /// The key whose name is the argument at `index`, in the database of the connection.
    pub fn key(&self, index: usize) -> Result<Key, Refusal> {
        self.named(self.arg(index))
    }

    /// The key of this name, in the database of the connection.
    #[inline]
    pub fn named(&self, name: &[u8]) -> Result<Key, Refusal> {
        Ok(self.server.keyspace.key(self.session.database, name)?)
    }

    /// The argument at `index` as an integer.
    pub fn integer(&self, index: usize) -> Result<i64, Refusal> {
        number::parse_integer(self.arg(index)).ok_or_else(|| NOT_INTEGER.into())
    }

    /// Whether the argument at `index` is this word, in any case.
    pub fn is(&self, index: usize, word: &str) -> bool {
        self.arg(index).eq_ignore_ascii_case(word.as_bytes())
    }

    /// The name of the command as errors spell it: `set`, `client|kill`.
    pub fn full_name(&self) -> String {
        full_name(self.parent, self.command)
    }

    /// The wall time in milliseconds, as Redis counts.
    pub fn now_ms(&self) -> i64 {
        i64::try_from(self.server.clock().wall_ms()).unwrap_or(i64::MAX)
    }

    /// The error for a subcommand with arguments that do not fit.
    pub fn wrong_form(&self) -> Refusal {
        let parent = self.parent.map_or("", |parent| parent.name).to_ascii_uppercase();
        let name = shown(self.arg(1), 128);
        about(
            "ERR unknown subcommand or wrong number of arguments for '",
            name,
            &format!("'. Try {parent} HELP."),
        )
    }

    /// The error for a lifetime that no key can have.
    pub fn invalid_expire(&self) -> Refusal {
        format!("ERR invalid expire time in '{}' command", self.full_name()).into()
    }
}

/// `set`, or `client|kill`.
pub(super) fn full_name(parent: Option<&Command>, command: &Command) -> String {
    match parent {
        Some(parent) => format!("{}|{}", parent.name, command.name),
        None => command.name.to_owned(),
    }
}

/// The beginning of a stranger's word as errors repeat it: to its first zero byte, as C prints it.
pub(super) fn shown(word: &[u8], limit: usize) -> &[u8] {
    let end = memchr::memchr(0, word).unwrap_or(word.len()).min(limit);
    word.get(..end).unwrap_or(word)
}

/// An error that repeats a word of the client.
pub(super) fn about(before: &str, word: &[u8], after: &str) -> Refusal {
    [before.as_bytes(), shown(word, LONGEST_SHOWN), after.as_bytes()].concat().into()
}

/// Most of a word that an error repeats.
const LONGEST_SHOWN: usize = 4096;
