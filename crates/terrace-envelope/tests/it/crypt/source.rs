//! Keys from files, variables and commands; and what is refused there, in words.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use terrace_envelope::crypt::{Algorithm, Key, KeySource, Keyring, Place, Secret};

const RAW: &[u8; 32] = b"\x00\x01\xfe\xff key that no one would type\x80";

/// Whether both are the key `RAW`: secrets cannot be compared, but what they encrypt can be opened.
fn assert_is_the_key(source: &KeySource) {
    let key = Key::read(1, Algorithm::default(), source).unwrap_or_else(|error| panic!("{error}"));
    let mut value = Vec::new();
    Keyring::new(key).seal_value(&Place::default(), b"value", &mut value).unwrap();
    let known = Keyring::new(Key::new(1, Algorithm::default(), Secret::new(RAW)));
    assert_eq!(known.open_value(&Place::default(), &value, &mut Vec::new()), Ok(5), "{source}");
}

fn refusal(source: &KeySource) -> String {
    let error = source.read().unwrap_err();
    assert!(!format!("{error} {error:?} {source:?}").contains("no one would type"));
    error.to_string()
}

fn hex() -> String {
    RAW.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(unix)]
fn file(folder: &Path, mode: u32, content: &[u8]) -> PathBuf {
    use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
    let path = folder.join(format!("key-{mode:o}-{}", content.len()));
    let mut file = fs::OpenOptions::new().create_new(true).write(true).mode(0o600).open(&path).unwrap();
    file.write_all(content).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
    path
}

#[test]
#[cfg(unix)]
fn a_file_is_read_if_it_is_its_owners_alone() {
    let folder = tempfile::tempdir().unwrap();
    assert_is_the_key(&KeySource::File(file(folder.path(), 0o600, RAW)));
    assert_is_the_key(&KeySource::File(file(folder.path(), 0o400, format!("{}\n", hex()).as_bytes())));
    for mode in [0o644, 0o640, 0o604, 0o620, 0o602, 0o666, 0o660] {
        let why = refusal(&KeySource::File(file(folder.path(), mode, RAW)));
        assert!(why.contains(&format!("mode {mode:04o}")) && why.contains("chmod 600"), "{why}");
    }
}

#[test]
#[cfg(unix)]
fn what_is_no_key_file_is_refused_in_words() {
    let folder = tempfile::tempdir().unwrap();
    let pipe = folder.path().join("pipe");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    for (path, word) in [
        (folder.path().to_owned(), "is a directory"),
        (folder.path().join("missing"), "No such file"),
        (pipe, "no regular file"),
        (PathBuf::from("/dev/null"), "no regular file"),
        (file(folder.path(), 0o600, b""), "is empty"),
        (file(folder.path(), 0o600, &RAW[..31]), "by its length"),
        (file(folder.path(), 0o600, &RAW.repeat(2)[..33]), "by its length"),
        (file(folder.path(), 0o600, &RAW.repeat(1000)), "longer than 4096 bytes"),
    ] {
        let why = refusal(&KeySource::File(path.clone()));
        assert!(why.contains(word) && why.contains(&path.display().to_string()), "{why}");
    }
}

#[test]
fn a_variable_is_read() {
    // Cargo sets this one for every test; it is no key.
    let why = refusal(&KeySource::Environment("CARGO_PKG_NAME".to_owned()));
    assert!(why.contains("CARGO_PKG_NAME") && why.contains("by its length"), "{why}");
    assert!(!why.contains("terrace-envelope"), "its value is not shown: {why}");
    let why = refusal(&KeySource::Environment("TERRACE_NO_SUCH_KEY".to_owned()));
    assert!(why.ends_with("TERRACE_NO_SUCH_KEY is not set"), "{why}");
    for name in ["", "A=B", "A\0B"] {
        assert!(refusal(&KeySource::Environment(name.to_owned())).contains("no name"));
    }
}

