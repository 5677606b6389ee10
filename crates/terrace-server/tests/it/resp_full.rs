//! A store that is full: what leaves, and what is refused.

use crate::world::{Client, Ours, Setup};

fn start(policy: &str, hot: u64) -> (Ours, Client) {
    start_on("memory:?capacity=2000000".to_owned(), policy, hot)
}

fn start_on(store: String, policy: &str, hot: u64) -> (Ours, Client) {
    let ours = Ours::start(Setup { store, hot, ..Setup::default() });
    let mut client = Client::connect(ours.address);
    assert_eq!(client.text(&format!("CONFIG SET maxmemory-policy {policy}")), "OK");
    (ours, client)
}

const OOM: &str = "OOM command not allowed when used memory > 'maxmemory'.";

/// Sets as many keys of 1000 bytes, and returns how many were refused.
fn fill(client: &mut Client, name: &str, count: usize, lifetime: Option<&str>) -> usize {
    let value = "v".repeat(1000);
    for n in 0..count {
        let key = format!("{name} {n}");
        match lifetime {
            Some(seconds) => client.send(&["SET", &key, &value, "EX", seconds]),
            None => client.send(&["SET", &key, &value]),
        }
    }
    let replies: Vec<String> = (0..count).map(|_| client.receive().expect("a reply").text()).collect();
    assert!(replies.iter().all(|reply| reply == "OK" || reply == OOM), "{replies:?}");
    replies.iter().filter(|reply| *reply == OOM).count()
}

fn count(client: &mut Client, name: &str) -> usize {
    client.call(&["KEYS", &format!("{name} *")]).elements().len()
}

#[test]
fn by_default_keys_with_a_lifetime_make_room() {
    for hot in [0, 100_000] {
        let (ours, mut client) = start("volatile-lfu", hot);
        assert_eq!(fill(&mut client, "for ever", 500, None), 0);
        assert_eq!(fill(&mut client, "for a while", 5000, Some("10000")), 0);
        assert_eq!(count(&mut client, "for ever"), 500);
        assert!(count(&mut client, "for a while") > 500);
        assert!(ours.server.keyspace.evicted() > 3000);
        assert!(
            client.text("INFO stats").contains(&format!("evicted_keys:{}", ours.server.keyspace.evicted()))
        );
        // What is for ever pushes out what is for a while, and is refused when nothing of that is left.
        assert!(fill(&mut client, "more for ever", 3000, None) > 0);
        assert_eq!((count(&mut client, "for a while"), count(&mut client, "for ever")), (0, 500));
        let value = "v".repeat(1000);
        assert_eq!(client.call(&["SET", "another", &value]).text(), OOM);
        assert!(client.run("GET another").is_null(), "a refused write was applied");
        assert_eq!(client.run("DEL nothing").integer(), Some(0));
        (0..5).for_each(|n| {
            let deleted = client.call(&["DEL", &format!("for ever {n}")]);
            assert_eq!(deleted.integer(), Some(1), "a full store still deletes");
        });
        assert_eq!(client.call(&["SET", "another", &value]).text(), "OK");
    }
}

#[test]
fn a_full_log_makes_room_by_the_policy_and_compaction_wins_it_back() {
    let folder = tempfile::tempdir().unwrap();
    let options = "capacity=2000000&segment_bytes=262144&compression=none";
    let store = format!("disk:{}?{options}", folder.path().display());
    let (ours, mut client) = start_on(store.clone(), "volatile-lfu", 100_000);
    assert_eq!(fill(&mut client, "for ever", 500, None), 0);
    assert_eq!(fill(&mut client, "for a while", 5000, Some("10000")), 0);
    assert_eq!(count(&mut client, "for ever"), 500);
    let left = count(&mut client, "for a while");
    assert!((500..1600).contains(&left), "{left}");
    assert!(ours.server.keyspace.evicted() as usize == 5000 - left);
    assert!(fill(&mut client, "more for ever", 3000, None) > 0);
    assert_eq!((count(&mut client, "for a while"), count(&mut client, "for ever")), (0, 500));
    assert_eq!(client.call(&["SET", "another", &"v".repeat(1000)]).text(), OOM);
    assert_eq!(client.text("CONFIG SET maxmemory-policy allkeys-lfu"), "OK");
    assert_eq!(fill(&mut client, "any", 3000, None), 0);
    let begun = std::time::Instant::now();
    let bytes = || -> u64 {
        std::fs::read_dir(folder.path())
            .unwrap()
            .map(|file| file.unwrap().metadata().map_or(0, |about| about.len()))
            .sum()
    };
    while bytes() > 6_000_000 {
        assert!(begun.elapsed().as_secs() < 60, "{} bytes of files", bytes());
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    drop((client, ours));
    let (_ours, mut client) = start_on(store, "allkeys-lfu", 0);
    assert!(client.run("DBSIZE").integer().is_some_and(|keys| (1000..2000).contains(&keys)));
}

#[test]
fn a_policy_of_no_eviction_refuses() {
    let (ours, mut client) = start("noeviction", 100_000);
    let refused = fill(&mut client, "for a while", 4000, Some("10000"));
    assert!(refused > 1000 && ours.server.keyspace.evicted() == 0, "{refused}");
    assert_eq!(client.text("MULTI"), "OK");
    client.call(&["SET", "big", &"v".repeat(100_000)]);
    client.run("GET absent");
    let replies = client.run("EXEC");
    assert_eq!((replies.elements()[0].text().as_str(), replies.elements()[1].is_null()), (OOM, true));
}

#[test]
fn any_key_may_go_if_told_so_and_the_soonest_to_end_goes_first_if_told_so() {
    let (_ours, mut client) = start("allkeys-lfu", 0);
    assert_eq!(fill(&mut client, "for ever", 5000, None), 0);
    let (_ours, mut client) = start("volatile-ttl", 0);
    assert_eq!(fill(&mut client, "late", 30, Some("20000")), 0);
    assert_eq!(fill(&mut client, "soon", 30, Some("100")), 0);
    let big = "v".repeat(1_940_000);
    assert_eq!(client.call(&["SET", "big", &big]).text(), "OK");
    let (late, soon) = (count(&mut client, "late"), count(&mut client, "soon"));
    assert!(late > soon, "{late} of those that end late are left, and {soon} of those that end soon");
}
