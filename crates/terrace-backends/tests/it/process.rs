//! A server as a process of the test's own, on a free port of the loopback, that ends with the test.

use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// A program that runs, or ran.
pub(super) struct Process(Option<Child>);

impl Process {
    pub(super) fn none() -> Self {
        Self(None)
    }

    /// Whether a program is installed; if not, it is said that what needs it is skipped.
    #[cfg(any(feature = "etcd", feature = "mysql", feature = "nats"))]
    pub(super) fn is_installed(program: &str) -> bool {
        let there = Command::new(program)
            .arg("--version")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .is_ok();
        if !there {
            eprintln!("skipped: {program} is not installed");
        }
        there
    }

    pub(super) fn start(&mut self, command: &mut Command) {
        self.kill();
        self.0 =
            Some(command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap());
    }

    /// Waits until it can be used.
    pub(super) fn wait_for(&self, answers: impl Fn() -> bool) {
        let began = Instant::now();
        while !answers() {
            assert!(began.elapsed() < Duration::from_secs(120), "the server does not start");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn signal(&self, signal: &str) {
        let id = self.0.as_ref().unwrap().id().to_string();
        assert!(Command::new("kill").args([signal, &id]).status().unwrap().success());
    }

    /// Lets it hang, or go on.
    pub(super) fn pause(&self, hang: bool) {
        self.signal(if hang { "-STOP" } else { "-CONT" });
        // A thread that runs elsewhere stops a little later.
        if hang {
            self.wait_for(|| self.is_stopped());
        }
    }

    fn is_stopped(&self) -> bool {
        let tasks = format!("/proc/{}/task", self.0.as_ref().unwrap().id());
        let Ok(tasks) = std::fs::read_dir(tasks) else { return true };
        let stopped = |stat: String| stat.rsplit(") ").next().is_some_and(|rest| rest.starts_with('T'));
        tasks.flatten().all(|task| std::fs::read_to_string(task.path().join("stat")).is_ok_and(stopped))
    }

    /// Kills it at once.
    pub(super) fn kill(&mut self) {
        if let Some(mut child) = self.0.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

pub(super) fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

pub(super) fn listens(port: u16) -> bool {
    TcpStream::connect(("127.0.0.1", port)).is_ok()
}
