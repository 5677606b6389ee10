//! A real PostgreSQL on a free port of the loopback, in a folder of its own, that ends with the test.

use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

pub(super) struct Server {
    port: u16,
    tools: PathBuf,
    arguments: Vec<String>,
    folder: TempDir,
    process: Option<Child>,
}

/// Where Debian keeps the programs of the newest release.
fn tools() -> Option<PathBuf> {
    let mut found: Vec<PathBuf> =
        std::fs::read_dir("/usr/lib/postgresql").ok()?.flatten().map(|e| e.path()).collect();
    found.sort();
    found.into_iter().map(|path| path.join("bin")).rfind(|path| path.join("initdb").exists())
}

fn is_root() -> bool {
    Command::new("id").arg("-u").output().is_ok_and(|output| output.stdout.starts_with(b"0\n"))
}

/// A command as a user that PostgreSQL runs as: it refuses to be root.
fn command(program: &Path) -> Command {
    if !is_root() {
        return Command::new(program);
    }
    let mut command = Command::new("setpriv");
    command.args(["--reuid=postgres", "--regid=postgres", "--clear-groups"]).arg(program);
    command
}

impl Server {
    /// Starts one with these settings; `None`, and said so, if none is installed.
    pub(super) fn start(settings: &[&str]) -> Option<Self> {
        let Some(tools) = tools() else {
            eprintln!("skipped: PostgreSQL is not installed");
            return None;
        };
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let arguments =
            settings.iter().flat_map(|setting| ["-c".to_owned(), (*setting).to_owned()]).collect();
        let folder = TempDir::new().unwrap();
        std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o777)).unwrap();
        let mut server = Self { port, tools, arguments, folder, process: None };
        let made = command(&server.tools.join("initdb"))
            .args(["--auth=trust", "--username=terrace", "--no-sync", "--encoding=UTF8", "-D"])
            .arg(server.data())
            .current_dir(server.folder.path())
            .output()
            .unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        server.start_again();
        Some(server)
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    pub(super) fn url(&self) -> String {
        format!("postgres://terrace@127.0.0.1:{}/postgres", self.port)
    }

    pub(super) fn start_again(&mut self) {
        let mut command = command(&self.tools.join("postgres"));
        command.arg("-D").arg(self.data()).args([
            "-p",
            &self.port.to_string(),
            "-c",
            "listen_addresses=127.0.0.1",
        ]);
        command
            .args(["-c", "unix_socket_directories="])
            .args(&self.arguments)
            .current_dir(self.folder.path());
        self.process = Some(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap());
        let began = Instant::now();
        while !self.answers() {
            assert!(began.elapsed() < Duration::from_secs(60), "PostgreSQL does not start");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn answers(&self) -> bool {
        if TcpStream::connect(("127.0.0.1", self.port)).is_err() {
            return false;
        }
        let mut ask = Command::new(self.tools.join("pg_isready"));
        ask.args(["-h", "127.0.0.1", "-q", "-p", &self.port.to_string()])
            .status()
            .is_ok_and(|status| status.success())
    }

    /// Lets in whom these lines say, and nobody else.
    pub(super) fn admit(&self, lines: &str) {
        std::fs::write(self.data().join("pg_hba.conf"), lines).unwrap();
        self.signal("-HUP");
        // It reads them when it gets to it.
        std::thread::sleep(Duration::from_millis(500));
    }

    fn signal(&self, signal: &str) {
        let id = self.process.as_ref().unwrap().id().to_string();
        assert!(Command::new("kill").args([signal, &id]).status().unwrap().success());
    }

    /// Ends it without a checkpoint, as a crash of the server would.
    pub(super) fn crash(&mut self) {
        self.signal("-QUIT");
        self.process.take().unwrap().wait().unwrap();
    }

    /// Lets every process that serves a connection hang, or go on.
    pub(super) fn pause(&self, hang: bool) {
        let signal = if hang { "-STOP" } else { "-CONT" };
        let parent = self.process.as_ref().unwrap().id().to_string();
        let _ = Command::new("pkill").args([signal, "-P", &parent]).status().unwrap();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if self.process.is_some() {
            self.pause(false);
            self.crash();
        }
    }
}
