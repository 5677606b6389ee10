//! A cursor over bytes that a stranger may have written: each step either fits or says `Truncated`.

use crate::{Error, Result};

/// What is left to read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// The bytes not read yet.
    pub(crate) fn rest(&self) -> &'a [u8] {
        self.rest
    }

    pub(crate) fn bytes(&mut self, len: usize) -> Result<&'a [u8]> {
        let (taken, rest) = self.rest.split_at_checked(len).ok_or(Error::Truncated)?;
        self.rest = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        let (taken, rest) = self.rest.split_first_chunk::<N>().ok_or(Error::Truncated)?;
        self.rest = rest;
        Ok(*taken)
    }

    pub(crate) fn u8(&mut self) -> Result<u8> {
        self.array::<1>().map(|[byte]| byte)
    }

    pub(crate) fn u16(&mut self) -> Result<u16> {
        self.array().map(u16::from_le_bytes)
    }

    pub(crate) fn u32(&mut self) -> Result<u32> {
        self.array().map(u32::from_le_bytes)
    }

    pub(crate) fn u64(&mut self) -> Result<u64> {
        self.array().map(u64::from_le_bytes)
    }

    /// The number of an optional section: zero where the section is absent.
    pub(crate) fn u64_if(&mut self, present: bool) -> Result<u64> {
        if present { self.u64() } else { Ok(0) }
    }

    /// A string: its length as u16, then its bytes.
    pub(crate) fn string(&mut self) -> Result<&'a [u8]> {
        let len = self.u16()?;
        self.bytes(usize::from(len))
    }

    /// A string that must be text.
    pub(crate) fn text(&mut self) -> Result<&'a str> {
        std::str::from_utf8(self.string()?).map_err(|_| Error::Malformed("text that is not UTF-8"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reading_past_the_end_is_truncated_and_moves_nothing() {
        let mut reader = Reader::new(&[1, 0, 7]);
        assert_eq!(reader.u64(), Err(Error::Truncated));
        assert_eq!(reader.string(), Ok(&[7][..]));
        assert_eq!(reader.u8(), Err(Error::Truncated));
    }

    #[test]
    fn a_string_longer_than_the_rest_is_truncated() {
        assert_eq!(Reader::new(&[255, 255, 1]).string(), Err(Error::Truncated));
    }

    #[test]
    fn text_must_be_utf8() {
        assert_eq!(Reader::new(&[1, 0, 0xff]).text(), Err(Error::Malformed("text that is not UTF-8")));
    }
}
