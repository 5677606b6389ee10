//! moto's S3 as a process of its own, on a free port of the loopback, that ends with the test.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tempfile::TempDir;
use terrace_backends::object_store::{Bucket, ObjectStoreConfig, Place};

use crate::process::{Process, free_port, listens};

pub(super) struct Server {
    pub(super) port: u16,
    pub(super) process: Process,
    folder: TempDir,
}

/// The interpreter that has moto: the one that is named, or any.
fn python() -> String {
    std::env::var("TERRACE_TEST_MOTO").unwrap_or_else(|_| "python3".into())
}

impl Server {
    /// Starts one; `None`, and said so, if moto is not installed.
    pub(super) fn start() -> Option<Self> {
        Self::start_with(&[])
    }

    /// One that lets nobody in without the key in [`Server::access_key`].
    pub(super) fn locked() -> Option<Self> {
        Self::start_with(&["key"])
    }

    /// One that removes objects whatever that depends on.
    pub(super) fn careless() -> Option<Self> {
        Self::start_with(&["", "careless"])
    }

    fn start_with(how: &[&str]) -> Option<Self> {
        let mut asks = Command::new(python());
        asks.args(["-c", "import moto.server"]).stdout(Stdio::null()).stderr(Stdio::null());
        if !asks.status().is_ok_and(|status| status.success()) {
            eprintln!("skipped: {} has no moto (pip install 'moto[server,s3]')", python());
            return None;
        }
        let mut server =
            Self { port: free_port(), process: Process::none(), folder: TempDir::new().unwrap() };
        let mut command = Command::new(python());
        command
            .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/../terrace-backends/tests/it/object_store/server.py"));
        command.arg(server.port.to_string());
        match how {
            ["key"] => {
                command.arg(server.folder.path().join("key"));
            }
            how => {
                command.args(how);
            }
        }
        server.process.start(&mut command);
        let port = server.port;
        server.process.wait_for(|| listens(port));
        Some(server)
    }

    pub(super) fn access_key(&self) -> (String, String) {
        let key = std::fs::read_to_string(self.folder.path().join("key")).unwrap();
        let (key, secret) = key.split_once(' ').unwrap();
        (key.to_owned(), secret.to_owned())
    }

    /// A bucket that nobody else uses.
    pub(super) fn bucket(&self) -> Bucket {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let name = format!("test{}", NEXT.fetch_add(1, Ordering::Relaxed));
        let answer = self.ask("PUT", &name);
        assert!(answer.contains(" 200 "), "{answer}");
        self.bucket_named(&name)
    }

    pub(super) fn bucket_named(&self, name: &str) -> Bucket {
        Bucket {
            name: name.into(),
            endpoint: Some(format!("http://127.0.0.1:{}", self.port)),
            region: Some("us-east-1".into()),
            access_key: Some(("any".into(), "thing".into())),
            ..Bucket::default()
        }
    }

    pub(super) fn config(&self) -> ObjectStoreConfig {
        let timeout = Duration::from_secs(30);
        ObjectStoreConfig { prefix: "p".into(), timeout, ..ObjectStoreConfig::new(Place::S3(self.bucket())) }
    }

    /// Asks as somebody whom nobody checks.
    pub(super) fn ask(&self, method: &str, path: &str) -> String {
        let any = "AWS4-HMAC-SHA256 Credential=any/20260101/us-east-1/s3/aws4_request";
        // moto deletes for nobody unknown, and makes buckets for nobody known whose request is older.
        let who = if method == "PUT" { String::new() } else { format!("Authorization: {any}\r\n") };
        let request =
            format!("{method} /{path} HTTP/1.0\r\nHost: 127.0.0.1\r\n{who}Content-Length: 0\r\n\r\n");
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        String::from_utf8_lossy(&answer).into_owned()
    }
}
