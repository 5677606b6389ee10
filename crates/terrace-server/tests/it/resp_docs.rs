//! What COMMAND tells of commands, compared with the real `redis-server`: clients show it while one types.

use crate::world::{Client, Ours, Redis, Setup, Value};

/// Commands and arguments that the `redis-server` of the comparison, 7.0, does not know yet.
const NEWER: [&str; 3] = ["client|setinfo", "command|getkeys", "command|getkeysandflags"];

/// The value of a field of a map, which protocol 2 writes as an array.
fn field<'v>(map: &'v Value, name: &str) -> Option<&'v Value> {
    map.elements().chunks(2).find(|pair| pair[0].text() == name).map(|pair| &pair[1])
}

/// The arguments of every command in the answer of COMMAND DOCS.
fn arguments(docs: &Value) -> Vec<(String, Option<Value>)> {
    let mut all = Vec::new();
    for pair in docs.elements().chunks(2) {
        all.push((pair[0].text(), field(&pair[1], "arguments").cloned()));
        all.extend(field(&pair[1], "subcommands").map(arguments).unwrap_or_default());
    }
    all
}

#[test]
fn arguments_are_told_as_redis_tells_them() {
    let Some(redis) = Redis::start() else {
        eprintln!("skipped: redis-server is not installed");
        return;
    };
    let ours = Ours::start(Setup::default());
    for protocol in ["2", "3"] {
        let docs = [ours.address, redis.address].map(|address| {
            let mut client = Client::connect(address);
            client.call(&["HELLO", protocol]);
            arguments(&client.call(&["COMMAND", "DOCS"]))
        });
        let [ours, theirs] = docs;
        assert!(ours.len() > 90, "{} commands", ours.len());
        for (name, told) in ours.iter().filter(|(name, _)| !NEWER.contains(&name.as_str())) {
            let (_, expect) = theirs.iter().find(|(other, _)| other == name).expect("a command of Redis");
            assert_eq!(told, expect, "{name} in protocol {protocol}");
        }
        for name in NEWER {
            assert!(ours.iter().any(|(other, told)| other == name && told.is_some()), "{name}");
        }
    }
}

#[test]
fn a_command_that_does_not_exist_is_a_null_in_the_place_of_its_description() {
    let redis = Redis::start();
    let ours = Ours::start(Setup::default());
    for protocol in ["2", "3"] {
        for ask in [&["COMMAND", "INFO", "nosuch", "get|x"][..], &["COMMAND", "DOCS", "nosuch"]] {
            let reply = |address| {
                let mut client = Client::connect(address);
                client.call(&["HELLO", protocol]);
                client.call(ask)
            };
            let told = reply(ours.address);
            assert!(told.elements().iter().all(Value::is_null), "{told:?}");
            if let Some(redis) = &redis {
                assert_eq!(told, reply(redis.address), "{ask:?} in protocol {protocol}");
            }
        }
    }
}
