//! From a request to its reply: finding the row, what speaks against running it, the locks, and running it.

use std::sync::Arc;

use super::call::{Call, Refusal, full_name, shown};
use super::command::table::Action;
use super::command::{Command, Flags, lookup};
use super::parse::Request;
use super::reply::{Output, Proto};
use super::server::Server;
use super::session::{Queued, Session};
use crate::keyspace::Guard;

/// Most bytes that wait for EXEC in one connection.
const QUEUE_LIMIT: usize = 256 << 20;

/// Longest part of a stranger's words that an error repeats.
const SHOWN: usize = 128;

/// Runs one request and writes its reply. `locked` says that its key is locked already.
#[inline]
pub(super) async fn dispatch(
    server: &Arc<Server>,
    session: &mut Session,
    output: &mut Output,
    request: Request<'_>,
    locked: bool,
) {
    session.tally.commands += 1;
    let row = match admit(session, request) {
        Ok(Admitted::Run(row)) => row,
        Ok(Admitted::Quit) => {
            session.closing = true;
            return output.ok();
        }
        Ok(Admitted::Foreign) => {
            session.closing = true;
            return;
        }
        Ok(Admitted::Queued) => return output.simple("QUEUED"),
        Err(refusal) => return refuse(session, output, request, &refusal),
    };
    // Commands about connections go on, so that a pause can be ended.
    if server.clients.pause.is_possible() && row.parent.unwrap_or(row.command).group != "connection" {
        let writes = may_write(session, row.command);
        server.clients.pause.wait(writes, &**server.clock()).await;
    }
    let _guard = if locked { None } else { lock(server, row.command, request).await };
    run(server, session, output, request, row).await;
}

/// Runs a command whose keys are locked, and writes its reply.
#[inline]
pub(super) async fn run(
    server: &Arc<Server>,
    session: &mut Session,
    output: &mut Output,
    request: Request<'_>,
    Row { parent, command }: Row,
) {
    session.wrote |= command.flags.contains(Flags::WRITE);
    session.read |= command.flags.contains(Flags::READONLY);
    let mut call = Call { server, session, output, request, command, parent };
    let reply = match command.action {
        Action::Now(run) => run(&mut call),
        Action::Later(run) => run(call).await,
        Action::Either(attempt, run) => match attempt(&mut call) {
            Some(reply) => reply,
            None => run(call).await,
        },
        Action::Parent => Err("ERR this command needs a subcommand".into()),
    };
    if let Err(refusal) = reply {
        session.tally.errors += 1;
        output.error(refusal.text());
    }
}

/// Answers a request that may not run. It spoils the transaction it belongs to; an EXEC that may not run ends it.
#[cold]
fn refuse(session: &mut Session, output: &mut Output, request: Request<'_>, refusal: &Refusal) {
    session.tally.errors += 1;
    let text = refusal.text();
    if !request.name().eq_ignore_ascii_case(b"exec") {
        session.spoil();
        return output.error(text);
    }
    session.discard();
    session.unwatch();
    let why = text.strip_prefix(b"ERR ").unwrap_or(&text);
    output.error([b"EXECABORT Transaction discarded because of: ", why].concat());
}

/// A row of the table, and the one it is under.
#[derive(Clone, Copy)]
pub(super) struct Row {
    pub(super) parent: Option<&'static Command>,
    pub(super) command: &'static Command,
}

enum Admitted {
    Run(Row),
    /// A browser was sent here by some page: nothing it says is a command.
    Foreign,
    Queued,
    Quit,
}

/// Everything that speaks against running a request now, in the order in which Redis looks.
#[inline]
fn admit(session: &mut Session, request: Request<'_>) -> Result<Admitted, Refusal> {
    let Some(command) = lookup(request.name()) else {
        return if is_http(request.name()) { Ok(Admitted::Foreign) } else { Err(unknown(request)) };
    };
    if command.name == "quit" {
        return Ok(Admitted::Quit);
    }
    let row = resolve(command, request)?;
    session.client.facts.note(row);
    if !session.authenticated && !row.command.flags.contains(Flags::NO_AUTH) {
        return Err("NOAUTH Authentication required.".into());
    }
    if session.is_listening() && session.client.proto() == Proto::Resp2 && !is_for_listeners(row.command) {
        let name = full_name(row.parent, row.command);
        let text = "only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET are allowed in this context";
        return Err(format!("ERR Can't execute '{name}': {text}").into());
    }
    if session.transaction.is_some()
        && !matches!(row.command.name, "exec" | "discard" | "multi" | "watch" | "reset")
    {
        return queue(session, row, request);
    }
    Ok(Admitted::Run(row))
}

