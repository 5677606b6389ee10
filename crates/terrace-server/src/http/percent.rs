//! Percent-encoding (RFC 3986), strict: bytes of any value in both directions, and no guessing about a `%` that
//! is followed by something else than two hexadecimal digits.

use std::fmt::Write;

/// The bytes an encoded text stands for.
///
/// # Errors
/// What is wrong, in words, with its position.
pub(crate) fn decode(text: &[u8]) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((&byte, after)) = rest.split_first() {
        if byte != b'%' {
            bytes.push(byte);
            rest = after;
            continue;
        }
        let digits = match after {
            [high, low, ..] => hex(*high).zip(hex(*low)),
            _ => None,
        };
        let Some((high, low)) = digits else {
            let position = text.len() - rest.len();
            return Err(format!("the `%` at byte {position} is not followed by two hexadecimal digits"));
        };
        bytes.push(high << 4 | low);
        rest = after.get(2..).unwrap_or_default();
    }
    Ok(bytes)
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok())
}

/// Which bytes stand for themselves beside letters, digits and `-._~`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// One segment of a path: `/` is encoded, so that a key comes back as the key it was.
    Segment,
    /// The value of a header field: printable ASCII but for the comma, which separates, and `%`.
    Field,
}

/// The text that stands for these bytes.
pub(crate) fn encode(bytes: &[u8], place: Place) -> String {
    let plain = |byte: u8| match place {
        Place::Segment => byte.is_ascii_alphanumeric() || b"-._~:@!$()*;=".contains(&byte),
        Place::Field => byte.is_ascii_graphic() && byte != b'%' && byte != b',',
    };
    let mut text = String::with_capacity(bytes.len());
    for (position, &byte) in bytes.iter().enumerate() {
        let inner_space = byte == b' ' && place == Place::Field && position > 0 && position + 1 < bytes.len();
        if plain(byte) || inner_space {
            text.push(char::from(byte));
        } else {
            // Writing to a string cannot fail.
            let _ = write!(text, "%{byte:02X}");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_is_no_escape_is_refused_with_its_place() {
        for (text, place) in [("%", 0), ("ab%4", 2), ("%zz", 0), ("a%41%+1", 4), ("%\u{e9}1", 0)] {
            let error = decode(text.as_bytes()).unwrap_err();
            assert!(error.contains(&format!("byte {place} ")), "{text}: {error}");
        }
        assert_eq!(decode(b"a%2fb%00%fF+").unwrap(), b"a/b\0\xff+");
    }

    proptest! {
        #[test]
        fn every_byte_string_comes_back(bytes: Vec<u8>) {
            for place in [Place::Segment, Place::Field] {
                let text = encode(&bytes, place);
                prop_assert!(text.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic()));
                prop_assert_eq!(decode(text.as_bytes()).unwrap(), bytes.clone());
            }
        }
    }
}
