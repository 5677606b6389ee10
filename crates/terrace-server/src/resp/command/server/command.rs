//! COMMAND: the table of commands as clients and proxies ask for it.

use crate::resp::call::{Call, Refusal, Reply, SYNTAX, full_name};
use crate::resp::command::arguments::{self, Argument};
use crate::resp::command::table::{Categories, KeyError, TABLE};
use crate::resp::command::{Command, lookup};
use crate::resp::glob::{self, Case};
use crate::resp::reply::Output;

/// COMMAND without a subcommand: every row.
pub(super) fn command(call: &mut Call<'_>) -> Reply {
    call.output.array(TABLE.len());
    TABLE.iter().for_each(|row| describe(call.output, None, row));
    Ok(())
}

pub(super) fn count(call: &mut Call<'_>) -> Reply {
    call.output.count(TABLE.len());
    Ok(())
}

/// The row of a name such as `get` or `client|list`, and the one it is under.
fn named(name: &[u8]) -> Option<(Option<&'static Command>, &'static Command)> {
    match name.iter().position(|byte| *byte == b'|') {
        None => Some((None, lookup(name)?)),
        Some(bar) => {
            let (parent, sub) = name.split_at(bar);
            let parent = lookup(parent)?;
            Some((Some(parent), parent.subcommand(sub.get(1..)?)?))
        }
    }
}

/// COMMAND INFO [name ...].
pub(super) fn info(call: &mut Call<'_>) -> Reply {
    if call.len() == 2 {
        return command(call);
    }
    call.output.array(call.len() - 2);
    for name in call.request.args_from(2) {
        match named(name) {
            Some((parent, row)) => describe(call.output, parent, row),
            None => call.output.null(),
        }
    }
    Ok(())
}

fn simples<'a>(output: &mut Output, words: impl Iterator<Item = &'a str> + Clone, prefix: &str) {
    output.set(words.clone().count());
    words.for_each(|word| output.simple(&format!("{prefix}{word}")));
}

fn describe(output: &mut Output, parent: Option<&Command>, row: &Command) {
    output.array(10);
    output.bulk(full_name(parent, row));
    output.integer(row.arity.into());
    simples(output, row.flags.names(), "");
    output.integer(row.keys.first.into());
    output.integer(row.keys.last.into());
    output.integer(row.keys.step.into());
    simples(output, row.categories.names(), "@");
    output.array(row.tips.len());
    row.tips.iter().for_each(|tip| output.bulk(tip));
    describe_keys(output, row);
    output.array(row.subcommands.len());
    row.subcommands.iter().for_each(|sub| describe(output, Some(row), sub));
}

/// Where the keys are, each way of use a map of its own.
fn describe_keys(output: &mut Output, row: &Command) {
    let uses: Vec<&str> = row.key_uses.iter().copied().flatten().collect();
    output.set(uses.len());
    for (index, used) in uses.iter().enumerate() {
        let last = match (uses.len(), row.keys.last) {
            (1, last) if last > 0 => last - row.keys.first,
            (1, last) => last,
            _ => 0,
        };
        output.map(3);
        output.bulk("flags");
        simples(output, used.split(' '), "");
        output.bulk("begin_search");
        output.map(2);
        output.bulk("type");
        output.bulk("index");
        output.bulk("spec");
        output.map(1);
        output.bulk("index");
        output.integer(i64::from(row.keys.first) + index as i64);
        output.bulk("find_keys");
        output.map(2);
        output.bulk("type");
        output.bulk("range");
        output.bulk("spec");
        output.map(3);
        output.bulk("lastkey");
        output.integer(last.into());
        output.bulk("keystep");
        output.integer(row.keys.step.into());
        output.bulk("limit");
        output.integer(0);
    }
}

/// COMMAND DOCS [name ...]. Names that are not known are left out.
pub(super) fn docs(call: &mut Call<'_>) -> Reply {
    let rows: Vec<(Option<&Command>, &Command)> = match call.len() {
        2 => TABLE.iter().map(|row| (None, row)).collect(),
        _ => call.request.args_from(2).filter_map(named).collect(),
    };
    call.output.map(rows.len());
    for (parent, row) in rows {
        document(call.output, parent, row);
    }
    Ok(())
}

