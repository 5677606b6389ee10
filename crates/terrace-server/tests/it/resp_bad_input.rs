//! Bytes that are no requests: each is answered with a clear error, and the connection ends.

use std::io::{Read, Write};
use std::time::{Duration, Instant};

use terrace_server::resp::settings::Config;

use crate::world::{Client, Ours, Setup};

#[test]
fn what_is_no_request_is_answered_and_ends_the_connection() {
    let ours = Ours::start(Setup::default());
    for (bytes, expect) in [
        (&b"*2147483647\r\n"[..], "ERR Protocol error: invalid multibulk length"),
        (b"*1048577\r\n", "ERR Protocol error: invalid multibulk length"),
        (b"*x\r\n", "ERR Protocol error: invalid multibulk length"),
        (b"*1\r\n$-5\r\n", "ERR Protocol error: invalid bulk length"),
        (b"*1\r\n$629145600\r\n", "ERR Protocol error: invalid bulk length"),
        (b"*1\r\n$99999999999999999999\r\n", "ERR Protocol error: invalid bulk length"),
        (b"*1\r\n:5\r\n", "ERR Protocol error: expected '$', got ':'"),
        (b"*1\r\n$4\r\nPINGxx", "ERR Protocol error: expected CRLF after bulk"),
        (b"get \"k\r\n", "ERR Protocol error: unbalanced quotes in request"),
        (&[b'x'; 70_000], "ERR Protocol error: too big inline request"),
    ] {
        let mut client = Client::connect(ours.address);
        // What stands before it is answered.
        client.send(&["PING"]);
        client.send_raw(bytes);
        assert_eq!(client.receive().expect("PONG").text(), "PONG");
        assert_eq!(client.receive().expect(expect).text(), expect);
        assert_eq!(client.receive(), None, "{expect}");
    }
    assert_eq!(Client::connect(ours.address).text("PING"), "PONG");
}

/// What a client sees that sends all it has before it reads, as most do.
fn answer_to(ours: &Ours, head: &[u8], more: usize) -> (std::io::Result<()>, Vec<u8>) {
    let mut stream = std::net::TcpStream::connect(ours.address).unwrap();
    stream.write_all(head).unwrap();
    let chunk = vec![b'x'; 1 << 20];
    let sent = (0..more >> 20).try_for_each(|_| stream.write_all(&chunk));
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    (sent, answer)
}

#[test]
fn a_client_that_sends_a_value_beyond_the_limit_can_read_why_it_is_refused() {
    let ours = Ours::start(Setup::default());
    let length = 128 << 20;
    let head = format!("*3\r\n$3\r\nSET\r\n$1\r\nk\r\n${length}\r\n");
    let (sent, answer) = answer_to(&ours, head.as_bytes(), length);
    assert_eq!(String::from_utf8_lossy(&answer), "-ERR Protocol error: invalid bulk length\r\n");
    assert!(sent.is_ok(), "all of it was taken: {sent:?}");
}

#[test]
fn what_was_refused_is_read_for_two_seconds_and_not_without_end() {
    let limits = terrace_server::resp::parse::Limits { request_bytes: 8 << 20, bulk_bytes: 1 << 20 };
    let ours = Ours::start(Setup { config: Config { limits, ..Config::default() }, ..Setup::default() });
    let (sent, _) = answer_to(&ours, b"*1\r\n$100000000\r\n", 1 << 30);
    assert!(sent.is_err(), "a GiB was taken, where a request may have 8 MiB");

    let begun = Instant::now();
    let mut silent = Client::connect(ours.address);
    silent.send_raw(b"*1\r\n$100000000\r\n");
    assert!(silent.receive().unwrap().is_error());
    assert_eq!(silent.receive(), None, "our stream has ended");
    while !ours.server.clients.is_empty() {
        assert!(begun.elapsed() < Duration::from_secs(20));
        std::thread::sleep(Duration::from_millis(5));
    }
    assert!(begun.elapsed() >= Duration::from_millis(1900), "it had its time");
}

#[test]
fn empty_requests_are_passed_over() {
    let ours = Ours::start(Setup::default());
    let mut client = Client::connect(ours.address);
    client.send_raw(b"*0\r\n*-1\r\n\r\n\r\n*1\r\n$4\r\nPING\r\n");
    assert_eq!(client.receive().unwrap().text(), "PONG");
}

#[test]
fn a_claimed_length_takes_no_memory() {
    let ours = Ours::start(Setup::default());
    let resident = || {
        let pages = std::fs::read_to_string("/proc/self/statm").unwrap();
        pages.split(' ').nth(1).unwrap().parse::<u64>().unwrap() * 4096
    };
    let before = resident();
    let mut clients: Vec<Client> = (0..50).map(|_| Client::connect(ours.address)).collect();
    for client in &mut clients {
        client.send_raw(b"*1048576\r\n$67108864\r\nbeginning");
    }
    assert_eq!(Client::connect(ours.address).text("PING"), "PONG");
    let grown = resident().saturating_sub(before);
    assert!(grown < 200 << 20, "50 claims of 64 MiB each took {grown} bytes");
}

#[test]
fn half_a_command_and_silence_ends_after_its_time() {
    let config = Config { stall_timeout: Duration::from_secs(1), ..Config::default() };
    let ours = Ours::start(Setup { config, ..Setup::default() });
    let (mut silent, mut idle) = (Client::connect(ours.address), Client::connect(ours.address));
    assert_eq!(idle.text("PING"), "PONG");
    silent.send_raw(b"*2\r\n$3\r\nGET\r\n$100\r\nhalf");
    let begun = Instant::now();
    assert_eq!(silent.receive(), None);
    assert!(begun.elapsed() < Duration::from_secs(20));
    assert_eq!(idle.text("PING"), "PONG", "between commands it may be silent");
}

#[test]
fn a_connection_that_does_not_log_in_ends_after_its_time() {
    let config = Config {
        password: Some("right".to_owned()),
        login_timeout: Duration::from_secs(1),
        ..Config::default()
    };
    let ours = Ours::start(Setup { config, ..Setup::default() });
    let (mut silent, mut known) = (Client::connect(ours.address), Client::connect(ours.address));
    assert_eq!(known.text("AUTH right"), "OK");
    assert_eq!(silent.receive(), None);
    assert_eq!(known.text("PING"), "PONG");
}

#[test]
fn a_browser_sent_here_by_some_page_runs_no_command() {
    let ours = Ours::start(Setup::default());
    for request in ["POST / HTTP/1.1\r\n", "GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n"] {
        let mut stream = std::net::TcpStream::connect(ours.address).unwrap();
        stream.write_all(format!("{request}Content-Length: 30\r\n\r\nSET pwned yes\r\n").as_bytes()).unwrap();
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        let answer = String::from_utf8_lossy(&answer);
        assert!(!answer.contains("OK"), "{answer}");
    }
    assert!(Client::connect(ours.address).call(&["GET", "pwned"]).is_null());
}
