//! Clients: redis-benchmark, which is measured with, and a plain connection, which fills and asks.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::suite::Failure;

/// Bytes of a value.
const VALUE: usize = 100;
const CONNECTIONS: usize = 50;
/// No load takes nearly as long.
const PATIENCE: Duration = Duration::from_secs(300);

/// An operation, by redis-benchmark's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Test {
    Get,
    Set,
    Incr,
    Mset,
}

impl Test {
    fn name(self) -> &'static str {
        match self {
            Self::Get => "get",
            Self::Set => "set",
            Self::Incr => "incr",
            Self::Mset => "mset",
        }
    }

    pub(super) fn has_goal(self) -> bool {
        matches!(self, Self::Get | Self::Set)
    }
}

/// What redis-benchmark is told to do.
#[derive(Clone, Copy, Debug)]
pub(super) struct Load {
    pub(super) test: Test,
    pub(super) pipeline: usize,
    /// 1, or as many as [`fill`] made.
    pub(super) keys: usize,
    pub(super) requests: usize,
}

/// What redis-benchmark told.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Told {
    /// Operations a second.
    pub(super) throughput: f64,
    pub(super) p99_ms: f64,
}

impl Load {
    pub(super) fn name(&self) -> String {
        let keys = if self.keys == 1 { "1 key".into() } else { format!("{} keys", self.keys) };
        format!("{} P{} {keys}", self.test.name().to_uppercase(), self.pipeline)
    }

    fn command(&self, port: u16) -> Command {
        let mut command = Command::new("redis-benchmark");
        command.args(["-h", "127.0.0.1", "--csv"]);
        let mut say = |flag: &str, value: String| _ = command.args([flag, &value]);
        say("-p", port.to_string());
        say("-c", CONNECTIONS.to_string());
        say("-d", VALUE.to_string());
        say("-t", self.test.name().into());
        say("-P", self.pipeline.to_string());
        say("-n", self.requests.to_string());
        if self.keys > 1 {
            say("-r", self.keys.to_string());
        }
        command
    }

    /// Does it.
    ///
    /// # Errors
    /// If redis-benchmark cannot be started, fails, tells no figures, or takes more than five minutes.
    pub(super) fn run(&self, port: u16) -> Result<Told, Failure> {
        let mut command = self.command(port);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child =
            command.spawn().map_err(|error| format!("redis-benchmark: {error}; install redis-tools"))?;
        let deadline = Instant::now() + PATIENCE;
        // It tells a few lines at its end, which no pipe is too small for.
        while child.try_wait()?.is_none() {
            if Instant::now() > deadline {
                child.kill()?;
                child.wait()?;
                return Err(format!("redis-benchmark did not end within {} s", PATIENCE.as_secs()).into());
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        let output = child.wait_with_output()?;
        let (out, errors) =
            (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        match parse(&out) {
            Some(told) if output.status.success() => Ok(told),
            _ => Err(format!("redis-benchmark failed with {}: {out}{errors}", output.status).into()),
        }
    }
}

/// The last line of its table: test, operations a second, and latencies: mean, least, median, 95 %, 99 %, most.
fn parse(csv: &str) -> Option<Told> {
    let line = csv.lines().rev().find(|line| line.starts_with('"'))?;
    let mut fields = line.split("\",\"").map(|field| field.trim_matches('"'));
    let throughput = fields.nth(1)?.parse().ok()?;
    let p99_ms = fields.nth(4)?.parse().ok()?;
    Some(Told { throughput, p99_ms })
}

/// Whether the server answers a PING.
pub(super) fn answers(port: u16) -> bool {
    let ping = || -> std::io::Result<bool> {
        let mut stream = connect(port)?;
        stream.write_all(b"PING\r\n")?;
        let mut reply = [0; 7];
        stream.read_exact(&mut reply)?;
        Ok(&reply == b"+PONG\r\n")
    };
    ping().unwrap_or(false)
}

fn connect(port: u16) -> std::io::Result<TcpStream> {
    let stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_read_timeout(Some(Duration::from_secs(30)))?;
    stream.set_write_timeout(Some(Duration::from_secs(30)))?;
    Ok(stream)
}

/// How many commands are sent before their replies are read.
const BATCH: usize = 1000;

/// Writes every key that redis-benchmark will ask for, so that all reads find something.
///
/// # Errors
/// If the server does not answer every SET with OK.
pub(super) fn fill(port: u16, keys: usize) -> Result<(), Failure> {
    let mut stream = BufReader::new(connect(port)?);
    // The key without a number is the one of a load with one key.
    let mut names =
        (0..keys).map(|key| format!("key:{key:012}")).chain(["key:__rand_int__".to_owned()]).peekable();
    let value = "x".repeat(VALUE);
    while names.peek().is_some() {
        let (mut request, mut count) = (String::new(), 0);
        for name in names.by_ref().take(BATCH) {
            let length = name.len();
            request += &format!("*3\r\n$3\r\nSET\r\n${length}\r\n{name}\r\n${VALUE}\r\n{value}\r\n");
            count += 1;
        }
        stream.get_mut().write_all(request.as_bytes())?;
        let mut reply = String::new();
        for _ in 0..count {
            reply.clear();
            stream.read_line(&mut reply)?;
            if reply != "+OK\r\n" {
                return Err(format!("the server answered SET with {reply:?}").into());
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_figures_are_taken_from_the_right_columns() {
        let csv = "WARNING: Could not fetch server CONFIG\n\
            \"test\",\"rps\",\"avg_latency_ms\",\"min_latency_ms\",\"p50_latency_ms\",\"p95_latency_ms\",\"p99_latency_ms\",\"max_latency_ms\"\n\
            \"GET\",\"61349.69\",\"0.411\",\"0.072\",\"0.391\",\"0.583\",\"0.871\",\"2.271\"\n";
        assert_eq!(parse(csv), Some(Told { throughput: 61349.69, p99_ms: 0.871 }));
        assert_eq!(
            parse("\"MSET (10 keys)\",\"1.5\",\"1\",\"2\",\"3\",\"4\",\"5\",\"6\"").unwrap().p99_ms,
            5.0
        );
        assert_eq!(parse("\"test\",\"rps\",\"avg\"\n"), None);
        assert_eq!(parse(""), None);
    }

    #[test]
    fn a_load_is_told_as_it_is() {
        let load = Load { test: Test::Get, pipeline: 16, keys: 1, requests: 7 };
        assert_eq!(load.name(), "GET P16 1 key");
        let words = |load: Load| -> Vec<String> {
            load.command(5).get_args().map(|word| word.to_string_lossy().into_owned()).collect()
        };
        assert!(words(load).join(" ").ends_with("-p 5 -c 50 -d 100 -t get -P 16 -n 7"), "{:?}", words(load));
        assert!(words(Load { keys: 9, ..load }).ends_with(&["-r".to_owned(), "9".to_owned()]));
    }

    #[test]
    fn nobody_answers_where_nobody_listens() {
        let port = super::super::process::free_port().unwrap();
        assert!(!answers(port));
        assert!(fill(port, 1).is_err());
    }
}
