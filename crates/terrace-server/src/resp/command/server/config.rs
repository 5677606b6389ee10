//! CONFIG: the settings under the names that Redis has for them.
//!
//! CONFIG GET tells what is in force. CONFIG SET changes what can be changed while the server runs, and refuses
//! the rest.

use crate::keyspace::{DATABASES, Policy};
use crate::resp::call::{Call, Refusal, Reply, about};
use crate::resp::glob::{self, Case};
use crate::resp::server::Server;

/// The settings with their values.
fn settings(server: &Server) -> Vec<(&'static str, String)> {
    let settings = &server.settings;
    let config = &settings.config;
    let yes = |on: bool| if on { "yes" } else { "no" }.to_owned();
    vec![
        ("appendonly", yes(config.persistent)),
        ("bind", config.address.ip().to_string()),
        ("databases", DATABASES.to_string()),
        ("dir", config.directory.clone()),
        ("maxclients", settings.max_clients().to_string()),
        ("maxmemory", settings.maxmemory().to_string()),
        ("maxmemory-policy", server.keyspace.eviction().name().to_owned()),
        ("port", config.address.port().to_string()),
        ("proto-max-bulk-len", config.limits.bulk_bytes.to_string()),
        ("replica-read-only", yes(true)),
        ("requirepass", settings.password()),
        ("save", String::new()),
        ("slave-read-only", yes(true)),
        ("timeout", settings.idle_s().to_string()),
    ]
}

pub(super) fn get(call: &mut Call<'_>) -> Reply {
    let asked = |name: &str| {
        call.request.args_from(2).any(|pattern| glob::matches(pattern, name.as_bytes(), Case::Ignored))
    };
    let found: Vec<_> = settings(call.server).into_iter().filter(|(name, _)| asked(name)).collect();
    call.output.map(found.len());
    for (name, value) in found {
        call.output.bulk(name);
        call.output.bulk(value);
    }
    Ok(())
}

/// A change that is known to be possible.
enum Change {
    MaxMemory(u64),
    Policy(Policy),
    Password(String),
    Timeout(u64),
    MaxClients(usize),
}

/// Changes all of the settings given, or none.
pub(super) fn set(call: &mut Call<'_>) -> Reply {
    if !call.len().is_multiple_of(2) {
        return Err("ERR wrong number of arguments for 'config|set' command".into());
    }
    let mut changes = Vec::new();
    for index in (2..call.len()).step_by(2) {
        changes.push(change(call, index)?);
    }
    for change in changes {
        apply(call.server, change)?;
    }
    call.output.ok();
    Ok(())
}

fn failed(name: &[u8], why: &str) -> Refusal {
    about("ERR CONFIG SET failed (possibly related to argument '", name, &format!("') - {why}"))
}

fn change(call: &Call<'_>, index: usize) -> Result<Change, Refusal> {
    let (name, value) = (call.arg(index), call.arg(index + 1));
    let text = std::str::from_utf8(value).map_err(|_| failed(name, "argument is no text"))?;
    let number =
        || text.parse::<u64>().map_err(|_| failed(name, "argument couldn't be parsed into an integer"));
    let lower = name.to_ascii_lowercase();
    Ok(match lower.as_slice() {
        b"maxmemory" if call.server.settings.config.resize.is_none() => {
            return Err(failed(name, "the budget of this store cannot be changed while it runs"));
        }
        b"maxmemory" => {
            Change::MaxMemory(memory(text).ok_or_else(|| failed(name, "argument must be a memory value"))?)
        }
        b"maxmemory-policy" => Change::Policy(Policy::named(text).ok_or_else(|| {
            let names = Policy::ALL.map(Policy::name).join(", ");
            failed(name, &format!("argument(s) must be one of the following: {names}"))
        })?),
        b"requirepass" => Change::Password(text.to_owned()),
        b"timeout" => Change::Timeout(number()?),
        b"maxclients" => Change::MaxClients(usize::try_from(number()?.max(1)).unwrap_or(usize::MAX)),
        _ if settings(call.server).iter().any(|(known, _)| known.as_bytes() == lower) => {
            return Err(failed(name, "can't set immutable config"));
        }
        _ => {
            return Err(about("ERR Unknown option or number of arguments for CONFIG SET - '", name, "'"));
        }
    })
}

fn apply(server: &Server, change: Change) -> Reply {
    let settings = &server.settings;
    match change {
        Change::MaxMemory(bytes) => {
            if let Some(resize) = &settings.config.resize {
                settings.set_maxmemory(resize, bytes)?;
            }
        }
        Change::Policy(policy) => server.keyspace.set_eviction(policy)?,
        Change::Password(password) => settings.set_password(password),
        Change::Timeout(seconds) => settings.set_idle_s(seconds),
        Change::MaxClients(clients) => settings.set_max_clients(clients),
    }
    Ok(())
}

/// A number of bytes with or without a unit: `100mb` counts in powers of 1024, `100m` in powers of 1000.
fn memory(text: &str) -> Option<u64> {
    let lower = text.to_ascii_lowercase();
    let digits = lower.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = lower.split_at(digits);
    let scale: u64 = match unit {
        "" | "b" => 1,
        "k" => 1000,
        "kb" => 1 << 10,
        "m" => 1_000_000,
        "mb" => 1 << 20,
        "g" => 1_000_000_000,
        "gb" => 1 << 30,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(scale)
}

pub(super) fn resetstat(call: &mut Call<'_>) -> Reply {
    call.session.count();
    call.server.counters.reset();
    call.server.clients.reset_totals();
    call.output.ok();
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_read_with_units() {
        assert_eq!(memory("0"), Some(0));
        assert_eq!(memory("100mb"), Some(100 << 20));
        assert_eq!(memory("2K"), Some(2000));
        assert_eq!(memory("1GB"), Some(1 << 30));
        for wrong in ["", "mb", "-1", "1.5g", "1tb", "99999999999999999999", "18446744073709551615k"] {
            assert_eq!(memory(wrong), None, "{wrong}");
        }
    }
}
