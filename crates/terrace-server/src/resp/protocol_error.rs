//! What is wrong with bytes that are not a request. The texts are those of Redis.

use std::borrow::Cow;
use std::fmt;

/// Why the bytes of a connection cannot be read on. The connection answers with the text and closes: where the next
/// request begins cannot be known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProtocolError {
    /// The number of arguments is no number, or too large.
    MultibulkLength,
    /// The line with the number of arguments does not end.
    MultibulkLine,
    /// More arguments than a connection may send before it has logged in.
    UnauthenticatedMultibulk,
    /// An argument begins with this byte instead of `$`.
    ExpectedBulk(u8),
    /// The length of an argument is no number, or too large.
    BulkLength,
    /// The line with the length of an argument does not end.
    BulkLine,
    /// A longer argument than a connection may send before it has logged in.
    UnauthenticatedBulk,
    /// An argument is not followed by CR LF, so its length was wrong.
    BulkEnd,
    /// The line of an inline command does not end.
    InlineLine,
    /// The quotes of an inline command do not match.
    UnbalancedQuotes,
    /// The arguments of one request add up to more than a connection may send.
    RequestSize,
}

impl ProtocolError {
    /// The reply to the client, without the leading `-` and the line ending.
    #[must_use]
    pub fn reply(&self) -> Cow<'static, [u8]> {
        let text = match self {
            Self::ExpectedBulk(byte) => {
                let mut text = b"ERR Protocol error: expected '$', got '".to_vec();
                text.extend([*byte, b'\'']);
                return Cow::Owned(text);
            }
            Self::MultibulkLength => "ERR Protocol error: invalid multibulk length",
            Self::MultibulkLine => "ERR Protocol error: too big mbulk count string",
            Self::UnauthenticatedMultibulk => "ERR Protocol error: unauthenticated multibulk length",
            Self::BulkLength => "ERR Protocol error: invalid bulk length",
            Self::BulkLine => "ERR Protocol error: too big bulk count string",
            Self::UnauthenticatedBulk => "ERR Protocol error: unauthenticated bulk length",
            Self::BulkEnd => "ERR Protocol error: expected CRLF after bulk",
            Self::InlineLine => "ERR Protocol error: too big inline request",
            Self::UnbalancedQuotes => "ERR Protocol error: unbalanced quotes in request",
            Self::RequestSize => "ERR Protocol error: too big request",
        };
        Cow::Borrowed(text.as_bytes())
    }
}

impl fmt::Display for ProtocolError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.reply().escape_ascii())
    }
}

impl std::error::Error for ProtocolError {}
