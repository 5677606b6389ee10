//! A look at a value before any algorithm is tried on it.

/// Bytes that are looked at to tell whether a value is random, and the length from which that pays.
const SAMPLE: usize = 512;

/// Whether the bytes in the middle of a longer value occur about equally often, as those of encrypted or
/// compressed data do.
///
/// A random sample of n bytes has n (n - 1) / 256 ordered pairs of equal ones; text has five times as many and
/// more. A repetition of something random passes for random: that is the price of looking at half a kilobyte.
#[must_use]
pub fn looks_random(value: &[u8]) -> bool {
    let Some(from) = value.len().checked_sub(SAMPLE) else { return false };
    let sample = value.get(from / 2..from / 2 + SAMPLE).unwrap_or_default();
    let mut counts = [0_u16; 256];
    for byte in sample {
        if let Some(count) = counts.get_mut(usize::from(*byte)) {
            *count += 1;
        }
    }
    let pairs: usize = counts.iter().map(|count| usize::from(*count) * usize::from(count.max(&1) - 1)).sum();
    let random = SAMPLE * (SAMPLE - 1) / 256;
    pairs < random + random / 4
}

#[cfg(test)]
mod tests {
    use super::*;

    fn noise(len: usize, seed: u64) -> Vec<u8> {
        let mut state = seed;
        let next = || {
            state = state.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(0x1405_7b7e_f767_814f);
            (state >> 56) as u8
        };
        std::iter::repeat_with(next).take(len).collect()
    }

    #[test]
    fn noise_looks_random_and_text_and_numbers_do_not() {
        let wrong = (0..1000).filter(|seed| !looks_random(&noise(600, *seed))).count();
        assert!(wrong <= 2, "{wrong} of 1000 random values were taken for others");
        assert!(!looks_random(include_bytes!("sample.rs")));
        let numbers: Vec<u8> = (0..1000_u32).flat_map(u32::to_le_bytes).collect();
        assert!(!looks_random(&numbers));
        let digits: Vec<u8> = noise(1000, 1).iter().flat_map(|n| format!("{n:02x}").into_bytes()).collect();
        assert!(!looks_random(&digits), "hexadecimal digits of noise can be halved");
        assert!(!looks_random(&noise(SAMPLE - 1, 1)), "too short to tell");
    }
}
