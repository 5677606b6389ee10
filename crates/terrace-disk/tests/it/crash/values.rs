//! Keys and values that say where they come from.

use std::sync::Arc;

use terrace_disk::io::sim::Chance;

const WORDS: [&str; 16] = [
    "river", "terrace", "window", "ledger", "copper", "meadow", "signal", "harbour", "lantern", "orchard",
    "pebble", "quarry", "saddle", "timber", "velvet", "willow",
];

/// The value with this number: no two are alike unless they are shorter than eight bytes. Half of them look like
/// text, so that they are compressed, and half like noise.
pub(crate) fn contents(number: u64, len: usize) -> Arc<[u8]> {
    let mut chance = Chance::new(number);
    let mut bytes = number.to_le_bytes().to_vec();
    let text = number.is_multiple_of(2);
    while bytes.len() < len {
        if text {
            bytes.extend(WORDS[chance.index(WORDS.len())].as_bytes());
            bytes.push(b' ');
        } else {
            bytes.extend(chance.bits().to_le_bytes());
        }
    }
    bytes.truncate(len);
    Arc::from(bytes)
}

/// One of the keys of a group. Lengths differ, and one key is empty.
pub(crate) fn key(group: u32, number: u64) -> Vec<u8> {
    match number {
        0 if group == 0 => Vec::new(),
        _ if number.is_multiple_of(7) => format!("{group}/{}/{number}", "long".repeat(20)).into_bytes(),
        _ => format!("{group}/{number}").into_bytes(),
    }
}
