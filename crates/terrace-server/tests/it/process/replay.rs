//! `terrace replay`: the whole cache under a trace, and after a kill.

use serde_json::Value;

use super::*;

fn report(output: &Output) -> Value {
    assert_eq!(output.status.code(), Some(0), "{}", stderr(output));
    serde_json::from_slice(&output.stdout).expect("a report in JSON")
}

/// How many requests a tier answered.
fn answered(report: &Value, tier: &str) -> u64 {
    let tiers = report["tiers"].as_array().expect("tiers");
    let found = tiers.iter().find(|other| other["tier"] == tier).expect("the tier");
    found["hits"].as_u64().expect("a count")
}

#[test]
fn every_request_is_answered_by_memory_disk_or_loader() {
    let formula = "zipf:keys=2000,theta=0.8,requests=20000,size=300";
    let replay = ["replay", "--generate", formula, "--hot", "200kib", "--loader-latency", "1ms", "--json"];
    let report = report(&run(&replay));
    let parts = ["hot", "cold", "origin"].map(|tier| answered(&report, tier));
    assert_eq!((report["requests"].as_u64(), report["verified"].as_u64()), (Some(20_000), Some(20_000)));
    assert_eq!(parts.iter().sum::<u64>(), 20_000);
    assert!(parts.iter().all(|part| *part > 100), "{report}");
    let loads = report["loads"].as_u64().unwrap();
    assert!(loads <= 2000 && parts[2] >= loads, "each key is loaded at most once: {report}");
    let origin = report["tiers"][2]["p50_ns"].as_u64().unwrap();
    assert!(origin >= 1_000_000, "a load takes its millisecond: {report}");

    let table =
        stdout(&run(&["replay", "--generate", formula, "--requests", "100", "--loader-latency", "0s"]));
    assert!(table.contains("100 requests, every value verified") && table.contains("p99.9"), "{table}");
    assert!(table.contains("hot 64mib, cold 1gib") && table.contains("on the disk in the end"), "{table}");
}

#[test]
fn a_replay_that_was_killed_goes_on_from_the_disk() {
    const KEYS: u64 = 3000;
    let formula = format!("loop:keys={KEYS},requests=6000,size=200");
    for milliseconds in [500, 1000, 2000, 4000] {
        let (_outer, data) = folder();
        let dir = data.to_str().unwrap();
        let replay =
            ["replay", "--generate", &formula, "--hot", "100kib", "--clients", "8", "--json", "--dir", dir];
        let mut child = terrace(&replay).stdout(Stdio::null()).spawn().unwrap();
        std::thread::sleep(Duration::from_millis(milliseconds));
        child.kill().unwrap();
        child.wait().unwrap();
        let report = report(&run(&replay));
        assert_eq!(report["verified"].as_u64(), Some(6000));
        let loads = report["loads"].as_u64().unwrap();
        // On a slow machine it may not have come to its first load: then it gets more time.
        if loads > 0 && loads < KEYS {
            return;
        }
    }
    panic!("nothing that was loaded before a kill was served from the disk after it");
}

#[test]
fn the_tiers_of_a_server_are_driven_and_flags_win() {
    let (outer, data) = folder();
    let file = outer.path().join("terrace.toml");
    let path = file.to_str().unwrap();
    let replay = |flags: &[&str]| {
        let formula = "zipf:keys=2000,theta=0.8,requests=5000,size=300";
        let usual = ["replay", "--generate", formula, "--loader-latency", "0s", "--config", path, "--json"];
        report(&run(&[&usual[..], flags].concat()))
    };
    let dir = data.to_str().unwrap();
    let written = format!(
        "[hot]\nsize = \"150kib\"\n[store]\ndir = '{dir}'\nmaxmemory = \"900kib\"\n[auth]\nrequirepass_file = \"/no/such\""
    );
    std::fs::write(&file, written).unwrap();
    let both = replay(&[]);
    assert_eq!((&both["hot_bytes"], &both["cold_bytes"]), (&(150 << 10).into(), &(900 << 10).into()));
    assert!(answered(&both, "cold") > 100 && both["folder_bytes"].as_u64() > Some(100_000), "{both}");
    assert!(!data.exists(), "the server's own directory is left alone");
    let flagged = replay(&["--hot", "50kib", "--cold", "0"]);
    assert_eq!((&flagged["hot_bytes"], &flagged["cold_bytes"]), (&(50 << 10).into(), &0.into()));
    assert!(answered(&flagged, "cold") == 0 && flagged["folder_bytes"].is_null(), "{flagged}");
    assert!(answered(&flagged, "hot") < answered(&both, "hot"));

    std::fs::write(&file, "[store]\nkind = \"memory\"\nmaxmemory = \"150kib\"").unwrap();
    let memory = replay(&[]);
    assert_eq!((&memory["hot_bytes"], answered(&memory, "cold")), (&(150 << 10).into(), 0));
    std::fs::write(&file, "[hot]\nsiez = 1").unwrap();
    fails(&["replay", "--generate", "scan:", "--config", path], 3, &[path, "`hot.size`"]);
}

#[test]
fn what_cannot_be_replayed_is_refused() {
    let (_outer, data) = folder();
    std::fs::write(&data, "a file").unwrap();
    let dir = data.to_str().unwrap();
    fails(&["replay", "--generate", "scan:requests=10", "--dir", dir], 5, &[dir]);
    fails(&["replay", "--trace", "/no/such.trc.zst"], 5, &["/no/such.trc.zst"]);
    std::fs::write(&data, "this is no trace").unwrap();
    fails(&["replay", "--trace", dir], 5, &[dir]);
    fails(&["replay"], 2, &["--trace", "--generate"]);
    fails(&["replay", "--generate", "scan:", "--clients", "0"], 2, &["--clients"]);
}

#[test]
fn a_replay_and_a_server_refuse_each_others_folder() {
    let folder = tempfile::tempdir().unwrap();
    let (theirs, ours) = (folder.path().join("server"), folder.path().join("replay"));
    std::fs::create_dir(&theirs).unwrap();
    std::fs::write(theirs.join("keys"), "of a server").unwrap();
    let (theirs, ours) = (theirs.to_str().unwrap(), ours.to_str().unwrap());
    let formula = "loop:keys=10,requests=20,size=10";
    fails(&["replay", "--generate", formula, "--dir", theirs], 5, &[theirs, "no replay's"]);
    stdout(&run(&["replay", "--generate", formula, "--loader-latency", "0s", "--dir", ours]));
    stdout(&run(&["replay", "--generate", formula, "--loader-latency", "0s", "--dir", ours]));
    fails(&["serve", "--port", "0", "--no-http", "--dir", ours], 5, &["terrace replay"]);
}
