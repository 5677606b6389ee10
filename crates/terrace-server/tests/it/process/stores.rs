//! `terrace copy` and `terrace scrub`: over real stores, killed on the way, and told what is wrong.

use terrace::stack::{Stack, StackConfig};
use terrace::store::capability::List;
use terrace::store::{Entry, Key, Namespace, PutOptions, StoreExt};

use super::*;

fn within<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Runtime::new().expect("threads").block_on(work)
}

async fn open(text: &str) -> Stack {
    let config = StackConfig::from_toml(text).expect("a configuration");
    Stack::builder(config).build().await.expect("it opens")
}

fn key(n: u32) -> Key {
    Key::new(["a", "b"][n as usize % 2], n.to_be_bytes()).expect("a short key")
}

/// Writes so many entries of all kinds.
fn fill(config: &str, entries: u32) {
    within(async {
        let stack = open(config).await;
        for n in 0..entries {
            let key = key(n);
            let put = stack.store().put_with(&key, vec![n as u8; 200]).tag(format!("t{}", n % 3)).deferred();
            let put = if n % 4 == 0 { put.ttl_ms(1 << 40).content_type("text/plain") } else { put };
            let _ = put.await.expect("it is written");
        }
        stack.close().await.expect("it closes");
    });
}

fn all(config: &str) -> Vec<(Key, Entry)> {
    within(async {
        let stack = open(config).await;
        let mut all = Vec::new();
        for name in ["a", "b"] {
            let list = List::all(Namespace::new(name).expect("a short name"));
            all.extend(stack.store().list_all(&list).await.expect("it lists"));
        }
        stack.close().await.expect("it closes");
        all
    })
}

fn report(output: &Output) -> serde_json::Value {
    serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{error}: {} {}", stdout(output), stderr(output)))
}

fn storage(url: &str) -> String {
    format!("storage = \"{url}\"")
}

#[test]
fn a_store_is_copied_from_engine_to_engine_with_all_that_is_known_of_its_entries() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name).display().to_string();
    let engines: Vec<&str> = ["fs", "disk", "fjall", "redb", "sled", "sqlite"]
        .into_iter()
        .filter(|scheme| terrace::backends::registry::schemes().any(|known| known == *scheme))
        .collect();
    let mut from = format!("{}:{}", engines[0], at("first"));
    fill(&storage(&from), 300);
    let expected = all(&storage(&from));
    for engine in &engines[1..] {
        let to = format!("{engine}:{}", at(engine));
        let copied = run(&["copy", &from, &to, "--json"]);
        assert_eq!(copied.status.code(), Some(0), "{from} {to}: {}", stderr(&copied));
        assert_eq!((&report(&copied)["equal"], &report(&copied)["copied"]), (&true.into(), &300.into()));
        assert_eq!(all(&storage(&to)), expected, "{from} {to}");
        from = to;
    }
}

#[test]
fn a_copy_that_is_killed_goes_on_where_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let [from, to] = ["from", "to"].map(|name| format!("disk:{}", folder.path().join(name).display()));
    fill(&storage(&from), 6_000);
    let mut copying =
        terrace(&["copy", &from, &to, "--entries", "1500"]).stdout(Stdio::piped()).spawn().unwrap();
    std::thread::sleep(Duration::from_millis(2_600));
    assert!(copying.try_wait().unwrap().is_none(), "it keeps to its rate");
    copying.kill().unwrap();
    copying.wait().unwrap();
    let went_on = run(&["copy", &from, &to, "--json"]);
    assert_eq!(went_on.status.code(), Some(0), "{}", stderr(&went_on));
    let told = report(&went_on);
    assert_eq!((&told["resumed"], &told["equal"]), (&true.into(), &true.into()), "{told}");
    assert!(told["present"].as_u64().unwrap() < 5_000, "it did not begin anew: {told}");
    assert_eq!(all(&storage(&from)), all(&storage(&to)));
    fails(&["copy", &from, &to], 3, &["holds 6000 entries already", "merge"]);
}

#[test]
fn a_copy_through_configurations_changes_how_values_lie_there() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: String| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    };
    let at = folder.path().display();
    let plain = format!("storage = \"fs:{at}/plain\"");
    let packed = format!(
        "storage = \"disk:{at}/packed\"\nchecksum = true\ncompression = {{ algorithm = \"lz4\", min_size = 64 }}"
    );
    fill(&plain, 50);
    let from = write("plain.toml", plain.clone());
    let to = write(
        "packed.yaml",
        format!(
            "storage: 'disk:{at}/packed'\nchecksum: true\ncompression: {{algorithm: lz4, min_size: 64}}\n"
        ),
    );
    let copied = run(&["copy", &from, &to]);
    assert_eq!(copied.status.code(), Some(0), "{}", stderr(&copied));
    assert!(stdout(&copied).contains("50 are equal"), "{}", stdout(&copied));
    assert_eq!(all(&plain), all(&packed));
    let lies = all(&storage(&format!("disk:{at}/packed")));
    assert!(lies.iter().all(|(_, entry)| entry.value.len() < 100), "it is compressed");
    let scrubbed = run(&["scrub", &to, "--json"]);
    assert_eq!((scrubbed.status.code(), &report(&scrubbed)["unchecked"]), (Some(0), &0.into()));
}

