//! Inline commands: a line of words, as a person types it into a plain terminal.
//!
//! The words are unquoted in place. Unquoting never makes a word longer, so the arguments of an inline command are
//! ranges of the read buffer like those of any other command, and nothing is allocated.

use std::ops::Range;

/// A quote was opened and not closed, or something other than a space follows a closing quote.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Unbalanced;

/// Splits `line` (without its line ending) into words, rewrites them unquoted at the front of the line and hands
/// the range of each to `word`.
pub(super) fn split(line: &mut [u8], mut word: impl FnMut(Range<usize>)) -> Result<(), Unbalanced> {
    let mut cursor = Cursor { line, read: 0, write: 0 };
    loop {
        while cursor.peek().is_some_and(is_space) {
            cursor.read += 1;
        }
        if cursor.peek().is_none() {
            return Ok(());
        }
        let start = cursor.write;
        cursor.word()?;
        word(start..cursor.write);
    }
}

/// `isspace` of the C locale, which counts the vertical tab and the form feed.
fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t'..=b'\r')
}

/// Reads ahead of where it writes.
struct Cursor<'a> {
    line: &'a mut [u8],
    read: usize,
    write: usize,
}

impl Cursor<'_> {
    fn peek(&self) -> Option<u8> {
        self.line.get(self.read).copied()
    }

    fn next(&mut self) -> Option<u8> {
        let byte = self.peek()?;
        self.read += 1;
        Some(byte)
    }

    fn push(&mut self, byte: u8) {
        if let Some(place) = self.line.get_mut(self.write) {
            *place = byte;
            self.write += 1;
        }
    }

    /// A word ends at a blank; quoted parts may follow plain ones, but a closing quote ends the word.
    fn word(&mut self) -> Result<(), Unbalanced> {
        while let Some(byte) = self.next() {
            match byte {
                b' ' | b'\n' | b'\r' | b'\t' => return Ok(()),
                b'"' => return self.double_quoted(),
                b'\'' => return self.single_quoted(),
                byte => self.push(byte),
            }
        }
        Ok(())
    }

    fn double_quoted(&mut self) -> Result<(), Unbalanced> {
        loop {
            match self.next().ok_or(Unbalanced)? {
                b'"' => return self.end_of_word(),
                b'\\' => {
                    let byte = self.escape().ok_or(Unbalanced)?;
                    self.push(byte);
                }
                byte => self.push(byte),
            }
        }
    }

    fn escape(&mut self) -> Option<u8> {
        Some(match self.next()? {
            b'x' => match self.hex_pair() {
                Some(byte) => {
                    self.read += 2;
                    byte
                }
                None => b'x',
            },
            b'n' => b'\n',
            b'r' => b'\r',
            b't' => b'\t',
            b'b' => 0x08,
            b'a' => 0x07,
            byte => byte,
        })
    }

    fn hex_pair(&self) -> Option<u8> {
        let digit = |i| char::from(*self.line.get(self.read + i)?).to_digit(16);
        u8::try_from(digit(0)? * 16 + digit(1)?).ok()
    }

    fn single_quoted(&mut self) -> Result<(), Unbalanced> {
        loop {
            match self.next().ok_or(Unbalanced)? {
                b'\'' => return self.end_of_word(),
                b'\\' if self.peek() == Some(b'\'') => {
                    self.read += 1;
                    self.push(b'\'');
                }
                byte => self.push(byte),
            }
        }
    }

    fn end_of_word(&self) -> Result<(), Unbalanced> {
        if self.peek().is_none_or(is_space) { Ok(()) } else { Err(Unbalanced) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &[u8]) -> Option<Vec<Vec<u8>>> {
        let mut line = line.to_vec();
        let mut ranges = Vec::new();
        split(&mut line, |range| ranges.push(range)).ok()?;
        Some(ranges.into_iter().map(|range| line[range].to_vec()).collect())
    }

    #[track_caller]
    fn check(line: &[u8], expect: &[&[u8]]) {
        assert_eq!(words(line).as_deref(), Some(&expect.iter().map(|w| w.to_vec()).collect::<Vec<_>>()[..]));
    }

    #[test]
    fn plain_words_are_separated_by_any_blanks() {
        check(b"", &[]);
        check(b"  \t ", &[]);
        check(b"PING", &[b"PING"]);
        check(b"  set\tkey \x0b value\r", &[b"set", b"key", b"value"]);
        check(b"a\x0bb", &[b"a\x0bb"]);
    }

    #[test]
    fn double_quotes_know_escapes() {
        check(br#"set "a b" "\x41\xfF\n\r\t\b\a\\\"""#, &[b"set", b"a b", b"A\xff\n\r\t\x08\x07\\\""]);
        check(br#""" """#, &[b"", b""]);
        check(br#""\xg1\q""#, &[b"xg1q"]);
        check(br#"ab"cd""#, &[b"abcd"]);
    }

    #[test]
    fn single_quotes_know_one_escape() {
        check(br#"'it\'s' 'a\nb'"#, &[b"it's", br"a\nb"]);
    }

    #[test]
    fn unbalanced_quotes_are_refused() {
        for line in [&br#""abc"#[..], b"'abc", br#""a"b"#, b"'a'b", br#""a\"#, br#""a\""#, br#"a"b"#] {
            assert_eq!(words(line), None, "{:?}", String::from_utf8_lossy(line));
        }
    }
}
