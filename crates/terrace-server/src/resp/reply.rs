//! From replies to the bytes of a connection.
//!
//! [`Output`] gathers the small pieces of many replies in one buffer and keeps large values as they are, by
//! reference. It is a [`bytes::Buf`] whose vectored form lists pieces and values in order, so that a batch of
//! replies leaves in one system call and a large value is never copied. It counts what it holds, and once that
//! passes its limit it drops everything and says so: the connection of a client that does not read is closed.
//!
//! The same call encodes for protocol 2 and 3: types that protocol 2 does not have are written in the form in which
//! Redis gives them to old clients.

use std::collections::VecDeque;
use std::io::IoSlice;

use bytes::{Buf, Bytes};

use super::number::format_double;

/// Values longer than this are sent from where they are.
pub const INLINE_VALUE: usize = 2 << 10;

/// Capacity kept when everything has been sent, and the least that is worth moving to reuse space in front.
const KEEP_BYTES: usize = 64 << 10;

/// The version of the protocol a connection speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Proto {
    /// RESP2, what every connection begins with.
    #[default]
    Resp2,
    /// RESP3, after `HELLO 3`.
    Resp3,
}

/// The replies of a connection that have not been sent.
#[derive(Debug)]
pub struct Output {
    proto: Proto,
    limit: usize,
    /// The small pieces, one after another; `sent` bytes of them are gone.
    small: Vec<u8>,
    sent: usize,
    /// How many bytes of small pieces there ever were before `small[0]`.
    before: u64,
    /// The large values in order.
    large: VecDeque<Large>,
    /// Unsent bytes of the large values.
    large_bytes: usize,
    overflowed: bool,
}

/// A place among the replies of a connection.
#[derive(Debug, Clone, Copy)]
pub struct Place {
    small: u64,
    large: usize,
}

#[derive(Debug)]
struct Large {
    /// How many bytes of small pieces, counted from the beginning of the connection, go before it.
    after: u64,
    value: Bytes,
}

impl Output {
    /// An output in protocol 2 that holds at most about `limit` bytes.
    #[must_use]
    pub fn new(limit: usize) -> Self {
        Self {
            proto: Proto::Resp2,
            limit,
            small: Vec::new(),
            sent: 0,
            before: 0,
            large: VecDeque::new(),
            large_bytes: 0,
            overflowed: false,
        }
    }

    /// The protocol replies are encoded in.
    #[must_use]
    pub fn proto(&self) -> Proto {
        self.proto
    }

    /// Changes how much it holds at most.
    pub fn set_limit(&mut self, limit: usize) {
        self.limit = limit;
    }

    /// The place where the next reply begins, for [`Output::rewind`].
    #[must_use]
    pub fn place(&self) -> Place {
        Place { small: self.before + self.small.len() as u64, large: self.large.len() }
    }

    /// Takes back everything written since this place. Nothing of it may have been sent.
    pub fn rewind(&mut self, place: Place) {
        let keep = usize::try_from(place.small.saturating_sub(self.before)).unwrap_or(usize::MAX);
        self.small.truncate(keep.max(self.sent));
        for large in self.large.drain(place.large.min(self.large.len())..) {
            self.large_bytes -= large.value.len();
        }
    }

    /// Gives back the memory kept for replies to come.
    pub fn release(&mut self) {
        if self.is_empty() {
            self.before += self.sent as u64;
            self.sent = 0;
            self.small = Vec::new();
            self.large = VecDeque::new();
        }
    }

    /// Changes the protocol of the replies to come.
    pub fn set_proto(&mut self, proto: Proto) {
        self.proto = proto;
    }

    /// Unsent bytes, large values included.
    #[inline]
    #[must_use]
    pub fn len(&self) -> usize {
        self.small.len() - self.sent + self.large_bytes
    }

    /// True if there is nothing to send.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// True once the limit was passed. What was unsent then is gone and nothing more is kept: close the connection.
    #[must_use]
    pub fn overflowed(&self) -> bool {
        self.overflowed
    }

