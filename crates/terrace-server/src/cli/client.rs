//! A client of a running server: one connection, one request at a time, blocking.

use std::fmt::Write as _;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use super::tls;
use crate::exit::{Exit, Failure};

/// Where a server is, and how to get in.
#[derive(Args)]
pub(super) struct Address {
    /// Where the server is
    #[arg(long, value_name = "HOST", default_value = "127.0.0.1", help_heading = "Server")]
    host: String,
    /// Its password; better given in the environment, where other users cannot see it
    #[arg(
        long,
        value_name = "TEXT",
        env = "TERRACE_PASSWORD",
        hide_env_values = true,
        help_heading = "Server"
    )]
    password: Option<String>,
    /// Talk TLS, and trust the certificates in this file (PEM)
    #[arg(long, value_name = "FILE", help_heading = "Server")]
    tls_ca: Option<PathBuf>,
    /// Give up when the server says nothing for so many seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..), help_heading = "Server")]
    timeout: u64,
}

/// A server, as a client of the Redis protocol.
#[derive(Args)]
pub(super) struct Target {
    #[command(flatten)]
    address: Address,
    /// Its port of the Redis protocol
    #[arg(long, value_name = "PORT", default_value_t = 7379, help_heading = "Server")]
    port: u16,
    /// Which of the 16 databases
    #[arg(long, value_name = "N", default_value_t = 0, help_heading = "Server")]
    db: u8,
}

/// The longest reply that is read.
const MOST_BYTES: u64 = 512 << 20;
/// Replies of replies of replies.
const MOST_DEPTH: usize = 8;

/// What a server answers.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Reply {
    /// A word, such as `OK`.
    Simple(String),
    /// A number.
    Integer(i64),
    /// A value.
    Bulk(Vec<u8>),
    /// Nothing.
    Nil,
    /// Several.
    Array(Vec<Reply>),
}

trait Duplex: Read + Write {}
impl<T: Read + Write> Duplex for T {}

/// A connection to a server.
pub(super) struct Client {
    stream: BufReader<Box<dyn Duplex>>,
    /// For how many seconds the server may say nothing.
    timeout: u64,
}

impl Target {
    /// Connects, logs in and chooses the database.
    ///
    /// # Errors
    /// `Unreachable` if nobody answers, `Refused` if the server does not let us in.
    pub(super) fn connect(&self) -> Result<Client, Failure> {
        let stream = BufReader::new(self.address.connect(self.port)?);
        let mut client = Client { stream, timeout: self.address.timeout };
        if let Some(password) = &self.address.password {
            client.call(&[b"AUTH", password.as_bytes()])?;
        }
        if self.db != 0 {
            client.call(&[b"SELECT", self.db.to_string().as_bytes()])?;
        }
        Ok(client)
    }
}

impl Address {
    fn connect(&self, port: u16) -> Result<Box<dyn Duplex>, Failure> {
        let stream = self.dial(port).map_err(|error| {
            let place = format!("no server answers at {}:{port}", self.host);
            let reason = match is_timeout(&error) {
                true => format!("{place} within {} s; {PATIENCE}", self.timeout),
                false => format!("{place}: {error}; is `terrace serve` running?"),
            };
            Failure::new(Exit::Unreachable, reason)
        })?;
        Ok(match &self.tls_ca {
            Some(file) => Box::new(tls::encrypt(stream, &self.host, file, self.timeout)?),
            None => Box::new(stream),
        })
    }

    /// What the server answers to a GET of this path.
    ///
    /// # Errors
    /// `Unreachable` if nobody answers, `Refused` if the answer is anything but 200.
    pub(super) fn fetch(&self, port: u16, path: &str) -> Result<Vec<u8>, Failure> {
        let mut stream = self.connect(port)?;
        // The old version of HTTP, in which a body is simply what comes until the end.
        let mut request = format!("GET {path} HTTP/1.0\r\nHost: {}\r\n", self.host);
        if let Some(password) = &self.password {
            let _ = write!(request, "Authorization: Bearer {password}\r\n");
        }
        request.push_str("\r\n");
        let mut answer = Vec::new();
        stream
            .write_all(request.as_bytes())
            .and_then(|()| stream.flush())
            .and_then(|()| stream.take(MOST_BYTES).read_to_end(&mut answer))
            .map_err(|error| broken(&error, self.timeout))?;
        body(&answer)
    }

