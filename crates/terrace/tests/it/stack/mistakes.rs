//! What is wrong is told with its place, and what would be right.

use terrace::ErrorKind;
use terrace::stack::{Registry, Sources};

use super::*;

#[test]
fn a_key_that_nobody_knows_is_refused_with_the_nearest_one() {
    for (text, words) in [
        ("strage = \"memory:\"", &["strage: there is no such key", "did you mean `storage`"][..]),
        ("l1_capcity = 5", &["did you mean `l1_capacity`"]),
        ("[cache]\nmax_entires = 5", &["cache.max_entires", "did you mean `max_entries`"]),
        ("[circuit_breaker]\nmax_failure = 5", &["did you mean `max_failures`"]),
        ("storage = { type = \"disk\", paht = \"/x\" }", &["storage.paht", "did you mean `path`"]),
        ("[distributed]\nenabled = true\nreplication_facto = 3", &["did you mean `replication_factor`"]),
        ("[access]\nrules = [{ everybody = true, right = [\"read\"] }]", &["did you mean `rights`"]),
        ("[access]\nrules = [{ everybody = true, rights = [\"raed\"] }]", &["did you mean `read`"]),
        ("cache = { type = \"lur\" }", &["cache", "did you mean `lru`"]),
        ("[metrics]\nport = 5", &["metrics.port", "enabled"]),
    ] {
        let error = refused(toml(text));
        assert_eq!(error.kind(), ErrorKind::Config, "{text}");
        for word in words {
            assert!(error.to_string().contains(word), "{text}: {error}");
        }
    }
}

#[test]
fn a_value_that_cannot_be_is_refused_with_its_path() {
    for (text, words) in [
        ("l1_capacity = -1", "l1_capacity"),
        ("l1_capacity = \"many\"", "l1_capacity"),
        ("[retry]\ncap = \"5\"", "retry.cap: `5`"),
        ("[retry]\ncap = 5", "retry.cap"),
        ("[cache]\nmax_bytes = \"1 mile\"", "cache.max_bytes: `1 mile`"),
        ("[cache]\nmax_bytes = 5\nmax_entries = 5", "give one"),
        ("[cache]\nmax_age = \"1s\"\nttl_seconds = 1", "give one"),
        ("[compression]\nalgorithm = \"lz4\"\naim = \"space\"", "aim is for algorithm `adaptive`"),
        ("[encryption]", "it needs a key"),
        ("[encryption]\nkey = \"0123456789abcdef\"", "1=file:"),
        ("[audit]", "it needs the URL"),
        ("[access]", "it needs rules"),
        ("[access]\nrules = [{ rights = [\"read\"] }]", "give one of the three"),
        ("[access]\nrules = [{ everybody = true, prefix = \"a\", rights = [] }]", "about a `namespace`"),
        ("namespace = 5", "namespace"),
        ("storage = 5", "storage"),
        ("storage = { type = \"redis\", path = \"a\", address = \"b\" }", "give one"),
        ("storage = { type = \"disk\", path = \"/a\", options = { capacity = [1] } }", "options.capacity"),
        (
            "[distributed]\nenabled = true\nreplication_factor = 2\nconsistency_level = \"quorum\"",
            "at least 3",
        ),
        ("[distributed]\nenabled = true\nreplication_factor = 0", "at least 1"),
        ("cache = [", "TOML parse error"),
    ] {
        let error = refused(toml(text)).to_string();
        assert!(error.contains(words), "{text}: {error}");
        assert!(!error.contains("0123456789abcdef"), "a key is told: {error}");
    }
}

#[test]
fn the_source_of_a_mistake_is_named() {
    let mut sources = Sources::new(&Registry::default());
    sources.toml("good.toml", "storage = \"memory:\"\n[cache]\ntype = \"lru\"").unwrap();
    sources.environment("T_", [("T_CACHE__MAX_ENTRIES".to_owned(), "lots".to_owned())]).unwrap();
    let error = refused(sources.finish()).to_string();
    assert!(
        error.contains("T_CACHE__MAX_ENTRIES: cache.max_entries: `lots` is not a whole number"),
        "{error}"
    );
    let mut sources = Sources::new(&Registry::default());
    sources.yaml("bad.yaml", "cache: {tpye: lru}").unwrap();
    let error = refused(sources.finish()).to_string();
    assert!(error.contains("bad.yaml: cache.tpye"), "{error}");
    let error = refused(Sources::new(&Registry::default()).yaml("bomb.yaml", "a: [").map(drop)).to_string();
    assert!(error.contains("bomb.yaml"), "{error}");
}

#[test]
fn yaml_that_unfolds_without_end_is_refused() {
    let mut bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n".to_owned();
    for n in 1..12 {
        let below = format!("*a{}", n - 1);
        bomb += &format!("a{n}: &a{n} [{}]\n", vec![below; 9].join(", "));
    }
    assert_eq!(refused(StackConfig::from_yaml(&bomb)).kind(), ErrorKind::Config);
}

#[tokio::test]
async fn what_cannot_be_built_is_told_before_anything_is_made() {
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().join("never-made");
    for (text, words) in [
        (String::new(), "there is no store"),
        (format!("storage = \"fs:{}\"\nbloom_expected = 0", place.display()), "bloom_expected"),
        (format!("storage = \"fs:{}\"\nbloom_bits = 10", place.display()), "1 to 64 bits"),
        (format!("storage = \"fs:{}\"\nbloom_shards = 65", place.display()), "1 to 64"),
        (format!("storage = \"fs:{}\"\nbloom_shards = 4\nbloom = true", place.display()), "give one of both"),
        (
            format!("storage = \"fs:{}\"\nl2_capacity = 5\ncache = {{ max_entries = 6 }}", place.display()),
            "give one",
        ),
        (
            format!("storage = \"fs:{}\"\ncompression = {{ algorithm = \"lz5\" }}", place.display()),
            "did you mean `lz4`",
        ),
        (
            format!("storage = \"fs:{}\"\nencryption = {{ key = \"1=file:/no/such/key\" }}", place.display()),
            "/no/such/key",
        ),
        (
            format!(
                "storage = {{ type = \"fs\", path = \"{}\", options = {{ capcity = 5 }} }}",
                place.display()
            ),
            "capcity",
        ),
        ("storage = \"dsik:/x\"".to_owned(), "did you mean `disk`"),
    ] {
        let error = refused(build(&text).await);
        assert_eq!(error.kind(), ErrorKind::Config, "{text}: {error}");
        assert!(error.to_string().contains(words), "{text}: {error}");
        assert!(!place.exists(), "{text}");
    }
}

#[tokio::test]
async fn a_store_that_this_build_does_not_have_is_named() {
    if terrace::backends::registry::schemes().any(|scheme| scheme == "rocksdb") {
        return;
    }
    let text = "storage: { type: rocksdb, path: /never-made, options: { block_cache_size: 67108864 } }";
    let error = refused(Stack::builder(StackConfig::from_yaml(text).unwrap()).build().await).to_string();
    assert!(error.contains("there is no store `rocksdb:` in this build"), "{error}");
}
