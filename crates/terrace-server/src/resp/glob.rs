//! Patterns of KEYS, SCAN, CONFIG GET and PSUBSCRIBE, with the rules of Redis.
//!
//! `?` is any byte and `*` any bytes; `[ab]`, `[a-c]` and `[^a]` are classes; `\` takes the next byte as it is. A
//! class that is not closed ends with the pattern. Bytes are compared as unsigned numbers in ranges. As in Redis, a
//! pattern of stars alone does not match the empty string; commands that mean "everything" by `*` check for it.
//!
//! A match that fails goes back to the last star only, never to one before it: what an earlier star could give away,
//! the last one can take. So there is no recursion, and a match takes at most `pattern.len() * text.len()` steps.
//! Callers that take patterns from strangers refuse long ones.

/// Whether letters match in the other case too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Case {
    /// `a` matches `a` only.
    Sensitive,
    /// `a` matches `A`, for ASCII letters.
    Ignored,
}

/// True if the whole of `text` matches `pattern`.
///
/// # Cost
/// Allocates nothing; steps in proportion to the text for a pattern with one star, and at most
/// `pattern.len() * text.len()`.
#[must_use]
pub fn matches(pattern: &[u8], text: &[u8], case: Case) -> bool {
    let (mut p, mut t) = (pattern, text);
    // The pattern after the last star, and the text it was last tried on.
    let mut retry: Option<(&[u8], &[u8])> = None;
    if text.is_empty() {
        return pattern.is_empty();
    }
    loop {
        let step = match (p, t) {
            ([], []) => return true,
            ([b'*', rest @ ..], _) => {
                if rest.iter().all(|byte| *byte == b'*') {
                    return true;
                }
                retry = Some((rest, t));
                Some((rest, t))
            }
            ([], _) | (_, []) => None,
            (_, [byte, rest @ ..]) => one(p, *byte, case).map(|after| (after, rest)),
        };
        match step {
            Some(next) => (p, t) = next,
            None => {
                // The star takes one byte more. Without text for the rest there is no match further on either.
                let Some((after_star, [_, rest @ ..])) = retry else { return false };
                retry = Some((after_star, rest));
                (p, t) = (after_star, rest);
            }
        }
    }
}

/// The pattern after its first element if that element matches `byte`. The pattern is not empty and its first
/// element no star.
#[inline]
fn one(pattern: &[u8], byte: u8, case: Case) -> Option<&[u8]> {
    match pattern {
        [b'?', rest @ ..] => Some(rest),
        [b'[', rest @ ..] => class(rest, byte, case),
        [b'\\', literal, rest @ ..] | [literal, rest @ ..] => same(*literal, byte, case).then_some(rest),
        [] => None,
    }
}

/// `pattern` begins after the `[`.
fn class(pattern: &[u8], byte: u8, case: Case) -> Option<&[u8]> {
    let (negated, mut p) = match pattern {
        [b'^', rest @ ..] => (true, rest),
        rest => (false, rest),
    };
    let mut found = false;
    let rest = loop {
        p = match p {
            // An escaped byte is compared with its case, as Redis does.
            [b'\\', literal, rest @ ..] => {
                found |= *literal == byte;
                rest
            }
            [b']', rest @ ..] => break rest,
            [] => break p,
            [low, b'-', high, rest @ ..] => {
                found |= in_range(*low, *high, byte, case);
                rest
            }
            [literal, rest @ ..] => {
                found |= same(*literal, byte, case);
                rest
            }
        };
    };
    (found != negated).then_some(rest)
}

fn in_range(a: u8, b: u8, byte: u8, case: Case) -> bool {
    let (low, high) = (a.min(b), a.max(b));
    match case {
        Case::Sensitive => (low..=high).contains(&byte),
        Case::Ignored => {
            (low.to_ascii_lowercase()..=high.to_ascii_lowercase()).contains(&byte.to_ascii_lowercase())
        }
    }
}

#[inline]
fn same(a: u8, b: u8, case: Case) -> bool {
    match case {
        Case::Sensitive => a == b,
        Case::Ignored => a.eq_ignore_ascii_case(&b),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Undoes `\xNN` and `\e` of the recordings.
    fn unescape(text: &str) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut rest = text.as_bytes();
        while let [byte, tail @ ..] = rest {
            match rest {
                [b'\\', b'x', digits @ ..] => {
                    let hex = std::str::from_utf8(&digits[..2]).expect("two digits");
                    bytes.push(u8::from_str_radix(hex, 16).expect("two digits"));
                    rest = &digits[2..];
                }
                [b'\\', b'e', tail @ ..] => rest = tail,
                _ => {
                    bytes.push(*byte);
                    rest = tail;
                }
            }
        }
        bytes
    }

    fn check_recording(recording: &str, case: Case) {
        let mut lines = recording.lines().filter(|line| !line.starts_with("# "));
        let texts: Vec<_> = lines.next().expect("the texts").split(' ').map(unescape).collect();
        let mut patterns = 0;
        for line in lines {
            let (pattern, expect) = line.split_once(' ').expect("a pattern and the numbers of its texts");
            let pattern = unescape(pattern);
            let found: Vec<_> = (0..texts.len())
                .filter(|i| matches(&pattern, &texts[*i], case))
                .map(|i| i.to_string())
                .collect();
            assert_eq!(found.join(","), expect, "pattern {}", pattern.escape_ascii());
            patterns += 1;
        }
        assert!(patterns > 500, "the recording is there");
    }

    #[test]
    fn keys_match_as_in_redis() {
        check_recording(include_str!("../../tests/data/glob.txt"), Case::Sensitive);
    }

    #[test]
    fn names_match_as_in_redis_in_any_case() {
        check_recording(include_str!("../../tests/data/glob-ignoring-case.txt"), Case::Ignored);
    }

    #[test]
    fn many_stars_take_no_exponential_time() {
        let pattern = b"a*".repeat(500);
        let mut text = vec![b'a'; 64 << 10];
        assert!(matches(&pattern, &text, Case::Sensitive));
        text.fill(b'b');
        text[..499].fill(b'a');
        assert!(!matches(&pattern, &text, Case::Sensitive));
        let unlucky = [&b"*"[..], &b"a".repeat(1000), b"b"].concat();
        assert!(!matches(&unlucky, &b"a".repeat(8 << 10), Case::Sensitive));
    }
}
