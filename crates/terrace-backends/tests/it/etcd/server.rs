//! A real etcd on free ports of the loopback, in a folder of its own, that ends with the test.

use std::process::{Command, Stdio};

use tempfile::TempDir;

use crate::process::{Process, free_port, listens};

pub(super) struct Server {
    pub(super) port: u16,
    arguments: Vec<String>,
    scheme: &'static str,
    folder: TempDir,
    pub(super) process: Process,
}

impl Server {
    /// Starts one with these settings; `None`, and said so, if none is installed.
    pub(super) fn start(settings: &[&str]) -> Option<Self> {
        Self::start_with("http", settings)
    }

    /// Starts one that speaks TLS only.
    pub(super) fn start_tls(cert: &str, key: &str) -> Option<Self> {
        Self::start_with("https", &["--cert-file", cert, "--key-file", key])
    }

    fn start_with(scheme: &'static str, settings: &[&str]) -> Option<Self> {
        if !Process::is_installed("etcd") {
            return None;
        }
        let folder = TempDir::new().unwrap();
        let arguments = settings.iter().map(|setting| (*setting).to_owned()).collect();
        let mut server = Self { port: free_port(), arguments, scheme, folder, process: Process::none() };
        server.start_again();
        Some(server)
    }

    pub(super) fn start_again(&mut self) {
        let client = format!("{}://127.0.0.1:{}", self.scheme, self.port);
        let peer = format!("http://127.0.0.1:{}", free_port());
        let mut command = Command::new("etcd");
        command.arg("--data-dir").arg(self.folder.path().join("data"));
        command.args(["--listen-client-urls", &client, "--advertise-client-urls", &client]);
        command.args(["--listen-peer-urls", &peer, "--initial-advertise-peer-urls", &peer]);
        command
            .args(["--initial-cluster", &format!("default={peer}"), "--logger", "zap"])
            .args(&self.arguments);
        self.process.start(&mut command);
        let port = self.port;
        self.process
            .wait_for(|| listens(port) && (self.scheme == "https" || self.control(&["endpoint", "health"])));
    }

    /// Whether the port is open; `etcdctl` is in a package of its own, and only used where it is there.
    fn control(&self, arguments: &[&str]) -> bool {
        let endpoint = format!("127.0.0.1:{}", self.port);
        let mut control = Command::new("etcdctl");
        control.env("ETCDCTL_API", "3").args(["--endpoints", &endpoint]).args(arguments);
        control.stdout(Stdio::null()).stderr(Stdio::null()).status().map_or(true, |status| status.success())
    }

    pub(super) fn url(&self) -> String {
        format!("etcd://127.0.0.1:{}", self.port)
    }
}
