//! Tables: CSV of any kind, and Meta's traces, which have an operation and a count beside.

use std::io::BufRead;

use super::{Fault, Requests, key, lines, number, text};

const KEYS: [&str; 9] =
    ["key", "cachekey", "id", "obj", "obj_id", "object", "object_id", "block", "anonymized_key"];
const SIZES: [&str; 7] = ["size", "obj_size", "object_size", "objectsize", "value_size", "bytes", "length"];
const TIMES: [&str; 5] = ["time", "timestamp", "op_time", "ts", "real_time"];
const OPERATIONS: [&str; 3] = ["op", "optype", "operation"];
const COUNTS: [&str; 1] = ["op_count"];

/// The columns that matter.
#[derive(Clone, Copy)]
struct Columns {
    key: usize,
    size: Option<usize>,
    time: Option<usize>,
    operation: Option<usize>,
    count: Option<usize>,
}

/// Reads a table; one of Meta's must have a heading with operations, and only its reads are requests.
pub(super) fn read(
    source: &mut impl BufRead,
    place: &mut u64,
    requests: &mut Requests,
    meta: bool,
) -> Result<(), Fault> {
    let mut layout: Option<(u8, Columns)> = None;
    lines(source, place, |line| {
        let Some((separator, columns)) = layout else {
            let separator = separator(line);
            let fields = split(line, separator);
            let heading = heading(&fields);
            if meta && heading.is_none_or(|columns| columns.operation.is_none()) {
                return Err(text("the first line must name the columns, among them `key` and `op`"));
            }
            let columns = heading.map_or_else(|| without_heading(fields.len()), Ok)?;
            layout = Some((separator, columns));
            return if heading.is_some() { Ok(()) } else { row(&fields, columns, requests, meta) };
        };
        row(&split(line, separator), columns, requests, meta)
    })
}

fn row(fields: &[&[u8]], columns: Columns, requests: &mut Requests, meta: bool) -> Result<(), Fault> {
    let field =
        |column: usize| fields.get(column).copied().ok_or_else(|| text("a line with too few columns"));
    let value = |column: Option<usize>| column.map_or(Ok(0), |column| number(field(column)?));
    let key = key(field(columns.key)?);
    let (size, time) = (value(columns.size)?, value(columns.time)?);
    let Some(operation) = columns.operation.filter(|_| meta) else {
        return requests.read(key, size, time, 1);
    };
    let operation = field(operation)?.to_ascii_lowercase();
    // Those of the CDN are numbers: 1 is a read.
    if operation.starts_with(b"get") || operation == b"1" || operation == b"read" {
        let times = columns.count.map_or(Ok(1), |column| number(field(column)?))?;
        return requests.read(key, size, time, times);
    }
    requests.wrote(key, size);
    Ok(())
}

/// What parts the columns: the first of these that the line has.
fn separator(line: &[u8]) -> u8 {
    [b'\t', b';', b',', b' '].into_iter().find(|byte| line.contains(byte)).unwrap_or(b',')
}

/// The fields of a line. Quotes around a field hold it together; two of them in it stand for one, and are left
/// as they are, because a key only has to be the same each time.
fn split(line: &[u8], separator: u8) -> Vec<&[u8]> {
    let mut fields = Vec::new();
    let (mut start, mut quoted) = (0, false);
    for (place, byte) in line.iter().chain([&separator]).enumerate() {
        if *byte == b'"' {
            quoted = !quoted;
        }
        if *byte == separator && (!quoted || place == line.len()) {
            let field = line[start..place].trim_ascii();
            let bare = field.strip_prefix(b"\"").and_then(|field| field.strip_suffix(b"\""));
            fields.push(bare.unwrap_or(field));
            start = place + 1;
        }
    }
    fields
}

/// The columns a heading names, if it is one.
fn heading(fields: &[&[u8]]) -> Option<Columns> {
    let names: Vec<String> = fields
        .iter()
        .map(|field| {
            String::from_utf8_lossy(field).trim_start_matches('#').trim().to_lowercase().replace(' ', "_")
        })
        .collect();
    let find = |known: &[&str]| known.iter().find_map(|name| names.iter().position(|other| other == name));
    Some(Columns {
        key: find(&KEYS)?,
        size: find(&SIZES),
        time: find(&TIMES),
        operation: find(&OPERATIONS),
        count: find(&COUNTS),
    })
}

fn without_heading(fields: usize) -> Result<Columns, Fault> {
    let bare = Columns { key: 0, size: None, time: None, operation: None, count: None };
    match fields {
        1 => Ok(bare),
        2 => Ok(Columns { size: Some(1), ..bare }),
        3 => Ok(Columns { time: Some(0), key: 1, size: Some(2), ..bare }),
        _ => Err(text("without a heading there may be a key; key and size; or time, key and size")),
    }
}
