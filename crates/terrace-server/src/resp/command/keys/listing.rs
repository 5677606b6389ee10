//! Going through the keys: KEYS, SCAN, RANDOMKEY.

use bytes::Bytes;
use terrace_store::capability::Cursor;

use crate::resp::call::{Call, NOT_INTEGER, Refusal, Reply, SYNTAX};
use crate::resp::glob::{self, Case};
use crate::resp::number::parse_integer;

/// Keys looked at between two chances for other connections.
const PAGE: usize = 1000;

/// Longest pattern. A match may take as many steps as pattern and key have bytes, multiplied.
const PATTERN: usize = 1024;

pub(super) async fn randomkey(call: Call<'_>) -> Reply {
    let key = call.server.keyspace.random_key(call.session.database, &*call.server.rng).await?;
    match key {
        Some(name) => call.output.bulk(name),
        None => call.output.null(),
    }
    Ok(())
}

/// What names have to look like.
struct Filter<'c>(Option<&'c [u8]>);

impl<'c> Filter<'c> {
    fn new(pattern: &'c [u8]) -> Result<Self, Refusal> {
        if pattern.len() > PATTERN {
            return Err(format!("ERR a pattern is at most {PATTERN} bytes long").into());
        }
        // A star matches every name, the empty one too.
        Ok(Self((pattern != b"*").then_some(pattern)))
    }

    fn fits(&self, name: &[u8]) -> bool {
        self.0.is_none_or(|pattern| glob::matches(pattern, name, Case::Sensitive))
    }
}

pub(super) async fn keys(call: Call<'_>) -> Reply {
    let filter = Filter::new(call.arg(1))?;
    let mut found: Vec<Bytes> = Vec::new();
    let mut cursor = None;
    loop {
        let page = call.server.keyspace.page(call.session.database, cursor.as_ref(), PAGE).await?;
        let names = page.entries.into_iter().map(|(key, _)| key.shared_bytes());
        found.extend(names.filter(|name| filter.fits(name)));
        cursor = page.next;
        if cursor.is_none() {
            break;
        }
        tokio::task::consume_budget().await;
    }
    call.output.array(found.len());
    found.iter().for_each(|name| call.output.bulk(name));
    Ok(())
}

/// The options of SCAN.
struct Options<'c> {
    filter: Filter<'c>,
    count: usize,
    strings: bool,
}

impl<'c> Options<'c> {
    fn parse(call: &Call<'c>) -> Result<Self, Refusal> {
        let mut options = Self { filter: Filter(None), count: 10, strings: true };
        for index in (2..call.len()).step_by(2) {
            let last = index + 1 >= call.len();
            match () {
                () if call.is(index, "count") && !last => {
                    let count = parse_integer(call.arg(index + 1)).ok_or(NOT_INTEGER)?;
                    options.count = usize::try_from(count).ok().filter(|count| *count > 0).ok_or(SYNTAX)?;
                }
                () if call.is(index, "match") && !last => options.filter = Filter::new(call.arg(index + 1))?,
                () if call.is(index, "type") && !last => options.strings = call.is(index + 1, "string"),
                () => return Err(SYNTAX.into()),
            }
        }
        Ok(options)
    }
}

/// A page a call. A cursor that is too old to be known begins anew.
pub(super) async fn scan(call: Call<'_>) -> Reply {
    let number = cursor_number(call.arg(1)).ok_or("ERR invalid cursor")?;
    let options = Options::parse(&call)?;
    let database = call.session.database;
    let begin: Option<Cursor> = match number {
        0 => None,
        number => call.server.cursors.find(database, number),
    };
    let page = call.server.keyspace.page(database, begin.as_ref(), options.count.min(PAGE * 10)).await?;
    let next = page.next.map_or(0, |cursor| call.server.cursors.keep(database, cursor));
    let names = page.entries.into_iter().map(|(key, _)| key.shared_bytes());
    let found: Vec<Bytes> = names.filter(|name| options.strings && options.filter.fits(name)).collect();
    call.output.array(2);
    call.output.bulk(next.to_string());
    call.output.array(found.len());
    found.iter().for_each(|name| call.output.bulk(name));
    Ok(())
}

/// As C's `strtoul` reads it, without blanks, signs or the rest of a line.
fn cursor_number(text: &[u8]) -> Option<u64> {
    let digits = std::str::from_utf8(text).ok()?;
    let plain = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    plain.then(|| digits.parse().ok()).flatten()
}
