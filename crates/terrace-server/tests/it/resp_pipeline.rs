//! Pipelines: what is locked and written together reads as if each command had run by itself.

use tempfile::TempDir;

use crate::world::{Client, Ours, Setup, encode};

/// One with a disk, where SETs that follow each other are one write, and one without; each with two threads.
fn servers() -> [(Ours, TempDir); 2] {
    let folders = [(); 2].map(|()| tempfile::tempdir().unwrap());
    let disk = format!("disk:{}", folders[0].path().join("data").display());
    let stores = [disk, "memory:".to_owned()];
    let mut started =
        stores.map(|store| Some(Ours::start(Setup { store, threads: 2, ..Setup::default() }))).into_iter();
    folders.map(|folder| (started.next().flatten().expect("as many as folders"), folder))
}

fn send(client: &mut Client, lines: &[&str]) -> Vec<String> {
    let mut pipeline = Vec::new();
    for line in lines {
        encode(&line.split(' ').collect::<Vec<_>>(), &mut pipeline);
    }
    client.send_raw(&pipeline);
    lines.iter().map(|_| client.receive().expect("a reply").text()).collect()
}

#[test]
fn every_command_of_a_run_sees_what_came_before_it() {
    for (ours, _folder) in &servers() {
        let mut client = Client::connect(ours.address);
        let replies = send(
            &mut client,
            &[
                "SET a 1",
                "SET a 2",
                "GET a",
                "INCR a",
                "SET b x",
                "SET a 7",
                "SET c y",
                "INCR a",
                "GET a",
                "APPEND b z",
                "GET b",
                "SETNX c no",
                "GET c",
                "SET a 1 NX",
                "DEL a",
                "GET a",
            ],
        );
        let expect =
            ["OK", "OK", "2", "3", "OK", "OK", "OK", "8", "8", "2", "xz", "0", "y", "$-1", "1", "$-1"];
        assert_eq!(replies, expect);
    }
}

#[test]
fn an_error_in_a_run_is_its_own_and_the_rest_goes_on() {
    for (ours, _folder) in &servers() {
        let mut client = Client::connect(ours.address);
        let long = format!("SET {} v", "k".repeat(70_000));
        let replies = send(&mut client, &["SET a x", &long, "SET b 1", "INCR a", "INCR b", "SET", "GET b"]);
        assert_eq!((replies[0].as_str(), replies[2].as_str()), ("OK", "OK"));
        assert!(replies[1].contains("at most 65536 bytes"), "{}", replies[1]);
        assert_eq!(replies[3], "ERR value is not an integer or out of range");
        assert_eq!((replies[4].as_str(), replies[6].as_str()), ("2", "2"));
        assert!(replies[5].starts_with("ERR wrong number of arguments"), "{}", replies[5]);
    }
}

#[test]
fn pipelines_of_many_clients_on_the_same_keys_lose_nothing() {
    const CLIENTS: usize = 4;
    const ROUNDS: usize = 50;
    for (ours, _folder) in &servers() {
        std::thread::scope(|scope| {
            for _ in 0..CLIENTS {
                scope.spawn(|| {
                    let mut client = Client::connect(ours.address);
                    for _ in 0..ROUNDS {
                        // In different orders, so that locks taken carelessly would never be had.
                        let lines =
                            ["INCR a", "INCR b", "SET x 1", "INCR a", "SET y 1", "INCR b", "MSET x 2 y 2"];
                        let turned: Vec<&str> = lines.iter().rev().copied().collect();
                        for reply in send(&mut client, &lines).into_iter().chain(send(&mut client, &turned)) {
                            assert!(!reply.starts_with("ERR"), "{reply}");
                        }
                    }
                });
            }
        });
        let mut client = Client::connect(ours.address);
        let all = (CLIENTS * ROUNDS * 4).to_string();
        assert_eq!(send(&mut client, &["GET a", "GET b"]), [all.as_str(), all.as_str()]);
    }
}

#[test]
fn a_transaction_is_seen_whole_among_pipelines() {
    for (ours, _folder) in &servers() {
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let mut client = Client::connect(ours.address);
                for n in 0..200 {
                    let set = [format!("SET l {n}"), format!("SET r {n}")];
                    let _ = send(&mut client, &["MULTI", &set[0], &set[1], "EXEC"]);
                    let _ = send(&mut client, &[&format!("MSET l {n} r {n}")]);
                }
            });
            let mut client = Client::connect(ours.address);
            for _ in 0..400 {
                client.send_raw(b"MGET l r\r\n");
                let seen = format!("{:?}", client.receive().expect("a reply"));
                let numbers: Vec<&str> =
                    seen.split(|c: char| !c.is_ascii_digit()).filter(|n| !n.is_empty()).collect();
                assert!(numbers.windows(2).all(|pair| pair[0] == pair[1]), "{seen}");
            }
        });
    }
}
