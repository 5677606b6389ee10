//! HTTP over real sockets on the loopback interface: what only the connection shows.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use terrace_server::http::{HttpState, Limits, serve};
use terrace_store::net::Net;
use terrace_store::tokio_runtime::TokioNet;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::http_server::{Server, Wishes, server_with};

struct Listening {
    server: Server,
    address: SocketAddr,
    stop: oneshot::Sender<()>,
    served: JoinHandle<()>,
}

async fn listen(limits: Limits) -> Listening {
    let server = server_with(Wishes { limits: Some(limits), ..Wishes::default() }).await;
    let listener = TokioNet.listen("127.0.0.1:0".parse().unwrap()).await.unwrap();
    let address = listener.local_address();
    let (stop, stopped) = oneshot::channel::<()>();
    let state: Arc<HttpState> = Arc::clone(&server.state);
    let served = tokio::spawn(serve(listener, state, None, async move { drop(stopped.await) }));
    Listening { server, address, stop, served }
}

/// Sends these bytes and returns what comes until the other side closes.
async fn exchange(address: SocketAddr, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    // A server that has heard enough may close before it was told everything.
    let _ = stream.write_all(bytes).await;
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    String::from_utf8_lossy(&answer).into_owned()
}

/// Reads until the text holds this.
async fn read_until(stream: &mut TcpStream, text: &mut String, wanted: &str) {
    let mut buffer = [0; 4096];
    while !text.contains(wanted) {
        let read = stream.read(&mut buffer).await.unwrap();
        assert!(read > 0, "closed before {wanted:?}: {text}");
        text.push_str(std::str::from_utf8(&buffer[..read]).unwrap());
    }
}

/// Lets the clock run until the future is done.
async fn while_time_passes<T>(server: &Server, future: impl Future<Output = T>) -> T {
    let mut future = std::pin::pin!(future);
    loop {
        tokio::select! {
            biased;
            done = &mut future => return done,
            () = tokio::time::sleep(Duration::from_millis(1)) => server.pass(Duration::from_millis(500)),
        }
    }
}