#[cold]
fn queue(session: &mut Session, row: Row, request: Request<'_>) -> Result<Admitted, Refusal> {
    let Some(transaction) = &mut session.transaction else { return Ok(Admitted::Run(row)) };
    let queued = Queued { command: row.command, parent: row.parent, request: request.to_owned() };
    transaction.memory += queued.request.memory();
    if transaction.memory > QUEUE_LIMIT {
        transaction.queue = Vec::new();
        return Err("ERR the commands of this transaction take too much memory".into());
    }
    transaction.queue.push(queued);
    let queued = transaction.queue.len() + 1;
    session.client.facts.queued.store(queued, std::sync::atomic::Ordering::Relaxed);
    Ok(Admitted::Queued)
}

/// The row of a request with the right number of arguments.
#[inline]
pub(super) fn resolve(command: &'static Command, request: Request<'_>) -> Result<Row, Refusal> {
    let row = match request.get(1) {
        Some(name) if !command.subcommands.is_empty() => {
            let found = command.subcommand(name).ok_or_else(|| unknown_subcommand(command, name))?;
            Row { parent: Some(command), command: found }
        }
        _ => Row { parent: None, command },
    };
    if !row.command.accepts(request.len()) {
        let name = full_name(row.parent, row.command);
        return Err(format!("ERR wrong number of arguments for '{name}' command").into());
    }
    Ok(row)
}

/// Whether these are words with which HTTP begins, and which a page can make a browser send to any port.
#[cold]
fn is_http(name: &[u8]) -> bool {
    name.eq_ignore_ascii_case(b"post") || name.eq_ignore_ascii_case(b"host:")
}

#[cold]
fn unknown(request: Request<'_>) -> Refusal {
    let mut text = b"ERR unknown command '".to_vec();
    text.extend_from_slice(shown(request.name(), SHOWN));
    text.extend_from_slice(b"', with args beginning with: ");
    let start = text.len();
    for arg in request.args_from(1) {
        let used = text.len() - start;
        if used >= SHOWN {
            break;
        }
        text.push(b'\'');
        text.extend_from_slice(shown(arg, SHOWN - used));
        text.extend_from_slice(b"' ");
    }
    text.into()
}

#[cold]
fn unknown_subcommand(parent: &Command, name: &[u8]) -> Refusal {
    let mut text = b"ERR unknown subcommand '".to_vec();
    text.extend_from_slice(shown(name, SHOWN));
    text.extend_from_slice(format!("'. Try {} HELP.", parent.name.to_ascii_uppercase()).as_bytes());
    text.into()
}

fn is_for_listeners(command: &Command) -> bool {
    matches!(command.name, "subscribe" | "unsubscribe" | "psubscribe" | "punsubscribe" | "ping" | "reset")
}

/// Whether running this may change data, the commands of a transaction included.
fn may_write(session: &Session, command: &Command) -> bool {
    let queued = || session.transaction.iter().flat_map(|transaction| &transaction.queue);
    command.flags.contains(Flags::WRITE)
        || command.name == "publish"
        || (command.name == "exec" && queued().any(|queued| queued.command.flags.contains(Flags::WRITE)))
}

/// Whether a command over one key does not depend on what is there, nor on anything it read.
#[inline]
pub(super) fn overwrites(command: &Command, request: Request<'_>) -> bool {
    request.len() == 3 && command.name == "set" || matches!(command.name, "setex" | "psetex")
}

/// Takes the locks a command needs. EXEC takes its own, for all its commands at once.
#[inline]
async fn lock<'s>(
    server: &'s Arc<Server>,
    command: &'static Command,
    request: Request<'_>,
) -> Option<Guard<'s>> {
    let locks = &server.keyspace.locks;
    let writes = command.flags.contains(Flags::WRITE);
    if command.keys.first == 0 {
        // Listings are no snapshots, and take no lock.
        return if writes && command.concerns_all_keys() { Some(locks.all(true).await) } else { None };
    }
    let first = request.arg(command.keys.first.unsigned_abs() as usize);
    if command.keys.first == command.keys.last
        || request.len() == command.keys.first.unsigned_abs() as usize + 1
    {
        if writes {
            return Some(match overwrites(command, request) {
                true => locks.shared_named(first).await,
                false => locks.one_named(first).await,
            });
        }
        if !locks.is_settled(first) {
            locks.settled_named(first).await;
        }
        return None;
    }
    let keys = command.key_indices(request.len()).into_iter().flatten();
    Some(locks.many_named(keys.map(|index| request.arg(index)), writes).await)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resp::command::table::TABLE;

    #[test]
    fn every_row_does_something() {
        for row in TABLE {
            let parent = matches!(row.action, Action::Parent);
            assert!(!parent || !row.subcommands.is_empty(), "{} does nothing", row.name);
            for sub in row.subcommands {
                assert!(!matches!(sub.action, Action::Parent), "{}|{} does nothing", row.name, sub.name);
            }
        }
    }

    #[test]
    fn commands_over_all_keys_are_known() {
        let all: Vec<_> = TABLE.iter().filter(|row| row.concerns_all_keys()).map(|row| row.name).collect();
        assert_eq!(all, ["randomkey", "keys", "scan", "dbsize", "flushdb", "flushall"]);
    }
}
