//! Who gets in: passwords, TLS, and how many.

use std::fs::write;

use super::*;

#[test]
fn without_the_password_nothing_is_told() {
    let (outer, _) = folder();
    let file = outer.path().join("password");
    write(&file, "open sesame\n").unwrap();
    let server = Server::start(&["--memory", "--requirepass-file", file.to_str().unwrap()]);
    let mut client = server.client();
    assert!(client.ask(&[b"GET", b"k"]).starts_with("-NOAUTH"));
    assert!(client.ask(&[b"AUTH", b"sesame"]).starts_with("-WRONGPASS"));
    assert_eq!(client.ask(&[b"AUTH", b"open sesame"]), "+OK");
    assert_eq!(client.ask(&[b"SET", b"k", b"v"]), "+OK");

    let port = server.resp.port().to_string();
    let get = |password: &str| {
        terrace(&["get", "k", "--port", &port]).env("TERRACE_PASSWORD", password).output().unwrap()
    };
    assert_eq!((get("open sesame").status.code(), stdout(&get("open sesame")).as_str()), (Some(0), "v"));
    assert_eq!(get("wrong").status.code(), Some(10));
    assert!(stderr(&get("wrong")).contains("WRONGPASS"));

    let port = server.http.port().to_string();
    let stats = |password: &str| {
        terrace(&["stats", "--http-port", &port])
            .env("TERRACE_PASSWORD", password)
            .output()
            .unwrap()
            .status
            .code()
    };
    assert_eq!((stats("open sesame"), stats("wrong")), (Some(0), Some(10)));
}

/// The paths of a certificate for this machine, and of its key.
pub(super) fn certificate(folder: &Path) -> (String, String) {
    let path = |name: &str| folder.join(name).to_str().unwrap().to_owned();
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned(), "127.0.0.1".to_owned()]).unwrap();
    write(path("cert"), made.cert.pem()).unwrap();
    write(path("key"), made.signing_key.serialize_pem()).unwrap();
    (path("cert"), path("key"))
}

#[test]
fn both_protocols_speak_tls_and_nothing_else() {
    let (outer, _) = folder();
    let path = |name: &str| outer.path().join(name).to_str().unwrap().to_owned();
    let (cert, key) = certificate(outer.path());
    let stranger = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    write(path("stranger"), stranger.cert.pem()).unwrap();

    let server = Server::start(&["--memory", "--tls-cert", &cert, "--tls-key", &key]);
    let (port, http_port) = (server.resp.port().to_string(), server.http.port().to_string());
    let large = "x".repeat(3_000_000);
    write(path("large"), &large).unwrap();
    let client = |args: &[&str], ca: &str| {
        let mut command = terrace(args);
        command.args(["--host", "localhost", "--tls-ca", &path(ca)]);
        command.stdin(std::fs::File::open(path("large")).unwrap()).output().unwrap()
    };
    let set = client(&["set", "k", "-", "--port", &port], "cert");
    assert_eq!(set.status.code(), Some(0), "{}", stderr(&set));
    let got = client(&["get", "k", "--port", &port], "cert");
    assert!(stdout(&got) == large, "{} bytes came back: {}", got.stdout.len(), stderr(&got));
    let stats = client(&["stats", "--json", "--http-port", &http_port], "cert");
    assert!(stdout(&stats).contains("\"tls\":true"), "{}", stderr(&stats));

    let refused = client(&["get", "k", "--port", &port], "stranger");
    assert_eq!(refused.status.code(), Some(9), "{}", stderr(&refused));
    let mut plain = server.client();
    plain.send(&[b"PING"]);
    let answer = plain.line();
    assert!(!answer.contains("PONG"), "{answer}");
    assert_eq!(server.stop().0, Some(0));
}

/// The paths of a certificate that says of itself that it is an authority, as `openssl req -x509` makes them, and of
/// its key.
fn authority(folder: &Path, name: &str, years: std::ops::Range<i32>) -> (String, String) {
    let path = |kind: &str| folder.join(format!("{name}.{kind}")).to_str().unwrap().to_owned();
    let mut params = rcgen::CertificateParams::new(["localhost".to_owned()]).unwrap();
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    params.not_before = rcgen::date_time_ymd(years.start, 1, 1);
    params.not_after = rcgen::date_time_ymd(years.end, 1, 1);
    let key = rcgen::KeyPair::generate().unwrap();
    write(path("cert"), params.self_signed(&key).unwrap().pem()).unwrap();
    write(path("key"), key.serialize_pem()).unwrap();
    (path("cert"), path("key"))
}

#[test]
fn a_certificate_that_signed_itself_is_trusted_where_exactly_it_was_given() {
    let (outer, _) = folder();
    let (cert, key) = authority(outer.path(), "ours", 2000..2999);
    let (stranger, _) = authority(outer.path(), "strange", 2000..2999);
    let server = Server::start(&["--memory", "--tls-cert", &cert, "--tls-key", &key]);
    let port = server.resp.port().to_string();
    let get = |host: &str, ca: &str| run(&["get", "k", "--port", &port, "--host", host, "--tls-ca", ca]);
    let answered = get("localhost", &cert);
    assert_eq!(answered.status.code(), Some(1), "there is no such key: {}", stderr(&answered));
    let refusals = [("localhost", &stranger, "not one of those"), ("127.0.0.1", &cert, "IP:127.0.0.1")];
    for (host, ca, words) in refusals {
        let refused = get(host, ca);
        assert_eq!(refused.status.code(), Some(9), "{words}");
        assert!(stderr(&refused).contains(words), "{}", stderr(&refused));
    }
    assert!(stderr(&get("localhost", &key)).contains("no certificate"));

    let (cert, key) = authority(outer.path(), "old", 2000..2001);
    let server = Server::start(&["--memory", "--tls-cert", &cert, "--tls-key", &key]);
    let port = server.resp.port().to_string();
    fails(&["get", "k", "--port", &port, "--host", "localhost", "--tls-ca", &cert], 9, &["expired"]);
}

#[test]
fn a_server_that_says_nothing_is_given_up_with_a_remedy() {
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = silent.local_addr().unwrap().port().to_string();
    fails(&["get", "k", "--port", &port, "--timeout", "1"], 9, &["nothing for 1 s", "--timeout"]);
    fails(&["stats", "--http-port", &port, "--timeout", "1"], 9, &["nothing for 1 s", "--timeout"]);
}

#[test]
fn one_client_too_many_is_told_so() {
    let server = Server::start(&["--memory", "--max-clients", "2"]);
    let (mut first, mut second) = (server.client(), server.client());
    assert_eq!((first.ask(&[b"PING"]), second.ask(&[b"PING"])), ("+PONG".into(), "+PONG".into()));
    let mut third = server.client();
    assert_eq!(third.line(), "-ERR max number of clients reached");
    assert_eq!(third.line(), "");
    drop(first);
    eventually("a place is free again", || server.client().ask(&[b"PING"]) == "+PONG");
    assert_eq!(second.ask(&[b"PING"]), "+PONG");
}

#[test]
fn a_silent_client_is_let_go() {
    let server = Server::start(&["--memory", "--idle-timeout", "1s"]);
    let mut client = server.client();
    assert_eq!(client.ask(&[b"PING"]), "+PONG");
    assert_eq!(client.line(), "", "the connection ends");
}
