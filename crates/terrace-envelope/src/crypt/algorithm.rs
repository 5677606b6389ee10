//! The algorithms and their names.

use std::fmt;
use std::str::FromStr;

/// How things are encrypted and authenticated.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Algorithm {
    /// XChaCha20-Poly1305 (RFC 8439 with the nonce of draft-irtf-cfrg-xchacha): needs no special instructions, and its
    /// nonce is long enough to be drawn at random for ever. For processors without AES.
    XChaCha20Poly1305,
    /// AES-256-GCM-SIV (RFC 8452): a nonce used twice reveals no more than that two texts are equal. Where the
    /// processor has AES instructions it takes a third of the time of the other.
    #[default]
    Aes256GcmSiv,
}

impl Algorithm {
    /// Its name in configurations.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::XChaCha20Poly1305 => "xchacha20-poly1305",
            Self::Aes256GcmSiv => "aes-256-gcm-siv",
        }
    }

    /// Bytes of a nonce.
    #[must_use]
    pub const fn nonce_len(self) -> usize {
        match self {
            Self::XChaCha20Poly1305 => 24,
            Self::Aes256GcmSiv => 12,
        }
    }
}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Algorithm {
    type Err = super::KeyError;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        let all = [Self::XChaCha20Poly1305, Self::Aes256GcmSiv];
        all.into_iter().find(|algorithm| algorithm.name() == name).ok_or_else(|| {
            super::KeyError::new(
                format!("the algorithm {name:?}"),
                "is unknown; xchacha20-poly1305 and aes-256-gcm-siv are known",
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_as_they_are_written() {
        for algorithm in [Algorithm::XChaCha20Poly1305, Algorithm::Aes256GcmSiv] {
            assert_eq!(algorithm.to_string().parse(), Ok(algorithm));
        }
        let unknown = "rot13".parse::<Algorithm>().unwrap_err();
        assert!(unknown.to_string().contains("aes-256-gcm-siv are known"), "{unknown}");
    }
}
