//! Printing results: to people, to programs, and to those who stop listening.

use std::io::{self, Write};

use serde_json::{Value, json};

use crate::exit::{Exit, Failure};

/// Prints a line.
pub(super) fn line(text: impl AsRef<[u8]>) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    written(out.write_all(text.as_ref()).and_then(|()| out.write_all(b"\n")).and_then(|()| out.flush()))
}

/// Prints bytes as they are.
pub(super) fn raw(bytes: &[u8]) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    written(out.write_all(bytes).and_then(|()| out.flush()))
}

/// Whoever closes the pipe, as `head` does, has what he wanted.
fn written(outcome: io::Result<()>) -> Result<(), Failure> {
    match outcome {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => std::process::exit(Exit::Success as i32),
        outcome => outcome.map_err(|error| Failure::new(Exit::Directory, format!("cannot print: {error}"))),
    }
}

/// Bytes as JSON: text as text, anything else as hexadecimal digits.
pub(super) fn bytes(bytes: &[u8]) -> Value {
    match std::str::from_utf8(bytes) {
        Ok(text) => json!({ "text": text }),
        Err(_) => json!({ "hex": bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>() }),
    }
}

/// Columns under a heading, each as wide as its widest cell; the first to the left, the others to the right.
pub(super) fn table(heading: &[&str], rows: &[Vec<String>]) -> String {
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count());
        cells.chain(heading.get(column).map(|cell| cell.chars().count())).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..heading.len()).map(width).collect();
    let heading: Vec<String> = heading.iter().map(|&cell| cell.to_owned()).collect();
    let mut out = String::new();
    for row in std::iter::once(&heading).chain(rows) {
        let cells = row.iter().zip(&widths).enumerate().map(|(column, (cell, &width))| match column {
            0 => format!("{cell:<width$}"),
            _ => format!("{cell:>width$}"),
        });
        out.push_str(cells.collect::<Vec<_>>().join("  ").trim_end());
        out.push('\n');
    }
    out
}

/// A number of bytes in three digits or so.
pub(super) fn human_bytes(bytes: u64) -> String {
    const UNITS: [&str; 6] = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];
    let mut value = bytes as f64;
    let mut unit = 0;
    while value >= 1024.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    let decimals = usize::from(unit > 0 && value < 100.0);
    format!("{value:.decimals$} {}", UNITS[unit])
}

/// A duration in three digits or so.
pub(super) fn human_ns(ns: u64) -> String {
    match ns {
        0 => "-".into(),
        1..1_000 => format!("{ns} ns"),
        1_000..1_000_000 => format!("{:.1} us", ns as f64 / 1e3),
        1_000_000..1_000_000_000 => format!("{:.1} ms", ns as f64 / 1e6),
        _ => format!("{:.1} s", ns as f64 / 1e9),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up() {
        let rows = [vec!["lru".to_owned(), "1".to_owned()], vec!["s3fifo".to_owned(), "1000".to_owned()]];
        assert_eq!(table(&["policy", "hits"], &rows), "policy  hits\nlru        1\ns3fifo  1000\n");
    }

    #[test]
    fn bytes_are_printed_so_that_they_can_be_told_apart() {
        assert_eq!(bytes(b"ab").to_string(), r#"{"text":"ab"}"#);
        assert_eq!(bytes(&[0xff, 1]).to_string(), r#"{"hex":"ff01"}"#);
        assert_eq!(
            [human_bytes(1), human_bytes(1536), human_bytes(300 << 20)],
            ["1 B", "1.5 KiB", "300 MiB"]
        );
    }
}
