//! One connection or a few, over a real socket: pipelines, large and strange values, logins, channels, clients.

use std::io::{Read, Write};
use std::time::{Duration, Instant};

use terrace_server::resp::settings::Config;

use crate::world::{Client, Ours, Setup, Value};

fn start() -> (Ours, Client) {
    start_with(Config::default())
}

fn start_with(config: Config) -> (Ours, Client) {
    let ours = Ours::start(Setup { config, ..Setup::default() });
    let client = Client::connect(ours.address);
    (ours, client)
}

#[test]
fn a_pipeline_is_answered_in_order() {
    let (_ours, mut client) = start();
    for n in 0..5000 {
        let n = n.to_string();
        client.send(&["SET", &format!("key {n}"), &n]);
        client.send(&["GET", &format!("key {n}")]);
        client.send(&["INCR", "count"]);
    }
    for n in 0..5000 {
        assert_eq!(client.receive().unwrap().text(), "OK");
        assert_eq!(client.receive().unwrap().text(), n.to_string());
        assert_eq!(client.receive().unwrap().integer(), Some(n + 1));
    }
}

#[test]
fn a_client_may_send_much_before_it_reads() {
    let (_ours, mut client) = start();
    let value = vec![b'v'; 100_000];
    assert_eq!(client.call(&[&b"SET"[..], b"k", &value]).text(), "OK");
    let mut reader = client.stream().try_clone().unwrap();
    // 40 MB of replies, far more than sockets hold, and more requests behind them than sockets hold, too.
    let padding = vec![b'p'; 10_000];
    for _ in 0..400 {
        client.send(&[&b"GET"[..], b"k"]);
        client.send(&[&b"ECHO"[..], &padding]);
    }
    let each = b"$100000\r\n".len() + 100_002 + b"$10000\r\n".len() + 10_002;
    let mut left = 400 * each;
    let mut buffer = vec![0; 1 << 20];
    while left > 0 {
        let read = reader.read(&mut buffer).unwrap();
        assert!(read > 0, "{left} bytes are missing");
        left -= read;
    }
}

