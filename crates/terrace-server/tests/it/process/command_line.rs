//! The commands beside `serve`: what they print and with which code they end.

use super::*;

fn json(output: &Output) -> serde_json::Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {}", stdout(output)))
}

#[test]
fn keys_are_written_read_and_removed() {
    let server = Server::start(&["--memory"]);
    let port = server.resp.port().to_string();
    let client = |args: &[&str]| run(&[args, &["--port", &port]].concat());
    assert_eq!(client(&["set", "k", "v w", "--ttl", "10m"]).status.code(), Some(0));
    let got = client(&["get", "k"]);
    assert_eq!((got.status.code(), stdout(&got).as_str()), (Some(0), "v w"));
    assert!(server.ask(&[b"TTL", b"k"]).trim_start_matches(':').parse::<u64>().unwrap() > 590);
    assert_eq!(json(&client(&["get", "k", "--json"]))["value"]["text"], "v w");

    let missing = client(&["get", "absent"]);
    assert_eq!((missing.status.code(), missing.stdout.len()), (Some(1), 0));
    assert_eq!(json(&client(&["get", "absent", "--json"]))["found"], false);
    assert_eq!(client(&["get", "k", "--db", "3"]).status.code(), Some(1));

    let removed = client(&["del", "k", "absent"]);
    assert_eq!((removed.status.code(), stdout(&removed).as_str()), (Some(0), "1\n"));
    let again = client(&["del", "k", "--json"]);
    assert_eq!((again.status.code(), json(&again)["removed"].as_u64()), (Some(1), Some(0)));

    assert_eq!(server.ask(&[b"SUBSCRIBE"]).chars().next(), Some('-'));
    assert_eq!(client(&["set", &"k".repeat(70_000), "v"]).status.code(), Some(10));
    fails(&["get", "k", "--port", "1"], 9, &["127.0.0.1:1", "terrace serve"]);
}

#[test]
fn stats_tell_what_each_tier_did() {
    let (_outer, data) = folder();
    let server = Server::on(&data, &[]);
    server.ask(&[b"SET", b"k", b"v"]);
    for _ in 0..3 {
        assert_eq!(server.ask(&[b"GET", b"k"]), "v");
    }
    let port = server.http.port().to_string();
    let shown = stdout(&run(&["stats", "--http-port", &port]));
    assert!(shown.contains("1 keys") && shown.contains("hot") && shown.contains("durable"), "{shown}");
    let stats = json(&run(&["stats", "--http-port", &port, "--json"]));
    assert_eq!(stats["tiers"][0]["hits"], 3, "{stats}");

    let mut watch = terrace(&["stats", "--http-port", &port, "--watch", "10ms", "--json"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines: Vec<String> =
        BufReader::new(watch.stdout.take().unwrap()).lines().take(3).map(Result::unwrap).collect();
    watch.kill().unwrap();
    watch.wait().unwrap();
    assert!(lines.len() == 3 && lines.iter().all(|line| line.starts_with('{')));
}

#[test]
fn a_configuration_is_checked_and_printed_without_its_secrets() {
    let (outer, _) = folder();
    let file = outer.path().join("terrace.toml");
    let path = file.to_str().unwrap();
    std::fs::write(&file, "[resp]\nport = 7000\n[auth]\nrequirepass = \"hunter2\"\n").unwrap();
    let checked = run(&["config", "check", path]);
    let printed = stdout(&checked);
    assert_eq!(checked.status.code(), Some(0));
    assert!(
        printed.contains("port = 7000") && printed.contains("maxmemory") && !printed.contains("hunter2"),
        "{printed}"
    );
    let with_environment =
        terrace(&["config", "check", path, "--json"]).env("TERRACE_RESP_PORT", "7001").output().unwrap();
    assert_eq!(json(&with_environment)["resp"]["port"], 7001);

    std::fs::write(&file, "[resp]\nprot = 7000\n").unwrap();
    fails(&["config", "check", path], 3, &[path, "`resp.prot`", "did you mean `resp.port`"]);
    std::fs::write(&file, "[resp]\nport = 99999\n").unwrap();
    fails(&["config", "check", path], 3, &[path, "resp.port"]);
    fails(&["serve", "--config", path], 3, &[path, "resp.port"]);
    let wrong = terrace(&["config", "check"]).env("TERRACE_HOT_SIZE", "huge").output().unwrap();
    assert!(stderr(&wrong).contains("TERRACE_HOT_SIZE"), "{}", stderr(&wrong));
}

#[test]
fn a_simulation_prints_a_line_for_each_policy_and_capacity() {
    let formula = "zipf:keys=1000,theta=0.9,requests=20000,seed=1";
    let sim = run(&["sim", "--generate", formula, "--policy", "opt,lru", "--capacity", "10,5%", "--json"]);
    assert_eq!(sim.status.code(), Some(0), "{}", stderr(&sim));
    let reports: Vec<serde_json::Value> =
        stdout(&sim).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(reports.len(), 4);
    assert_eq!(
        (&reports[0]["policy"], &reports[0]["capacity"], &reports[0]["trace"]),
        (&"opt".into(), &10.into(), &formula.into())
    );
    assert!(
        reports[0]["hit_ratio"].as_f64() > reports[1]["hit_ratio"].as_f64(),
        "no policy hits more than the optimum"
    );
    let table = stdout(&run(&["sim", "--generate", formula, "--capacity", "10"]));
    assert!(table.starts_with("trace") && table.lines().count() == 5, "{table}");

    fails(&["sim", "--trace", "/no/such.trc.zst"], 5, &["/no/such.trc.zst"]);
    fails(&["sim", "--generate", "zipf:kyes=1"], 2, &["kyes"]);
    fails(&["sim", "--generate", formula, "--policy", "magic"], 2, &["magic", "terrace"]);
    fails(&["sim"], 2, &["--trace", "--generate"]);
}

#[test]
fn in_bytes_the_optimum_is_left_out_unless_it_was_asked_for() {
    let sim =
        ["sim", "--generate", "zipf:keys=100,requests=2000,size=10", "--unit", "bytes", "--capacity", "300"];
    let compared = run(&sim);
    let (table, said) = (stdout(&compared), stderr(&compared));
    assert_eq!(compared.status.code(), Some(0), "{said}");
    assert!(table.contains("lru") && table.contains("terrace") && !table.contains("opt"), "{table}");
    assert!(said.contains("opt is left out"), "{said}");
    fails(&[&sim[..], &["--policy", "lru,opt"]].concat(), 2, &["optimum", "one size", "`opt`"]);
}

#[test]
fn help_version_and_completions_go_to_stdout() {
    for args in [
        &["--help"][..],
        &["serve", "--help"],
        &["--version"],
        &["completions", "bash"],
        &["completions", "zsh"],
    ] {
        let output = run(args);
        assert_eq!((output.status.code(), output.stderr.len()), (Some(0), 0), "{args:?}");
        assert!(stdout(&output).contains("terrace"), "{args:?}");
    }
    assert!(stdout(&run(&["--help"])).contains("Exit codes"));
}
