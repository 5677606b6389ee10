//! Beginning, end, and what survives them.

use super::*;

#[test]
fn data_is_there_after_a_restart_in_good_order() {
    let (_outer, data) = folder();
    let server = Server::on(&data, &[]);
    let mut client = server.client();
    assert_eq!(client.ask(&[b"SET", b"greeting", b"hello"]), "+OK");
    assert_eq!(client.ask(&[b"GET", b"greeting"]), "hello");
    assert_eq!(client.ask(&[b"SET", b"brief", b"x", b"PX", b"1"]), "+OK");
    let (code, said) = server.stop();
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("SIGTERM"), "{said}");

    let server = Server::on(&data, &[]);
    assert_eq!(server.ask(&[b"GET", b"greeting"]), "hello");
    assert_eq!(server.ask(&[b"GET", b"brief"]), "nil");
}

#[test]
fn the_data_directory_is_for_its_owner_alone() {
    use std::os::unix::fs::PermissionsExt;
    let (_outer, data) = folder();
    let _server = Server::on(&data, &[]);
    assert_eq!(std::fs::metadata(&data).unwrap().permissions().mode() & 0o777, 0o700);
}

#[test]
fn what_was_acknowledged_survives_a_kill() {
    const KEYS: usize = 2000;
    for durability in ["interval", "never", "group", "always"] {
        let (_outer, data) = folder();
        let server = Server::on(&data, &["--durability", durability]);
        let mut client = server.client();
        let keys = if durability == "always" { KEYS / 20 } else { KEYS };
        for number in 0..keys {
            let key = format!("key:{number}");
            assert_eq!(client.ask(&[b"SET", key.as_bytes(), key.as_bytes()]), "+OK");
        }
        assert_eq!(client.ask(&[b"DEL", b"key:7"]), ":1");
        server.kill();

        let server = Server::on(&data, &[]);
        let mut client = server.client();
        for number in 0..keys {
            let key = format!("key:{number}");
            let expect = if number == 7 { "nil" } else { &key };
            assert_eq!(client.ask(&[b"GET", key.as_bytes()]), expect, "{durability}");
        }
    }
}

#[test]
fn a_write_of_several_keys_survives_a_kill_whole_or_not_at_all() {
    const KEYS: usize = 20;
    let (_outer, data) = folder();
    let server = Server::on(&data, &[]);
    let group = |group: usize| (0..KEYS).map(move |key| format!("{group}:{key}"));
    let mut client = server.client();
    let writer = std::thread::spawn(move || {
        for number in 0.. {
            let mut command = vec![b"MSET".to_vec()];
            for key in group(number) {
                command.extend([key.into_bytes(), vec![b'x'; 500]]);
            }
            let arguments: Vec<&[u8]> = command.iter().map(Vec::as_slice).collect();
            let asked = std::panic::AssertUnwindSafe(|| client.ask(&arguments));
            // The connection breaks in the middle of one of them.
            if std::panic::catch_unwind(asked).ok().as_deref() != Some("+OK") {
                return number;
            }
        }
        0
    });
    std::thread::sleep(Duration::from_millis(300));
    server.kill();
    let acknowledged = writer.join().unwrap();

    let server = Server::on(&data, &[]);
    let mut client = server.client();
    for number in 0..acknowledged + 3 {
        let there = group(number).filter(|key| client.ask(&[b"EXISTS", key.as_bytes()]) == ":1").count();
        let whole = there == KEYS || number >= acknowledged && there == 0;
        assert!(whole, "{there} of {KEYS} keys of write {number}, {acknowledged} were acknowledged");
    }
    assert!(acknowledged > 0, "nothing was written before the kill");
}

#[test]
fn memory_only_leaves_nothing_behind() {
    let (outer, _) = folder();
    let mut command = terrace(&["serve", "--port", "0", "--http-port", "0", "--memory"]);
    let server = Server::of(command.current_dir(outer.path()));
    assert_eq!(server.ask(&[b"SET", b"k", b"v"]), "+OK");
    assert_eq!(server.ask(&[b"GET", b"k"]), "v");
    assert_eq!(server.stop().0, Some(0));
    assert_eq!(std::fs::read_dir(outer.path()).unwrap().count(), 0);
}

