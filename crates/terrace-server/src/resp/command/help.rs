//! HELP of the commands that have subcommands, made from the table.

use crate::resp::call::{Call, Reply};

/// Lists the subcommands with what they do, in the form that Redis gives its own.
pub(super) fn help(call: &mut Call<'_>) -> Reply {
    let Some(parent) = call.parent else { return Err("ERR this command has no subcommands".into()) };
    let name = parent.name.to_ascii_uppercase();
    let others: Vec<_> = parent.subcommands.iter().filter(|sub| sub.name != "help").collect();
    call.output.array(others.len() * 2 + 3);
    call.output.simple(&format!("{name} <subcommand> [<arg> [value] [opt] ...]. Subcommands are:"));
    for sub in others {
        call.output.simple(&sub.name.to_ascii_uppercase());
        call.output.simple(&format!("    {}.", sub.summary));
    }
    call.output.simple("HELP");
    call.output.simple("    Prints this help.");
    Ok(())
}
