//! Server-sent events taken apart, and the names in them.

use serde_json::Value;
use terrace_store::capability::Change;
use terrace_store::{Namespace, Version};

/// The most that is kept of an event which has not ended: more than the longest key, encoded.
const LONGEST: usize = 1 << 20;

/// What an event tells.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Event {
    Change(Change),
    /// Everything that was told before a request of this number was sent before it.
    Beat(u64),
}

/// The bytes of events that came and were not read yet.
#[derive(Default)]
pub(super) struct Events(Vec<u8>);

impl Events {
    /// Adds bytes. `false` if they are no events.
    pub(super) fn feed(&mut self, bytes: &[u8]) -> bool {
        // Each is read as soon as it is whole.
        self.0.extend_from_slice(bytes);
        self.0.len() <= LONGEST + bytes.len()
    }

    /// The events that are whole. `None` if one of them is none of ours.
    pub(super) fn take(&mut self, namespace: &Namespace) -> Option<Vec<Event>> {
        let mut found = Vec::new();
        let mut from = 0;
        while let Some(length) = self.0[from..].windows(2).position(|pair| pair == b"\n\n") {
            let block = std::str::from_utf8(&self.0[from..from + length]).ok()?;
            from += length + 2;
            if let Some(event) = read(block, namespace)? {
                found.push(event);
            }
        }
        self.0.drain(..from);
        Some(found)
    }
}

/// The event that some lines tell: `None` if it is none of ours, `Some(None)` if they tell nothing.
fn read(block: &str, namespace: &Namespace) -> Option<Option<Event>> {
    let field = |name: &str| {
        let mut lines = block.lines();
        lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(':').map(str::trim_start))
    };
    let (Some(name), Some(data)) = (field("event"), field("data")) else { return Some(None) };
    let data: Value = serde_json::from_str(data).ok()?;
    let key = || namespace.key(decode(data["key"].as_str()?)?).ok();
    let version = || data["version"].as_str()?.parse().ok().map(Version);
    Some(Some(match name {
        "put" => Event::Change(Change::Put { key: key()?, version: version()? }),
        "deleted" => Event::Change(Change::Deleted { key: key()?, version: version()? }),
        "cleared" => {
            let all = data["all"].as_bool()?;
            Event::Change(Change::Cleared((!all).then(|| namespace.clone())))
        }
        "lagged" => Event::Change(Change::Lagged),
        "beat" => Event::Beat(data["number"].as_u64()?),
        // A later release may tell of more.
        _ => return Some(None),
    }))
}

/// Any bytes as they can stand in an address.
pub(super) fn encode(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    let mut text = String::with_capacity(bytes.len());
    for byte in bytes {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(byte) {
            text.push(char::from(*byte));
        } else {
            text.push('%');
            text.push(char::from(DIGITS[usize::from(byte >> 4)]));
            text.push(char::from(DIGITS[usize::from(byte & 15)]));
        }
    }
    text
}

/// The bytes that such a text stands for.
pub(super) fn decode(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let mut digit = || char::from(rest.next()?).to_digit(16);
        bytes.push((digit()? * 16 + digit()?) as u8);
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_come_back() {
        let all: Vec<u8> = (0..=255).collect();
        assert_eq!(decode(&encode(&all)).unwrap(), all);
        assert!(["%", "%4", "%zz"].iter().all(|text| decode(text).is_none()));
    }

    #[test]
    fn events_are_read_however_they_are_cut() {
        let space = Namespace::new("s").unwrap();
        let text = "retry: 2000\n\nevent: put\ndata: {\"key\":\"a%FF\",\"version\":\"7\"}\n\n:\n\n\
                    event: deleted\ndata: {\"key\":\"a\",\"version\":\"8\"}\n\nevent: cleared\ndata: {\"all\":true}\n\n\
                    event: cleared\ndata: {\"all\":false}\n\nevent: lagged\ndata: {}\n\nevent: later\ndata: {}\n\n\
                    event: beat\ndata: {\"number\":3}\n\n";
        let expected = [
            Event::Change(Change::Put { key: space.key(b"a\xff").unwrap(), version: Version(7) }),
            Event::Change(Change::Deleted { key: space.key(b"a").unwrap(), version: Version(8) }),
            Event::Change(Change::Cleared(None)),
            Event::Change(Change::Cleared(Some(space.clone()))),
            Event::Change(Change::Lagged),
            Event::Beat(3),
        ];
        for step in [1, 7, 1000] {
            let (mut events, mut found) = (Events::default(), Vec::new());
            for part in text.as_bytes().chunks(step) {
                assert!(events.feed(part));
                found.extend(events.take(&space).unwrap());
            }
            assert_eq!(found, expected);
        }
        for nonsense in ["event: put\ndata: x\n\n", "event: put\ndata: {\"key\":1}\n\n"] {
            let mut events = Events::default();
            events.feed(nonsense.as_bytes());
            assert!(events.take(&space).is_none(), "{nonsense}");
        }
    }
}