    /// `+text`. The text is ours and holds no line ending.
    pub fn simple(&mut self, text: &str) {
        self.line(b'+', text.as_bytes());
    }

    /// `+OK`.
    #[inline]
    pub fn ok(&mut self) {
        self.put(b"+OK\r\n");
    }

    /// `-text`, for a text that begins with its code (`ERR ...`). Line endings inside, which a client may have sent,
    /// become spaces.
    pub fn error(&mut self, text: impl AsRef<[u8]>) {
        let start = self.small.len() + 1;
        self.line(b'-', text.as_ref());
        let end = self.small.len().saturating_sub(2);
        for byte in self.small.get_mut(start..end).unwrap_or_default() {
            if matches!(byte, b'\r' | b'\n') {
                *byte = b' ';
            }
        }
    }

    /// `:value`.
    #[inline]
    pub fn integer(&mut self, value: i64) {
        self.header(b':', value);
    }

    /// A count as an integer; none is too large in practice, one beyond `i64::MAX` is written as that.
    #[inline]
    pub fn count(&mut self, value: usize) {
        self.integer(i64::try_from(value).unwrap_or(i64::MAX));
    }

    /// A string, copied.
    #[inline]
    pub fn bulk(&mut self, value: impl AsRef<[u8]>) {
        let value = value.as_ref();
        self.length(b'$', value.len());
        self.put(value);
        self.put(b"\r\n");
    }

    /// A string, copied if it is small and otherwise shared and sent from where it is.
    #[inline]
    pub fn bulk_bytes(&mut self, value: &Bytes) {
        if value.len() <= INLINE_VALUE {
            return self.bulk(value);
        }
        self.length(b'$', value.len());
        self.raw_bytes(value);
        self.put(b"\r\n");
    }

    /// The absence of a string.
    #[inline]
    pub fn null(&mut self) {
        self.by_proto(b"$-1\r\n", b"_\r\n");
    }

    /// The absence of an array.
    pub fn null_array(&mut self) {
        self.by_proto(b"*-1\r\n", b"_\r\n");
    }

    /// The header of an array of `len` elements, which follow.
    #[inline]
    pub fn array(&mut self, len: usize) {
        self.length(b'*', len);
    }

    /// The header of a map of `len` pairs, which follow; in protocol 2 an array of twice as many.
    pub fn map(&mut self, len: usize) {
        match self.proto {
            Proto::Resp2 => self.array(len.saturating_mul(2)),
            Proto::Resp3 => self.length(b'%', len),
        }
    }

    /// The header of a set of `len` elements, which follow; in protocol 2 an array.
    pub fn set(&mut self, len: usize) {
        match self.proto {
            Proto::Resp2 => self.array(len),
            Proto::Resp3 => self.length(b'~', len),
        }
    }

    /// The header of a message nobody asked for, of `len` elements, which follow; in protocol 2 an array.
    pub fn push(&mut self, len: usize) {
        match self.proto {
            Proto::Resp2 => self.array(len),
            Proto::Resp3 => self.length(b'>', len),
        }
    }

    /// A double; in protocol 2 a string.
    pub fn double(&mut self, value: f64) {
        let text = format_double(value);
        match self.proto {
            Proto::Resp2 => self.bulk(text),
            Proto::Resp3 => self.line(b',', text.as_bytes()),
        }
    }

    /// An integer of any size, given in decimal; in protocol 2 a string.
    pub fn big_number(&mut self, decimal: &str) {
        match self.proto {
            Proto::Resp2 => self.bulk(decimal),
            Proto::Resp3 => self.line(b'(', decimal.as_bytes()),
        }
    }

    /// True or false; in protocol 2 the integer 1 or 0.
    pub fn boolean(&mut self, value: bool) {
        match value {
            true => self.by_proto(b":1\r\n", b"#t\r\n"),
            false => self.by_proto(b":0\r\n", b"#f\r\n"),
        }
    }

