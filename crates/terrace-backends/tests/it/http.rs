//! http: what answers at the address is no Terrace, or one that misbehaves. What it does with a real one, the tests of the
//! server show.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use terrace_backends::http::{HttpConfig, HttpStore};
use terrace_store::capability::List;
use terrace_store::tokio_runtime::{TokioClock, TokioSpawn};
use terrace_store::{Error, ErrorKind, Key, Namespace, Store, StoreExt};

/// A server that reads requests and answers each by its path.
struct Stranger {
    port: u16,
    asked: Arc<AtomicUsize>,
    over: Arc<AtomicBool>,
}

type Answer = fn(&str, &mut TcpStream) -> std::io::Result<()>;

impl Stranger {
    fn start(answer: Answer) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let (asked, over) = (Arc::<AtomicUsize>::default(), Arc::<AtomicBool>::default());
        let (count, ended) = (Arc::clone(&asked), Arc::clone(&over));
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                if ended.load(Ordering::Acquire) {
                    return;
                }
                let count = Arc::clone(&count);
                std::thread::spawn(move || serve(stream, answer, &count));
            }
        });
        Self { port, asked, over }
    }

    fn open(&self) -> HttpStore {
        open(HttpConfig::new(format!("http://127.0.0.1:{}", self.port)))
    }
}

impl Drop for Stranger {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Release);
        // The listener wakes, and sees that it is over.
        let _ = TcpStream::connect(("127.0.0.1", self.port));
    }
}

fn serve(mut stream: TcpStream, answer: Answer, count: &AtomicUsize) {
    let mut head = Vec::new();
    let mut byte = [0];
    while let Ok(1) = stream.read(&mut byte) {
        head.push(byte[0]);
        if !head.ends_with(b"\r\n\r\n") {
            continue;
        }
        let text = String::from_utf8_lossy(&head).into_owned();
        let length = text
            .to_lowercase()
            .lines()
            .find_map(|line| line.strip_prefix("content-length:")?.trim().parse().ok());
        let _ = std::io::copy(&mut (&mut stream).take(length.unwrap_or(0)), &mut std::io::sink());
        count.fetch_add(1, Ordering::AcqRel);
        if answer(text.lines().next().unwrap_or_default(), &mut stream).is_err() {
            return;
        }
        head.clear();
    }
}

fn open(config: HttpConfig) -> HttpStore {
    let config = HttpConfig { timeout: Duration::from_secs(2), ..config };
    let clock = Arc::new(TokioClock::current().unwrap());
    HttpStore::open(config, clock, Arc::new(TokioSpawn::current().unwrap())).unwrap()
}

fn key() -> Key {
    Key::new("test", "a").unwrap()
}

fn say(stream: &mut TcpStream, status: &str, kind: &str, body: &[u8]) -> std::io::Result<()> {
    let length = body.len();
    write!(stream, "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\n\r\n")?;
    stream.write_all(body)
}

