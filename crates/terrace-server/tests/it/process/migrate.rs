//! `terrace disk migrate`, and what the server says of folders that need it.

use super::*;

#[cfg(feature = "fjall")]
const KEYS: usize = 3000;

#[cfg(feature = "fjall")]
fn value(number: usize) -> String {
    format!("value:{number}:").repeat(1 + number % 50)
}

/// A folder that the server has written when fjall was its engine.
#[cfg(feature = "fjall")]
fn written(data: &Path) {
    let server = Server::on(data, &["--store", "fjall"]);
    let mut client = server.client();
    for number in 0..KEYS {
        client.send(&[b"SET", format!("key:{number}").as_bytes(), value(number).as_bytes()]);
    }
    (0..KEYS).for_each(|_| assert_eq!(client.reply(), "+OK"));
    assert_eq!(client.ask(&[b"EXPIRE", b"key:1", b"5000"]), ":1");
    assert_eq!(client.ask(&[b"SELECT", b"5"]), "+OK");
    assert_eq!(client.ask(&[b"SET", b"elsewhere", b"there"]), "+OK");
    assert_eq!(server.stop().0, Some(0));
}

#[cfg(feature = "fjall")]
fn all_there(data: &Path) {
    let server = Server::on(data, &[]);
    let mut client = server.client();
    assert_eq!(client.ask(&[b"DBSIZE"]), format!(":{KEYS}"));
    for number in 0..KEYS {
        assert_eq!(client.ask(&[b"GET", format!("key:{number}").as_bytes()]), value(number));
    }
    let left: u64 = client.ask(&[b"TTL", b"key:1"]).trim_start_matches(':').parse().unwrap();
    assert!((1..=5000).contains(&left), "{left}");
    assert!(client.ask(&[b"INFO", b"persistence"]).contains("store:disk"));
    assert_eq!(client.ask(&[b"SELECT", b"5"]), "+OK");
    assert_eq!(client.ask(&[b"GET", b"elsewhere"]), "there");
    assert_eq!(server.stop().0, Some(0));
}

#[cfg(feature = "fjall")]
#[test]
fn a_directory_of_the_engine_before_is_refused_with_the_command_that_moves_it_over() {
    let (_outer, data) = folder();
    written(&data);
    let dir = data.to_str().unwrap();
    let words = [dir, "fjall", &format!("terrace disk migrate {dir}"), "--store fjall"];
    fails(&["serve", "--port", "0", "--http-port", "0", "--dir", dir], 5, &words);
    let output = run(&["disk", "migrate", dir]);
    assert!(output.status.success(), "{}", stderr(&output));
    assert!(stdout(&output).contains(&format!("all {} entries", KEYS + 1)), "{}", stdout(&output));
    all_there(&data);
    fails(&["disk", "migrate", dir], 5, &[dir, "nothing to move over"]);
    fails(&["serve", "--port", "0", "--http-port", "0", "--store", "fjall", "--dir", dir], 5, &[dir, "log"]);
}

#[cfg(feature = "fjall")]
#[test]
fn a_migration_that_is_killed_is_ended_by_the_next_and_loses_nothing() {
    let (_outer, data) = folder();
    written(&data);
    let dir = data.to_str().unwrap();
    let mut killed = 0;
    for round in 0..12_u64 {
        let mut child =
            terrace(&["disk", "migrate", dir]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        std::thread::sleep(Duration::from_millis(5 + 17 * round));
        if child.try_wait().unwrap().is_some() {
            break;
        }
        child.kill().unwrap();
        child.wait().unwrap();
        killed += 1;
        if data.join("migration").exists() {
            fails(
                &["serve", "--port", "0", "--http-port", "0", "--dir", dir],
                5,
                &[dir, "goes on where it stopped"],
            );
        }
    }
    assert!(killed > 0);
    if data.join("fjall").exists() || data.join("migration").exists() || data.join("fjall.migrated").exists()
    {
        let output = run(&["disk", "migrate", dir, "--json"]);
        assert!(output.status.success(), "{}", stderr(&output));
    }
    all_there(&data);
}

#[cfg(feature = "fjall")]
#[test]
fn a_directory_that_is_none_or_in_use_is_not_migrated() {
    let (outer, data) = folder();
    fails(&["disk", "migrate", data.to_str().unwrap()], 5, &["no folder"]);
    let empty = outer.path().join("empty");
    std::fs::create_dir(&empty).unwrap();
    fails(&["disk", "migrate", empty.to_str().unwrap()], 5, &["nothing to move over"]);
    let server = Server::on(&data, &["--store", "fjall"]);
    fails(&["disk", "migrate", data.to_str().unwrap()], 6, &["open"]);
    assert_eq!(server.ask(&[b"SET", b"k", b"v"]), "+OK");
}

#[test]
fn a_log_is_encrypted_and_a_cache_if_the_configuration_says_so() {
    let (outer, data) = folder();
    let key = outer.path().join("key");
    let bytes: Vec<u8> = (0..32_u8).map(|n| n.wrapping_mul(37) ^ 5).collect();
    std::fs::write(&key, bytes).unwrap();
    std::fs::set_permissions(&key, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    let file = outer.path().join("terrace.toml");
    let text = |more: &str| {
        let (dir, key) = (data.display(), key.display());
        format!("[store]\ndir = '{dir}'\n{more}\n[disk]\nkey = '1=file:{key}'\n")
    };
    std::fs::write(&file, text("")).unwrap();
    let config = ["--config", file.to_str().unwrap()];
    let server = Server::start(&config);
    assert_eq!(server.ask(&[b"SET", b"k", b"a secret that is long enough to be found"]), "+OK");
    assert_eq!(server.stop().0, Some(0));
    let segment = std::fs::read(data.join("00000001.seg")).unwrap();
    assert!(!segment.windows(8).any(|bytes| bytes == b"a secret"), "it lies on the disk in the clear");
    let dir = data.to_str().unwrap();
    fails(&["serve", "--port", "0", "--http-port", "0", "--dir", dir], 5, &[dir, "key"]);

    let as_cache =
        text("maxmemory = '2mib'\npolicy = 'allkeys-lfu'").replace("[disk]", "[disk]\nmode = 'cache'");
    std::fs::write(&file, as_cache).unwrap();
    let server = Server::start(&config);
    let mut client = server.client();
    assert_eq!(client.ask(&[b"GET", b"k"]), "a secret that is long enough to be found");
    for number in 0..4000 {
        let value = noise(number, 1000);
        assert_eq!(client.ask(&[b"SET", format!("key:{number}").as_bytes(), &value]), "+OK");
    }
    let files: u64 =
        std::fs::read_dir(&data).unwrap().map(|file| file.unwrap().metadata().unwrap().len()).sum();
    assert!(files <= 2 << 20, "{files} bytes of files");
    let info = client.ask(&[b"INFO", b"stats"]);
    let evicted = info.lines().find_map(|line| line.strip_prefix("evicted_keys:")).unwrap();
    assert!(evicted.parse::<u64>().unwrap() > 1000, "{evicted}");
    assert!(client.ask(&[b"CONFIG", b"SET", b"maxmemory-policy", b"noeviction"]).starts_with('-'));
    assert_eq!(server.stop().0, Some(0));
}
