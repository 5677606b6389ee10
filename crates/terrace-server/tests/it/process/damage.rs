//! Data files that were cut or changed: the server starts and serves what is whole, or says what is wrong. It never
//! panics and never serves a wrong value.

use super::*;

const KEYS: usize = 300;

fn value(number: usize) -> String {
    format!("value:{number}:").repeat(20)
}

/// A folder with some keys, closed in good order.
fn written(data: &Path) {
    let server = Server::on(data, &[]);
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
fn survives(data: &Path, what: &str) {
    let dir = data.to_str().unwrap();
    match Server::try_of(&mut terrace(&[
        "serve",
        "--port",
        "0",
        "--http-port",
        "0",
        "--hot",
        "0",
        "--dir",
        dir,
    ])) {
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
    let (outer, whole) = folder();
    written(&whole);
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
            survives(&data, &format!("{} {how}", name.display()));
            std::fs::remove_dir_all(&data).unwrap();
        }
    }
}
