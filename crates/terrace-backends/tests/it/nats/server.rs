//! A real nats-server with JetStream on a free port of the loopback, in a folder of its own, that ends with the test.

use std::process::Command;

use tempfile::TempDir;

use crate::process::{Process, free_port, listens};

pub(super) struct Server {
    pub(super) port: u16,
    pub(super) folder: TempDir,
    pub(super) process: Process,
}

impl Server {
    /// Starts one with these lines in its configuration; `None`, and said so, if none is installed.
    pub(super) fn start(settings: &str) -> Option<Self> {
        Self::start_in(TempDir::new().unwrap(), settings)
    }

    /// As [`Server::start`], in a folder that holds what the settings name.
    pub(super) fn start_in(folder: TempDir, settings: &str) -> Option<Self> {
        if !Process::is_installed("nats-server") {
            return None;
        }
        let port = free_port();
        let data = folder.path().join("data");
        let streams = format!("jetstream {{ store_dir: \"{}\" }}", data.display());
        let text = format!("listen: \"127.0.0.1:{port}\"\n{streams}\n{settings}\n");
        std::fs::write(folder.path().join("nats.conf"), text).unwrap();
        let mut server = Self { port, folder, process: Process::none() };
        server.start_again();
        Some(server)
    }

    pub(super) fn start_again(&mut self) {
        let mut command = Command::new("nats-server");
        command.arg("-c").arg(self.folder.path().join("nats.conf"));
        self.process.start(&mut command);
        let port = self.port;
        self.process.wait_for(|| listens(port));
    }

    pub(super) fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
    }
}
