//! Commands on keys of any type: existence, lifetime, names, listing.

mod existence;
mod lifetime;
mod listing;
mod names;
mod object;

use super::help::help;
use super::table::Command;

/// The rows of this group.
pub(super) const COMMANDS: &[Command] = &[
    Command::new("del", -2, "write", "keyspace write slow")
        .takes("key...")
        .keys_to_end(1, 1, "RM delete")
        .tips(&["request_policy:multi_shard", "response_policy:agg_sum"])
        .about("1.0.0", "O(N) with N the number of keys", "Removes keys")
        .later(|call| Box::pin(existence::del(call))),
    Command::new("unlink", -2, "write fast", "keyspace write fast")
        .takes("key...")
        .keys_to_end(1, 1, "RM delete")
        .tips(&["request_policy:multi_shard", "response_policy:agg_sum"])
        .about("4.0.0", "O(N) with N the number of keys", "Removes keys, and frees their memory later")
        .later(|call| Box::pin(existence::del(call))),
    Command::new("exists", -2, "readonly fast", "keyspace read fast")
        .takes("key...")
        .keys_to_end(1, 1, "RO")
        .tips(&["request_policy:multi_shard", "response_policy:agg_sum"])
        .about("1.0.0", "O(N) with N the number of keys", "Counts how many of the keys exist")
        .later(|call| Box::pin(existence::exists(call))),
    Command::new("touch", -2, "readonly fast", "keyspace read fast")
        .takes("key...")
        .keys_to_end(1, 1, "RO")
        .tips(&["request_policy:multi_shard", "response_policy:agg_sum"])
        .about(
            "3.2.1",
            "O(N) with N the number of keys",
            "Counts how many of the keys exist and marks them as used",
        )
        .later(|call| Box::pin(existence::exists(call))),
    Command::new("type", 2, "readonly fast", "keyspace read fast")
        .takes("key")
        .key(1, "RO")
        .about("1.0.0", "O(1)", "Answers the type of a key's value")
        .later(|call| Box::pin(existence::kind(call))),
    Command::new("expire", -3, "write fast", "keyspace write fast")
        .takes("key seconds:integer [condition(NX | XX | GT | LT)@7.0.0]")
        .key(1, "RW update")
        .about("1.0.0", "O(1)", "Gives a key a lifetime in seconds")
        .later(|call| Box::pin(lifetime::expire(call))),
    Command::new("pexpire", -3, "write fast", "keyspace write fast")
        .takes("key milliseconds:integer [condition(NX | XX | GT | LT)@7.0.0]")
        .key(1, "RW update")
        .about("2.6.0", "O(1)", "Gives a key a lifetime in milliseconds")
        .later(|call| Box::pin(lifetime::expire(call))),
    Command::new("expireat", -3, "write fast", "keyspace write fast")
        .takes("key unix-time-seconds:unix-time [condition(NX | XX | GT | LT)@7.0.0]")
        .key(1, "RW update")
        .about("1.2.0", "O(1)", "Sets the end of a key's life in Unix seconds")
        .later(|call| Box::pin(lifetime::expire(call))),
    Command::new("pexpireat", -3, "write fast", "keyspace write fast")
        .takes("key unix-time-milliseconds:unix-time [condition(NX | XX | GT | LT)@7.0.0]")
        .key(1, "RW update")
        .about("2.6.0", "O(1)", "Sets the end of a key's life in Unix milliseconds")
        .later(|call| Box::pin(lifetime::expire(call))),
    Command::new("ttl", 2, "readonly fast", "keyspace read fast")
        .takes("key")
        .key(1, "RO access")
        .tips(&["nondeterministic_output"])
        .about("1.0.0", "O(1)", "Answers the time left to a key in seconds")
        .later(|call| Box::pin(lifetime::ttl(call))),
    Command::new("pttl", 2, "readonly fast", "keyspace read fast")
        .takes("key")
        .key(1, "RO access")
        .tips(&["nondeterministic_output"])
        .about("2.6.0", "O(1)", "Answers the time left to a key in milliseconds")
        .later(|call| Box::pin(lifetime::ttl(call))),
    Command::new("expiretime", 2, "readonly fast", "keyspace read fast")
        .takes("key")
        .key(1, "RO access")
        .about("7.0.0", "O(1)", "Answers the end of a key's life in Unix seconds")
        .later(|call| Box::pin(lifetime::ttl(call))),
    Command::new("pexpiretime", 2, "readonly fast", "keyspace read fast")
        .takes("key")
        .key(1, "RO access")
        .about("7.0.0", "O(1)", "Answers the end of a key's life in Unix milliseconds")
        .later(|call| Box::pin(lifetime::ttl(call))),
    Command::new("persist", 2, "write fast", "keyspace write fast")
        .takes("key")
        .key(1, "RW update")
        .about("2.2.0", "O(1)", "Makes a key live until it is removed")
        .later(|call| Box::pin(lifetime::persist(call))),
    Command::new("rename", 3, "write", "keyspace write slow")
        .takes("key newkey:key")
        .two_keys("RW access delete", "OW update")
        .about("1.0.0", "O(1)", "Gives a key another name, replacing what had that name")
        .later(|call| Box::pin(names::rename(call))),
    Command::new("renamenx", 3, "write fast", "keyspace write fast")
        .takes("key newkey:key")
        .two_keys("RW access delete", "OW insert")
        .about("1.0.0", "O(1)", "Gives a key another name that nothing has yet")
        .later(|call| Box::pin(names::rename(call))),
    Command::new("copy", -3, "write denyoom", "keyspace write slow")
        .takes("source:key destination:key [DB destination-db:integer] [REPLACE]")
        .two_keys("RO access", "OW update")
        .about("6.2.0", "O(N) with N the size of the value", "Copies a value to another key")
        .later(|call| Box::pin(names::copy(call))),
    Command::new("randomkey", 1, "readonly", "keyspace read slow")
        .tips(&["request_policy:all_shards", "nondeterministic_output"])
        .about("1.0.0", "O(1)", "Answers any one key")
        .later(|call| Box::pin(listing::randomkey(call))),
    Command::new("keys", 2, "readonly", "keyspace read slow dangerous")
        .takes("pattern")
        .tips(&["request_policy:all_shards", "nondeterministic_output_order"])
        .about(
            "1.0.0",
            "O(N) with N the number of keys in the database",
            "Lists the keys that match a pattern",
        )
        .later(|call| Box::pin(listing::keys(call))),
    Command::new("scan", -2, "readonly", "keyspace read slow")
        .takes("cursor:integer [MATCH pattern] [COUNT count:integer] [TYPE type:string@6.0.0]")
        .tips(&["nondeterministic_output", "request_policy:special"])
        .about("2.8.0", "O(1) a call, O(N) for a whole pass", "Goes through the keys, a page a call")
        .later(|call| Box::pin(listing::scan(call))),
    Command::new("object", -2, "", "slow")
        .about("2.2.3", "Depends on the subcommand", "Commands that look inside a key")
        .subcommands(OBJECT),
];

