//! A server as a process: started for its turn, asked for its processor time, ended.

use std::fs::{self, File};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::client;
use crate::suite::Failure;

/// A server that is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Without persistence.
    Redis,
    /// `terrace serve --memory`.
    Terrace,
    /// With an append-only file, synced once a second.
    RedisAof,
    /// `terrace serve` as it is.
    TerraceDisk,
}

impl Kind {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Redis => "redis",
            Self::Terrace => "terrace",
            Self::RedisAof => "redis-aof",
            Self::TerraceDisk => "terrace-disk",
        }
    }

    fn command(self, terrace: &Path, folder: &Path) -> std::io::Result<(Command, u16)> {
        let port = free_port()?;
        let word = port.to_string();
        let mut command = match self {
            Self::Redis | Self::RedisAof => {
                let mut command = Command::new("redis-server");
                command.args(["--port", &word, "--bind", "127.0.0.1", "--save", ""]);
                command
            }
            Self::Terrace | Self::TerraceDisk => {
                let mut command = Command::new(terrace);
                command.args(["serve", "--port", &word, "--http-port", &free_port()?.to_string()]);
                command
            }
        };
        match self {
            Self::Redis => command.args(["--appendonly", "no"]),
            Self::RedisAof => command.args(["--appendonly", "yes", "--appendfsync", "everysec"]),
            Self::Terrace => command.arg("--memory"),
            Self::TerraceDisk => command.arg("--dir").arg(folder.join("data")),
        };
        // Redis keeps its files in the folder it is started in.
        command.current_dir(folder);
        Ok((command, port))
    }
}

/// A port nobody listens on at the moment.
pub(super) fn free_port() -> std::io::Result<u16> {
    Ok(TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port())
}

/// How long a server may take until it answers.
const START: Duration = Duration::from_secs(20);
/// A server rests if it used no processor time for so long...
const REST: Duration = Duration::from_millis(200);
/// ... and is not waited for any longer than this.
const UNREST: Duration = Duration::from_secs(5);

/// A running server. Dropping it ends its process, at once, and removes its folder.
pub(super) struct Server {
    child: Child,
    port: u16,
    folder: TempDir,
}

impl Server {
    /// Starts one in a new folder in `dir`, and waits until it answers.
    ///
    /// # Errors
    /// If it cannot be started, ends at once, or does not answer within twenty seconds.
    pub(super) fn start(kind: Kind, terrace: &Path, dir: &Path) -> Result<Self, Failure> {
        // Relative paths would mean something else in the server's folder.
        let terrace = fs::canonicalize(terrace).unwrap_or_else(|_| terrace.to_owned());
        let folder = tempfile::Builder::new().prefix("terrace-bench-").tempdir_in(dir)?;
        let (mut command, port) = kind.command(&terrace, folder.path())?;
        let log = File::create(folder.path().join("log"))?;
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        let program = command.get_program().to_string_lossy().into_owned();
        let child = command.spawn().map_err(|error| format!("{program}: {error}"))?;
        let mut server = Self { child, port, folder };
        let deadline = Instant::now() + START;
        while !client::answers(port) {
            if server.child.try_wait()?.is_some() {
                return Err(server.blame(&program, &"it ended at once"));
            }
            if Instant::now() > deadline {
                return Err(server.blame(&program, &"it does not answer"));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(server)
    }

    pub(super) fn port(&self) -> u16 {
        self.port
    }

    /// What went wrong, and the last the server said.
    pub(super) fn blame(&self, what: &str, error: &dyn std::fmt::Display) -> Failure {
        let log = fs::read(self.folder.path().join("log")).unwrap_or_default();
        let log = String::from_utf8_lossy(&log);
        let lines: Vec<&str> = log.lines().collect();
        let last = lines[lines.len().saturating_sub(10)..].join("\n  ");
        format!("{what}: {error}\n  {last}").into()
    }

    /// Processor time of all its threads so far, user and system, once it has come to rest.
    ///
    /// # Errors
    /// If the process is gone.
    pub(super) fn cpu_at_rest(&self) -> Result<Duration, Failure> {
        let deadline = Instant::now() + UNREST;
        let mut last = self.cpu()?;
        loop {
            std::thread::sleep(REST);
            let now = self.cpu()?;
            if now == last || Instant::now() > deadline {
                return Ok(now);
            }
            last = now;
        }
    }

    fn cpu(&self) -> Result<Duration, Failure> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.child.id()))?;
        let ticks = ticks(&stat).ok_or_else(|| self.blame("its processor time cannot be read", &stat))?;
        Ok(Duration::from_secs_f64(ticks as f64 / rustix::param::clock_ticks_per_second() as f64))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // If it has ended already there is nothing to end, and it is waited for all the same.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// User and system time in a line of `/proc/PID/stat`: its fields 14 and 15. The name before them, in
/// parentheses, may contain anything.
fn ticks(stat: &str) -> Option<u64> {
    let after_name = &stat[stat.rfind(')')? + 1..];
    // The first of these is field 3.
    let mut fields = after_name.split_whitespace().skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    Some(user + system)
}

/// Whether a program is to be found.
#[cfg(test)]
pub(super) fn installed(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(program).is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_user_and_system_whatever_the_name() {
        let stat = "12 (a b) c) S 1 12 12 0 -1 4194560 500 0 0 0 17 25 3 4 20 0 5 0 100 200 300";
        assert_eq!(ticks(stat), Some(42));
        assert_eq!(ticks("12 (a) S 1"), None);
        assert_eq!(ticks(""), None);
    }

    #[test]
    fn commands_differ_in_what_they_keep() {
        let words = |kind: Kind| {
            let (command, _) = kind.command(Path::new("/bin/terrace"), Path::new("/data")).unwrap();
            let arguments: Vec<_> = command.get_args().map(|word| word.to_string_lossy()).collect();
            format!("{} {}", command.get_program().to_string_lossy(), arguments.join(" "))
        };
        assert!(words(Kind::Redis).ends_with("--appendonly no"));
        assert!(words(Kind::RedisAof).ends_with("--appendonly yes --appendfsync everysec"));
        assert!(words(Kind::Terrace).starts_with("/bin/terrace serve --port"));
        assert!(words(Kind::Terrace).ends_with("--memory"));
        assert!(words(Kind::TerraceDisk).ends_with("--dir /data/data"));
    }

    #[test]
    fn a_program_that_ends_at_once_is_told_with_its_words() {
        let folder = tempfile::tempdir().unwrap();
        // `true` takes any arguments and says nothing.
        let error = Server::start(Kind::Terrace, Path::new("/bin/true"), folder.path()).err().unwrap();
        assert!(error.to_string().contains("it ended at once"), "{error}");
    }
}
