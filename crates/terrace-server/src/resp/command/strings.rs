//! String commands: values that are bytes or numbers.

mod number;
mod range;
mod read;
mod set;

pub(super) use set::Unit;

use super::table::Command;

/// The rows of this group.
pub(super) const COMMANDS: &[Command] = &[
    Command::new("set", -3, "write denyoom", "write string slow")
        .takes(
            "key value:string [condition(NX | XX)@2.6.12] [GET@6.2.0] \
             [expiration(EX seconds:integer@2.6.12 | PX milliseconds:integer@2.6.12 \
             | EXAT unix-time-seconds:unix-time@6.2.0 | PXAT unix-time-milliseconds:unix-time@6.2.0 \
             | KEEPTTL@6.0.0)]",
        )
        .key(1, "RW access update variable_flags")
        .about("1.0.0", "O(1)", "Sets the value of a key, under conditions and with a lifetime if asked to")
        .either(set::set_now, |call| match call.len() {
            3 => Box::pin(set::plain(call)),
            _ => Box::pin(set::set(call)),
        }),
    Command::new("get", 2, "readonly fast", "read string fast")
        .takes("key")
        .key(1, "RO access")
        .about("1.0.0", "O(1)", "Answers the value of a key")
        .either(read::get_now, |call| Box::pin(read::get(call))),
    Command::new("getex", -2, "write fast", "write string fast")
        .takes(
            "key [expiration(EX seconds:integer | PX milliseconds:integer \
             | EXAT unix-time-seconds:unix-time | PXAT unix-time-milliseconds:unix-time | PERSIST)]",
        )
        .key(1, "RW access update")
        .about("6.2.0", "O(1)", "Answers the value of a key and changes its lifetime")
        .later(|call| Box::pin(read::getex(call))),
    Command::new("getdel", 2, "write fast", "write string fast")
        .takes("key")
        .key(1, "RW access delete")
        .about("6.2.0", "O(1)", "Answers the value of a key and removes the key")
        .later(|call| Box::pin(read::getdel(call))),
    Command::new("getset", 3, "write denyoom fast", "write string fast")
        .takes("key value:string")
        .key(1, "RW access update")
        .about("1.0.0", "O(1)", "Sets the value of a key and answers the one before")
        .replaced("6.2.0", "`SET` with the `!GET` argument")
        .later(|call| Box::pin(set::getset(call))),
    Command::new("setnx", 3, "write denyoom fast", "write string fast")
        .takes("key value:string")
        .key(1, "OW insert")
        .about("1.0.0", "O(1)", "Sets the value of a key that does not exist")
        .later(|call| Box::pin(set::setnx(call))),
    Command::new("setex", 4, "write denyoom", "write string slow")
        .takes("key seconds:integer value:string")
        .key(1, "OW update")
        .about("2.0.0", "O(1)", "Sets the value of a key and its lifetime in seconds")
        .later(|call| Box::pin(set::setex(call))),
    Command::new("psetex", 4, "write denyoom", "write string slow")
        .takes("key milliseconds:integer value:string")
        .key(1, "OW update")
        .about("2.6.0", "O(1)", "Sets the value of a key and its lifetime in milliseconds")
        .later(|call| Box::pin(set::setex(call))),
    Command::new("mget", -2, "readonly fast", "read string fast")
        .takes("key...")
        .keys_to_end(1, 1, "RO access")
        .tips(&["request_policy:multi_shard"])
        .about("1.0.0", "O(N) with N the number of keys", "Answers the values of several keys")
        .later(|call| Box::pin(read::mget(call))),
    Command::new("mset", -3, "write denyoom", "write string slow")
        .takes("key_value(key value:string)...")
        .keys_to_end(1, 2, "OW update")
        .tips(&["request_policy:multi_shard", "response_policy:all_succeeded"])
        .about("1.0.1", "O(N) with N the number of keys", "Sets several keys at once")
        .later(|call| Box::pin(set::mset(call))),
    Command::new("msetnx", -3, "write denyoom", "write string slow")
        .takes("key_value(key value:string)...")
        .keys_to_end(1, 2, "OW insert")
        .tips(&["request_policy:multi_shard", "response_policy:agg_min"])
        .about("1.0.1", "O(N) with N the number of keys", "Sets several keys at once if none of them exists")
        .later(|call| Box::pin(set::mset(call))),
    Command::new("incr", 2, "write denyoom fast", "write string fast")
        .takes("key")
        .key(1, "RW access update")
        .about("1.0.0", "O(1)", "Adds one to the integer of a key")
        .either(number::add_now, |call| Box::pin(number::add(call))),
    Command::new("decr", 2, "write denyoom fast", "write string fast")
        .takes("key")
        .key(1, "RW access update")
        .about("1.0.0", "O(1)", "Takes one from the integer of a key")
        .either(number::add_now, |call| Box::pin(number::add(call))),
    Command::new("incrby", 3, "write denyoom fast", "write string fast")
        .takes("key increment:integer")
        .key(1, "RW access update")
        .about("1.0.0", "O(1)", "Adds an integer to the integer of a key")
        .either(number::add_now, |call| Box::pin(number::add(call))),
    Command::new("decrby", 3, "write denyoom fast", "write string fast")
        .takes("key decrement:integer")
        .key(1, "RW access update")
        .about("1.0.0", "O(1)", "Takes an integer from the integer of a key")
        .either(number::add_now, |call| Box::pin(number::add(call))),
    Command::new("incrbyfloat", 3, "write denyoom fast", "write string fast")
        .takes("key increment:double")
        .key(1, "RW access update")
        .about("2.6.0", "O(1)", "Adds a decimal number to the number of a key")
        .later(|call| Box::pin(number::incrbyfloat(call))),
    Command::new("append", 3, "write denyoom fast", "write string fast")
        .takes("key value:string")
        .key(1, "RW insert")
        .about("2.0.0", "O(N) with N the length of the new value", "Adds bytes at the end of a value")
        .later(|call| Box::pin(range::append(call))),
    Command::new("strlen", 2, "readonly fast", "read string fast")
        .takes("key")
        .key(1, "RO")
        .about("2.2.0", "O(1)", "Answers the length of a value")
        .later(|call| Box::pin(range::strlen(call))),
    Command::new("getrange", 4, "readonly", "read string slow")
        .takes("key start:integer end:integer")
        .key(1, "RO access")
        .about("2.4.0", "O(N) with N the length of the part", "Answers a part of a value")
        .later(|call| Box::pin(range::getrange(call))),
    Command::new("substr", 4, "readonly", "read string slow")
        .takes("key start:integer end:integer")
        .key(1, "RO access")
        .about("1.0.0", "O(N) with N the length of the part", "Answers a part of a value")
        .replaced("2.0.0", "`GETRANGE`")
        .later(|call| Box::pin(range::getrange(call))),
    Command::new("setrange", 4, "write denyoom", "write string slow")
        .takes("key offset:integer value:string")
        .key(1, "RW update")
        .about(
            "2.2.0",
            "O(N) with N the length of the new value",
            "Overwrites a part of a value, filling a gap with zero bytes",
        )
        .later(|call| Box::pin(range::setrange(call))),
];
