//! A real MariaDB on a free port of the loopback, in a folder of its own, that ends with the test.

use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use tempfile::TempDir;

use crate::process::{Process, free_port};

pub(super) struct Server {
    pub(super) port: u16,
    arguments: Vec<String>,
    folder: TempDir,
    pub(super) process: Process,
}

fn is_root() -> bool {
    Command::new("id").arg("-u").output().is_ok_and(|output| output.stdout.starts_with(b"0\n"))
}

/// A command as a user that the server runs as: it refuses to be root.
fn command(program: &str) -> Command {
    if !is_root() {
        return Command::new(program);
    }
    let mut command = Command::new("setpriv");
    command.args(["--reuid=mysql", "--regid=mysql", "--clear-groups", program]);
    command
}

impl Server {
    /// Starts one with these settings; `None`, and said so, if none is installed.
    pub(super) fn start(settings: &[&str]) -> Option<Self> {
        if !Process::is_installed("mariadbd") {
            return None;
        }
        let folder = TempDir::new().unwrap();
        std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o777)).unwrap();
        let arguments = settings.iter().map(|setting| (*setting).to_owned()).collect();
        let mut server = Self { port: free_port(), arguments, folder, process: Process::none() };
        let made = command("mariadb-install-db")
            .args(["--no-defaults", "--auth-root-authentication-method=normal", "--skip-test-db"])
            .arg(format!("--datadir={}", server.data()))
            .arg(format!("--tmpdir={}", server.folder.path().display()))
            .current_dir(server.folder.path())
            .output()
            .unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        // The first user, who has no password, may come from the loopback.
        // A line a statement.
        let first = "CREATE DATABASE terrace;\nCREATE USER terrace@'127.0.0.1';\n\
             GRANT ALL ON *.* TO terrace@'127.0.0.1' WITH GRANT OPTION;\n";
        std::fs::write(server.folder.path().join("first.sql"), first).unwrap();
        server.run(&[format!("--init-file={}", server.folder.path().join("first.sql").display())]);
        Some(server)
    }

    fn data(&self) -> String {
        self.folder.path().join("data").display().to_string()
    }

    pub(super) fn start_again(&mut self) {
        self.run(&[]);
    }

    fn run(&mut self, more: &[String]) {
        let mut server = command("mariadbd");
        server.arg("--no-defaults").arg(format!("--datadir={}", self.data()));
        server.arg(format!("--tmpdir={}", self.folder.path().display()));
        server.arg(format!("--socket={}", self.folder.path().join("socket").display()));
        server.args(["--bind-address=127.0.0.1", "--skip-name-resolve", "--innodb-buffer-pool-size=64M"]);
        server.arg(format!("--port={}", self.port)).args(&self.arguments).args(more);
        self.process.start(server.current_dir(self.folder.path()));
        let url = self.url();
        self.process.wait_for(|| answers(&url));
    }

    pub(super) fn url(&self) -> String {
        format!("mysql://terrace@127.0.0.1:{}/terrace", self.port)
    }
}

fn answers(url: &str) -> bool {
    let url = url.to_owned();
    let ask = move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async move { mysql_async::Conn::from_url(url).await.is_ok() })
    };
    std::thread::spawn(ask).join().unwrap()
}
