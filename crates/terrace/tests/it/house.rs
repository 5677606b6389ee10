//! The house stands as ARCHITECTURE.md draws it: every path it names exists, and crates know only what stands
//! below them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().expect("the checkout")
}

fn read(path: impl AsRef<Path>) -> String {
    let path = root().join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// What stands in backticks and looks like a path of this repository.
fn paths(text: &str) -> Vec<&str> {
    let quoted = text.split('`').skip(1).step_by(2);
    quoted
        .filter(|quoted| {
            quoted.contains('/') && !quoted.contains(|c: char| c.is_whitespace() || "<>{}*:$\"".contains(c))
        })
        .filter(|quoted| {
            ["crates/", "docs/", "fuzz/", "examples/", "./"].iter().any(|start| quoted.starts_with(start))
        })
        .collect()
}

#[test]
fn every_path_the_documents_name_exists() {
    let mut named = 0;
    for document in ["ARCHITECTURE.md", "README.md", "CONTRIBUTING.md"] {
        let text = read(document);
        for path in paths(&text) {
            assert!(root().join(path).exists(), "{document} names {path}, which is not there");
            named += 1;
        }
    }
    assert!(named > 30, "only {named} paths found: is the test still reading the documents?");
}

#[test]
fn every_crate_has_a_place_in_the_drawing() {
    let drawing = read("ARCHITECTURE.md");
    for entry in std::fs::read_dir(root().join("crates")).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        assert!(drawing.contains(&format!("`{name}`")), "ARCHITECTURE.md says nothing of {name}");
    }
}

#[test]
fn crates_know_only_what_stands_below_them() {
    let may: BTreeMap<&str, &[&str]> = BTreeMap::from([
        ("terrace-store", &[][..]),
        ("terrace-memory", &["terrace-envelope"]),
        ("terrace-disk", &["terrace-envelope"]),
        ("terrace-envelope", &[]),
        ("terrace-backends", &["terrace-store", "terrace-envelope", "terrace-memory", "terrace-disk"]),
        ("terrace-layers", &["terrace-store", "terrace-envelope", "terrace-memory"]),
        ("terrace-tiers", &["terrace-store", "terrace-envelope", "terrace-memory"]),
        (
            "terrace",
            &[
                "terrace-store",
                "terrace-envelope",
                "terrace-memory",
                "terrace-layers",
                "terrace-backends",
                "terrace-tiers",
            ],
        ),
        ("terrace-sim", &["terrace-memory"]),
        (
            "terrace-server",
            &[
                "terrace",
                "terrace-store",
                "terrace-sim",
                "terrace-disk",
                "terrace-memory",
                "terrace-backends",
                "terrace-tiers",
            ],
        ),
    ]);
    for (name, may) in may {
        let manifest = read(format!("crates/{name}/Cargo.toml"));
        let own = manifest.split("[dev-dependencies]").next().unwrap_or_default();
        for line in own.lines().filter(|line| line.starts_with("terrace")) {
            let known = line.split([' ', '=', '.']).next().unwrap_or_default();
            assert!(may.contains(&known), "{name} must not know {known}");
        }
    }
}