#[test]
fn large_values_and_binary_keys_come_back() {
    let (_ours, mut client) = start();
    let value: Vec<u8> = (0..10_000_000u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let key = b"\x00\xff\r\n$5\r\n\x80";
    assert_eq!(client.call(&[b"SET", &key[..], &value]).text(), "OK");
    assert!(client.call(&[b"GET", &key[..]]) == Value::Bulk(b'$', Some(value.clone())));
    assert_eq!(client.call(&[b"STRLEN", &key[..]]).integer(), Some(10_000_000));
    let end = client.call(&[b"GETRANGE", &key[..], b"9999990", b"-1"]);
    assert_eq!(end, Value::Bulk(b'$', Some(value[9_999_990..].to_vec())));
    assert_eq!(client.call(&[b"APPEND", &key[..], b"!"]).integer(), Some(10_000_001));
}

#[test]
fn a_key_that_is_too_long_is_refused_and_nothing_else_is() {
    let (_ours, mut client) = start();
    let (fits, long) = (vec![b'k'; 65_536], vec![b'k'; 65_537]);
    assert_eq!(client.call(&[b"SET", &fits[..], b"v"]).text(), "OK");
    for command in [&b"SET"[..], b"GETSET"] {
        let reply = client.call(&[command, &long[..], b"v"]);
        assert!(reply.is_error() && reply.text().contains("65536"), "{reply:?}");
    }
    for command in [&b"GET"[..], b"DEL", b"EXISTS", b"INCR", b"TTL"] {
        assert!(client.call(&[command, &long[..]]).is_error());
    }
    assert!(client.call(&[b"MSET", &b"a"[..], b"1", &long[..], b"2"]).is_error());
    assert!(client.run("GET a").is_null(), "a part of a refused MSET was applied");
    assert_eq!(client.call(&[b"GET", &fits[..]]).text(), "v");
}

#[test]
fn a_login_opens_the_connection() {
    let password = Some("right".to_owned());
    let (ours, mut client) = start_with(Config { password, ..Config::default() });
    assert_eq!(client.text("GET k"), "NOAUTH Authentication required.");
    assert_eq!(client.text("PING"), "NOAUTH Authentication required.");
    assert!(client.text("HELLO 3").starts_with("NOAUTH HELLO must be called"));
    for wrong in ["AUTH wrong", "AUTH righ", "AUTH rightt", "AUTH nobody right", "HELLO 3 AUTH default wrong"]
    {
        assert_eq!(client.text(wrong), "WRONGPASS invalid username-password pair or user is disabled.");
    }
    assert_eq!(client.text("AUTH right"), "OK");
    assert!(client.run("GET k").is_null());
    assert_eq!(client.text("RESET"), "RESET");
    assert_eq!(client.text("GET k"), "NOAUTH Authentication required.");
    let map = client.run("HELLO 3 AUTH default right SETNAME me");
    assert_eq!(map.elements().len(), 14, "{map:?}");
    assert_eq!(client.text("CLIENT GETNAME"), "me");
    assert_eq!(client.text("CONFIG SET requirepass other"), "OK");
    assert_eq!(
        Client::connect(ours.address).text("AUTH right"),
        "WRONGPASS invalid username-password pair or user is disabled."
    );
    assert_eq!(Client::connect(ours.address).text("AUTH other"), "OK");
    assert_eq!(client.text("PING"), "PONG");
}

#[test]
fn before_the_login_little_may_be_sent() {
    let password = Some("right".to_owned());
    let (ours, mut client) = start_with(Config { password, ..Config::default() });
    client.send_raw(b"*11\r\n");
    assert_eq!(client.receive().unwrap().text(), "ERR Protocol error: unauthenticated multibulk length");
    assert_eq!(client.receive(), None);
    let mut client = Client::connect(ours.address);
    client.send_raw(b"*2\r\n$4\r\nAUTH\r\n$16385\r\n");
    assert_eq!(client.receive().unwrap().text(), "ERR Protocol error: unauthenticated bulk length");
    // A login in a pipeline counts for what follows it.
    let mut client = Client::connect(ours.address);
    let value = vec![b'v'; 100_000];
    client.send(&["AUTH", "right"]);
    client.send(&[&b"SET"[..], b"k", &value]);
    assert_eq!(client.receive().unwrap().text(), "OK");
    assert_eq!(client.receive().unwrap().text(), "OK");
}

#[test]
fn messages_reach_listeners_of_both_protocols_and_other_threads() {
    let ours = Ours::start(Setup { threads: 2, ..Setup::default() });
    let mut listeners: Vec<Client> = (0..6).map(|_| Client::connect(ours.address)).collect();
    for (index, listener) in listeners.iter_mut().enumerate() {
        if index % 2 == 1 {
            assert!(!listener.run("HELLO 3").is_error());
        }
        let confirmed = listener.run("SUBSCRIBE news");
        assert_eq!(confirmed.elements()[2].integer(), Some(1));
    }
    let mut publisher = Client::connect(ours.address);
    for round in 0..100 {
        assert_eq!(publisher.run(&format!("PUBLISH news {round}")).integer(), Some(6));
    }
    for (index, listener) in listeners.iter_mut().enumerate() {
        for round in 0..100 {
            let message = listener.receive().unwrap();
            assert_eq!(message.elements()[2].text(), round.to_string());
            assert_eq!(matches!(message, Value::Many(b'>', _)), index % 2 == 1);
        }
    }
    drop(listeners);
    let begun = Instant::now();
    while publisher.run("PUBLISH news x").integer() != Some(0) {
        assert!(begun.elapsed() < Duration::from_secs(10), "listeners that are gone still count");
    }
}

#[test]
fn a_listener_that_does_not_read_is_disconnected() {
    let (ours, mut publisher) = start_with(Config { outbox_limit: 1 << 20, ..Config::default() });
    let mut lazy = Client::connect(ours.address);
    assert!(!lazy.run("SUBSCRIBE news").is_error());
    let message = "m".repeat(100_000);
    let begun = Instant::now();
    while publisher.call(&["PUBLISH", "news", &message]).integer() == Some(1) {
        assert!(begun.elapsed() < Duration::from_secs(20), "a message goes to nobody's buffer for ever");
    }
    assert_eq!(publisher.text("PING"), "PONG");
}

#[test]
fn a_listener_that_reads_late_receives_everything() {
    let (ours, mut publisher) = start();
    let mut late = Client::connect(ours.address);
    assert!(!late.run("SUBSCRIBE news").is_error());
    for n in 0..250 {
        let message = format!("{n:060000}");
        assert_eq!(publisher.call(&["PUBLISH", "news", &message]).integer(), Some(1));
    }
    for n in 0..250 {
        let message = late.receive().expect("a message");
        assert_eq!(message.elements()[2].text().parse::<usize>().unwrap(), n);
    }
}

#[test]
fn replies_can_be_switched_off() {
    let (_ours, mut client) = start();
    for line in ["CLIENT REPLY SKIP", "SET k 1", "GET k", "CLIENT REPLY OFF", "INCR k", "GET k", "NONSENSE"] {
        client.send(&line.split(' ').collect::<Vec<_>>());
    }
    client.send(&["CLIENT", "REPLY", "ON"]);
    client.send(&["GET", "k"]);
    let replies: Vec<String> = (0..3).map(|_| client.receive().unwrap().text()).collect();
    assert_eq!(replies, ["1", "OK", "2"]);
}

#[test]
fn clients_are_listed_named_and_ended() {
    let (ours, mut client) = start();
    let mut other = Client::connect(ours.address);
    assert_eq!(other.text("CLIENT SETNAME other"), "OK");
    assert_eq!(other.text("CLIENT SETINFO LIB-NAME lib"), "OK");
    assert_eq!(other.text("CLIENT SETINFO LIB-VER 1.2"), "OK");
    assert!(other.run("CLIENT SETINFO LIB-NAME a b").is_error());
    assert_eq!(other.text("CLIENT NONSENSE"), "ERR unknown subcommand 'NONSENSE'. Try CLIENT HELP.");
    let id = other.run("CLIENT ID").integer().unwrap();
    let list = client.text("CLIENT LIST");
    assert_eq!(list.lines().count(), 2, "{list}");
    let line = list.lines().find(|line| line.contains("name=other")).unwrap();
    assert!(line.starts_with(&format!("id={id} addr=127.0.0.1:")), "{line}");
    assert!(line.contains(" cmd=client|id ") && line.contains("lib-name=lib lib-ver=1.2"), "{line}");
    assert_eq!(client.run(&format!("CLIENT KILL ID {id}")).integer(), Some(1));
    assert_eq!(other.receive(), None);
    assert_eq!(client.run("CLIENT KILL TYPE normal").integer(), Some(0), "the caller is spared");
    assert_eq!(client.run("CLIENT KILL TYPE normal SKIPME no").integer(), Some(1));
    assert_eq!(client.receive(), None);
}

#[test]
fn a_pause_holds_commands_back_until_it_ends() {
    let (ours, mut client) = start();
    let mut other = Client::connect(ours.address);
    assert_eq!(client.text("CLIENT PAUSE 100000 WRITE"), "OK");
    assert!(other.run("GET k").is_null(), "reads go on");
    other.send(&["SET", "k", "v"]);
    assert!(client.run("GET k").is_null());
    assert_eq!(client.text("CLIENT UNPAUSE"), "OK");
    assert_eq!(other.receive().unwrap().text(), "OK");
    assert_eq!(client.text("CLIENT PAUSE 50"), "OK");
    assert_eq!(other.text("GET k"), "v");
}

#[test]
fn a_shutdown_answers_what_has_arrived() {
    let (ours, mut client) = start();
    assert_eq!(client.text("PING"), "PONG");
    ours.server.clients.close();
    assert_eq!(client.receive(), None);
    let mut late = Client::connect(ours.address);
    assert_eq!(late.receive(), None);
}

#[test]
fn too_many_clients_are_told_so() {
    let (ours, mut client) = start_with(Config { max_clients: 1, ..Config::default() });
    assert_eq!(client.text("PING"), "PONG");
    let mut late = Client::connect(ours.address);
    assert_eq!(late.receive().unwrap().text(), "ERR max number of clients reached");
}

#[test]
fn a_person_may_type() {
    let (_ours, mut client) = start();
    client.send_raw(b"set greeting \"hello world\"\r\nget greeting\n\r\n  PING \r\n");
    let replies: Vec<String> = (0..3).map(|_| client.receive().unwrap().text()).collect();
    assert_eq!(replies, ["OK", "hello world", "PONG"]);
}

#[test]
fn info_and_config_tell_what_is_in_force() {
    let (ours, mut client) = start();
    client.run("SET k v");
    client.run("GET k");
    client.run("GET absent");
    let info = client.text("INFO");
    for line in [
        "redis_version:7.2.4",
        "loading:0",
        "role:master",
        "maxmemory_policy:volatile-lfu",
        "keyspace_hits:1",
        "keyspace_misses:1",
        "db0:keys=1",
    ] {
        assert!(info.contains(line), "{line} is not in\n{info}");
    }
    assert!(info.contains(&format!("terrace_version:{}", env!("CARGO_PKG_VERSION"))));
    let clients = client.text("INFO clients");
    assert!(clients.starts_with("# Clients\r\n") && !clients.contains("role:"));
    assert!(!client.run("CONFIG SET maxmemory-policy noeviction").is_error());
    assert_eq!(client.run("CONFIG GET max*policy").elements()[1].text(), "noeviction");
    assert!(client.text("CONFIG SET port 1").contains("immutable"));
    assert!(client.text("CONFIG SET maxmemory 1gb").contains("cannot be changed"));
    assert!(client.text("CONFIG SET timeout 5 nonsense 1").contains("Unknown option"));
    assert_eq!(ours.server.settings.idle_s(), 0, "a part of a refused CONFIG SET was applied");
    assert_eq!(client.text("CONFIG SET timeout 5"), "OK");
    assert_eq!(ours.server.settings.idle_s(), 5);
    assert_eq!(client.text("CONFIG RESETSTAT"), "OK");
    assert!(client.text("INFO stats").contains("keyspace_hits:0"));
}

#[test]
fn a_scan_in_pages_finds_every_key_once() {
    let (_ours, mut client) = start();
    for n in 0..1000 {
        client.send(&["SET", &format!("key {n}"), "v"]);
    }
    (0..1000).for_each(|_| drop(client.receive()));
    let (mut cursor, mut found) = ("0".to_owned(), Vec::new());
    loop {
        let page = client.run(&format!("SCAN {cursor} COUNT 37"));
        cursor = page.elements()[0].text();
        found.extend(page.elements()[1].elements().iter().map(Value::text));
        if cursor == "0" {
            break;
        }
    }
    found.sort();
    found.dedup();
    assert_eq!(found.len(), 1000);
    // A cursor nobody gave out begins anew.
    assert!(!client.run("SCAN 987654321 COUNT 10").elements()[1].elements().is_empty());
    assert!(client.run("RANDOMKEY").text().starts_with("key "));
    assert_eq!(client.run("DBSIZE").integer(), Some(1000));
}

#[test]
fn a_stream_that_ends_in_the_middle_harms_nobody() {
    let (ours, mut client) = start();
    let mut other = Client::connect(ours.address);
    other.send_raw(b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$100\r\nhalf");
    other.stream().flush().unwrap();
    drop(other);
    assert!(client.run("GET k").is_null());
}