fn document(output: &mut Output, parent: Option<&Command>, row: &Command) {
    let group = parent.map_or(row.group, |parent| parent.group);
    output.bulk(full_name(parent, row));
    let optional = row.replaced.map_or(0, |_| 3) + usize::from(!row.subcommands.is_empty());
    let arguments = arguments::parse(row.arguments).unwrap_or_default();
    output.map(4 + optional + usize::from(!arguments.is_empty()));
    for (name, value) in
        [("summary", row.summary), ("since", row.since), ("group", group), ("complexity", row.complexity)]
    {
        output.bulk(name);
        output.bulk(value);
    }
    if let Some((since, by)) = row.replaced {
        output.bulk("doc_flags");
        simples(output, ["deprecated"].into_iter(), "");
        output.bulk("deprecated_since");
        output.bulk(since);
        output.bulk("replaced_by");
        output.bulk(by);
    }
    if !arguments.is_empty() {
        output.bulk("arguments");
        describe_arguments(output, &arguments, &mut 0);
    }
    if !row.subcommands.is_empty() {
        output.bulk("subcommands");
        output.map(row.subcommands.len());
        row.subcommands.iter().for_each(|sub| document(output, Some(row), sub));
    }
}

/// Arguments as maps, their fields in the order of Redis. Keys are numbered through, as [`describe_keys`] lists them.
fn describe_arguments(output: &mut Output, arguments: &[Argument<'_>], keys: &mut i64) {
    output.array(arguments.len());
    for argument in arguments {
        let flags = [("optional", argument.optional), ("multiple", argument.multiple)];
        let flags = flags.into_iter().filter(|(_, is_set)| *is_set).map(|(name, _)| name);
        let texts =
            [("token", argument.token), ("since", argument.since), ("deprecated_since", argument.deprecated)];
        let texts = texts.into_iter().filter_map(|(name, text)| Some((name, text?)));
        let is_key = argument.kind == "key";
        let optional = [is_key, flags.clone().next().is_some(), !argument.parts.is_empty()];
        output.map(2 + texts.clone().count() + optional.into_iter().filter(|there| *there).count());
        output.bulk("name");
        output.bulk(&*argument.name);
        output.bulk("type");
        output.bulk(argument.kind);
        if is_key {
            output.bulk("key_spec_index");
            output.integer(*keys);
            *keys += 1;
        }
        for (name, text) in texts {
            output.bulk(name);
            output.bulk(text);
        }
        if flags.clone().next().is_some() {
            output.bulk("flags");
            simples(output, flags, "");
        }
        if !argument.parts.is_empty() {
            output.bulk("arguments");
            describe_arguments(output, &argument.parts, keys);
        }
    }
}

/// COMMAND LIST [FILTERBY MODULE name | ACLCAT category | PATTERN pattern].
pub(super) fn list(call: &mut Call<'_>) -> Reply {
    let all = TABLE.iter().flat_map(|row| {
        let subs = row.subcommands.iter().map(move |sub| (full_name(Some(row), sub), sub.categories));
        std::iter::once((row.name.to_owned(), row.categories)).chain(subs)
    });
    let names: Vec<String> = match call.len() {
        2 => TABLE.iter().map(|row| row.name.to_owned()).collect(),
        5 if call.is(2, "filterby") && call.is(3, "module") => Vec::new(),
        5 if call.is(2, "filterby") && call.is(3, "aclcat") => match Categories::named(call.arg(4)) {
            Some(wanted) => all.filter(|(_, of)| of.intersects(wanted)).map(|(name, _)| name).collect(),
            None => Vec::new(),
        },
        5 if call.is(2, "filterby") && call.is(3, "pattern") => all
            .map(|(name, _)| name)
            .filter(|name| glob::matches(call.arg(4), name.as_bytes(), Case::Ignored))
            .collect(),
        _ => return Err(SYNTAX.into()),
    };
    call.output.array(names.len());
    names.iter().for_each(|name| call.output.bulk(name));
    Ok(())
}

/// The places of the keys in the command line that begins at argument 2, and its row.
fn keys_of(call: &Call<'_>) -> Result<(&'static Command, Vec<usize>), Refusal> {
    let row = lookup(call.arg(2)).ok_or("ERR Invalid command specified")?;
    let sub = call.request.get(3).and_then(|name| row.subcommand(name));
    let row = sub.unwrap_or(row);
    match row.key_indices(call.len() - 2) {
        Ok(places) => Ok((row, places.collect())),
        Err(KeyError::NoKeys) => Err("ERR The command has no key arguments".into()),
        Err(KeyError::Arity) => Err("ERR Invalid number of arguments specified for command".into()),
    }
}

pub(super) fn getkeys(call: &mut Call<'_>) -> Reply {
    let (_, places) = keys_of(call)?;
    call.output.array(places.len());
    places.into_iter().for_each(|place| call.output.bulk(call.request.arg(place + 2)));
    Ok(())
}

pub(super) fn getkeysandflags(call: &mut Call<'_>) -> Reply {
    let (row, places) = keys_of(call)?;
    call.output.array(places.len());
    for (index, place) in places.into_iter().enumerate() {
        let used = row.key_uses.get(index).copied().flatten().or(row.key_uses[0]).unwrap_or_default();
        call.output.array(2);
        call.output.bulk(call.request.arg(place + 2));
        simples(call.output, used.split(' '), "");
    }
    Ok(())
}