#[tokio::test]
async fn requests_follow_each_other_on_one_connection() {
    let server = listen(Limits::default()).await;
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    let put = b"PUT /v1/entries/k HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\r\nhello";
    let get = b"GET /v1/entries/k HTTP/1.1\r\nHost: localhost\r\n\r\n";
    stream.write_all(&[&put[..], get].concat()).await.unwrap();
    let mut text = String::new();
    read_until(&mut stream, &mut text, "\r\n\r\nhello").await;
    assert!(text.starts_with("HTTP/1.1 201 Created\r\n") && text.contains("HTTP/1.1 200 OK\r\n"), "{text}");
    stream
        .write_all(b"DELETE /v1/entries/k HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        .await
        .unwrap();
    let mut rest = String::new();
    stream.read_to_string(&mut rest).await.unwrap();
    assert!(rest.starts_with("HTTP/1.1 204 No Content\r\n"), "{rest}");
}

#[tokio::test]
async fn a_key_may_be_nearly_as_long_as_a_first_line_but_headers_may_not() {
    let server = listen(Limits::default()).await;
    let key = "k".repeat(65_000);
    let put = format!(
        "PUT /v1/entries/{key} HTTP/1.1\r\nHost: l\r\nContent-Length: 1\r\nConnection: close\r\n\r\nv"
    );
    assert!(exchange(server.address, put.as_bytes()).await.starts_with("HTTP/1.1 201"));
    let filler = "x".repeat(17 << 10);
    let get = format!("GET /healthz HTTP/1.1\r\nHost: l\r\nX-Filler: {filler}\r\nConnection: close\r\n\r\n");
    assert!(exchange(server.address, get.as_bytes()).await.starts_with("HTTP/1.1 431"));
    let get = format!("GET /healthz HTTP/1.1\r\nHost: l\r\nX-Filler: {}", "x".repeat(1 << 20));
    assert!(exchange(server.address, get.as_bytes()).await.starts_with("HTTP/1.1 431"));
    let get = format!("GET /v1/entries/{} HTTP/1.1\r\nHost: l\r\n\r\n", "k".repeat(70_000));
    assert!(exchange(server.address, get.as_bytes()).await.starts_with("HTTP/1.1 414"));
}

#[tokio::test]
async fn nonsense_gets_an_answer_and_hurts_nobody() {
    let server = listen(Limits::default()).await;
    for nonsense in [
        &b"\0\0\0\0\r\n\r\n"[..],
        b"*1\r\n$4\r\nPING\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET /v1/entries/\xff\xfe HTTP/1.1\r\nHost: l\r\nConnection: close\r\n\r\n",
        b"GET /v1/entries/%FF%0 HTTP/1.1\r\nHost: l\r\nConnection: close\r\n\r\n",
        b"GET relative HTTP/1.1\r\nHost: l\r\nConnection: close\r\n\r\n",
        b"PUT /v1/entries/k HTTP/1.1\r\nHost: l\r\nContent-Length: -5\r\n\r\n",
        b"PUT /v1/entries/k HTTP/1.1\r\nHost: l\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
        b"PUT /v1/entries/k HTTP/1.1\r\nHost: l\r\nTransfer-Encoding: chunked\r\n\r\nZZ\r\n",
    ] {
        let answer = exchange(server.address, nonsense).await;
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 4"), "{nonsense:?}: {answer}");
    }
    let half = b"PUT /v1/entries/k HTTP/1.1\r\nHost: l\r\nContent-Length: 100\r\n\r\nhalf";
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    stream.write_all(half).await.unwrap();
    drop(stream);
    let get = b"GET /v1/entries/k HTTP/1.1\r\nHost: l\r\nConnection: close\r\n\r\n";
    assert!(exchange(server.address, get).await.starts_with("HTTP/1.1 404"), "half a value is none");
}

#[tokio::test]
async fn a_body_above_the_limit_is_refused_before_it_is_sent() {
    let server = listen(Limits::default()).await;
    let put =
        b"PUT /v1/entries/k HTTP/1.1\r\nHost: l\r\nContent-Length: 67108865\r\nConnection: close\r\n\r\n";
    let answer = exchange(server.address, put).await;
    assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");
    assert!(answer.contains("a body is at most 67108864 bytes long"), "{answer}");
}

#[tokio::test]
async fn who_is_silent_for_too_long_loses_the_connection() {
    let limits =
        Limits { silence: Duration::from_secs(5), upload_time: Duration::from_secs(20), ..Limits::default() };
    let server = listen(limits).await;
    let half = exchange(server.address, b"GET / HTTP/1.1\r\nHost: l\r\nX-Half");
    let half = while_time_passes(&server.server, half).await;
    assert!(half.is_empty() || half.starts_with("HTTP/1.1 408"), "{half}");
    let nothing = while_time_passes(&server.server, exchange(server.address, b"")).await;
    assert_eq!(nothing, "");
    let body =
        b"PUT /v1/entries/k HTTP/1.1\r\nHost: l\r\nConnection: close\r\nContent-Length: 100\r\n\r\nhalf";
    let body = while_time_passes(&server.server, exchange(server.address, body)).await;
    assert!(body.starts_with("HTTP/1.1 408") && body.contains("did not arrive within 20 s"), "{body}");
}

#[tokio::test]
async fn a_reader_that_takes_nothing_loses_the_connection() {
    let server = listen(Limits { silence: Duration::from_secs(5), ..Limits::default() }).await;
    let large = "x".repeat(32 << 20);
    assert!(server.server.put("/v1/entries/large", &[], &large).await.status.is_success());
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    stream.write_all(b"GET /v1/entries/large HTTP/1.1\r\nHost: l\r\n\r\n").await.unwrap();
    let given_up = async {
        while server.server.get("/v1/stats").await.json()["http"]["connections"] != 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    while_time_passes(&server.server, given_up).await;
}

#[tokio::test]
async fn stopping_ends_events_and_lets_requests_finish() {
    let server = listen(Limits::default()).await;
    let mut events = TcpStream::connect(server.address).await.unwrap();
    events.write_all(b"GET /v1/events HTTP/1.1\r\nHost: l\r\n\r\n").await.unwrap();
    let mut text = String::new();
    read_until(&mut events, &mut text, "event: stats").await;
    let mut upload = TcpStream::connect(server.address).await.unwrap();
    upload.write_all(b"PUT /v1/entries/k HTTP/1.1\r\nHost: l\r\nContent-Length: 5\r\n\r\nhe").await.unwrap();
    while server.server.get("/v1/stats").await.json()["http"]["connections"] != 2 {
        tokio::task::yield_now().await;
    }
    server.stop.send(()).unwrap();
    events.read_to_string(&mut text).await.unwrap();
    assert!(text.ends_with("0\r\n\r\n"), "the stream ends as a whole answer does: {text}");
    upload.write_all(b"llo").await.unwrap();
    let mut answer = String::new();
    upload.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 201"), "{answer}");
    server.served.await.unwrap();
    assert!(TcpStream::connect(server.address).await.is_err(), "nobody listens any more");
}

#[tokio::test]
async fn a_stop_does_not_wait_for_ever() {
    let server = listen(Limits { grace: Duration::from_secs(3), ..Limits::default() }).await;
    let mut upload = TcpStream::connect(server.address).await.unwrap();
    upload.write_all(b"PUT /v1/entries/k HTTP/1.1\r\nHost: l\r\nContent-Length: 5\r\n\r\nhe").await.unwrap();
    while server.server.get("/v1/stats").await.json()["http"]["connections"] != 1 {
        tokio::task::yield_now().await;
    }
    server.stop.send(()).unwrap();
    while_time_passes(&server.server, server.served).await.unwrap();
}

/// The document of a failure.
fn problem(answer: &str, status: &str) -> serde_json::Value {
    let (head, body) = answer.split_once("\r\n\r\n").expect("an answer");
    assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{answer}");
    for field in
        ["content-type: application/problem+json", "connection: close", "x-frame-options: DENY", "date: "]
    {
        assert!(head.contains(field), "{field}: {answer}");
    }
    assert!(head.contains(&format!("content-length: {}", body.len())), "{answer}");
    serde_json::from_str(body).expect("a document")
}

#[tokio::test]
async fn what_is_no_request_is_refused_with_a_document() {
    let server = listen(Limits::default()).await;
    let long = format!("GET / HTTP/1.1\r\nHost: localhost\r\nX: {}\r\n\r\n", "x".repeat(200_000));
    let many = format!("GET / HTTP/1.1\r\n{}\r\n", "X: y\r\n".repeat(101));
    let path = format!("GET /{} HTTP/1.1\r\n\r\n", "x".repeat(70_000));
    let cases: [(&[u8], &str, &str); 8] = [
        (b"*1\r\n$4\r\nPING\r\n", "400", "no request"),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", "400", "no request"),
        (b"GET / HTTP/9.9\r\n\r\n", "400", "version"),
        (b"GET / HTTP/1.1\r\nno field\r\n\r\n", "400", "header"),
        (b"GET /v1/entries/\xff\xfe HTTP/1.1\r\nHost: localhost\r\n\r\n", "400", "hexadecimal"),
        (long.as_bytes(), "431", "16384 bytes"),
        (many.as_bytes(), "431", "100"),
        (path.as_bytes(), "414", "64 KiB"),
    ];
    for (bytes, status, words) in cases {
        let document = problem(&exchange(server.address, bytes).await, status);
        assert!(document["detail"].as_str().unwrap().contains(words), "{document}");
        assert_eq!((document["status"].to_string().as_str(), &document["kind"]), (status, &"invalid".into()));
    }
}

#[tokio::test]
async fn nonsense_after_requests_is_refused_after_their_answers() {
    let server = listen(Limits::default()).await;
    let get = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n";
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    let mut text = String::new();
    stream.write_all(get).await.unwrap();
    read_until(&mut stream, &mut text, "\r\n\r\n").await;
    let put = b"PUT /v1/entries/k HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\n\r\nabc";
    stream.write_all(put).await.unwrap();
    read_until(&mut stream, &mut text, "201 Created").await;
    read_until(&mut stream, &mut text, "\r\n\r\n").await;
    stream.write_all(b"nonsense\r\n\r\n").await.unwrap();
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest).await.unwrap();
    problem(&String::from_utf8_lossy(&rest), "400");

    // In one piece with a request whose answer may not be written yet: nothing is lost or said twice.
    let answers = exchange(server.address, &[&get[..], b"nonsense\r\n\r\n"].concat()).await;
    assert!(
        answers.starts_with("HTTP/1.1 200 OK") && answers.matches("HTTP/1.1 400").count() == 1,
        "{answers}"
    );
}

#[tokio::test]
async fn a_body_beyond_the_limit_is_refused_so_that_it_can_be_read() {
    let server = listen(Limits { body: 1 << 20, ..Limits::default() }).await;
    let head = "PUT /v1/entries/k HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1500000\r\n\r\n";
    let answer = exchange(server.address, &[head.as_bytes(), &[b'x'; 1_500_000]].concat()).await;
    assert!(answer.starts_with("HTTP/1.1 413 ") && answer.contains("problem+json"), "{answer}");
}
