//! A real `redis-server` on a free port of the loopback, in a folder of its own, that ends with the test.

use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// Stands for the port.
const TLS_HERE: &str = "the port";

pub(super) struct Server {
    url: String,
    port: u16,
    arguments: Vec<String>,
    folder: TempDir,
    process: Option<Child>,
}

impl Server {
    /// Starts one with these arguments; `None`, and said so, if none is installed.
    pub(super) fn start(arguments: &[&str]) -> Option<Self> {
        if Command::new("redis-server").arg("--version").stdout(Stdio::null()).status().is_err() {
            eprintln!("skipped: redis-server is not installed");
            return None;
        }
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let mut server = Self {
            url: format!("redis://127.0.0.1:{port}"),
            port,
            arguments: arguments.iter().map(|argument| (*argument).to_owned()).collect(),
            folder: TempDir::new().unwrap(),
            process: None,
        };
        server.start_again();
        Some(server)
    }

    /// Starts one that speaks TLS only, to clients without a certificate too.
    pub(super) fn start_tls(cert: &str, key: &str, ca: &str) -> Option<Self> {
        let files = ["--tls-cert-file", cert, "--tls-key-file", key, "--tls-ca-cert-file", ca];
        Self::start(&[&["--tls-auth-clients", "no", "--tls-port", TLS_HERE][..], &files[..]].concat())
    }

    /// One that somebody else runs.
    pub(super) fn elsewhere(url: String) -> Self {
        Self { url, port: 0, arguments: Vec::new(), folder: TempDir::new().unwrap(), process: None }
    }

    pub(super) fn url(&self) -> String {
        self.url.clone()
    }

    pub(super) fn port(&self) -> u16 {
        self.port
    }

    pub(super) fn start_again(&mut self) {
        let mut command = Command::new("redis-server");
        let port = self.port.to_string();
        let plain = if self.arguments.iter().any(|argument| argument == TLS_HERE) { "0" } else { &port };
        command.args(["--port", plain, "--bind", "127.0.0.1", "--save", ""]);
        command
            .arg("--dir")
            .arg(self.folder.path())
            .args(self.arguments.iter().map(|argument| if argument == TLS_HERE { &port } else { argument }));
        self.process = Some(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap());
        let began = Instant::now();
        while TcpStream::connect(("127.0.0.1", self.port)).is_err() {
            assert!(began.elapsed() < Duration::from_secs(30), "redis-server does not start");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Ends it at once, as a crash would.
    pub(super) fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill().unwrap();
            process.wait().unwrap();
        }
    }

    /// Lets it hang, or go on.
    pub(super) fn pause(&self, hang: bool) {
        let id = self.process.as_ref().unwrap().id().to_string();
        let signal = if hang { "-STOP" } else { "-CONT" };
        assert!(Command::new("kill").args([signal, &id]).status().unwrap().success());
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}