    fn dial(&self, port: u16) -> io::Result<TcpStream> {
        let timeout = Duration::from_secs(self.timeout);
        let mut tried = Err(io::Error::new(io::ErrorKind::NotFound, "the name has no address"));
        for address in (self.host.as_str(), port).to_socket_addrs()? {
            tried = TcpStream::connect_timeout(&address, timeout);
            if tried.is_ok() {
                break;
            }
        }
        let stream = tried?;
        stream.set_nodelay(true)?;
        let timeout = Some(timeout);
        stream.set_read_timeout(timeout)?;
        stream.set_write_timeout(timeout)?;
        Ok(stream)
    }
}

impl Client {
    /// Sends a command and reads its reply.
    ///
    /// # Errors
    /// `Refused` with the server's own words, or `Unreachable` if the connection breaks.
    pub(super) fn call(&mut self, words: &[&[u8]]) -> Result<Reply, Failure> {
        let mut request = Vec::new();
        encode(words, &mut request);
        let server = self.stream.get_mut();
        let sent = server.write_all(&request).and_then(|()| server.flush());
        let reply = sent.and_then(|()| read(&mut self.stream, 0));
        match reply {
            Ok(Ok(reply)) => Ok(reply),
            Ok(Err(refusal)) => Err(Failure::new(Exit::Refused, format!("the server answered: {refusal}"))),
            Err(error) => Err(broken(&error, self.timeout)),
        }
    }
}

/// What to do about a server that says nothing.
const PATIENCE: &str = "give it more with --timeout SECONDS, or see what keeps it busy";

fn is_timeout(error: &io::Error) -> bool {
    // Which of the two a socket answers depends on the system.
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut)
}

/// A connection that came to nothing, in words that say what to do.
pub(super) fn broken(error: &io::Error, timeout: u64) -> Failure {
    let reason = match is_timeout(error) {
        true => format!("the server said nothing for {timeout} s; {PATIENCE}"),
        false => format!("the connection broke: {error}"),
    };
    Failure::new(Exit::Unreachable, reason)
}

/// The body of an HTTP answer.
fn body(answer: &[u8]) -> Result<Vec<u8>, Failure> {
    let refused = |what: &str| Err(Failure::new(Exit::Refused, format!("the server answered: {what}")));
    let Some(end) = memchr::memmem::find(answer, b"\r\n\r\n") else {
        return refused("no HTTP; is it the port of HTTP?");
    };
    let (head, body) = (String::from_utf8_lossy(&answer[..end]), &answer[end + 4..]);
    let status = head.lines().next().unwrap_or_default();
    match status.split(' ').nth(1) {
        Some("200") => Ok(body.to_vec()),
        _ => refused(&format!("{status} {}", String::from_utf8_lossy(body))),
    }
}

fn encode(words: &[&[u8]], into: &mut Vec<u8>) {
    let mut head = format!("*{}\r\n", words.len());
    for word in words {
        let _ = write!(head, "${}\r\n", word.len());
        into.extend_from_slice(head.as_bytes());
        into.extend_from_slice(word);
        head = "\r\n".into();
    }
    into.extend_from_slice(head.as_bytes());
}

fn malformed(what: &str) -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidData,
        format!(
            "what answers is no Redis protocol ({what}); if it speaks TLS, give --tls-ca its certificate"
        ),
    )
}