    /// A text for people with its format (three letters, `txt` or `mkd`); in protocol 2 a string.
    pub fn verbatim(&mut self, format: [u8; 3], text: &str) {
        match self.proto {
            Proto::Resp2 => self.bulk(text),
            Proto::Resp3 => {
                self.length(b'=', text.len() + 4);
                self.put(&format);
                self.put(b":");
                self.put(text.as_bytes());
                self.put(b"\r\n");
            }
        }
    }

    /// Bytes that are encoded already, copied.
    pub fn raw(&mut self, bytes: &[u8]) {
        self.put(bytes);
    }

    /// Bytes that are encoded already, copied if they are few and otherwise shared: a message to many connections is
    /// encoded once.
    pub fn raw_bytes(&mut self, bytes: &Bytes) {
        if bytes.len() <= INLINE_VALUE {
            return self.put(bytes);
        }
        if self.room(bytes.len()) {
            let after = self.before + self.small.len() as u64;
            self.large.push_back(Large { after, value: bytes.clone() });
            self.large_bytes += bytes.len();
        }
    }

    fn by_proto(&mut self, resp2: &[u8], resp3: &[u8]) {
        match self.proto {
            Proto::Resp2 => self.put(resp2),
            Proto::Resp3 => self.put(resp3),
        }
    }

    #[inline]
    fn length(&mut self, kind: u8, len: usize) {
        self.header(kind, i64::try_from(len).unwrap_or(i64::MAX));
    }

    #[inline]
    fn header(&mut self, kind: u8, value: i64) {
        let mut digits = itoa::Buffer::new();
        self.line(kind, digits.format(value).as_bytes());
    }

    #[inline]
    fn line(&mut self, kind: u8, text: &[u8]) {
        if self.room(text.len() + 3) {
            self.small.reserve(text.len() + 3);
            self.small.push(kind);
            self.small.extend_from_slice(text);
            self.small.extend_from_slice(b"\r\n");
        }
    }

    #[inline]
    fn put(&mut self, bytes: &[u8]) {
        if self.room(bytes.len()) {
            self.small.extend_from_slice(bytes);
        }
    }

    /// True if `more` bytes may be kept.
    #[inline]
    fn room(&mut self, more: usize) -> bool {
        if self.len() + more <= self.limit && !self.overflowed {
            return true;
        }
        self.overflow();
        false
    }

    #[cold]
    fn overflow(&mut self) {
        self.overflowed = true;
        self.small = Vec::new();
        self.sent = 0;
        self.large = VecDeque::new();
        self.large_bytes = 0;
    }

    /// The unsent small pieces that go before the large value at `index` and after the one before it.
    fn small_before(&self, index: usize) -> &[u8] {
        let place = |large: &Large| usize::try_from(large.after - self.before).unwrap_or(usize::MAX);
        let start = match index.checked_sub(1).and_then(|before| self.large.get(before)) {
            Some(large) => place(large),
            None => self.sent,
        };
        let end = self.large.get(index).map_or(self.small.len(), place);
        self.small.get(start..end).unwrap_or_default()
    }

    /// The unsent pieces in order; some may be empty.
    fn pieces(&self) -> impl Iterator<Item = &[u8]> {
        (0..=self.large.len()).flat_map(|index| {
            let value = self.large.get(index).map(|large| &large.value[..]).unwrap_or_default();
            [self.small_before(index), value]
        })
    }

    /// Gives memory back and reuses the space of what was sent, at a cost that sending has paid for.
    fn tidy(&mut self) {
        if self.sent == self.small.len() {
            self.before += self.sent as u64;
            self.sent = 0;
            self.small.clear();
            self.small.shrink_to(KEEP_BYTES);
        } else if self.sent >= KEEP_BYTES && self.sent * 2 > self.small.len() {
            self.before += self.sent as u64;
            self.small.drain(..std::mem::take(&mut self.sent));
        }
        if self.large.is_empty() {
            self.large.shrink_to(64);
        }
    }
}

/// The unsent bytes: [`chunks_vectored`](Buf::chunks_vectored) lists them for one vectored write.
impl Buf for Output {
    fn remaining(&self) -> usize {
        self.len()
    }

