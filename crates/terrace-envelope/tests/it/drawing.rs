//! The drawing in `docs/envelope.md` shows an envelope byte by byte; it must be the one that is written.

use terrace_envelope::{
    Compress, FORMAT_VERSION, Fields, Header, Limits, MAX_METADATA, MAX_STRING, MAX_TAGS, MIN_LEN, PEEK_LEN,
    key_hash, seal,
};

const DRAWING: &str = include_str!("../../../../docs/envelope.md");

/// The bytes of the block that begins with this heading: the hexadecimal column between the first two bars.
fn drawn(heading: &str) -> Vec<u8> {
    let (_, after) = DRAWING.split_once(heading).unwrap();
    let table = after.split_once("\n|").unwrap().1.split("\n\n").next().unwrap();
    table
        .lines()
        .filter_map(|row| row.split('`').nth(1))
        .flat_map(str::split_whitespace)
        .map(|byte| u8::from_str_radix(byte, 16).unwrap())
        .collect()
}

#[test]
fn the_drawn_example_is_what_is_written() {
    let mut out = Vec::new();
    let header = Header { version: 7, created_ms: 1_750_000_000_000, ..Header::default() };
    let fields = Fields { header: Header { expires_ms: 1_750_000_600_000, ..header }, ..Fields::default() };
    let fields = Fields { tags: &[b"users"], ..fields };
    seal(&fields, b"user:1", b"Ada", Compress::Never, Limits::default(), &mut out).unwrap();
    let drawn = drawn("## An example");
    assert_eq!(drawn, out, "\ndrawn   {drawn:02x?}\nwritten {out:02x?}");
}

#[test]
fn the_numbers_in_the_text_are_those_of_the_code() {
    for sentence in [
        format!("format {FORMAT_VERSION}"),
        format!("at least {MIN_LEN} bytes"),
        format!("first {PEEK_LEN} bytes"),
        format!("at most {MAX_TAGS} tags"),
        format!("at most {MAX_METADATA} pairs"),
        format!("at most {MAX_STRING} bytes"),
        format!("hash of `user:1` is `{:#018x}`", key_hash(b"user:1")),
    ] {
        assert!(DRAWING.contains(&sentence), "not in the drawing: {sentence}");
    }
}
