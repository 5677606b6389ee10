//! What commands take, as the rows of the table write it and `COMMAND DOCS` answers it.
//!
//! A row says it in one line, which is taken apart when somebody asks:
//!
//! ```text
//! key value:string [GET@6.2.0] [expiration(EX seconds:integer | KEEPTTL@6.0.0)]
//!
//! name:type     a value; without a type, of the type that its name is: `key`, `pattern`
//! WORD          the word itself, its name being the same in lower case
//! WORD name...  a value that follows the word
//! name(a b)     several together; name(a | b) one of several
//! [a]           may be left out
//! a...          may be repeated
//! a@6.2.0       since this version of Redis; a~2.8.12 out of fashion since
//! ```

use std::borrow::Cow;

/// One argument.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Argument<'a> {
    /// Its name.
    pub name: Cow<'a, str>,
    /// Its type: of a value, or `pure-token`, `oneof` or `block`.
    pub kind: &'a str,
    /// The word before it, or that it is.
    pub token: Option<&'a str>,
    /// The version of Redis that brought it.
    pub since: Option<&'a str>,
    /// The version of Redis since which it is out of fashion.
    pub deprecated: Option<&'a str>,
    /// Whether it may be left out.
    pub optional: bool,
    /// Whether it may be repeated.
    pub multiple: bool,
    /// Those of a `oneof` or a `block`.
    pub parts: Vec<Argument<'a>>,
}

/// The arguments that a line of the table says; `None` if it is not written as it should be.
#[must_use]
pub(super) fn parse(line: &str) -> Option<Vec<Argument<'_>>> {
    let mut rest = line;
    let (arguments, _) = list(&mut rest)?;
    rest.is_empty().then_some(arguments)
}

/// Takes a sign off the front, with the spaces before it.
fn sign(rest: &mut &str, sign: char) -> bool {
    let after = rest.trim_start().strip_prefix(sign);
    if let Some(after) = after {
        *rest = after;
    }
    after.is_some()
}

/// Takes a word off the front, which may be empty.
fn word<'a>(rest: &mut &'a str) -> &'a str {
    let end = rest.find([' ', '(', ')', '[', ']', '|']).unwrap_or(rest.len());
    let (word, after) = rest.split_at(end);
    *rest = after;
    word
}

/// Arguments up to the end of what they are in, and whether they are alternatives.
fn list<'a>(rest: &mut &'a str) -> Option<(Vec<Argument<'a>>, bool)> {
    let (mut arguments, mut alternatives) = (Vec::new(), false);
    loop {
        *rest = rest.trim_start();
        if rest.is_empty() || rest.starts_with([')', ']']) {
            return Some((arguments, alternatives));
        }
        if !arguments.is_empty() && sign(rest, '|') {
            alternatives = true;
        }
        arguments.push(argument(rest)?);
    }
}

fn argument<'a>(rest: &mut &'a str) -> Option<Argument<'a>> {
    if sign(rest, '[') {
        let inner = argument(rest)?;
        return sign(rest, ']').then_some(Argument { optional: true, ..inner });
    }
    *rest = rest.trim_start();
    let first = word(rest);
    let is_token = first.starts_with(|letter: char| letter.is_ascii_uppercase());
    if is_token && rest.trim_start().starts_with(|letter: char| letter.is_ascii_lowercase()) {
        let value = argument(rest)?;
        return value.token.is_none().then_some(Argument { token: Some(first), ..value });
    }
    if is_token {
        let (token, marks) = marked(first);
        return Some(Argument {
            name: token.to_ascii_lowercase().into(),
            token: Some(token),
            ..marks.of("pure-token")
        });
    }
    if first.is_empty() {
        return None;
    }
    if !sign(rest, '(') {
        let (text, marks) = marked(first);
        let (name, kind) = text.rsplit_once(':').unwrap_or((text, text));
        return Some(Argument { name: name.into(), ..marks.of(kind) });
    }
    let (parts, alternatives) = list(rest)?;
    if !sign(rest, ')') || parts.is_empty() {
        return None;
    }
    let (nothing, marks) = marked(word(rest));
    let kind = if alternatives { "oneof" } else { "block" };
    nothing.is_empty().then_some(Argument { name: first.into(), parts, ..marks.of(kind) })
}

/// What stands at the end of an argument.
struct Marks<'a> {
    since: Option<&'a str>,
    deprecated: Option<&'a str>,
    multiple: bool,
}

impl<'a> Marks<'a> {
    fn of(self, kind: &'a str) -> Argument<'a> {
        Argument {
            name: Cow::Borrowed(""),
            kind,
            token: None,
            since: self.since,
            deprecated: self.deprecated,
            optional: false,
            multiple: self.multiple,
            parts: Vec::new(),
        }
    }
}

/// A word without its marks, and the marks.
fn marked(word: &str) -> (&str, Marks<'_>) {
    let split = |text, mark| match str::rsplit_once(text, mark) {
        Some((before, version)) => (before, Some(version)),
        None => (text, None),
    };
    let (word, deprecated) = split(word, '~');
    let (word, since) = split(word, '@');
    let (word, multiple) = match word.strip_suffix("...") {
        Some(word) => (word, true),
        None => (word, false),
    };
    (word, Marks { since, deprecated, multiple })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resp::command::table::TABLE;

    fn keys(arguments: &[Argument<'_>]) -> usize {
        arguments.iter().map(|argument| usize::from(argument.kind == "key") + keys(&argument.parts)).sum()
    }

    #[test]
    fn every_row_is_well_written_and_names_its_keys() {
        for row in TABLE.iter().chain(TABLE.iter().flat_map(|row| row.subcommands)) {
            let parsed = parse(row.arguments);
            let named = parsed.as_deref().map(keys);
            let used = row.key_uses.iter().flatten().count();
            assert_eq!(named, Some(used), "{}: {}", row.name, row.arguments);
        }
    }

    #[test]
    fn a_line_is_taken_apart() {
        let parsed = parse("a:string [EX b:integer@1.2.0] c(NX | XX | d)...@1~2").expect("well written");
        let [first, second, third] = parsed.as_slice() else { panic!("{parsed:?}") };
        assert_eq!((&*first.name, first.kind, first.token), ("a", "string", None));
        assert_eq!((&*second.name, second.kind, second.token), ("b", "integer", Some("EX")));
        assert!(second.optional && !second.multiple && second.since == Some("1.2.0"));
        assert_eq!((&*third.name, third.kind, third.parts.len()), ("c", "oneof", 3));
        assert!(third.multiple && third.since == Some("1") && third.deprecated == Some("2"));
        assert_eq!((&*third.parts[0].name, third.parts[0].kind), ("nx", "pure-token"));
        assert_eq!(parse("b(x y)").expect("well written")[0].kind, "block");
        assert_eq!(parse(""), Some(Vec::new()));
    }

    #[test]
    fn a_line_that_is_not_well_written_is_none() {
        for line in ["[a", "a]", "b(", "b()", "b(a))", "| a", "a |", "[]", "EX [a"] {
            assert_eq!(parse(line), None, "{line}");
        }
    }
}