#[test]
fn a_stop_answers_what_has_arrived() {
    let (_outer, data) = folder();
    let server = Server::on(&data, &[]);
    let mut client = server.client();
    let value = vec![b'x'; 100_000];
    for _ in 0..200 {
        client.send(&[b"SET", b"k", &value]);
    }
    // The first reply says that the connection is being served; the others may be anywhere.
    assert_eq!(client.reply(), "+OK");
    server.signal(Signal::INT);
    let mut replies = 1;
    while client.reply() == "+OK" {
        replies += 1;
    }
    assert!(replies >= 1);
    let (code, said) = server.stop_waiting();
    assert_eq!(code, Some(0), "{said}");
    let server = Server::on(&data, &[]);
    assert_eq!(server.ask(&[b"STRLEN", b"k"]), ":100000");
}

#[test]
fn another_signal_ends_it_at_once_but_not_one_that_comes_with_the_first() {
    let (_outer, data) = folder();
    let mut server = Server::on(&data, &[]);
    // A request that has begun and does not end holds the shutdown up.
    let mut upload = TcpStream::connect(server.http).unwrap();
    let head =
        b"PUT /v1/entries/k HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n";
    upload.write_all(head).unwrap();
    let mut answer = [0; 12];
    upload.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"HTTP/1.1 100", "the server waits for the body");
    server.signal(Signal::TERM);
    server.signal(Signal::INT);
    eventually("the port is closed", || TcpStream::connect(server.resp).is_err());
    server.signal(Signal::TERM);
    std::thread::sleep(Duration::from_millis(1200));
    assert!(server.child.try_wait().unwrap().is_none(), "three signals at once are one");
    server.signal(Signal::TERM);
    let (code, said) = server.ended();
    assert_eq!(code, Some(130), "{said}");
    assert!(said.contains("again"), "{said}");
}

#[test]
fn both_doors_lead_to_the_same_keys() {
    let (_outer, data) = folder();
    let server = Server::on(&data, &[]);
    assert_eq!(server.ask(&[b"SET", b"shared", b"value"]), "+OK");
    assert!(http(server.http, "GET /v1/entries/shared").ends_with("value"));
    assert!(http(server.http, "DELETE /v1/entries/shared").starts_with("HTTP/1.1 204"));
    assert_eq!(server.ask(&[b"GET", b"shared"]), "nil");
    let stats = http(server.http, "GET /v1/stats");
    assert!(stats.contains("\"redis\"") && stats.contains(&server.resp.to_string()), "{stats}");
}

#[test]
fn what_config_set_changes_holds_for_both_doors_and_is_shown() {
    let server = Server::start(&["--memory", "--maxmemory-policy", "noeviction"]);
    let mut client = server.client();
    for (name, value) in [("maxmemory-policy", "allkeys-lfu"), ("timeout", "77"), ("maxclients", "55")] {
        assert_eq!(client.ask(&[b"CONFIG", b"SET", name.as_bytes(), value.as_bytes()]), "+OK");
    }
    let stats = http(server.http, "GET /v1/stats");
    for shown in
        ["[\"store.policy\",\"allkeys-lfu\"]", "[\"limits.idle\",\"77s\"]", "[\"limits.clients\",\"55\"]"]
    {
        assert!(stats.contains(shown), "{shown}: {stats}");
    }
    assert!(stats.contains("\"password\":false"), "{stats}");

    assert_eq!(client.ask(&[b"CONFIG", b"SET", b"requirepass", b"hunter2"]), "+OK");
    assert!(http(server.http, "GET /v1/stats").starts_with("HTTP/1.1 401"));
    let allowed = http(server.http, "GET /v1/stats HTTP/1.1\r\nAuthorization: Bearer hunter2\r\nX:");
    assert!(allowed.contains("\"password\":true") && !allowed.contains("hunter2"), "{allowed}");
    assert_eq!(client.ask(&[b"CONFIG", b"SET", b"requirepass", b""]), "+OK");
    assert!(http(server.http, "GET /v1/stats").starts_with("HTTP/1.1 200"));
}

