//! Commands about the server: description, configuration, whole databases, memory.

mod command;
mod config;
mod info;

use super::help::help;
use super::table::Command;
use crate::keyspace::DATABASES;
use crate::resp::call::{Call, NOT_INTEGER, Reply, SYNTAX};
use crate::resp::number::parse_integer;

/// The rows of this group.
pub(super) const COMMANDS: &[Command] = &[
    Command::new("command", -1, "loading stale", "slow connection")
        .tips(&["nondeterministic_output_order"])
        .about("2.8.13", "O(N) with N the number of commands", "Describes every command")
        .subcommands(COMMAND)
        .now(command::command),
    Command::new("info", -1, "loading stale", "slow dangerous")
        .takes("[section:string...]")
        .tips(&["nondeterministic_output", "request_policy:all_shards", "response_policy:special"])
        .about("1.0.0", "O(1)", "Answers facts and figures about the server")
        .later(|call| Box::pin(info::info(call))),
    Command::new("config", -2, "", "slow")
        .about("2.0.0", "Depends on the subcommand", "Commands about the configuration")
        .subcommands(CONFIG),
    Command::new("dbsize", 1, "readonly fast", "keyspace read fast")
        .tips(&["request_policy:all_shards", "response_policy:agg_sum"])
        .about("1.0.0", "O(1)", "Answers the number of keys in the database")
        .later(|call| Box::pin(dbsize(call))),
    Command::new("flushdb", -1, "write", "keyspace write slow dangerous")
        .takes("[async(ASYNC@4.0.0 | SYNC@6.2.0)]")
        .tips(&["request_policy:all_shards", "response_policy:all_succeeded"])
        .about("1.0.0", "O(N) with N the number of keys", "Removes every key of the database")
        .later(|call| Box::pin(flush(call))),
    Command::new("flushall", -1, "write", "keyspace write slow dangerous")
        .takes("[async(ASYNC@4.0.0 | SYNC@6.2.0)]")
        .tips(&["request_policy:all_shards", "response_policy:all_succeeded"])
        .about("1.0.0", "O(N) with N the number of keys", "Removes every key of every database")
        .later(|call| Box::pin(flush(call))),
    Command::new("time", 1, "loading stale fast", "fast")
        .tips(&["nondeterministic_output"])
        .about("2.6.0", "O(1)", "Answers the time of the server")
        .now(time),
    Command::new("memory", -2, "", "slow")
        .about("4.0.0", "Depends on the subcommand", "Commands about the use of memory")
        .subcommands(MEMORY),
];

/// The subcommands of COMMAND.
const COMMAND: &[Command] = &[
    Command::new("count", 2, "loading stale", "slow connection")
        .about("2.8.13", "O(1)", "Answers how many commands there are")
        .now(command::count),
    Command::new("docs", -2, "loading stale", "slow connection")
        .takes("[command-name:string...]")
        .tips(&["nondeterministic_output_order"])
        .about(
            "7.0.0",
            "O(N) with N the number of commands asked for",
            "Answers the documentation of commands",
        )
        .now(command::docs),
    Command::new("info", -2, "loading stale", "slow connection")
        .takes("[command-name:string...]")
        .tips(&["nondeterministic_output_order"])
        .about(
            "2.8.13",
            "O(N) with N the number of commands asked for",
            "Answers arity, flags and key positions of commands",
        )
        .now(command::info),
    Command::new("list", -2, "loading stale", "slow connection")
        .takes("[FILTERBY filterby(MODULE module-name:string | ACLCAT category:string | PATTERN pattern)]")
        .tips(&["nondeterministic_output_order"])
        .about("7.0.0", "O(N) with N the number of commands", "Lists the names of commands")
        .now(command::list),
    Command::new("getkeys", -4, "loading stale", "slow connection")
        .takes("command:string [arg:string...]")
        .about("2.8.13", "O(N) with N the number of arguments", "Picks the keys out of a full command")
        .now(command::getkeys),
    Command::new("getkeysandflags", -4, "loading stale", "slow connection")
        .takes("command:string [arg:string...]")
        .about(
            "7.0.0",
            "O(N) with N the number of arguments",
            "Picks the keys out of a full command and says how each is used",
        )
        .now(command::getkeysandflags),
    Command::new("help", 2, "loading stale", "slow connection")
        .about("5.0.0", "O(1)", "Lists the subcommands")
        .now(help),
];

