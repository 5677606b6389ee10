//! HELLO and AUTH.

use bytes::Bytes;

use super::client::is_name;
use crate::resp::call::{Call, Refusal, Reply, about};
use crate::resp::number::parse_integer;
use crate::resp::reply::Proto;
use crate::resp::session::Session;

const WRONG: &str = "WRONGPASS invalid username-password pair or user is disabled.";

/// Logs in as this user, of which there is one.
fn log_in(call: &mut Call<'_>, user: &[u8], password: &[u8]) -> Reply {
    if user != b"default" || !call.server.settings.accepts(password) {
        return Err(WRONG.into());
    }
    call.session.authenticated = true;
    Ok(())
}

pub(super) fn auth(call: &mut Call<'_>) -> Reply {
    match call.len() {
        2 if !call.server.settings.asks_password() => {
            return Err(
                "ERR AUTH <password> called without any password configured for the default user. Are you \
                        sure your configuration is correct?"
                    .into(),
            );
        }
        2 => log_in(call, b"default", call.arg(1))?,
        3 => log_in(call, call.arg(1), call.arg(2))?,
        _ => return Err(crate::resp::call::SYNTAX.into()),
    }
    call.output.ok();
    Ok(())
}

/// What HELLO asks for beside the protocol.
#[derive(Default)]
struct Wishes<'c> {
    proto: Option<Proto>,
    login: Option<(&'c [u8], &'c [u8])>,
    name: Option<Bytes>,
}

impl<'c> Wishes<'c> {
    fn parse(call: &Call<'c>) -> Result<Self, Refusal> {
        let mut wishes = Self::default();
        if call.len() > 1 {
            wishes.proto = Some(match parse_integer(call.arg(1)) {
                Some(2) => Proto::Resp2,
                Some(3) => Proto::Resp3,
                Some(_) => return Err("NOPROTO unsupported protocol version".into()),
                None => return Err("ERR Protocol version is not an integer or out of range".into()),
            });
        }
        let mut index = 2;
        while index < call.len() {
            if call.is(index, "auth") && index + 2 < call.len() {
                wishes.login = Some((call.arg(index + 1), call.arg(index + 2)));
                index += 3;
            } else if call.is(index, "setname") && index + 1 < call.len() {
                wishes.name = Some(call.bytes(index + 1));
                index += 2;
            } else {
                return Err(about("ERR Syntax error in HELLO option '", call.arg(index), "'"));
            }
        }
        Ok(wishes)
    }
}

pub(super) fn hello(call: &mut Call<'_>) -> Reply {
    let wishes = Wishes::parse(call)?;
    if let Some((user, password)) = wishes.login {
        log_in(call, user, password)?;
    }
    if !call.session.authenticated {
        return Err("NOAUTH HELLO must be called with the client already authenticated, otherwise the HELLO <proto> \
                    AUTH <user> <pass> option can be used to authenticate the client and select the RESP protocol \
                    version at the same time"
            .into());
    }
    if let Some(name) = wishes.name {
        set_name(call.session, name)?;
    }
    if let Some(proto) = wishes.proto {
        call.set_proto(proto);
    }
    describe(call);
    Ok(())
}

pub(super) fn set_name(session: &Session, name: Bytes) -> Reply {
    if !is_name(&name) {
        return Err("ERR Client names cannot contain spaces, newlines or special characters.".into());
    }
    session.client.names().name = name;
    Ok(())
}

fn describe(call: &mut Call<'_>) {
    let proto = if call.session.client.proto() == Proto::Resp3 { 3 } else { 2 };
    let id = i64::try_from(call.session.client.id).unwrap_or(i64::MAX);
    let output = &mut *call.output;
    output.map(7);
    output.bulk("server");
    output.bulk("redis");
    output.bulk("version");
    output.bulk(crate::resp::REDIS_VERSION);
    output.bulk("proto");
    output.integer(proto);
    output.bulk("id");
    output.integer(id);
    output.bulk("mode");
    output.bulk("standalone");
    output.bulk("role");
    output.bulk("master");
    output.bulk("modules");
    output.array(0);
}
