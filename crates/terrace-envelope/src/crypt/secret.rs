//! A master key: 32 bytes that are never shown and are erased when dropped.
//!
//! Decision: what comes from a file, a variable or a command may be 32 raw bytes, 64 hexadecimal digits or base64;
//! their lengths tell them apart. Text of 32 characters is refused: it is a password or half a key in hexadecimal,
//! and either is weaker than it looks.

use base64::Engine;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use zeroize::Zeroizing;

use crate::Result;

/// A master key of 32 bytes.
///
/// It can be neither printed nor compared, and is erased when it is dropped.
pub struct Secret {
    /// In a box, so that moving a secret leaves no copy behind.
    bytes: Box<Zeroizing<[u8; 32]>>,
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret(..)")
    }
}

impl Secret {
    /// A secret of these bytes, which must be random. The caller erases its own copy.
    #[must_use]
    pub fn new(bytes: &[u8; 32]) -> Self {
        let mut secret = Self { bytes: Box::new(Zeroizing::new([0; 32])) };
        secret.bytes.copy_from_slice(bytes);
        secret
    }

    /// Its bytes, for a use that is not one of this crate's. Whoever copies them erases the copy.
    #[must_use]
    pub fn expose(&self) -> &[u8; 32] {
        &self.bytes
    }

    /// A new secret from the operating system's randomness.
    ///
    /// # Errors
    /// [`Error::NoRandomness`](crate::Error::NoRandomness).
    pub fn random() -> Result<Self> {
        let mut secret = Self::new(&[0; 32]);
        super::fill_random(secret.bytes.as_mut_slice())?;
        Ok(secret)
    }

    /// Reads 32 raw bytes, 64 hexadecimal digits, or base64 of 32 bytes (either alphabet, padded or not); text may
    /// stand between white space.
    ///
    /// # Errors
    /// Why it is no key, in words that do not show it.
    pub fn parse(found: &[u8]) -> std::result::Result<Self, &'static str> {
        if let Ok(raw) = <&[u8; 32]>::try_from(found)
            && !found.iter().all(|byte| matches!(byte, b' '..=b'~' | b'\n' | b'\r' | b'\t'))
        {
            return Self::of_any_worth(raw);
        }
        let text = found.trim_ascii();
        let unpadded = text.strip_suffix(b"=").unwrap_or(text);
        match text.len() {
            0 => Err("is empty; it must hold a key: 32 random bytes, 64 hexadecimal digits, or base64"),
            32 if text.iter().all(u8::is_ascii_hexdigit) => {
                Err("holds 32 hexadecimal digits, which is half a key; 64 are needed")
            }
            32 if found.len() == 32 => Err(
                "holds 32 characters of text, which is no random key; 32 random bytes are needed, as they are, in hexadecimal or in base64",
            ),
            64 => Self::from_hex(text),
            _ if unpadded.len() == 43 => Self::from_base64(unpadded),
            _ => Err(
                "holds no key by its length; 32 random bytes, 64 hexadecimal digits, or base64 of 32 bytes are needed",
            ),
        }
    }

    fn from_hex(text: &[u8]) -> std::result::Result<Self, &'static str> {
        const NOT_HEX: &str = "has the length of 64 hexadecimal digits, but other characters among them";
        let mut secret = Zeroizing::new([0; 32]);
        let (pairs, _) = text.as_chunks::<2>();
        for (to, [high, low]) in secret.iter_mut().zip(pairs) {
            let digit = |byte: u8| char::from(byte).to_digit(16).ok_or(NOT_HEX);
            *to = (digit(*high)? << 4 | digit(*low)?) as u8;
        }
        Self::of_any_worth(&secret)
    }

    fn from_base64(text: &[u8]) -> std::result::Result<Self, &'static str> {
        // Decoding may need a little more room than comes out.
        let mut room = Zeroizing::new([0; 48]);
        let decoded = STANDARD_NO_PAD
            .decode_slice(text, room.as_mut_slice())
            .or_else(|_| URL_SAFE_NO_PAD.decode_slice(text, room.as_mut_slice()));
        match (decoded, room.first_chunk()) {
            (Ok(32), Some(bytes)) => Self::of_any_worth(bytes),
            _ => Err("has the length of base64 of 32 bytes, but is not"),
        }
    }

    /// Refuses what somebody typed to fill the place.
    fn of_any_worth(bytes: &[u8; 32]) -> std::result::Result<Self, &'static str> {
        if bytes.windows(2).all(|pair| pair.first() == pair.last()) {
            return Err("holds one byte 32 times, which is no random key");
        }
        Ok(Self::new(bytes))
    }

    pub(super) fn bytes(&self) -> &[u8; 32] {
        &self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: [u8; 32] = *b"\x00\x01\xfe\xff key that no one would type\x80";

    fn parsed(text: &[u8]) -> [u8; 32] {
        *Secret::parse(text).unwrap().bytes()
    }

    #[test]
    fn each_way_of_writing_a_key_gives_its_bytes() {
        let hex: String = KEY.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(parsed(&KEY), KEY);
        assert_eq!(parsed(hex.as_bytes()), KEY);
        assert_eq!(parsed(format!("  {}\r\n", hex.to_uppercase()).as_bytes()), KEY);
        for engine in [&STANDARD_NO_PAD, &URL_SAFE_NO_PAD] {
            let text = engine.encode(KEY);
            assert_eq!(parsed(text.as_bytes()), KEY);
            assert_eq!(parsed(format!("{text}=\n").as_bytes()), KEY);
        }
    }

    #[test]
    fn what_is_no_key_is_refused_in_words_that_do_not_show_it() {
        let hex = "0123456789abcdef".repeat(4);
        for (found, word) in [
            (&b""[..], "empty"),
            (b" \n", "empty"),
            (b"correct horse battery staple, ok", "32 characters of text"),
            (b"0123456789abcdef0123456789abcdef", "half a key"),
            (b"0123456789abcdef0123456789abcdef\n", "half a key"),
            (&[7; 32], "one byte 32 times"),
            (&[b'0'; 64], "one byte 32 times"),
            (&[0xf1; 31], "by its length"),
            (&[0xf1; 33], "by its length"),
            (hex.replace('f', "g").as_bytes(), "other characters"),
            (&[b'!'; 43], "but is not"),
            (&[0xf1; 5000], "by its length"),
        ] {
            let why = Secret::parse(found).unwrap_err();
            assert!(why.contains(word), "{why}");
        }
    }

    #[test]
    fn a_secret_shows_nothing_of_itself() {
        let secret = Secret::new(&KEY);
        assert_eq!(format!("{secret:?}"), "Secret(..)");
        assert_ne!(Secret::random().unwrap().bytes(), Secret::random().unwrap().bytes());
    }
}