#[test]
#[cfg(unix)]
fn a_variable_that_holds_a_key_gives_it() {
    // A variable of this process cannot be set safely, so this very test runs again in another with it.
    const NAME: &str = "TERRACE_TEST_KEY";
    if std::env::var_os(NAME).is_some() {
        return assert_is_the_key(&KeySource::Environment(NAME.to_owned()));
    }
    let this = std::env::current_exe().unwrap();
    let test = "crypt::source::a_variable_that_holds_a_key_gives_it";
    let output = std::process::Command::new(this).args(["--exact", test]).env(NAME, hex()).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && said.contains("1 passed"), "{said}");
}

#[test]
#[cfg(unix)]
fn a_command_gives_a_key_without_a_shell_unless_asked() {
    assert_is_the_key(&KeySource::command("echo", [hex()]));
    assert_is_the_key(&KeySource::shell(format!("printf %s {} | tr a-f A-F", hex())));
    let why = refusal(&KeySource::command("echo", ["$HOME; echo ", hex().as_str()]));
    assert!(why.contains("the command echo holds no key"), "{why}");
}

#[test]
#[cfg(unix)]
fn a_command_that_gives_no_key_is_refused_in_words_without_its_arguments() {
    for (source, word) in [
        (KeySource::command("/no/such/program", ["--token=hunter2"]), "cannot be started"),
        (KeySource::shell(format!("echo {}; exit 3 # hunter2", hex())), "exit status: 3"),
        (KeySource::shell("kill -9 $$ # hunter2"), "signal: 9"),
        (KeySource::command("true", ["hunter2"]), "is empty"),
        (KeySource::shell("yes hunter2"), "more than 4096 bytes"),
    ] {
        let why = refusal(&source);
        assert!(why.contains(word), "{why}");
        assert!(!format!("{why} {source} {source:?}").contains("hunter2"), "{why}");
    }
}

#[test]
#[cfg(unix)]
fn a_command_that_takes_too_long_is_ended_with_all_that_it_started() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("pid");
    // The second holds the pipe open although the shell has ended, the third ends neither.
    for line in
        ["sleep 60", "sleep 60 & echo $! > PID", "trap '' TERM; exec >&-; sleep 60 & echo $! > PID; wait"]
    {
        let line = line.replace("PID", &path.display().to_string());
        let KeySource::Command { program, arguments, .. } = KeySource::shell(&line) else { unreachable!() };
        let source = KeySource::Command { program, arguments, time_limit: Duration::from_millis(300) };
        let began = Instant::now();
        let why = refusal(&source);
        assert!(why.contains("time limit"), "{line}: {why}");
        assert!(began.elapsed() < Duration::from_secs(20), "{line}");
        if let Ok(pid) = fs::read_to_string(&path) {
            assert!(has_ended(pid.trim()), "{line}: {pid}");
        }
    }
}

/// Whether a process ends soon: it was told to, but the system takes its time. A zombie has ended, too.
#[cfg(unix)]
fn has_ended(pid: &str) -> bool {
    let runs = || {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        !stat.is_empty() && !stat.contains(") Z")
    };
    let began = Instant::now();
    while runs() && began.elapsed() < Duration::from_secs(20) {
        std::thread::yield_now();
    }
    !runs()
}

#[test]
fn sources_are_read_from_text() {
    let read = |text: &str| text.parse::<KeySource>().unwrap();
    assert_eq!(read("file:/etc/app/key: 1"), KeySource::File("/etc/app/key: 1".into()));
    assert_eq!(read("env:APP_KEY"), KeySource::Environment("APP_KEY".to_owned()));
    assert_eq!(read("command:vault  read key"), KeySource::command("vault", ["read", "key"]));
    assert_eq!(read("shell:a | b"), KeySource::shell("a | b"));
    for text in ["", "key", "file:", "env: ", "command: ", "http://key", &hex(), &format!("{}:", hex())] {
        let why = text.parse::<KeySource>().unwrap_err().to_string();
        assert!(!why.contains(&hex()), "{why}");
        assert!(why.contains("file:, env:, command: or shell:") || why.contains("behind the colon"), "{why}");
    }
}
