//! A naive reading of the Redis protocol, to compare the parser with: whole input at once, recursive descent over
//! slices, a vector a argument.

/// A request as the model reads it.
pub(crate) type Args = Vec<Vec<u8>>;

/// Reads requests off the front until the input ends, is incomplete, or is wrong (`Err` of the reply).
pub(crate) fn read_all(mut input: &[u8], bulk_limit: usize) -> (Vec<Args>, Result<(), String>) {
    let mut requests = Vec::new();
    loop {
        match read_one(input, bulk_limit) {
            Ok(None) => return (requests, Ok(())),
            Ok(Some((args, rest))) => {
                if !args.is_empty() {
                    requests.push(args);
                }
                input = rest;
            }
            Err(text) => return (requests, Err(format!("ERR Protocol error: {text}"))),
        }
    }
}

type Read<'a, T> = Result<Option<(T, &'a [u8])>, String>;

fn read_one(input: &[u8], bulk_limit: usize) -> Read<'_, Args> {
    if input.first() != Some(&b'*') {
        return read_inline(input);
    }
    let Some((count, mut rest)) = read_number(input, "too big mbulk count string")? else { return Ok(None) };
    let count = count.filter(|count| *count <= 1 << 20).ok_or("invalid multibulk length")?;
    let mut args = Vec::new();
    for _ in 0..count {
        let Some((len, after)) = read_number(rest, "too big bulk count string")? else { return Ok(None) };
        if rest[0] != b'$' {
            return Err(format!("expected '$', got '{}'", char::from(rest[0])));
        }
        let len = len.and_then(|len| usize::try_from(len).ok()).filter(|len| *len <= bulk_limit);
        let len = len.ok_or("invalid bulk length")?;
        if after.len() < len + 2 {
            return Ok(None);
        }
        if &after[len..len + 2] != b"\r\n" {
            return Err("expected CRLF after bulk".to_owned());
        }
        args.push(after[..len].to_vec());
        rest = &after[len + 2..];
    }
    Ok(Some((args, rest)))
}

fn read_number<'a>(input: &'a [u8], too_long: &str) -> Read<'a, Option<i64>> {
    let Some(end) = line_end(input, b'\r', too_long)? else { return Ok(None) };
    if input.len() < end + 2 {
        return Ok(None);
    }
    let text = String::from_utf8_lossy(input.get(1..end).unwrap_or_default());
    let value = text.parse::<i64>().ok().filter(|value| value.to_string() == text && input[end + 1] == b'\n');
    Ok(Some((value, &input[end + 2..])))
}

fn read_inline(input: &[u8]) -> Read<'_, Args> {
    let Some(end) = line_end(input, b'\n', "too big inline request")? else { return Ok(None) };
    let line = input[..end].strip_suffix(b"\r").unwrap_or(&input[..end]);
    let words = words(line).ok_or("unbalanced quotes in request")?;
    Ok(Some((words, &input[end + 1..])))
}

fn line_end(input: &[u8], end: u8, too_long: &str) -> Result<Option<usize>, String> {
    match input.iter().position(|byte| *byte == end) {
        Some(index) if index <= 65536 => Ok(Some(index)),
        None if input.len() <= 65536 => Ok(None),
        _ => Err(too_long.to_owned()),
    }
}

/// Splits a line, a character at a time into new words.
fn words(line: &[u8]) -> Option<Args> {
    let space = |byte: &u8| b" \t\n\x0b\x0c\r".contains(byte);
    let (mut words, mut at) = (Vec::new(), 0);
    loop {
        while line.get(at).is_some_and(space) {
            at += 1;
        }
        let mut word = Vec::new();
        let Some(_) = line.get(at) else { return Some(words) };
        while let Some(byte) = line.get(at) {
            at += 1;
            match byte {
                b' ' | b'\t' | b'\n' | b'\r' => break,
                b'"' | b'\'' => {
                    at += quoted(&line[at..], *byte, &mut word)?;
                    if line.get(at).is_some_and(|byte| !space(byte)) {
                        return None;
                    }
                    break;
                }
                other => word.push(*other),
            }
        }
        words.push(word);
    }
}

/// Reads to the closing quote; answers how many bytes that took.
fn quoted(text: &[u8], quote: u8, word: &mut Vec<u8>) -> Option<usize> {
    let mut at = 0;
    loop {
        let byte = *text.get(at)?;
        at += 1;
        if byte == quote {
            return Some(at);
        }
        if byte != b'\\' || (quote == b'\'' && text.get(at) != Some(&b'\'')) {
            word.push(byte);
            continue;
        }
        let hex = text.get(at + 1..at + 3).filter(|hex| hex.iter().all(u8::is_ascii_hexdigit));
        match (text.get(at)?, hex) {
            (b'x', Some(hex)) if quote == b'"' => {
                word.push(u8::from_str_radix(std::str::from_utf8(hex).ok()?, 16).ok()?);
                at += 2;
            }
            (b'n', _) => word.push(b'\n'),
            (b'r', _) => word.push(b'\r'),
            (b't', _) => word.push(b'\t'),
            (b'b', _) => word.push(8),
            (b'a', _) => word.push(7),
            (other, _) => word.push(*other),
        }
        at += 1;
    }
}
