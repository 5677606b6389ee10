//! CLIENT: what a connection may say of itself and ask about others.

use std::sync::atomic::Ordering;

use bytes::Bytes;

use super::login::set_name;
use crate::resp::call::{Call, Refusal, Reply, SYNTAX, about};
use crate::resp::clients::PauseMode;
use crate::resp::number::parse_integer;
use crate::resp::session::Replies;

/// Whether clients may call themselves so: visible letters, no blanks, so that a line of CLIENT LIST stays one.
pub(super) fn is_name(name: &[u8]) -> bool {
    name.iter().all(|byte| (b'!'..=b'~').contains(byte))
}

pub(super) fn id(call: &mut Call<'_>) -> Reply {
    call.output.integer(i64::try_from(call.session.client.id).unwrap_or(i64::MAX));
    Ok(())
}

pub(super) fn info(call: &mut Call<'_>) -> Reply {
    let mut line = call.session.client.describe(call.server.clock().now());
    line.push(b'\n');
    text(call, &line);
    Ok(())
}

/// A text for people; what a client called itself may be in it, which is ASCII.
fn text(call: &mut Call<'_>, bytes: &[u8]) {
    call.output.verbatim(*b"txt", &String::from_utf8_lossy(bytes));
}

/// CLIENT LIST [TYPE type] [ID id ...].
pub(super) fn list(call: &mut Call<'_>) -> Reply {
    let mut clients = call.server.clients.all();
    if call.len() == 4 && call.is(2, "type") {
        match call.arg(3).to_ascii_lowercase().as_slice() {
            b"normal" => clients.retain(|client| !client.is_listening()),
            b"pubsub" => clients.retain(|client| client.is_listening()),
            b"master" | b"replica" | b"slave" => clients.clear(),
            _ => return Err(about("ERR Unknown client type '", call.arg(3), "'")),
        }
    } else if call.len() > 3 && call.is(2, "id") {
        let ids: Vec<u64> = (3..call.len()).map(|index| client_id(call, index)).collect::<Result<_, _>>()?;
        clients.retain(|client| ids.contains(&client.id));
    } else if call.len() != 2 {
        return Err(SYNTAX.into());
    }
    let now = call.server.clock().now();
    let mut lines = Vec::new();
    for client in clients {
        lines.extend(client.describe(now));
        lines.push(b'\n');
    }
    text(call, &lines);
    Ok(())
}

fn client_id(call: &Call<'_>, index: usize) -> Result<u64, Refusal> {
    let id = parse_integer(call.arg(index)).and_then(|id| u64::try_from(id).ok()).filter(|id| *id > 0);
    id.ok_or_else(|| "ERR Invalid client ID".into())
}

pub(super) fn getname(call: &mut Call<'_>) -> Reply {
    let name = call.session.client.names().name.clone();
    if name.is_empty() {
        call.output.null();
    } else {
        call.output.bulk(name);
    }
    Ok(())
}

pub(super) fn setname(call: &mut Call<'_>) -> Reply {
    set_name(call.session, call.bytes(2))?;
    call.output.ok();
    Ok(())
}

/// CLIENT SETINFO LIB-NAME name | LIB-VER version.
pub(super) fn setinfo(call: &mut Call<'_>) -> Reply {
    let value: Bytes = call.bytes(3);
    let set = |what: &str| -> Reply {
        if !is_name(&value) {
            let text = format!("ERR {what} cannot contain spaces, newlines or special characters.");
            return Err(text.into());
        }
        Ok(())
    };
    if call.is(2, "lib-name") {
        set("lib-name")?;
        call.session.client.names().library = value;
    } else if call.is(2, "lib-ver") {
        set("lib-ver")?;
        call.session.client.names().version = value;
    } else {
        return Err(about("ERR Unrecognized option '", call.arg(2), "'"));
    }
    call.output.ok();
    Ok(())
}

/// Connections are never closed to free memory, so all are spared; it shows in CLIENT LIST.
pub(super) fn no_evict(call: &mut Call<'_>) -> Reply {
    let on = match () {
        () if call.is(2, "on") => true,
        () if call.is(2, "off") => false,
        () => return Err(SYNTAX.into()),
    };
    call.session.client.facts.no_evict.store(on, Ordering::Relaxed);
    call.output.ok();
    Ok(())
}

/// CLIENT REPLY ON | OFF | SKIP. Only ON is answered.
pub(super) fn reply(call: &mut Call<'_>) -> Reply {
    let now = call.session.replies;
    match () {
        () if call.is(2, "on") => {
            call.session.replies = Replies::On;
            call.output.ok();
        }
        () if call.is(2, "off") => call.session.replies = Replies::Off,
        () if call.is(2, "skip") => {
            if now != Replies::Off {
                call.session.replies = Replies::SkipNext;
            }
        }
        () => return Err(SYNTAX.into()),
    }
    Ok(())
}

/// CLIENT PAUSE milliseconds [WRITE | ALL].
pub(super) fn pause(call: &mut Call<'_>) -> Reply {
    let mode = match call.len() {
        3 => PauseMode::All,
        4 if call.is(3, "write") => PauseMode::Write,
        4 if call.is(3, "all") => PauseMode::All,
        4 => return Err("ERR CLIENT PAUSE mode must be WRITE or ALL".into()),
        _ => return Err(call.wrong_form()),
    };
    let timeout = parse_integer(call.arg(2)).ok_or("ERR timeout is not an integer or out of range")?;
    let timeout = u64::try_from(timeout).map_err(|_| Refusal::from("ERR timeout is negative"))?;
    let clock = call.server.clock();
    call.server.clients.pause.begin(clock.now_ms().saturating_add(timeout), mode, &**clock);
    call.output.ok();
    Ok(())
}

pub(super) fn unpause(call: &mut Call<'_>) -> Reply {
    call.server.clients.pause.end();
    call.output.ok();
    Ok(())
}