    fn chunk(&self) -> &[u8] {
        self.pieces().find(|piece| !piece.is_empty()).unwrap_or_default()
    }

    fn chunks_vectored<'a>(&'a self, out: &mut [IoSlice<'a>]) -> usize {
        let mut filled = 0;
        for (slot, piece) in out.iter_mut().zip(self.pieces().filter(|piece| !piece.is_empty())) {
            *slot = IoSlice::new(piece);
            filled += 1;
        }
        filled
    }

    /// # Panics
    /// If `count` is more than what remains, as the trait asks.
    fn advance(&mut self, mut count: usize) {
        assert!(count <= self.len(), "more was sent than there was");
        while count > 0 {
            let small = self.small_before(0).len().min(count);
            self.sent += small;
            count -= small;
            if count == 0 {
                break;
            }
            let Some(large) = self.large.front_mut() else { break };
            let part = large.value.len().min(count);
            large.value.advance(part);
            self.large_bytes -= part;
            count -= part;
            if large.value.is_empty() {
                self.large.pop_front();
            }
        }
        self.tidy();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encoded(proto: Proto, write: impl Fn(&mut Output)) -> String {
        let mut output = Output::new(1 << 20);
        output.set_proto(proto);
        write(&mut output);
        let len = output.len();
        String::from_utf8(output.copy_to_bytes(len).to_vec()).expect("the replies of these tests are text")
    }

    #[track_caller]
    fn check(write: impl Fn(&mut Output), resp2: &str, resp3: &str) {
        assert_eq!(encoded(Proto::Resp2, &write), resp2);
        assert_eq!(encoded(Proto::Resp3, &write), resp3);
    }

    #[test]
    fn types_of_both_protocols() {
        check(|o| o.simple("PONG"), "+PONG\r\n", "+PONG\r\n");
        check(|o| o.ok(), "+OK\r\n", "+OK\r\n");
        check(|o| o.error("ERR no"), "-ERR no\r\n", "-ERR no\r\n");
        check(|o| o.integer(-42), ":-42\r\n", ":-42\r\n");
        check(|o| o.integer(i64::MIN), ":-9223372036854775808\r\n", ":-9223372036854775808\r\n");
        check(|o| o.count(7), ":7\r\n", ":7\r\n");
        check(|o| o.bulk("a\r\nb"), "$4\r\na\r\nb\r\n", "$4\r\na\r\nb\r\n");
        check(|o| o.bulk(""), "$0\r\n\r\n", "$0\r\n\r\n");
        check(|o| o.array(3), "*3\r\n", "*3\r\n");
    }

    #[test]
    fn types_of_protocol_3_have_a_form_in_protocol_2() {
        check(|o| o.null(), "$-1\r\n", "_\r\n");
        check(|o| o.null_array(), "*-1\r\n", "_\r\n");
        check(|o| o.map(2), "*4\r\n", "%2\r\n");
        check(|o| o.set(2), "*2\r\n", "~2\r\n");
        check(|o| o.push(3), "*3\r\n", ">3\r\n");
        check(|o| o.double(1.5), "$3\r\n1.5\r\n", ",1.5\r\n");
        check(|o| o.double(f64::NEG_INFINITY), "$4\r\n-inf\r\n", ",-inf\r\n");
        check(|o| o.big_number("123"), "$3\r\n123\r\n", "(123\r\n");
        check(|o| o.boolean(true), ":1\r\n", "#t\r\n");
        check(|o| o.boolean(false), ":0\r\n", "#f\r\n");
        check(|o| o.verbatim(*b"txt", "hi"), "$2\r\nhi\r\n", "=6\r\ntxt:hi\r\n");
    }

    #[test]
    fn an_error_stays_on_its_line() {
        check(|o| o.error(b"ERR 'a\r\nb'"), "-ERR 'a  b'\r\n", "-ERR 'a  b'\r\n");
    }

    #[test]
    fn large_values_are_listed_in_order_and_not_copied() {
        let mut output = Output::new(1 << 20);
        let value = Bytes::from(vec![b'v'; INLINE_VALUE + 1]);
        output.ok();
        output.bulk_bytes(&value);
        output.bulk_bytes(&value);
        output.integer(1);
        let mut slices = [IoSlice::new(&[]); 8];
        let filled = output.chunks_vectored(&mut slices);
        let pieces: Vec<&[u8]> = slices[..filled].iter().map(|slice| &**slice).collect();
        assert_eq!(pieces, [&b"+OK\r\n$2049\r\n"[..], &value, b"\r\n$2049\r\n", &value, b"\r\n:1\r\n"]);
        assert_eq!((pieces[1].as_ptr(), pieces[3].as_ptr()), (value.as_ptr(), value.as_ptr()));
        assert_eq!(output.chunks_vectored(&mut [IoSlice::new(&[]); 2]), 2);
    }

    #[test]
    fn any_partial_writes_send_the_same_bytes() {
        let large = Bytes::from((0..5000).map(|i| i as u8).collect::<Vec<_>>());
        let fill = |output: &mut Output, round: usize| {
            output.bulk(round.to_string());
            output.bulk_bytes(&large);
            output.raw_bytes(&Bytes::from_static(b"+few\r\n"));
            if round.is_multiple_of(3) {
                output.bulk_bytes(&large.slice(100..));
            }
        };
        for step in [1, 7, 4096, 100_000] {
            let (mut output, mut whole, mut sent) = (Output::new(1 << 30), Output::new(1 << 30), Vec::new());
            for round in 0..200 {
                fill(&mut output, round);
                fill(&mut whole, round);
                // Sends a little less than is added, so that the front of the buffer is reused on the way.
                for _ in 0..(4000 / step).max(1) {
                    let part = output.chunk().len().min(step);
                    sent.extend_from_slice(&output.chunk()[..part]);
                    output.advance(part);
                }
            }
            let (rest, len) = (output.len(), whole.len());
            sent.extend_from_slice(&output.copy_to_bytes(rest));
            assert!(output.is_empty());
            assert!(sent == whole.copy_to_bytes(len), "step {step}");
        }
    }

    #[test]
    fn one_write_of_everything_is_one_advance() {
        let mut output = Output::new(1 << 20);
        for _ in 0..3 {
            output.bulk_bytes(&Bytes::from(vec![1; 5000]));
        }
        output.advance(output.len());
        assert!(output.is_empty() && output.chunk().is_empty());
        output.ok();
        assert_eq!(output.chunk(), b"+OK\r\n");
    }

    #[test]
    fn replies_can_be_taken_back_until_they_are_sent() {
        let value = Bytes::from(vec![b'v'; INLINE_VALUE + 1]);
        let mut output = Output::new(1 << 20);
        output.ok();
        output.bulk_bytes(&value);
        output.advance(3);
        let place = output.place();
        let before = output.len();
        output.bulk_bytes(&value);
        output.integer(7);
        output.rewind(place);
        assert_eq!(output.len(), before);
        output.error("ERR no");
        let len = output.len();
        let sent = output.copy_to_bytes(len);
        assert!(sent.starts_with(b"\r\n$2049\r\nvvv") && sent.ends_with(b"v\r\n-ERR no\r\n"));
        output.release();
        output.ok();
        assert_eq!(output.chunk(), b"+OK\r\n");
    }

    #[test]
    fn past_the_limit_nothing_is_kept() {
        let value = Bytes::from(vec![0; 3000]);
        let mut output = Output::new(10_000);
        while !output.overflowed() {
            assert!(output.len() <= 10_000);
            output.bulk_bytes(&value);
        }
        output.ok();
        output.error("ERR x");
        assert!(output.is_empty() && value.is_unique());
    }

    #[test]
    fn memory_is_given_back_when_all_is_sent() {
        let mut output = Output::new(10 << 20);
        output.raw(&vec![0; 5 << 20]);
        output.advance(5 << 20);
        assert!(output.small.capacity() <= KEEP_BYTES);
    }
}
