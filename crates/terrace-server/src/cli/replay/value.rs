//! The values of a replay: made from their key alone, so that whoever reads one can tell whether it is right.

use bytes::Bytes;

/// The value of a key in this length: its first eight bytes are the key, the others follow from it.
pub(super) fn make(key: u64, length: usize) -> Bytes {
    let mut value = Vec::with_capacity(length + 8);
    for word in words(key) {
        if value.len() >= length {
            break;
        }
        value.extend_from_slice(&word);
    }
    value.truncate(length);
    value.into()
}

/// Whether these bytes are a value of this key, in whatever length it was written.
pub(super) fn is_right(key: u64, value: &[u8]) -> bool {
    value.chunks(8).zip(words(key)).all(|(found, word)| word.starts_with(found))
}

fn words(key: u64) -> impl Iterator<Item = [u8; 8]> {
    let mut state = key;
    let stream = std::iter::repeat_with(move || {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let word = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        (word ^ (word >> 27)).to_le_bytes()
    });
    std::iter::once(key.to_le_bytes()).chain(stream)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_right_for_its_key_in_every_length_and_for_no_other() {
        for length in [0, 1, 7, 8, 9, 100, 4096] {
            let value = make(7, length);
            assert!(value.len() == length && is_right(7, &value));
            assert!(length < 8 || !is_right(8, &value));
        }
    }

    #[test]
    fn every_changed_byte_is_noticed() {
        let value = make(7, 100).to_vec();
        for place in 0..value.len() {
            let mut changed = value.clone();
            changed[place] ^= 1;
            assert!(!is_right(7, &changed), "{place}");
        }
    }
}