/// Reads a reply; an error of the server is the inner one.
fn read(from: &mut impl BufRead, depth: usize) -> io::Result<Result<Reply, String>> {
    let line = read_line(from)?;
    let Some((kind, rest)) = line.split_at_checked(1) else { return Err(malformed("an empty line")) };
    let number = || rest.parse::<i64>().map_err(|_| malformed(&line));
    Ok(Ok(match kind {
        "+" => Reply::Simple(rest.to_owned()),
        "-" => return Ok(Err(rest.to_owned())),
        ":" => Reply::Integer(number()?),
        "_" => Reply::Nil,
        "$" | "*" if number()? < 0 => Reply::Nil,
        "$" => Reply::Bulk(read_bulk(from, number()?.unsigned_abs())?),
        "*" if depth < MOST_DEPTH => {
            let mut replies = Vec::new();
            for _ in 0..number()? {
                match read(from, depth + 1)? {
                    Ok(reply) => replies.push(reply),
                    Err(error) => return Ok(Err(error)),
                }
            }
            Reply::Array(replies)
        }
        _ => return Err(malformed(&line)),
    }))
}

fn read_line(from: &mut impl BufRead) -> io::Result<String> {
    let mut line = Vec::new();
    from.take(64 << 10).read_until(b'\n', &mut line)?;
    if line.is_empty() {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    let line = line.strip_suffix(b"\r\n").ok_or_else(|| malformed("a line without its end"))?;
    Ok(String::from_utf8_lossy(line).into_owned())
}

fn read_bulk(from: &mut impl BufRead, length: u64) -> io::Result<Vec<u8>> {
    if length > MOST_BYTES {
        return Err(malformed("a value of more than 512 MiB"));
    }
    // The memory follows what arrives, not what was claimed.
    let mut bytes = Vec::new();
    from.take(length + 2).read_to_end(&mut bytes)?;
    if bytes.len() as u64 != length + 2 || bytes.split_off(length as usize) != b"\r\n" {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reply(bytes: &[u8]) -> io::Result<Result<Reply, String>> {
        read(&mut BufReader::new(bytes), 0)
    }

    #[test]
    fn commands_are_sent_as_arrays_of_bulks() {
        let mut out = Vec::new();
        encode(&[b"SET", b"k", b""], &mut out);
        assert_eq!(out, b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$0\r\n\r\n");
    }

    #[test]
    fn replies_of_every_kind_are_read() {
        let read = |bytes: &[u8]| reply(bytes).unwrap();
        assert_eq!(read(b"+OK\r\n"), Ok(Reply::Simple("OK".into())));
        assert_eq!(read(b"-ERR no\r\n"), Err("ERR no".into()));
        assert_eq!(read(b":-3\r\n"), Ok(Reply::Integer(-3)));
        assert_eq!(read(b"$2\r\n\r\n\r\n"), Ok(Reply::Bulk(b"\r\n".to_vec())));
        assert_eq!(read(b"$-1\r\n"), Ok(Reply::Nil));
        assert_eq!(
            read(b"*2\r\n:1\r\n*0\r\n"),
            Ok(Reply::Array(vec![Reply::Integer(1), Reply::Array(Vec::new())]))
        );
    }

    #[test]
    fn only_a_body_of_a_good_answer_is_taken() {
        assert_eq!(body(b"HTTP/1.0 200 OK\r\na: b\r\n\r\n{}").unwrap(), b"{}");
        assert!(
            body(b"HTTP/1.0 401 Unauthorized\r\n\r\nno")
                .unwrap_err()
                .to_string()
                .contains("401 Unauthorized no")
        );
        assert!(body(b"-ERR what").unwrap_err().to_string().contains("port of HTTP"));
    }

    #[test]
    fn what_is_cut_short_or_no_reply_is_an_error() {
        for bytes in [
            &b""[..],
            b"+OK",
            b"$5\r\nab",
            b"$2\r\nabc\r\n",
            b"?\r\n",
            b":x\r\n",
            b"$99999999999\r\n",
            b"\r\n",
        ] {
            assert!(reply(bytes).is_err(), "{bytes:?}");
        }
        assert!(reply(&b"*1\r\n".repeat(100)).is_err(), "replies do not nest without end");
    }
}
