//! The real program, as its users meet it: started, talked to over sockets, stopped and killed.

mod access;
mod command_line;
mod damage;
mod disk;
mod full_disk;
#[cfg(feature = "http")]
mod http_store;
mod life;
mod migrate;
mod refusal;
mod replay;
mod stores;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

/// Nothing here takes so long unless it hangs.
const PATIENCE: Duration = Duration::from_secs(60);

/// The program, with nothing of our environment that could change what it does.
fn terrace(args: &[&str]) -> Command {
    through(env!("CARGO_BIN_EXE_terrace"), args)
}

/// Another program that runs it, in the same way.
fn through(program: &str, args: &[&str]) -> Command {
    let mut command = Command::new(program);
    command.args(args).stdin(Stdio::null());
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("TERRACE_")) {
        command.env_remove(name);
    }
    command
}

/// Runs the program to its end.
fn run(args: &[&str]) -> Output {
    terrace(args).output().expect("the program starts")
}

fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Runs the program, which is to fail with this code and say these words.
fn fails(args: &[&str], code: i32, words: &[&str]) {
    let output = run(args);
    let said = stderr(&output);
    assert_eq!(output.status.code(), Some(code), "{args:?}: {said}");
    for word in words {
        assert!(said.contains(word), "{args:?} should say `{word}`: {said}");
    }
    assert!(!said.contains("panicked"), "{said}");
}

/// A server that runs, on ports of its own.
struct Server {
    child: Child,
    resp: SocketAddr,
    http: SocketAddr,
}

impl Server {
    /// Starts one, and waits until it is ready.
    fn start(args: &[&str]) -> Self {
        Self::of(terrace(&["serve", "--port", "0", "--http-port", "0"]).args(args))
    }

    /// Starts one with its data in this folder.
    fn on(folder: &Path, args: &[&str]) -> Self {
        let folder = folder.to_str().expect("a plain path");
        Self::start(&[&["--dir", folder], args].concat())
    }

    fn of(command: &mut Command) -> Self {
        match Self::try_of(command) {
            Ok(server) => server,
            Err((status, said)) => panic!("the server did not start ({status}): {said}"),
        }
    }

    /// Starts one; if it does not get ready, how it ended and what it said.
    fn try_of(command: &mut Command) -> Result<Self, (ExitStatus, String)> {
        let mut child =
            command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the program starts");
        let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
        let (mut resp, mut http) = (None, None);
        // The page is announced last.
        for line in lines.by_ref().map_while(Result::ok) {
            let mut words = line.split_whitespace();
            match words.next() {
                Some("redis") => resp = words.next().and_then(|address| address.parse().ok()),
                Some("http") => http = words.next().and_then(|address| address.parse().ok()),
                Some("page") => break,
                _ => {}
            }
        }
        match (resp, http) {
            (Some(resp), Some(http)) => Ok(Self { child, resp, http }),
            _ => {
                let mut said = String::new();
                let _ = child.stderr.take().expect("piped").read_to_string(&mut said);
                Err((child.wait().expect("it ends"), said))
            }
        }
    }

    fn client(&self) -> Client {
        Client::connect(self.resp)
    }

    /// One command on a connection of its own.
    fn ask(&self, words: &[&[u8]]) -> String {
        self.client().ask(words)
    }

    /// The answer to a GET over HTTP, with its head.
    fn get(&self, path: &str) -> String {
        let mut stream = TcpStream::connect(self.http).expect("the server listens");
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).expect("the connection is open");
        let mut answer = String::new();
        let _ = stream.read_to_string(&mut answer);
        answer
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).expect("it runs");
    }

    /// Stops it in good order, and returns its exit code and what it said.
    fn stop(mut self) -> (Option<i32>, String) {
        self.signal(Signal::TERM);
        self.ended()
    }

    /// Kills it without warning.
    fn kill(mut self) {
        self.child.kill().expect("it runs");
        self.child.wait().expect("it ends");
    }

    /// Waits until it ends.
    fn ended(&mut self) -> (Option<i32>, String) {
        let mut said = String::new();
        if let Some(mut stderr) = self.child.stderr.take() {
            let _ = stderr.read_to_string(&mut said);
        }
        (self.child.wait().expect("it ends").code(), said)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A client that knows as little of the protocol as will do.
struct Client(BufReader<TcpStream>);

impl Client {
    fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).expect("the server listens");
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        Self(BufReader::new(stream))
    }

    fn send(&mut self, words: &[&[u8]]) {
        let mut request = format!("*{}\r\n", words.len()).into_bytes();
        for word in words {
            request.extend_from_slice(format!("${}\r\n", word.len()).as_bytes());
            request.extend_from_slice(word);
            request.extend_from_slice(b"\r\n");
        }
        self.0.get_mut().write_all(&request).expect("the connection is open");
    }

    /// A reply: the text of a word or an error with its mark, a value as it is, `nil` for none.
    fn reply(&mut self) -> String {
        let line = self.line();
        if line == "$-1" || line == "_" {
            return "nil".into();
        }
        let Some(length) = line.strip_prefix('$') else { return line };
        let mut value = vec![0; length.parse::<usize>().expect("a length") + 2];
        self.0.read_exact(&mut value).expect("a value");
        value.truncate(value.len() - 2);
        String::from_utf8_lossy(&value).into_owned()
    }

    /// A line; empty at the end of the connection.
    fn line(&mut self) -> String {
        let mut line = String::new();
        let _ = self.0.read_line(&mut line);
        line.trim_end().to_owned()
    }

    fn ask(&mut self, words: &[&[u8]]) -> String {
        self.send(words);
        self.reply()
    }
}

/// A folder for a server's data, which does not exist yet.
fn folder() -> (TempDir, PathBuf) {
    let outer = tempfile::tempdir().expect("a folder");
    let data = outer.path().join("data");
    (outer, data)
}

/// Bytes that no compression makes fewer; others for each number.
fn noise(number: usize, length: usize) -> Vec<u8> {
    let mut state = number as u64 + 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.wrapping_mul(0x2545_f491_4f6c_dd1d).to_le_bytes()
    };
    (0..length.div_ceil(8)).flat_map(|_| next()).take(length).collect()
}

/// Waits until something is so.
fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < PATIENCE, "{what}: not within {PATIENCE:?}");
        std::thread::sleep(Duration::from_millis(5));
    }
}
