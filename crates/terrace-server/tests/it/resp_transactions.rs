//! Transactions of several clients at once, on several threads: nobody sees or changes a part of one.

use std::sync::atomic::{AtomicBool, Ordering};

use terrace_store::Rng;
use terrace_store::rng::SplitMix;

use crate::world::{Client, Ours, Setup, Value};

const ACCOUNTS: u64 = 6;
const TOTAL: i64 = 6000;

fn account(n: u64) -> String {
    format!("account {n}")
}

fn sum(values: &[Value]) -> i64 {
    values.iter().map(|value| value.text().parse::<i64>().expect("an amount")).sum()
}

/// Money moves between accounts by MULTI, by WATCH and by MSET, while others read all accounts in three ways.
#[test]
fn money_is_neither_made_nor_lost() {
    let ours = Ours::start(Setup { threads: 2, ..Setup::default() });
    let mut client = Client::connect(ours.address);
    for n in 0..ACCOUNTS {
        client.call(&["SET", &account(n), "1000"]);
    }
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let writers: Vec<_> = (0..3)
            .map(|seed| {
                scope.spawn(move || move_money(Client::connect(ours.address), &SplitMix::seeded(seed)))
            })
            .collect();
        let readers: Vec<_> = (0..3)
            .map(|way| {
                scope.spawn({
                    let over = &over;
                    move || read_money(Client::connect(ours.address), way, over)
                })
            })
            .collect();
        let aborted: u32 = writers.into_iter().map(|writer| writer.join().unwrap()).sum();
        over.store(true, Ordering::SeqCst);
        assert!(readers.into_iter().all(|reader| reader.join().unwrap() > 10), "the readers did not read");
        assert!(aborted > 0, "no transaction met another: the test proves nothing");
    });
    let keys: Vec<String> = (0..ACCOUNTS).map(account).collect();
    let args: Vec<&str> = std::iter::once("MGET").chain(keys.iter().map(String::as_str)).collect();
    assert_eq!(sum(client.call(&args).elements()), TOTAL);
}

fn move_money(mut client: Client, rng: &SplitMix) -> u32 {
    let mut aborted = 0;
    for _ in 0..400 {
        let (from, to) = (account(rng.below(ACCOUNTS)), account(rng.below(ACCOUNTS)));
        if from == to {
            continue;
        }
        let amount = rng.below(50).to_string();
        if rng.below(2) == 0 {
            for args in [&["MULTI"][..], &["DECRBY", &from, &amount], &["INCRBY", &to, &amount], &["EXEC"]] {
                client.send(args);
            }
            (0..3).for_each(|_| drop(client.receive()));
            assert_eq!(client.receive().unwrap().elements().len(), 2);
            continue;
        }
        client.call(&["WATCH", &from, &to]);
        let held = client.call(&["MGET", &from, &to]);
        let amounts: Vec<i64> = held.elements().iter().map(|value| value.text().parse().unwrap()).collect();
        let (less, more) = ((amounts[0] - 1).to_string(), (amounts[1] + 1).to_string());
        client.call(&["MULTI"]);
        client.call(&["MSET", &from, &less, &to, &more]);
        aborted += u32::from(client.call(&["EXEC"]).is_null());
    }
    aborted
}

fn read_money(mut client: Client, way: usize, over: &AtomicBool) -> u32 {
    let keys: Vec<String> = (0..ACCOUNTS).map(account).collect();
    let args: Vec<&str> = std::iter::once("MGET").chain(keys.iter().map(String::as_str)).collect();
    let mut rounds = 0;
    while !over.load(Ordering::SeqCst) {
        let total = match way {
            0 => sum(client.call(&args).elements()),
            1 => {
                client.call(&["MULTI"]);
                keys.iter().for_each(|key| drop(client.call(&["GET", key])));
                sum(client.call(&["EXEC"]).elements())
            }
            _ => {
                client.call(&["MULTI"]);
                client.call(&["KEYS", "*"]);
                client.call(&args);
                let replies = client.call(&["EXEC"]);
                assert_eq!(replies.elements()[0].elements().len() as u64, ACCOUNTS);
                sum(replies.elements()[1].elements())
            }
        };
        assert_eq!(total, TOTAL, "read in way {way}");
        rounds += 1;
    }
    rounds
}

#[test]
fn plain_reads_see_a_transaction_as_one() {
    let ours = Ours::start(Setup { threads: 2, ..Setup::default() });
    let mut writer = Client::connect(ours.address);
    writer.run("MSET a 0 b 0");
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let reader = scope.spawn(|| {
            let mut client = Client::connect(ours.address);
            let mut rounds = 0;
            while !over.load(Ordering::SeqCst) {
                // One after another, so b is at least as new as a.
                client.send(&["GET", "a"]);
                client.send(&["GET", "b"]);
                let (a, b) = (client.receive().unwrap().text(), client.receive().unwrap().text());
                assert!(
                    b.parse::<u64>().unwrap() >= a.parse::<u64>().unwrap(),
                    "a is {a}, and then b is {b}"
                );
                rounds += 1;
            }
            rounds
        });
        for n in 1..1500 {
            // b is written last: a read that slipped in between would see a newer a than b.
            let n = n.to_string();
            for args in [&["MULTI"][..], &["SET", "a", &n], &["SET", "b", &n], &["EXEC"]] {
                writer.send(args);
            }
            (0..4).for_each(|_| drop(writer.receive()));
        }
        over.store(true, Ordering::SeqCst);
        assert!(reader.join().unwrap() > 10);
    });
}

#[test]
fn counters_lose_nothing() {
    let ours = Ours::start(Setup { threads: 2, ..Setup::default() });
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let mut client = Client::connect(ours.address);
                (0..500).for_each(|_| client.send(&["INCR", "count"]));
                (0..500).for_each(|_| assert!(client.receive().unwrap().integer().is_some()));
            });
        }
    });
    assert_eq!(Client::connect(ours.address).text("GET count"), "2000");
}

#[test]
fn a_flush_leaves_nothing_behind_while_others_write_and_read() {
    let ours = Ours::start(Setup { threads: 2, ..Setup::default() });
    let mut client = Client::connect(ours.address);
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let reader = scope.spawn(|| {
            let mut client = Client::connect(ours.address);
            while !over.load(Ordering::SeqCst) {
                (0..20).for_each(|n| client.send(&["GET", &format!("key {n}")]));
                (0..20).for_each(|_| drop(client.receive()));
            }
        });
        for round in 0..200 {
            for n in 0..20 {
                client.send(&["SET", &format!("key {n}"), &round.to_string()]);
            }
            client.send(&["FLUSHALL"]);
            (0..20).for_each(|n| client.send(&["GET", &format!("key {n}")]));
            client.send(&["DBSIZE"]);
            (0..21).for_each(|_| assert_eq!(client.receive().unwrap().text(), "OK"));
            (0..20).for_each(|_| assert!(client.receive().unwrap().is_null(), "round {round}"));
            assert_eq!(client.receive().unwrap().integer(), Some(0));
        }
        over.store(true, Ordering::SeqCst);
        reader.join().unwrap();
    });
}
