//! Publish and subscribe.

use bytes::Bytes;

use super::help::help;
use super::table::Command;
use crate::resp::call::{Call, Reply};
use crate::resp::pubsub::Kind;

/// The rows of this group.
pub(super) const COMMANDS: &[Command] = &[
    Command::new("subscribe", -2, "pubsub noscript loading stale", "pubsub slow")
        .takes("channel:string...")
        .about("2.0.0", "O(N) with N the number of channels", "Listens to channels")
        .now(subscribe),
    Command::new("unsubscribe", -1, "pubsub noscript loading stale", "pubsub slow")
        .takes("[channel:string...]")
        .about("2.0.0", "O(N) with N the number of channels", "Stops listening to channels")
        .now(unsubscribe),
    Command::new("psubscribe", -2, "pubsub noscript loading stale", "pubsub slow")
        .takes("pattern(pattern)...")
        .about("2.0.0", "O(N) with N the number of patterns", "Listens to the channels that match patterns")
        .now(subscribe),
    Command::new("punsubscribe", -1, "pubsub noscript loading stale", "pubsub slow")
        .takes("[pattern...]")
        .about("2.0.0", "O(N) with N the number of patterns", "Stops listening to patterns")
        .now(unsubscribe),
    Command::new("publish", 3, "pubsub loading stale fast", "pubsub fast")
        .takes("channel:string message:string")
        .about(
            "2.0.0",
            "O(N+M) with N the listeners and M the patterns of all connections",
            "Sends a message to a channel",
        )
        .now(publish),
    Command::new("pubsub", -2, "", "slow")
        .about("2.8.0", "Depends on the subcommand", "Commands about channels and who listens")
        .subcommands(PUBSUB),
];

/// The subcommands of PUBSUB.
const PUBSUB: &[Command] = &[
    Command::new("channels", -2, "pubsub loading stale", "pubsub slow")
        .takes("[pattern]")
        .about("2.8.0", "O(N) with N the number of channels", "Lists the channels somebody listens to")
        .now(channels),
    Command::new("numpat", 2, "pubsub loading stale", "pubsub slow")
        .about("2.8.0", "O(1)", "Counts the patterns somebody listens to")
        .now(numpat),
    Command::new("numsub", -2, "pubsub loading stale", "pubsub slow")
        .takes("[channel:string...]")
        .about("2.8.0", "O(N) with N the number of channels asked for", "Counts the listeners of channels")
        .now(numsub),
    Command::new("help", 2, "loading stale", "slow")
        .about("6.2.0", "O(1)", "Lists the subcommands")
        .now(help),
];

/// To what the command concerns one listens, by its name.
fn kind(call: &Call<'_>) -> Kind {
    if call.command.name.starts_with('p') { Kind::Pattern } else { Kind::Channel }
}

/// Longest name of a channel or a pattern: a match may take as many steps as both have bytes, multiplied.
const NAME: usize = 64 << 10;

/// SUBSCRIBE and PSUBSCRIBE: a confirmation for each.
fn subscribe(call: &mut Call<'_>) -> Reply {
    let kind = kind(call);
    let limit = if kind == Kind::Pattern { 1024 } else { NAME };
    if call.request.args_from(1).any(|name| name.len() > limit) {
        return Err(format!("ERR a name is at most {limit} bytes long here").into());
    }
    for index in 1..call.len() {
        let name = Bytes::copy_from_slice(call.arg(index));
        call.session.subscribe(kind, &name);
        confirm(call, Some(&name));
    }
    Ok(())
}

/// UNSUBSCRIBE and PUNSUBSCRIBE: from those named, or from all.
fn unsubscribe(call: &mut Call<'_>) -> Reply {
    let kind = kind(call);
    let names: Vec<Bytes> = match call.len() {
        1 => call.session.of(kind).iter().cloned().collect(),
        _ => call.request.args_from(1).map(Bytes::copy_from_slice).collect(),
    };
    for name in &names {
        call.session.unsubscribe(kind, name);
        // What was sent before is received before.
        call.session.take_messages(call.output);
        confirm(call, Some(name));
    }
    if names.is_empty() {
        confirm(call, None);
    }
    Ok(())
}

fn confirm(call: &mut Call<'_>, name: Option<&Bytes>) {
    call.output.push(3);
    call.output.bulk(call.command.name);
    match name {
        Some(name) => call.output.bulk_bytes(name),
        None => call.output.null(),
    }
    call.output.count(call.session.subscriptions());
}

fn publish(call: &mut Call<'_>) -> Reply {
    let sent = call.server.hub.publish(call.arg(1), &call.bytes(2));
    // One who listens to what they publish receives the message before the reply.
    call.session.take_messages(call.output);
    call.output.count(sent);
    Ok(())
}

fn channels(call: &mut Call<'_>) -> Reply {
    if call.len() > 3 {
        return Err(call.wrong_form());
    }
    let names = call.server.hub.channels(call.request.get(2));
    call.output.array(names.len());
    names.iter().for_each(|name| call.output.bulk(name));
    Ok(())
}

fn numpat(call: &mut Call<'_>) -> Reply {
    let (_, patterns) = call.server.hub.counts();
    call.output.count(patterns);
    Ok(())
}

fn numsub(call: &mut Call<'_>) -> Reply {
    call.output.array((call.len() - 2) * 2);
    for name in call.request.args_from(2) {
        call.output.bulk(name);
        call.output.count(call.server.hub.listeners(name));
    }
    Ok(())
}
