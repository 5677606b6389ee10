//! What the program refuses to begin, with which code and in which words.

use std::net::TcpListener;

use super::*;

#[test]
fn a_taken_port_is_named_and_nothing_is_left_behind() {
    let (_outer, data) = folder();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let dir = data.to_str().unwrap();
    fails(
        &["serve", "--dir", dir, "--port", &port, "--http-port", "0"],
        4,
        &[&port, "another process", "--port"],
    );
    fails(&["serve", "--dir", dir, "--port", "0", "--http-port", &port], 4, &[&port, "--http-port"]);
    assert!(!data.exists());
}

#[test]
fn a_data_directory_that_another_process_holds_is_left_alone() {
    let (_outer, data) = folder();
    let server = Server::on(&data, &[]);
    assert_eq!(server.ask(&[b"SET", b"k", b"v"]), "+OK");
    let dir = data.to_str().unwrap();
    fails(&["serve", "--port", "0", "--http-port", "0", "--dir", dir], 6, &[dir, "another process", "--dir"]);
    assert_eq!(server.ask(&[b"GET", b"k"]), "v");
}

#[test]
fn a_data_directory_that_is_none_is_refused() {
    let (_outer, data) = folder();
    std::fs::write(&data, "a file").unwrap();
    for dir in [data.clone(), data.join("below")] {
        let dir = dir.to_str().unwrap();
        fails(
            &["serve", "--port", "0", "--http-port", "0", "--dir", dir],
            5,
            &[dir, "cannot be used", "--dir"],
        );
    }
    assert_eq!(std::fs::read(&data).unwrap(), b"a file");
}

#[test]
fn a_read_only_file_system_is_refused() {
    let Some(mount) = full_disk::Mount::new("size=1m,ro") else {
        return eprintln!("skipped: no file system can be mounted here");
    };
    let dir = mount.path().join("data");
    let dir = dir.to_str().unwrap();
    fails(&["serve", "--port", "0", "--http-port", "0", "--dir", dir], 5, &[dir, "Read-only file system"]);
}

#[test]
fn data_of_a_newer_release_is_not_touched() {
    let (_outer, data) = folder();
    let server = Server::on(&data, &[]);
    assert_eq!(server.ask(&[b"SET", b"k", b"v"]), "+OK");
    server.stop();
    let mark = data.join("terrace-disk");
    let mut bytes = std::fs::read(&mark).unwrap();
    bytes[8] = 0xfe;
    // With its checksum: CRC-32C of what is before it.
    let crc = bytes[..28].iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| (crc >> 1) ^ if crc & 1 == 1 { 0x82f6_3b78 } else { 0 })
    });
    bytes[28..].copy_from_slice(&(!crc).to_le_bytes());
    std::fs::write(&mark, &bytes).unwrap();
    let dir = data.to_str().unwrap();
    fails(&["serve", "--port", "0", "--http-port", "0", "--dir", dir], 7, &[dir, "later release"]);
}

#[cfg(feature = "fjall")]
#[test]
fn data_that_a_newer_release_has_written_with_fjall_is_not_touched() {
    let (_outer, data) = folder();
    Server::on(&data, &["--store", "fjall"]).stop();
    // The engine's own marker, in the place where it keeps it.
    let marker = find(&data, "version").expect("the engine marks its format");
    let mut bytes = std::fs::read(&marker).unwrap();
    *bytes.last_mut().unwrap() = 0xfe;
    std::fs::write(&marker, &bytes).unwrap();
    let dir = data.to_str().unwrap();
    fails(&["serve", "--port", "0", "--http-port", "0", "--store", "fjall", "--dir", dir], 7, &[dir]);
}

#[cfg(feature = "fjall")]
fn find(folder: &Path, name: &str) -> Option<PathBuf> {
    for entry in std::fs::read_dir(folder).ok()?.flatten() {
        let path = entry.path();
        if path.is_dir() {
            if let Some(found) = find(&path, name) {
                return Some(found);
            }
        } else if path.file_name().is_some_and(|file| file == name) {
            return Some(path);
        }
    }
    None
}

#[test]
fn flags_that_do_not_exist_or_contradict_are_refused() {
    fails(&["serve", "--prot", "1"], 2, &["--prot", "--port"]);
    fails(&["serve", "--port", "many"], 2, &["--port", "whole number"]);
    fails(&["serve", "--hot", "big"], 2, &["--hot", "size"]);
    fails(&["serve", "--bind", "localhost"], 2, &["--bind: `localhost` is no IP address", "127.0.0.1"]);
    fails(&["serve", "--memory", "--dir", "x"], 2, &["--memory", "--dir"]);
    fails(&["serve", "--tls-cert", "x"], 3, &["tls.key"]);
    fails(&["fly"], 2, &["fly"]);
    fails(&[], 2, &["Usage"]);
}

#[test]
fn nobody_listens_to_the_world_by_accident() {
    let words = ["0.0.0.0", "--requirepass-file", "--tls-cert", "--insecure"];
    fails(&["serve", "--bind", "0.0.0.0", "--port", "0", "--memory"], 3, &words);
    fails(
        &["serve", "--http-bind", "0.0.0.0", "--port", "0", "--memory", "--requirepass", "x"],
        3,
        &["no TLS"],
    );

    let server = Server::start(&["--memory", "--bind", "0.0.0.0", "--insecure"]);
    let port = server.resp.port();
    assert_eq!(Client::connect(([127, 0, 0, 1], port).into()).ask(&[b"PING"]), "+PONG");
    let (code, said) = server.stop();
    assert_eq!(code, Some(0));
    assert!(said.contains("other machines"), "{said}");
}

#[test]
fn root_serves_this_machine_only() {
    if !rustix::process::geteuid().is_root() {
        return eprintln!("skipped: this is not root");
    }
    let (outer, _) = folder();
    let (cert, key) = access::certificate(outer.path());
    let safe = ["--requirepass", "x", "--tls-cert", &cert, "--tls-key", &key];
    let everywhere = ["serve", "--memory", "--bind", "0.0.0.0", "--port", "0", "--http-port", "0"];
    fails(&[&everywhere[..], &safe].concat(), 3, &["root", "--insecure"]);
    let (code, said) = Server::start(&["--memory"]).stop();
    assert!(code == Some(0) && said.contains("running as root"), "{said}");
}

#[test]
fn files_that_are_not_there_or_not_what_they_should_be_are_named() {
    let (outer, _) = folder();
    let junk = outer.path().join("junk.pem");
    std::fs::write(&junk, "no certificate").unwrap();
    let junk = junk.to_str().unwrap();
    fails(&["serve", "--memory", "--tls-cert", junk, "--tls-key", junk], 3, &["tls.cert", junk]);
    fails(
        &["serve", "--memory", "--requirepass-file", "/no/such"],
        3,
        &["auth.requirepass_file", "/no/such"],
    );
    fails(&["serve", "--config", "/no/such.toml"], 3, &["/no/such.toml"]);
}

#[test]
fn what_config_check_prints_for_a_password_is_no_password() {
    let args = ["serve", "--port", "0", "--no-http", "--memory", "--requirepass", "(hidden)"];
    fails(&args, 3, &["config check", "real one"]);
}