/// As a Terrace describes itself.
fn describe(stream: &mut TcpStream) -> std::io::Result<()> {
    say(stream, "200 OK", "application/json", br#"{"format":1,"durability":"always","health":"up"}"#)
}

async fn failures(store: &HttpStore) -> [Error; 3] {
    let read = store.get(&key()).await.unwrap_err();
    let write = store.put_with(&key(), "v").await.unwrap_err();
    let list = List::all(Namespace::new("test").unwrap());
    let listed = store.list(&list, None).await.unwrap_err();
    [read, write, listed]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_no_terrace_is_told_before_anything_is_written() {
    let strangers: [(Answer, ErrorKind); 8] = [
        (|_, stream| say(stream, "200 OK", "text/html", b"<html>"), ErrorKind::Corrupt),
        (|_, stream| say(stream, "200 OK", "application/json", b"{}"), ErrorKind::Corrupt),
        (|_, stream| say(stream, "200 OK", "application/json", b"\xff{"), ErrorKind::Corrupt),
        (|_, stream| say(stream, "404 Not Found", "text/plain", b"?"), ErrorKind::Config),
        (|_, stream| say(stream, "301 Moved Permanently", "text/plain", b""), ErrorKind::Config),
        (|_, stream| say(stream, "502 Bad Gateway", "text/html", b"<html>"), ErrorKind::Unavailable),
        (|_, stream| stream.write_all(b"+PONG\r\n-ERR what\r\n"), ErrorKind::Network),
        (|_, stream| stream.shutdown(std::net::Shutdown::Both), ErrorKind::Network),
    ];
    for (n, (answer, kind)) in strangers.into_iter().enumerate() {
        let stranger = Stranger::start(answer);
        for error in failures(&stranger.open()).await {
            assert_eq!(error.kind(), kind, "stranger {n}: {error}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_without_an_end_are_cut_and_those_that_do_not_come_are_given_up() {
    let announced: Answer = |path, stream| match path.contains("/batch") || path.contains("/list") {
        false => describe(stream),
        true => write!(
            stream,
            "HTTP/1.1 200 OK\r\nContent-Type: {}\r\nContent-Length: 999999999999\r\n\r\nx",
            terrace_backends::wire::MEDIA
        ),
    };
    let endless: Answer = |path, stream| {
        if !path.contains("/batch") && !path.contains("/list") {
            return describe(stream);
        }
        let media = terrace_backends::wire::MEDIA;
        write!(stream, "HTTP/1.1 200 OK\r\nContent-Type: {media}\r\nTransfer-Encoding: chunked\r\n\r\n")?;
        let part = vec![1; 1 << 20];
        loop {
            stream.write_all(b"100000\r\n")?;
            stream.write_all(&part)?;
            stream.write_all(b"\r\n")?;
        }
    };
    let silent: Answer = |path, stream| match path.contains("/batch") || path.contains("/list") {
        false => describe(stream),
        true => {
            std::thread::sleep(Duration::from_secs(10));
            Ok(())
        }
    };
    for (n, answer) in [announced, endless, silent].into_iter().enumerate() {
        let stranger = Stranger::start(answer);
        let store = stranger.open();
        let began = Instant::now();
        let [read, write, listed] = failures(&store).await;
        assert!(began.elapsed() < Duration::from_secs(20), "server {n}: {:?}", began.elapsed());
        for error in [read, listed] {
            assert!(matches!(error.kind(), ErrorKind::Corrupt | ErrorKind::Timeout), "server {n}: {error}");
        }
        assert_eq!(write.kind(), ErrorKind::Unknown, "server {n}: {write}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nonsense_in_the_right_clothes_is_corrupt_to_a_read_and_leaves_a_write_unknown() {
    let stranger = Stranger::start(|path, stream| match path.contains("/batch") || path.contains("/list") {
        false => describe(stream),
        true => say(stream, "200 OK", terrace_backends::wire::MEDIA, b"\x01\xff\xff\xff\xffwhat"),
    });
    let [read, write, listed] = failures(&stranger.open()).await;
    assert_eq!([read.kind(), listed.kind()], [ErrorKind::Corrupt; 2]);
    assert_eq!(write.kind(), ErrorKind::Unknown);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_is_never_sent_twice_and_a_read_whose_connection_had_ended_is() {
    // Answers what it is, and then ends each connection at the next request without a word.
    let stranger = Stranger::start(|path, stream| match path.contains("/batch") {
        false => describe(stream),
        true => Err(std::io::ErrorKind::ConnectionReset.into()),
    });
    let store = stranger.open();
    let _ = store.health().await;
    let before = stranger.asked.load(Ordering::Acquire);
    let error = store.put_with(&key(), "v").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unknown, "{error}");
    assert_eq!(stranger.asked.load(Ordering::Acquire) - before, 1);
    let _ = store.health().await;
    let before = stranger.asked.load(Ordering::Acquire);
    let error = store.get(&key()).await.unwrap_err();
    assert!(error.is_transient(), "{error}");
    assert_eq!(stranger.asked.load(Ordering::Acquire) - before, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_at_the_address_is_a_failure_of_the_network() {
    let store = open(HttpConfig::new("http://127.0.0.1:1"));
    let error = store.put_with(&key(), "v").await.unwrap_err();
    assert!(error.kind() == ErrorKind::Network && error.is_transient(), "{error:?}");
    for url in ["http:relative", "https://a b", "http://h/path"] {
        let clock = Arc::new(TokioClock::current().unwrap());
        let spawn = Arc::new(TokioSpawn::current().unwrap());
        let error = HttpStore::open(HttpConfig::new(url), clock, spawn).err().unwrap();
        assert_eq!(error.kind(), ErrorKind::Config, "{url}: {error}");
    }
}
