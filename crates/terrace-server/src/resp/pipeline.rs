//! Requests that a client sent together: locked together, and written together.
//!
//! Decision: a run of commands over one key each takes the locks of all its keys at once, in order, instead of one
//! after another. Clients that write one key, or few, then wait for each other once a run and not once a command.
//! Within a run, plain SETs that follow each other are one batch for the authority where batches pay; those of one
//! key then cost one write. Between the commands of a run others may be seen to come in: it is no transaction.

use bytes::Bytes;
use terrace_store::{ErrorKind, Key};

use super::call::store_error;
use super::command::{Command, Flags, lookup};
use super::dispatch::{Row, overwrites};
use super::parse::Request;
use super::reply::{Output, Proto};
use super::server::Server;
use super::session::{Replies, Session};
use crate::keyspace::Guard;

/// How many requests share a set of locks at most: others wait for the whole of it.
pub(super) const LONGEST: usize = 32;

/// Requests that follow each other, and the locks of their keys if they are to share them.
pub(super) struct Run<'s> {
    pub(super) guard: Option<Guard<'s>>,
    pub(super) length: usize,
}

impl Run<'_> {
    /// One request, which takes its own locks.
    const SINGLE: Self = Run { guard: None, length: 1 };
}

/// The run with which `requests` begins. Its locks are taken together if that helps; if not, it need not be looked
/// at again.
pub(super) async fn lock_run<'s, 'r>(
    server: &'s Server,
    session: &Session,
    requests: impl Iterator<Item = Request<'r>>,
) -> Run<'s> {
    if !is_plain(server, session) {
        return Run::SINGLE;
    }
    let mut written = Vec::new();
    let (mut length, mut depends) = (0, false);
    for request in requests.take(LONGEST) {
        let Some(command) = over_one_key(request) else { break };
        length += 1;
        if command.flags.contains(Flags::WRITE) {
            written.push(request.arg(1));
            depends |= !overwrites(command, request);
        }
    }
    let locks = &server.keyspace.locks;
    let guard = match written.len() {
        _ if length < 2 => return Run::SINGLE,
        0 => None,
        _ if depends => Some(locks.many_named(written, false).await),
        // Those hinder each other only if they are to be one write.
        2.. if server.keyspace.prefers_batches() => Some(locks.many_shared_named(written).await),
        _ => None,
    };
    Run { guard, length }
}

/// Whether the next requests of this connection do what they say, and at once.
fn is_plain(server: &Server, session: &Session) -> bool {
    session.authenticated
        && session.transaction.is_none()
        && session.replies == Replies::On
        && !(session.is_listening() && session.client.proto() == Proto::Resp2)
        && !server.clients.pause.is_possible()
}

/// The command of a request that reads or writes the key that is its first argument, and no other.
fn over_one_key(request: Request<'_>) -> Option<&'static Command> {
    let command = lookup(request.name())?;
    let one = command.keys.first == 1 && command.keys.last == 1 && command.subcommands.is_empty();
    (one && command.accepts(request.len())).then_some(command)
}

/// Runs the plain SETs with which `requests` begins as one write, if they are two at least and that pays, and returns
/// how many they were. Their keys are locked.
pub(super) async fn set_together<'r>(
    server: &Server,
    session: &mut Session,
    output: &mut Output,
    requests: impl Iterator<Item = Request<'r>>,
) -> usize {
    let mut pairs: Vec<(Key, Bytes)> = Vec::new();
    for request in requests {
        let plain = request.len() == 3 && request.name().eq_ignore_ascii_case(b"set");
        let Some(Ok(key)) = plain.then(|| server.keyspace.key(session.database, request.arg(1))) else {
            break;
        };
        pairs.push((key, request.bytes(2)));
    }
    if pairs.len() < 2 {
        return 0;
    }
    let count = pairs.len();
    let written = server.keyspace.set_many(pairs).await;
    if let Err(error) = &written
        && error.kind() != ErrorKind::Unknown
    {
        // One by one each gets the answer that is its own.
        return 0;
    }
    session.tally.commands += count as u64;
    session.wrote = true;
    if let Some(command) = lookup(b"set") {
        session.client.facts.note(Row { parent: None, command });
    }
    match written {
        Ok(()) => (0..count).for_each(|_| output.ok()),
        Err(error) => {
            session.tally.errors += count as u64;
            let text = store_error(&error);
            (0..count).for_each(|_| output.error(&text));
        }
    }
    count
}
