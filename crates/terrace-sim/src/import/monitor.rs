//! What `redis-cli monitor` prints: `1339518096.506257 [0 127.0.0.1:60866] "get" "x"`.
//!
//! Decision: commands that read one key, or several, are requests; sizes are not told, so all count one. Keys
//! keep the escapes they are printed with, which are the same each time, and the number of their database.

use super::{Fault, Requests, key, number, text};

/// Commands that read their first argument.
const READS: [&str; 30] = [
    "bitcount",
    "exists",
    "get",
    "getbit",
    "getex",
    "getrange",
    "hexists",
    "hget",
    "hgetall",
    "hkeys",
    "hlen",
    "hmget",
    "hvals",
    "lindex",
    "llen",
    "lrange",
    "scard",
    "sismember",
    "smembers",
    "smismember",
    "strlen",
    "substr",
    "ttl",
    "type",
    "zcard",
    "zrange",
    "zrangebyscore",
    "zrank",
    "zrevrange",
    "zscore",
];

pub(super) fn line(line: &[u8], requests: &mut Requests) -> Result<(), Fault> {
    // Without redis-cli lines begin with a plus sign, and the first one is its answer.
    let line = line.strip_prefix(b"+").unwrap_or(line);
    if line == b"OK" {
        return Ok(());
    }
    // A client with an IPv6 address has brackets of its own, so what ends it is the one before a quote.
    let open = line.iter().position(|byte| *byte == b'[');
    let close = line.windows(3).position(|bytes| bytes == b"] \"");
    let (Some(open), Some(close)) = (open, close) else {
        return Err(text("a line needs a time, a client in brackets and a command"));
    };
    if close < open {
        return Err(text("a line needs a time, a client in brackets and a command"));
    }
    let time = number(&line[..open])?;
    let database = line[open + 1..close].split(|byte| *byte == b' ').next().unwrap_or_default();
    let mut words = Words(&line[close + 1..]);
    let Some(command) = words.next().transpose()? else { return Err(text("a line without a command")) };
    let command = String::from_utf8_lossy(command).to_lowercase();
    let keys = if command == "mget" { usize::MAX } else { usize::from(READS.contains(&command.as_str())) };
    for word in words.take(keys) {
        let name = [database, b":", word?].concat();
        requests.read(key(&name), 0, time, 1)?;
    }
    Ok(())
}

/// The words between quotes.
struct Words<'a>(&'a [u8]);

impl<'a> Iterator for Words<'a> {
    type Item = Result<&'a [u8], Fault>;

    fn next(&mut self) -> Option<Self::Item> {
        let rest = self.0.trim_ascii_start();
        if rest.is_empty() {
            return None;
        }
        self.0 = &[];
        let Some(rest) = rest.strip_prefix(b"\"") else {
            return Some(Err(text("a word of a command without quotes")));
        };
        let mut escaped = false;
        for (place, byte) in rest.iter().enumerate() {
            match byte {
                b'"' if !escaped => {
                    self.0 = &rest[place + 1..];
                    return Some(Ok(&rest[..place]));
                }
                b'\\' => escaped = !escaped,
                _ => escaped = false,
            }
        }
        Some(Err(text("a word of a command that does not end")))
    }
}
