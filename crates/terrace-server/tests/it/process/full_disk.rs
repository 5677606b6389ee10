//! A disk that is full: writes are refused in words, and everything else goes on.

use super::*;

/// A small file system of its own, unmounted when it is dropped.
pub(super) struct Mount(Option<TempDir>);

impl Mount {
    /// One with these options; `None` where that is not allowed.
    pub(super) fn new(options: &str) -> Option<Self> {
        let folder = tempfile::tempdir().ok()?;
        let mount =
            Command::new("mount").args(["-t", "tmpfs", "-o", options, "tmpfs"]).arg(folder.path()).output();
        mount.is_ok_and(|output| output.status.success()).then(|| Self(Some(folder)))
    }

    pub(super) fn path(&self) -> &Path {
        self.0.as_ref().expect("mounted").path()
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        if let Some(folder) = self.0.take() {
            let _ = Command::new("umount").args(["--lazy"]).arg(folder.path()).output();
        }
    }
}

/// Writes until it is refused, and returns what was acknowledged and the refusal.
fn fill(server: &Server) -> (usize, String) {
    let mut client = server.client();
    for number in 0..20_000 {
        let answer = client.ask(&[b"SET", key(number).as_bytes(), &value(number)]);
        if answer != "+OK" {
            return (number, answer);
        }
    }
    panic!("the disk never got full");
}

fn key(number: usize) -> String {
    format!("key:{number}")
}

fn value(number: usize) -> Vec<u8> {
    noise(number, 32 << 10)
}

fn all_there(server: &Server, acknowledged: usize) {
    let mut client = server.client();
    for number in 0..acknowledged {
        let answer = client.ask(&[b"GET", key(number).as_bytes()]);
        let right = answer == String::from_utf8_lossy(&value(number));
        let shown: String = answer.chars().take(200).collect();
        assert!(right, "{} of {acknowledged} is not as it was written, but {shown}", key(number));
    }
}

#[test]
fn a_disk_that_fills_up_refuses_writes_and_takes_them_again_when_there_is_room() {
    let Some(mount) = Mount::new("size=160m") else {
        return eprintln!("skipped: no file system can be mounted here");
    };
    let data = mount.path().join("data");
    let server =
        Server::on(&data, &["--hot", "1mib", "--maxmemory", "1gib", "--maxmemory-policy", "allkeys-lfu"]);
    let (acknowledged, refusal) = fill(&server);
    assert!(acknowledged > 100, "{acknowledged}");
    assert!(refusal.starts_with("-OOM the disk is full"), "{refusal}");
    assert_eq!(server.ask(&[b"PING"]), "+PONG");
    all_there(&server, acknowledged);
    assert!(server.ask(&[b"INFO", b"stats"]).contains("evicted_keys:0"), "nothing is evicted in vain");
    eventually("the refusal is in the health", || server.get("/readyz").contains("puts are refused"));
    assert_eq!(server.ask(&[b"DEL", key(acknowledged - 1).as_bytes()]), ":1", "deletes are still taken");
    let more = Command::new("mount").args(["-o", "remount,size=512m"]).arg(mount.path()).output();
    assert!(more.is_ok_and(|output| output.status.success()));
    assert_eq!(server.ask(&[b"SET", b"again", b"there is room"]), "+OK");
    let (code, said) = server.stop();
    assert!(code == Some(0) && !said.contains("panicked"), "{said}");
    let server = Server::on(&data, &["--hot", "1mib"]);
    all_there(&server, acknowledged - 1);
    assert_eq!(server.ask(&[b"GET", b"again"]), "there is room");
}

#[cfg(feature = "fjall")]
#[test]
fn a_disk_that_fills_up_under_fjall_refuses_writes_and_loses_nothing() {
    let Some(mount) = Mount::new("size=96m") else {
        return eprintln!("skipped: no file system can be mounted here");
    };
    let data = mount.path().join("data");
    let mut server = Server::on(&data, &["--hot", "1mib", "--store", "fjall"]);
    let (acknowledged, refusal) = fill(&server);
    assert!(acknowledged > 100, "{acknowledged}");
    // Which of the two depends on where in its work the engine met the end of the disk.
    let refused = refusal.starts_with("-OOM the disk is full");
    let cut_short = refusal.starts_with("-ERR") && refusal.contains("could not be finished");
    assert!(refused || cut_short, "{refusal}");
    assert_eq!(server.ask(&[b"PING"]), "+PONG");
    all_there(&server, acknowledged);
    eventually("the refusal is in the health", || server.get("/readyz").contains("until it is opened again"));
    // Once a second the server looks for what is to be said; the same is not said again.
    std::thread::sleep(Duration::from_millis(2_500));
    assert!(server.ask(&[b"SET", b"again", b"no room"]).starts_with('-'));
    server.signal(Signal::TERM);
    let (_, said) = server.ended();
    assert!(!said.contains("panicked"), "{said}");
    assert_eq!(said.matches("the durable store is down").count(), 1, "{said}");
    assert!(said.contains("disk is full"), "{said}");
    drop(server);

    let more = Command::new("mount").args(["-o", "remount,size=512m"]).arg(mount.path()).output();
    assert!(more.is_ok_and(|output| output.status.success()));
    let server = Server::on(&data, &["--hot", "1mib", "--store", "fjall"]);
    all_there(&server, acknowledged);
    assert_eq!(server.ask(&[b"SET", b"again", b"there is room"]), "+OK");
}

#[test]
fn a_disk_without_room_to_begin_with_is_told_of_and_refuses_writes() {
    let (_outer, data) = folder();
    let mut command = through("prlimit", &["--fsize=100000", env!("CARGO_BIN_EXE_terrace")]);
    command.args(["serve", "--port", "0", "--http-port", "0", "--dir"]).arg(&data);
    if Command::new("prlimit").arg("--version").output().is_err() {
        return eprintln!("skipped: there is no prlimit here");
    }
    let server = Server::of(&mut command);
    assert!(server.ask(&[b"SET", b"k", b"v"]).starts_with("-OOM the disk is full"));
    assert_eq!(server.ask(&[b"GET", b"k"]), "nil");
    assert!(server.get("/readyz").contains("puts are refused"));
    let (_, said) = server.stop();
    assert!(said.contains("the durable store is degraded") && !said.contains("panicked"), "{said}");
}

#[cfg(feature = "fjall")]
#[test]
fn a_disk_without_room_for_fjall_to_begin_with_is_refused() {
    let (_outer, data) = folder();
    let mut command = through("prlimit", &["--fsize=100000", env!("CARGO_BIN_EXE_terrace")]);
    command.args(["serve", "--port", "0", "--http-port", "0", "--store", "fjall", "--dir"]).arg(&data);
    let Ok(output) = command.output() else {
        return eprintln!("skipped: there is no prlimit here");
    };
    let said = stderr(&output);
    assert_eq!(output.status.code(), Some(5), "{said}");
    assert!(said.contains(data.to_str().unwrap()) && said.contains("full"), "{said}");
}
