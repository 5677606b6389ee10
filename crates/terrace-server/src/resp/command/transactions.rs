//! Transactions: commands queued and run together, under the condition of WATCH.
//!
//! EXEC locks the keys of all queued commands and of WATCH at once, exclusively if any of them writes, so that
//! nobody sees or changes a part of them meanwhile. A command over the whole key space locks everything.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::table::{Command, Flags};
use crate::keyspace::Guard;
use crate::resp::call::{Call, Reply};
use crate::resp::dispatch::{Row, run};
use crate::resp::server::Server;
use crate::resp::session::{Queued, Session, Transaction, Watched};

/// The rows of this group.
pub(super) const COMMANDS: &[Command] = &[
    Command::new("multi", 1, "noscript loading stale fast allow_busy", "fast transaction")
        .about("1.2.0", "O(1)", "Begins a transaction")
        .now(multi),
    Command::new("exec", 1, "noscript loading stale skip_slowlog", "slow transaction")
        .about("1.2.0", "Depends on the commands", "Runs the commands of a transaction")
        .later(|call| Box::pin(exec(call))),
    Command::new("discard", 1, "noscript loading stale fast allow_busy", "fast transaction")
        .about("2.0.0", "O(N) with N the number of commands", "Forgets the commands of a transaction")
        .now(discard),
    Command::new("watch", -2, "noscript loading stale fast allow_busy", "fast transaction")
        .takes("key...")
        .keys_to_end(1, 1, "RO")
        .about(
            "2.2.0",
            "O(N) with N the number of keys",
            "Makes the next EXEC run only if the keys stay as they are",
        )
        .later(|call| Box::pin(watch(call))),
    Command::new("unwatch", 1, "noscript loading stale fast allow_busy", "fast transaction")
        .about("2.2.0", "O(N) with N the number of watched keys", "Forgets the watched keys")
        .now(unwatch),
];

fn multi(call: &mut Call<'_>) -> Reply {
    if call.session.transaction.is_some() {
        return Err("ERR MULTI calls can not be nested".into());
    }
    call.session.transaction = Some(Transaction::default());
    call.session.client.facts.queued.store(1, Ordering::Relaxed);
    call.output.ok();
    Ok(())
}

fn discard(call: &mut Call<'_>) -> Reply {
    if call.session.discard().is_none() {
        return Err("ERR DISCARD without MULTI".into());
    }
    call.session.unwatch();
    call.output.ok();
    Ok(())
}

/// WATCH runs under the locks of its keys, so that no write of them is half done.
async fn watch(call: Call<'_>) -> Reply {
    if call.session.transaction.is_some() {
        return Err("ERR WATCH inside MULTI is not allowed".into());
    }
    for index in 1..call.len() {
        let key = call.key(index)?;
        if call.session.watched.iter().any(|watched| watched.key == key) {
            continue;
        }
        let value = call.server.keyspace.get(&key).await?;
        let expires_ms = value.and_then(|value| value.expires_ms).map(|at| at.get());
        call.server.keyspace.watches.add(&key, &call.session.touched);
        call.session.watched.push(Watched { key, expires_ms });
    }
    call.output.ok();
    Ok(())
}

fn unwatch(call: &mut Call<'_>) -> Reply {
    call.session.unwatch();
    call.output.ok();
    Ok(())
}

async fn exec(call: Call<'_>) -> Reply {
    let Call { server, session, output, .. } = call;
    let Some(transaction) = session.discard() else { return Err("ERR EXEC without MULTI".into()) };
    let _guard = lock(server, session, &transaction.queue).await;
    let touched = is_touched(session, server.clock().wall_ms());
    session.unwatch();
    if transaction.spoilt {
        return Err("EXECABORT Transaction discarded because of previous errors.".into());
    }
    if touched {
        output.null_array();
        return Ok(());
    }
    output.array(transaction.queue.len());
    for Queued { command, parent, request } in &transaction.queue {
        session.tally.commands += 1;
        let row = Row { parent: *parent, command };
        run(server, session, output, request.as_request(), row).await;
    }
    Ok(())
}

/// Whether a watched key was written, or came to its end.
fn is_touched(session: &Session, now_ms: u64) -> bool {
    let ended = |watched: &Watched| watched.expires_ms.is_some_and(|end| end <= now_ms);
    session.touched.load(Ordering::SeqCst) || session.watched.iter().any(ended)
}

async fn lock<'s>(server: &'s Arc<Server>, session: &Session, queue: &[Queued]) -> Guard<'s> {
    let locks = &server.keyspace.locks;
    let writes = queue.iter().any(|queued| queued.command.flags.contains(Flags::WRITE));
    if queue.iter().any(|queued| queued.command.concerns_all_keys()) {
        return locks.all(writes).await;
    }
    let of = |queued: &Queued| {
        let request = queued.request.as_request();
        let places = queued.command.key_indices(request.len()).into_iter().flatten();
        places.map(|place| request.arg(place).to_vec()).collect::<Vec<_>>()
    };
    let mut names: Vec<Vec<u8>> = queue.iter().flat_map(of).collect();
    names.extend(session.watched.iter().map(|watched| watched.key.bytes().to_vec()));
    locks.many_named(names.iter().map(Vec::as_slice), writes).await
}
