//! The real `redis-server`, if it is installed.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

pub(crate) struct Redis {
    process: Child,
    pub(crate) address: SocketAddr,
    _folder: tempfile::TempDir,
}

impl Redis {
    /// Starts one on a free loopback port, with nothing on the disk; `None` if it is not installed.
    pub(crate) fn start() -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        for _ in 0..5 {
            // It cannot be told to take any free port, so one is found for it.
            let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
            let mut command = Command::new("redis-server");
            command
                .args([
                    "--port",
                    &port.to_string(),
                    "--bind",
                    "127.0.0.1",
                    "--save",
                    "",
                    "--appendonly",
                    "no",
                ])
                .args(["--maxmemory-policy", "volatile-lfu", "--proto-max-bulk-len", "67108864"])
                .arg("--dir")
                .arg(folder.path())
                .stdout(Stdio::null())
                .stderr(Stdio::null());
            let mut process = command.spawn().ok()?;
            let address = SocketAddr::from(([127, 0, 0, 1], port));
            let begun = Instant::now();
            while begun.elapsed() < Duration::from_secs(10) && process.try_wait().unwrap().is_none() {
                if TcpStream::connect(address).is_ok() {
                    return Some(Self { process, address, _folder: folder });
                }
                std::thread::sleep(Duration::from_millis(20));
            }
            let _ = process.kill();
            let _ = process.wait();
        }
        panic!("redis-server is installed but does not start");
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
