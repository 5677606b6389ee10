//! A reply as a tree, read without any code of the crate.

use std::fmt;

/// A reply.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Value {
    /// `+ - : _ # , (` and their text.
    Line(u8, Vec<u8>),
    /// `$ =` and their bytes; `None` for the null of protocol 2.
    Bulk(u8, Option<Vec<u8>>),
    /// `* ~ > %` and their elements (keys and values of a map in turns); `None` for the null of protocol 2.
    Many(u8, Option<Vec<Value>>),
}

impl Value {
    /// Reads one value off the front; `None` if it has not arrived whole.
    pub(crate) fn read(input: &[u8]) -> Option<(Value, usize)> {
        let end = input.windows(2).position(|pair| pair == b"\r\n")?;
        let (kind, text, mut at) = (input[0], &input[1..end], end + 2);
        let number = || std::str::from_utf8(text).ok()?.parse::<i64>().ok();
        let value = match kind {
            b'+' | b'-' | b':' | b'_' | b'#' | b',' | b'(' => Value::Line(kind, text.to_vec()),
            b'$' | b'=' => match number().expect("a length") {
                -1 => Value::Bulk(kind, None),
                len => {
                    let bytes = input.get(at..at + len as usize)?.to_vec();
                    assert_eq!(input.get(at + len as usize..at + len as usize + 2)?, b"\r\n");
                    at += len as usize + 2;
                    Value::Bulk(kind, Some(bytes))
                }
            },
            b'*' | b'~' | b'>' | b'%' => match number().expect("a length") {
                -1 => Value::Many(kind, None),
                len => {
                    let mut elements = Vec::new();
                    for _ in 0..if kind == b'%' { len * 2 } else { len } {
                        let (element, used) = Value::read(&input[at..])?;
                        elements.push(element);
                        at += used;
                    }
                    Value::Many(kind, Some(elements))
                }
            },
            other => panic!("a reply begins with {:?}", char::from(other)),
        };
        Some((value, at))
    }

    pub(crate) fn elements(&self) -> &[Value] {
        match self {
            Value::Many(_, Some(elements)) => elements,
            _ => &[],
        }
    }

    pub(crate) fn elements_mut(&mut self) -> &mut [Value] {
        match self {
            Value::Many(_, Some(elements)) => elements,
            _ => &mut [],
        }
    }

    pub(crate) fn integer(&self) -> Option<i64> {
        match self {
            Value::Line(b':', text) => std::str::from_utf8(text).ok()?.parse().ok(),
            _ => None,
        }
    }

    pub(crate) fn is_error(&self) -> bool {
        matches!(self, Value::Line(b'-', _))
    }

    pub(crate) fn is_null(&self) -> bool {
        matches!(self, Value::Bulk(_, None) | Value::Many(_, None) | Value::Line(b'_', _))
    }

    /// Its text: of a line or a string.
    pub(crate) fn text(&self) -> String {
        match self {
            Value::Line(_, text) | Value::Bulk(_, Some(text)) => String::from_utf8_lossy(text).into_owned(),
            other => format!("{other:?}"),
        }
    }
}

impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let short = |bytes: &[u8]| match bytes {
            long if long.len() > 200 => format!("{}... ({} bytes)", long[..100].escape_ascii(), long.len()),
            bytes => bytes.escape_ascii().to_string(),
        };
        match self {
            Value::Line(kind, text) => write!(f, "{}{}", char::from(*kind), short(text)),
            Value::Bulk(kind, None) => write!(f, "{}-1", char::from(*kind)),
            Value::Bulk(_, Some(bytes)) => write!(f, "\"{}\"", short(bytes)),
            Value::Many(kind, None) => write!(f, "{}-1", char::from(*kind)),
            Value::Many(kind, Some(elements)) => {
                write!(f, "{}", char::from(*kind))?;
                f.debug_list().entries(elements).finish()
            }
        }
    }
}
