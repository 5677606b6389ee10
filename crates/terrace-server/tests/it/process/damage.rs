//! Data files that were cut or changed: the server starts and serves what is whole, or says what is wrong. It never
//! panics and never serves a wrong value.

use super::*;

const KEYS: usize = 300;

/// The engine before the log.
#[cfg(feature = "fjall")]
const FJALL: [&str; 2] = ["--store", "fjall"];

fn value(number: usize) -> String {
    format!("value:{number}:").repeat(20)
}

/// A folder with some keys, closed in good order.
fn written(data: &Path, args: &[&str]) {
    let server = Server::on(data, args);
    let mut client = server.client();
    for number in 0..KEYS {
        let key = format!("key:{number}");
        assert_eq!(client.ask(&[b"SET", key.as_bytes(), value(number).as_bytes()]), "+OK");
    }
    assert_eq!(server.stop().0, Some(0));
}

/// Every file below this folder that holds something.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut all = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap().flatten() {
        let path = entry.path();
        if path.is_dir() {
            all.extend(files(&path));
        } else if entry.metadata().unwrap().len() > 0 {
            all.push(path);
        }
    }
    all.sort();
    all
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap().flatten() {
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// Starts a server on damaged data and asks for everything.
fn survives(data: &Path, args: &[&str], what: &str) {
    let dir = data.to_str().unwrap();
    let serve = ["serve", "--port", "0", "--http-port", "0", "--hot", "0", "--dir", dir];
    match Server::try_of(terrace(&serve).args(args)) {
        Err((status, said)) => {
            let code = status.code();
            assert!(matches!(code, Some(5 | 7 | 8)), "{what}: {code:?} {said}");
            assert!(said.contains(dir), "{what}: {said}");
        }
        Ok(mut server) => {
            let mut client = server.client();
            for number in 0..KEYS {
                let key = format!("key:{number}");
                let answer = client.ask(&[b"GET", key.as_bytes()]);
                let fine = answer == value(number) || answer == "nil" || answer.starts_with('-');
                assert!(fine, "{what}: {key} is {answer}");
            }
            server.signal(Signal::TERM);
            let (_, said) = server.ended();
            assert!(!said.contains("panicked"), "{what}: {said}");
        }
    }
}

#[test]
fn files_that_were_cut_or_changed_are_noticed() {
    damage_each(&[]);
    #[cfg(feature = "fjall")]
    damage_each(&FJALL);
}

fn damage_each(args: &[&str]) {
    let (outer, whole) = folder();
    written(&whole, args);
    for (turn, file) in files(&whole).into_iter().enumerate() {
        let name = file.strip_prefix(&whole).unwrap().to_path_buf();
        let bytes = std::fs::read(&file).unwrap();
        let mut flipped = bytes.clone();
        flipped[bytes.len() / 2] ^= 0x10;
        // Journals are made long beforehand; what matters is where they are written.
        let mut early = bytes.clone();
        early[bytes.len().min(400) / 2] ^= 0x01;
        let damages =
            [("cut", bytes[..bytes.len() / 2].to_vec()), ("flipped", flipped), ("flipped early", early)];
        for (how, damaged) in damages {
            let data = outer.path().join(format!("{turn}-{}", how.replace(' ', "-")));
            copy(&whole, &data);
            std::fs::write(data.join(&name), damaged).unwrap();
            survives(&data, args, &format!("{} {how}", name.display()));
            std::fs::remove_dir_all(&data).unwrap();
        }
    }
}

#[test]
fn a_log_cut_after_a_stop_is_told_of_on_stderr_and_in_the_health() {
    let (_outer, data) = folder();
    written(&data, &[]);
    let segment = data.join("00000001.seg");
    let bytes = std::fs::read(&segment).unwrap();
    std::fs::write(&segment, &bytes[..bytes.len() / 2]).unwrap();
    let server = Server::on(&data, &[]);
    let ready = server.get("/readyz");
    assert!(ready.contains("200 OK") && ready.contains("degraded"), "{ready}");
    for word in [data.to_str().unwrap(), "segment 1 is damaged from byte"] {
        assert!(ready.contains(word) && server.get("/v1/stats").contains(word), "{word}: {ready}");
    }
    assert_eq!(server.ask(&[b"GET", b"key:0"]), value(0), "what precedes the damage is served");
    assert_eq!(server.ask(&[b"SET", b"key:0", b"new"]), "+OK");
    let (code, said) = server.stop();
    assert_eq!(code, Some(0));
    let lines: Vec<&str> = said.lines().filter(|line| line.contains("degraded")).collect();
    assert!(lines.len() == 1 && lines[0].contains(data.to_str().unwrap()), "{said}");
}

#[cfg(feature = "fjall")]
#[test]
fn a_journal_cut_after_a_stop_is_told_of_on_stderr_and_in_the_health() {
    let (_outer, data) = folder();
    written(&data, &FJALL);
    let journal =
        files(&data).into_iter().find(|file| file.extension().is_some_and(|ending| ending == "jnl"));
    let journal = journal.expect("a journal");
    let bytes = std::fs::read(&journal).unwrap();
    let end = bytes.iter().rposition(|byte| *byte != 0).unwrap();
    std::fs::write(&journal, &bytes[..end / 2]).unwrap();
    let server = Server::on(&data, &FJALL);
    let ready = server.get("/readyz");
    assert!(ready.contains("200 OK") && ready.contains("degraded"), "{ready}");
    let found = server.ask(&[b"DBSIZE"]);
    let found = found.strip_prefix(':').unwrap();
    for word in [data.to_str().unwrap(), &format!("has {found} entries of {KEYS}")] {
        assert!(ready.contains(word) && server.get("/v1/stats").contains(word), "{ready}");
    }
    let (code, said) = server.stop();
    assert_eq!(code, Some(0));
    let lines: Vec<&str> = said.lines().filter(|line| line.contains("degraded")).collect();
    assert_eq!(lines.len(), 1, "{said}");
    assert!(lines[0].contains(data.to_str().unwrap()) && lines[0].contains("versions before"), "{said}");
    assert!(!Server::on(&data, &FJALL).stop().1.contains("degraded"));
}

#[cfg(feature = "fjall")]
#[test]
fn a_damaged_journal_refuses_the_start_and_says_what_to_do() {
    let (_outer, data) = folder();
    written(&data, &FJALL);
    let journal =
        files(&data).into_iter().find(|file| file.extension().is_some_and(|ending| ending == "jnl"));
    let journal = journal.expect("a journal");
    let mut bytes = std::fs::read(&journal).unwrap();
    let place = bytes.windows(9).position(|bytes| bytes == b"value:150").unwrap();
    bytes[place] ^= 0x10;
    std::fs::write(&journal, bytes).unwrap();
    let dir = data.to_str().unwrap();
    let words = [journal.to_str().unwrap(), "restore", "move the journal away", "loses"];
    fails(&["serve", "--port", "0", "--http-port", "0", "--store", "fjall", "--dir", dir], 8, &words);
}
