//! Commands about the connection itself: protocol, login, name, database.

mod client;
mod kill;
mod login;

use super::help::help;
use super::table::Command;
use crate::keyspace::DATABASES;
use crate::resp::call::{Call, DB_RANGE, NOT_INTEGER, Refusal, Reply};
use crate::resp::number::parse_integer;
use crate::resp::reply::Proto;

/// The rows of this group.
pub(super) const COMMANDS: &[Command] = &[
    Command::new("hello", -1, "noscript loading stale fast no_auth allow_busy", "fast connection")
        .takes(
            "[arguments(protover:integer [AUTH username_password(username:string password:string)] \
             [SETNAME clientname:string])]",
        )
        .about("6.0.0", "O(1)", "Chooses the protocol version, and may log in and name the connection")
        .now(login::hello),
    Command::new("auth", -2, "noscript loading stale fast no_auth allow_busy", "fast connection")
        .takes("[username:string@6.0.0] password:string")
        .about("1.0.0", "O(N) with N the number of passwords of the user", "Logs the connection in")
        .now(login::auth),
    Command::new("ping", -1, "fast", "fast connection")
        .takes("[message:string]")
        .tips(&["request_policy:all_shards", "response_policy:all_succeeded"])
        .about("1.0.0", "O(1)", "Answers PONG, or the message it was given")
        .now(ping),
    Command::new("echo", 2, "loading stale fast", "fast connection")
        .takes("message:string")
        .about("1.0.0", "O(1)", "Answers the message it was given")
        .now(echo),
    Command::new("quit", -1, "noscript loading stale fast no_auth allow_busy", "fast connection")
        .about("1.0.0", "O(1)", "Closes the connection")
        .now(quit),
    Command::new("reset", 1, "noscript loading stale fast no_auth allow_busy", "fast connection")
        .about("6.2.0", "O(1)", "Puts the connection back to the state of a new one")
        .now(reset),
    Command::new("select", 2, "loading stale fast", "fast connection")
        .takes("index:integer")
        .about("1.0.0", "O(1)", "Chooses the database of the connection")
        .now(select),
    Command::new("client", -2, "", "slow")
        .about("2.4.0", "Depends on the subcommand", "Commands about client connections")
        .subcommands(CLIENT),
];

/// The subcommands of CLIENT.
const CLIENT: &[Command] = &[
    Command::new("id", 2, "noscript loading stale", "slow connection")
        .about("5.0.0", "O(1)", "Answers the number of this connection")
        .now(client::id),
    Command::new("info", 2, "noscript loading stale", "slow connection")
        .tips(&["nondeterministic_output"])
        .about("6.2.0", "O(1)", "Describes this connection")
        .now(client::info),
    Command::new("list", -2, "admin noscript loading stale", "admin slow dangerous connection")
        .takes(
            "[TYPE normal_master_replica_pubsub(NORMAL | MASTER | REPLICA | PUBSUB)@5.0.0] \
             [ID id(client-id:integer...)@6.2.0]",
        )
        .tips(&["nondeterministic_output"])
        .about("2.4.0", "O(N) with N the number of connections", "Describes every connection")
        .now(client::list),
    Command::new("getname", 2, "noscript loading stale", "slow connection")
        .about("2.6.9", "O(1)", "Answers the name of this connection")
        .now(client::getname),
    Command::new("setname", 3, "noscript loading stale", "slow connection")
        .takes("connection-name:string")
        .about("2.6.9", "O(1)", "Names this connection")
        .now(client::setname),
    Command::new("setinfo", 4, "noscript loading stale", "slow connection")
        .takes("attr(LIB-NAME libname:string | LIB-VER libver:string)")
        .tips(&["request_policy:all_nodes", "response_policy:all_succeeded"])
        .about("7.2.0", "O(1)", "Records the name or version of the client library")
        .now(client::setinfo),
    Command::new("no-evict", 3, "admin noscript loading stale", "admin slow dangerous connection")
        .takes("enabled(ON | OFF)")
        .about("7.0.0", "O(1)", "Spares this connection when connections are closed to free memory")
        .now(client::no_evict),
    Command::new("kill", -3, "admin noscript loading stale", "admin slow dangerous connection")
        .takes(
            "filter(ip:port:string~2.8.12 | new-format([ID client-id:integer@2.8.12] \
             | [TYPE normal_master_slave_pubsub(NORMAL | MASTER@3.2.0 | SLAVE | REPLICA@5.0.0 | PUBSUB)@2.8.12] \
             | [USER username:string] | [ADDR ip:port:string] | [LADDR ip:port:string@6.2.0] \
             | [SKIPME yes/no:string])...)",
        )
        .about("2.4.0", "O(N) with N the number of connections", "Closes the connections that match")
        .now(kill::kill),
    Command::new("reply", 3, "noscript loading stale", "slow connection")
        .takes("on_off_skip(ON | OFF | SKIP)")
        .about("3.2.0", "O(1)", "Switches replies on or off")
        .now(client::reply),
    Command::new("pause", -3, "admin noscript loading stale", "admin slow dangerous connection")
        .takes("timeout:integer [mode(WRITE | ALL)@6.2.0]")
        .about("2.9.50", "O(1)", "Holds back commands for a time")
        .now(client::pause),
    Command::new("unpause", 2, "admin noscript loading stale", "admin slow dangerous connection")
        .about("6.2.0", "O(N) with N the number of paused connections", "Ends a pause")
        .now(client::unpause),
    Command::new("help", 2, "loading stale", "slow connection")
        .about("5.0.0", "O(1)", "Lists the subcommands")
        .now(help),
];

/// PING answers in a form of its own to those who listen in protocol 2: they tell replies from messages by it.
fn ping(call: &mut Call<'_>) -> Reply {
    if call.len() > 2 {
        return Err("ERR wrong number of arguments for 'ping' command".into());
    }
    if call.session.is_listening() && call.session.client.proto() == Proto::Resp2 {
        call.output.array(2);
        call.output.bulk("pong");
        call.output.bulk(call.arg(1));
    } else if call.len() == 1 {
        call.output.simple("PONG");
    } else {
        call.output.bulk(call.arg(1));
    }
    Ok(())
}

fn echo(call: &mut Call<'_>) -> Reply {
    call.output.bulk(call.arg(1));
    Ok(())
}

fn quit(call: &mut Call<'_>) -> Reply {
    call.session.closing = true;
    call.output.ok();
    Ok(())
}

fn reset(call: &mut Call<'_>) -> Reply {
    call.session.reset();
    call.set_proto(Proto::Resp2);
    call.output.simple("RESET");
    Ok(())
}

fn select(call: &mut Call<'_>) -> Reply {
    let database = database(call.arg(1))?;
    call.session.select(database);
    call.output.ok();
    Ok(())
}

/// The number of a database.
pub(super) fn database(text: &[u8]) -> Result<usize, Refusal> {
    let number = parse_integer(text).ok_or(NOT_INTEGER)?;
    if i32::try_from(number).is_err() {
        let (low, high) = (i32::MIN, i32::MAX);
        return Err(format!("ERR value is out of range, value must between {low} and {high}").into());
    }
    usize::try_from(number).ok().filter(|number| *number < DATABASES).ok_or_else(|| DB_RANGE.into())
}

impl Call<'_> {
    /// Changes the protocol from this reply on.
    pub(super) fn set_proto(&mut self, proto: Proto) {
        self.session.client.set_proto(proto);
        self.output.set_proto(proto);
    }
}