/// The subcommands of OBJECT.
const OBJECT: &[Command] = &[
    Command::new("encoding", 3, "readonly", "keyspace read slow")
        .takes("key")
        .key(2, "RO")
        .tips(&["nondeterministic_output"])
        .about("2.2.3", "O(1)", "Answers how a value is held inside")
        .later(|call| Box::pin(object::encoding(call))),
    Command::new("freq", 3, "readonly", "keyspace read slow")
        .takes("key")
        .key(2, "RO")
        .tips(&["nondeterministic_output"])
        .about("4.0.0", "O(1)", "Answers how often a key is used, on a logarithmic scale")
        .later(|call| Box::pin(object::freq(call))),
    Command::new("idletime", 3, "readonly", "keyspace read slow")
        .takes("key")
        .key(2, "RO")
        .tips(&["nondeterministic_output"])
        .about("2.2.3", "O(1)", "Answers the seconds since a key was last used")
        .later(|call| Box::pin(object::idletime(call))),
    Command::new("refcount", 3, "readonly", "keyspace read slow")
        .takes("key")
        .key(2, "RO")
        .tips(&["nondeterministic_output"])
        .about("2.2.3", "O(1)", "Answers the number of references to a value")
        .later(|call| Box::pin(object::refcount(call))),
    Command::new("help", 2, "loading stale", "keyspace slow")
        .about("6.2.0", "O(1)", "Lists the subcommands")
        .now(help),
];
