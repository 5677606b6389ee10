//! The program as its users meet it.

use std::process::{Command, Output};

fn bench(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_terrace-bench")).args(arguments).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn memory_runs_from_end_to_end_and_prints_json_for_every_subject() {
    let output = bench(&["memory", "--quick", "--json"]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let lines: Vec<serde_json::Value> =
        text(&output.stdout).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    for line in &lines {
        assert_eq!((&line["suite"], &line["rounds"]), (&"memory".into(), &1.into()), "{line}");
        // What is the difference of two times may come out below nothing.
        let least = if line["subject"] == "the counting" { f64::MIN } else { 0.0 };
        assert!(line["value"].as_f64().is_some_and(|value| value >= least), "{line}");
    }
    // A cache that did not take all keys is left out of its case, and that is told.
    let left_out = text(&output.stderr).matches("is left out").count();
    for (case, subjects) in [
        ("hit u64 10k uniform 1t", 16),
        ("hit u64 10k zipf 2t", 16),
        ("hit u64 10k one-key 2t", 16),
        ("hit String 10k zipf 1t", 15),
        ("evicting insert u64 10k 2t", 9),
        ("mix 75/25 u64 1k of 10k zipf 1t", 9),
        ("get or insert u64 10k of 100k zipf, the same in 2t", 4),
    ] {
        let of_case = |metric: &str| {
            lines.iter().filter(|line| line["case"] == case && line["metric"] == metric).count()
        };
        let found = of_case("cpu");
        assert!((subjects - left_out.min(2)..=subjects).contains(&found), "{case}: {found}");
        assert_eq!((of_case("wall"), of_case("ratio to quick_cache")), (found, found - 1), "{case}");
    }
    for (case, metric) in [
        ("latency of a hit u64 10k uniform beside inserts", "p99.9"),
        ("two threads beside one, String 10k one-key", "2t in"),
        ("two threads beside one, u64 10k uniform", "wall gain"),
        ("heap u64 10k", "heap"),
    ] {
        let of_case = |line: &&serde_json::Value| line["case"] == case && line["metric"] == metric;
        assert!(lines.iter().filter(of_case).count() >= 9, "{case}");
    }
    assert!(text(&output.stderr).contains("goals: "), "the goals are told beside the JSON");
}

#[test]
fn cases_can_be_chosen_by_the_words_in_their_names() {
    let output = bench(&["memory", "--quick", "--json", "--only", "insert", "1t"]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let told = text(&output.stdout);
    assert!(!told.is_empty());
    assert!(told.lines().all(|line| line.contains("\"case\":\"evicting insert u64 10k 1t\"")), "{told}");
}

#[test]
fn disk_compares_every_engine_and_says_what_it_skips() {
    let output = bench(&["disk", "--quick", "--json", "--only", "1024 B noise"]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let told = text(&output.stdout);
    for engine in
        ["terrace", "terrace-zstd", "terrace-mapped", "fjall", "redb", "sled", "sqlite", "lmdb", "foyer"]
    {
        let found = told.lines().any(|line| {
            let line: serde_json::Value = serde_json::from_str(line).unwrap();
            let all = engine == "foyer" || line["value"] == 1.0;
            line["subject"] == engine && line["metric"] == "found" && all
        });
        assert!(found, "{engine}: {told}");
    }
    let output = bench(&["disk", "--quick", "--only", "larger than memory"]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let told = text(&output.stdout) + &text(&output.stderr);
    assert!(told.contains("larger than memory"), "{told}");
}

#[test]
fn tiers_prints_tables_for_people() {
    let output = bench(&["tiers", "--quick", "--rounds", "2"]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let told = text(&output.stdout);
    assert!(
        told.contains("terrace get_or_load") && told.contains("ns/key") && told.contains("moka"),
        "{told}"
    );
}

#[test]
fn suites_of_later_and_suites_of_never_are_told_apart() {
    for (suite, words) in [("graph", "comes later"), ("coherence", "comes later"), ("speed", "no such suite")]
    {
        let output = bench(&[suite]);
        assert_eq!(output.status.code(), Some(2), "{suite}");
        assert!(text(&output.stderr).contains(words), "{suite}: {}", text(&output.stderr));
    }
}

#[test]
fn a_server_that_cannot_be_measured_is_an_error_and_no_figure() {
    let output = bench(&["server", "--quick", "--json", "--terrace", "/nowhere/terrace"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("/nowhere/terrace"), "{}", text(&output.stderr));
    assert_eq!(text(&output.stdout), "");
}

#[test]
fn layers_compares_filters_codecs_and_every_layer() {
    let output = bench(&["layers", "--quick", "--json"]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let lines: Vec<serde_json::Value> =
        text(&output.stdout).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let has = |case: &str, subject: &str, metric: &str| {
        lines
            .iter()
            .any(|line| line["case"] == case && line["subject"] == subject && line["metric"] == metric)
    };
    for filter in ["terrace", "XXH3 alone", "sbbf", "fastbloom", "bloomfilter"] {
        assert!(has("bloom, mistakes, by key of 24 B", filter, "mistakes"), "{filter}");
    }
    assert!(has("bloom, insert and ask in turn, two threads", "fastbloom, atomic", "2t in"));
    for kind in ["text", "json", "binary", "noise"] {
        for aim in ["latency", "balanced", "space"] {
            assert!(has(&format!("codec, {aim}, 1000 B of {kind}"), "adaptive", "cost"), "{aim} {kind}");
        }
    }
    for layer in ["memory", "metrics", "bloom", "cache", "checksum", "compression, lz4", "timeout"] {
        assert!(has("layers, get, 1t", layer, "cpu") && has("layers, put, 1t", layer, "added"), "{layer}");
        assert!(has("layers, bytes", layer, "stored"), "{layer}");
    }
}