/// The subcommands of CONFIG.
const CONFIG: &[Command] = &[
    Command::new("get", -3, "admin noscript loading stale", "admin slow dangerous")
        .takes("parameter(parameter:string)...")
        .about("2.0.0", "O(N) with N the number of settings", "Answers the settings whose names match")
        .now(config::get),
    Command::new("set", -4, "admin noscript loading stale", "admin slow dangerous")
        .takes("parameter_value(parameter:string value:string)...")
        .tips(&["request_policy:all_nodes", "response_policy:all_succeeded"])
        .about("2.0.0", "O(N) with N the number of settings given", "Changes settings while the server runs")
        .now(config::set),
    Command::new("resetstat", 2, "admin noscript loading stale", "admin slow dangerous")
        .about("2.0.0", "O(1)", "Sets the counters of INFO back to zero")
        .now(config::resetstat),
    Command::new("help", 2, "loading stale", "slow")
        .about("5.0.0", "O(1)", "Lists the subcommands")
        .now(help),
];

/// The subcommands of MEMORY.
const MEMORY: &[Command] = &[
    Command::new("usage", -3, "readonly", "read slow")
        .takes("key [SAMPLES count:integer]")
        .key(2, "RO")
        .about("4.0.0", "O(1)", "Estimates the bytes a key and its value take")
        .later(|call| Box::pin(memory_usage(call))),
    Command::new("help", 2, "loading stale", "slow")
        .about("4.0.0", "O(1)", "Lists the subcommands")
        .now(help),
];

async fn dbsize(call: Call<'_>) -> Reply {
    let keys = call.server.keyspace.count(call.session.database).await?;
    call.output.integer(i64::try_from(keys).unwrap_or(i64::MAX));
    Ok(())
}

/// FLUSHDB and FLUSHALL. ASYNC and SYNC are the same: the keys are gone when the reply is sent, and the space is
/// given back in the background.
async fn flush(call: Call<'_>) -> Reply {
    if call.len() > 2 || call.len() == 2 && !call.is(1, "async") && !call.is(1, "sync") {
        return Err(SYNTAX.into());
    }
    let database = call.session.database;
    let databases = if call.command.name == "flushall" { 0..DATABASES } else { database..database + 1 };
    call.server.keyspace.clear(databases).await?;
    call.output.ok();
    Ok(())
}

fn time(call: &mut Call<'_>) -> Reply {
    let now = call.server.clock().wall_ms();
    call.output.array(2);
    call.output.bulk((now / 1000).to_string());
    call.output.bulk((now % 1000 * 1000).to_string());
    Ok(())
}

/// What an entry takes beside its key and value, by the hot tier's reckoning.
const OVERHEAD: usize = 80;

/// MEMORY USAGE key [SAMPLES count]. A string has nothing to sample.
async fn memory_usage(call: Call<'_>) -> Reply {
    for index in (3..call.len()).step_by(2) {
        if !call.is(index, "samples") || index + 1 >= call.len() {
            return Err(SYNTAX.into());
        }
        match parse_integer(call.arg(index + 1)) {
            Some(0..) => {}
            Some(_) => return Err(SYNTAX.into()),
            None => return Err(NOT_INTEGER.into()),
        }
    }
    match call.server.keyspace.get(&call.key(2)?).await? {
        Some(value) => call.output.count(call.arg(2).len() + value.bytes.len() + OVERHEAD),
        None => call.output.null(),
    }
    Ok(())
}
