//! `docs/stacks.md` describes every key, and its examples load.

use super::*;

fn document() -> String {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/stacks.md");
    std::fs::read_to_string(path).unwrap()
}

/// The texts between fences of this kind.
fn examples<'a>(document: &'a str, kind: &str) -> Vec<&'a str> {
    let fence = format!("```{kind}\n");
    document.split(&*fence).skip(1).filter_map(|rest| rest.split("\n```").next()).collect()
}

#[test]
fn its_examples_load() {
    let document = document();
    let (in_toml, in_yaml) = (examples(&document, "toml"), examples(&document, "yaml"));
    assert!(in_toml.len() >= 2 && !in_yaml.is_empty());
    for text in in_toml {
        toml(text).unwrap_or_else(|error| panic!("{error}:\n{text}"));
    }
    for text in in_yaml {
        StackConfig::from_yaml(text).unwrap_or_else(|error| panic!("{error}:\n{text}"));
    }
}

#[test]
fn it_describes_every_key_and_no_other() {
    let document = document();
    let described: Vec<&str> = document
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split_once("` |").map(|(key, _)| key))
        .filter(|key| !key.contains(' '))
        .collect();
    for key in &described {
        // A wrong value of a key that exists is told otherwise than a key that does not.
        let text = match key.split_once('.') {
            Some((section, option)) => format!("[{section}]\n{option} = [[5]]"),
            None => format!("{key} = [[5]]"),
        };
        let error = refused(toml(&text)).to_string();
        assert!(!error.contains("no such key"), "{key} is described and is no key: {error}");
    }
    // A key that nobody could mean makes the model name those it has.
    for (section, text) in [
        ("", "zzzzzzzzzzzz = 1"),
        ("storage", "storage = { zzzzzzzzzzzz = 1 }"),
        ("tracing", "tracing = { zzzzzzzzzzzz = 1 }"),
        ("audit", "audit = { zzzzzzzzzzzz = 1 }"),
        ("access", "access = { zzzzzzzzzzzz = 1 }"),
        ("cache", "cache = { zzzzzzzzzzzz = 1 }"),
        ("bloom", "bloom = { zzzzzzzzzzzz = 1 }"),
        ("compression", "compression = { zzzzzzzzzzzz = 1 }"),
        ("encryption", "encryption = { zzzzzzzzzzzz = 1 }"),
        ("retry", "retry = { zzzzzzzzzzzz = 1 }"),
        ("hedge", "hedge = { zzzzzzzzzzzz = 1 }"),
        ("concurrency_limit", "concurrency_limit = { zzzzzzzzzzzz = 1 }"),
        ("throttle", "throttle = { zzzzzzzzzzzz = 1 }"),
        ("circuit_breaker", "circuit_breaker = { zzzzzzzzzzzz = 1 }"),
        ("timeout", "timeout = { zzzzzzzzzzzz = 1 }"),
        ("chaos", "chaos = { zzzzzzzzzzzz = 1 }"),
        ("distributed", "distributed = { zzzzzzzzzzzz = 1 }"),
    ] {
        let error = refused(toml(text)).to_string();
        let named = error.split("there are: ").nth(1).unwrap_or_else(|| panic!("{text}: {error}"));
        for key in
            named.trim_end_matches(')').split(", ").filter(|key| section.is_empty() || *key != "enabled")
        {
            let whole = if section.is_empty() { key.to_owned() } else { format!("{section}.{key}") };
            assert!(described.contains(&whole.as_str()), "docs/stacks.md does not describe `{whole}`");
        }
    }
}