#[test]
fn a_scrub_finds_what_is_damaged_and_moves_it_out_of_the_way() {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("disk:{}", folder.path().join("store").display());
    let checked = format!("{}\nchecksum = true", storage(&url));
    fill(&checked, 100);
    within(async {
        let beneath = open(&storage(&url)).await;
        for n in [7, 8] {
            let mut entry = beneath.store().get(&key(n)).await.unwrap().unwrap();
            let mut value = entry.value.to_vec();
            value[50] ^= 1;
            entry.value = value.into();
            let _ = beneath.store().put(&key(n), entry, PutOptions::default()).await.unwrap();
        }
        beneath.close().await.unwrap();
    });
    let kept = run(&["scrub", &url, "--keep", "--rate", "50MiB", "--json"]);
    let told = report(&kept);
    assert_eq!(
        (kept.status.code(), &told["entries"], &told["damaged"], &told["quarantined"]),
        (Some(8), &100.into(), &2.into(), &0.into())
    );
    assert_eq!(told["keys"].as_array().unwrap().len(), 2);
    let moved = run(&["scrub", &url]);
    assert_eq!(moved.status.code(), Some(8));
    assert!(stdout(&moved).contains("2 are damaged, 2 of them moved out of the way"), "{}", stdout(&moved));
    let clean = run(&["scrub", &url, "--json"]);
    assert_eq!((clean.status.code(), &report(&clean)["entries"]), (Some(0), &98.into()));
    assert_eq!(all(&checked).len(), 98);
    let began = Instant::now();
    assert_eq!(run(&["scrub", &url, "--entries", "98"]).status.code(), Some(0));
    assert!(began.elapsed() >= Duration::from_millis(900), "it keeps to its rate");
}

#[test]
fn what_is_no_store_is_told_and_nothing_is_made_of_it() {
    let folder = tempfile::tempdir().unwrap();
    let missing = folder.path().join("missing");
    let url = format!("disk:{}", missing.display());
    let to = format!("disk:{}", folder.path().join("to").display());
    fails(&["copy", &url, &to], 5, &["missing is not there"]);
    fails(&["scrub", &url], 5, &["missing is not there"]);
    assert!(!missing.exists() && folder.path().read_dir().unwrap().count() == 0);
    fails(&["copy", "dsik:/x", &to], 3, &["did you mean `disk`"]);
    fails(&["copy", "plain", &to], 2, &["disk:plain", ".toml"]);
    fails(&["copy", &to, &to], 2, &["into itself"]);
    fails(&["copy", "memory:", "dsik:/x"], 3, &["did you mean `disk`"]);
    fails(&["scrub", "memory:", "--rate", "0"], 2, &["rate of 0"]);
    let file = folder.path().join("stack.toml");
    std::fs::write(&file, "strage = \"memory:\"").unwrap();
    fails(&["scrub", file.to_str().unwrap()], 3, &["stack.toml", "did you mean `storage`"]);
    std::fs::write(&file, "storage = \"memory:\"").unwrap();
    fails(&["scrub", file.to_str().unwrap()], 3, &["no layer `checksum`"]);
    #[cfg(feature = "redis")]
    fails(&["copy", "redis://me:hunter2@127.0.0.1:1/0", &to], 9, &["connection to the server failed"]);
}

#[cfg(feature = "redis")]
#[test]
fn a_server_that_others_write_to_is_copied_and_compared_until_both_are_equal() {
    let Some(server) = crate::world::Redis::start() else {
        eprintln!("skipped: redis-server is not installed");
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let [from, back] = ["from", "back"].map(|name| format!("sqlite:{}", folder.path().join(name).display()));
    let remote = format!("redis://{}/0?prefix=copied", server.address);
    fill(&storage(&from), 400);
    let there = run(&["copy", &from, &remote, "--json"]);
    assert_eq!(there.status.code(), Some(0), "{}", stderr(&there));
    let expected = all(&storage(&from));
    assert_eq!(all(&storage(&remote)), expected);

    // While it is copied back at 400 entries a second, somebody writes and deletes.
    let copying = terrace(&["copy", &remote, &back, "--entries", "400", "--json"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    within(async {
        let stack = open(&storage(&remote)).await;
        for n in 0..20 {
            let _ = stack.store().put_with(&key(n), "changed meanwhile").await.unwrap();
            stack.store().remove(&key(399 - n)).await.unwrap();
            tokio::time::sleep(Duration::from_millis(60)).await;
        }
        stack.close().await.unwrap();
    });
    let copied = copying.wait_with_output().unwrap();
    assert_eq!(copied.status.code(), Some(0), "{} {}", stdout(&copied), stderr(&copied));
    let now = all(&storage(&remote));
    assert_eq!(now.len(), 380);
    assert_eq!(all(&storage(&back)), now);
}