#[test]
fn eviction_keeps_within_the_limit_in_memory_and_on_disk() {
    for place in ["--memory", "--dir"] {
        let (_outer, data) = folder();
        let data = data.to_str().unwrap();
        let place: &[&str] = if place == "--dir" { &["--dir", data] } else { &["--memory"] };
        let server =
            Server::start(&[place, &["--maxmemory", "1mib", "--maxmemory-policy", "allkeys-lfu"]].concat());
        let mut client = server.client();
        for number in 0..3000 {
            let key = format!("key:{number}");
            assert_eq!(client.ask(&[b"SET", key.as_bytes(), &noise(number, 1000)]), "+OK");
        }
        let keys: usize = client.ask(&[b"DBSIZE"]).trim_start_matches(':').parse().unwrap();
        assert!((100..=1048).contains(&keys), "{place:?}: {keys} keys of 1000 bytes are kept in 1 MiB");
        drop(server);

        let server =
            Server::start(&[place, &["--maxmemory", "1mib", "--maxmemory-policy", "noeviction"]].concat());
        let mut client = server.client();
        let refusals = (0..3000).filter(|number| {
            let key = format!("other:{number}");
            client.ask(&[b"SET", key.as_bytes(), &noise(*number, 1000)]).starts_with("-OOM")
        });
        assert!(refusals.count() > 1000, "{place:?}");
        assert_eq!(client.ask(&[b"PING"]), "+PONG");
    }
}

#[test]
fn a_change_of_the_policy_reaches_whoever_makes_room() {
    for place in ["--memory", "--dir"] {
        let (_outer, data) = folder();
        let data = data.to_str().unwrap();
        let place: &[&str] = if place == "--dir" { &["--dir", data] } else { &["--memory"] };
        let limits = ["--maxmemory", "1mib", "--maxmemory-policy", "allkeys-lfu"];
        let server = Server::start(&[place, &limits].concat());
        let mut client = server.client();
        let mut next = 0;
        let mut refused = |client: &mut Client, lifetime: &[&[u8]], count: usize| {
            let answers = (0..count).map(|_| {
                next += 1;
                let key = format!("key:{next}");
                client.ask(&[&[&b"SET"[..], key.as_bytes(), &noise(next, 1000)], lifetime].concat())
            });
            answers.filter(|answer| answer.starts_with("-OOM")).count()
        };
        let set = |client: &mut Client, policy: &str| {
            let set: [&[u8]; 4] = [b"CONFIG", b"SET", b"maxmemory-policy", policy.as_bytes()];
            assert_eq!(client.ask(&set), "+OK");
        };
        assert_eq!(refused(&mut client, &[], 2000), 0, "{place:?}");
        set(&mut client, "noeviction");
        assert!(refused(&mut client, &[], 500) > 300, "{place:?}: nothing may leave");
        set(&mut client, "volatile-lfu");
        assert!(refused(&mut client, &[], 500) > 300, "{place:?}: nothing has a lifetime");
        set(&mut client, "allkeys-lfu");
        assert_eq!(refused(&mut client, &[b"EX", b"1000"], 2000), 0, "{place:?}: anything may leave");
        set(&mut client, "volatile-ttl");
        assert_eq!(refused(&mut client, &[b"EX", b"1000"], 200), 0, "{place:?}: what has a lifetime leaves");
        let info = client.ask(&[b"INFO", b"stats"]);
        let evicted = info.lines().find_map(|line| line.strip_prefix("evicted_keys:")).unwrap();
        assert!(evicted.parse::<u64>().unwrap() > 2000, "{place:?}: {evicted}");
    }
}

/// The answer to a request without a body.
fn http(address: SocketAddr, request: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    let request = format!("{request} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

impl Server {
    /// Waits for the end of one that was told to stop.
    fn stop_waiting(mut self) -> (Option<i32>, String) {
        self.ended()
    }
}
