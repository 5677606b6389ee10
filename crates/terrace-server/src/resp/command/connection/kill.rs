//! CLIENT KILL.

use std::sync::Arc;

use crate::resp::call::{Call, Refusal, Reply, SYNTAX, about};
use crate::resp::clients::{Client, Ending};
use crate::resp::number::parse_integer;

/// Which clients to end.
#[derive(Default)]
struct Filter<'c> {
    id: Option<u64>,
    address: Option<&'c [u8]>,
    own_address: Option<&'c [u8]>,
    listening: Option<bool>,
    nobody: bool,
    spare_self: bool,
}

impl<'c> Filter<'c> {
    fn parse(call: &Call<'c>) -> Result<Self, Refusal> {
        let mut filter = Self { spare_self: true, ..Self::default() };
        for index in (2..call.len()).step_by(2) {
            let Some(value) = call.request.get(index + 1) else { return Err(SYNTAX.into()) };
            match () {
                () if call.is(index, "id") => {
                    let id = parse_integer(value).and_then(|id| u64::try_from(id).ok()).filter(|id| *id > 0);
                    filter.id = Some(id.ok_or("ERR client-id should be greater than 0")?);
                }
                () if call.is(index, "addr") => filter.address = Some(value),
                () if call.is(index, "laddr") => filter.own_address = Some(value),
                () if call.is(index, "type") => filter.of_type(value)?,
                () if call.is(index, "user") => {
                    if value != b"default" {
                        return Err(about("ERR No such user '", value, "'"));
                    }
                }
                () if call.is(index, "skipme") => match value.to_ascii_lowercase().as_slice() {
                    b"yes" => filter.spare_self = true,
                    b"no" => filter.spare_self = false,
                    _ => return Err(SYNTAX.into()),
                },
                () => return Err(SYNTAX.into()),
            }
        }
        Ok(filter)
    }

    fn of_type(&mut self, value: &[u8]) -> Reply {
        match value.to_ascii_lowercase().as_slice() {
            b"normal" => self.listening = Some(false),
            b"pubsub" => self.listening = Some(true),
            b"master" | b"replica" | b"slave" => self.nobody = true,
            _ => return Err(about("ERR Unknown client type '", value, "'")),
        }
        Ok(())
    }

    fn fits(&self, client: &Client) -> bool {
        !self.nobody
            && self.id.is_none_or(|id| id == client.id)
            && self.address.is_none_or(|address| client.peer.to_string().as_bytes() == address)
            && self.own_address.is_none_or(|address| client.local.to_string().as_bytes() == address)
            && self.listening.is_none_or(|listening| client.is_listening() == listening)
    }
}

pub(super) fn kill(call: &mut Call<'_>) -> Reply {
    if call.len() == 3 {
        // The old form: one address, the caller's too.
        let filter = Filter { address: Some(call.arg(2)), ..Filter::default() };
        if end(call, &filter) == 0 {
            return Err("ERR No such client".into());
        }
        call.output.ok();
        return Ok(());
    }
    let filter = Filter::parse(call)?;
    let ended = end(call, &filter);
    call.output.count(ended);
    Ok(())
}

/// Ends those that fit and returns how many. The caller itself ends after the reply.
fn end(call: &mut Call<'_>, filter: &Filter<'_>) -> usize {
    let clients: Vec<Arc<Client>> = call.server.clients.all();
    let mut ended = 0;
    for client in clients.iter().filter(|client| filter.fits(client)) {
        if client.id != call.session.client.id {
            client.end(Ending::Kill);
        } else if filter.spare_self {
            continue;
        } else {
            call.session.closing = true;
        }
        ended += 1;
    }
    ended
}
