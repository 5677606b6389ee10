//! From the bytes of a connection to requests.
//!
//! The parser works on the read buffer in place and in batches: [`Parser::parse`] finds as many whole requests as
//! the buffer holds, [`Parser::requests`] lends them out with arguments that are ranges of the buffer, and
//! [`Parser::consume`] gives the bytes of the batch back at once. Nothing is allocated for an argument. It remembers
//! where it stopped inside a request, so that a byte is looked at a bounded number of times however small the
//! pieces are in which it arrives.
//!
//! A length that a client claims costs nothing by itself: capacity follows the bytes that have arrived. A bulk of
//! [`LARGE_BULK`] bytes or more that has not arrived yet gets a buffer of its own, which [`Parser::target`] offers
//! to the socket directly, so that the value reaches the store without another copy.
//!
//! ```
//! use bytes::BytesMut;
//! use terrace_server::resp::parse::{Limits, Parser, Progress};
//!
//! let mut parser = Parser::new(Limits::default());
//! let mut input = BytesMut::from(&b"*2\r\n$3\r\nGET\r\n$1\r\nk\r\nPING\r\n*1"[..]);
//! parser.set_authenticated(true);
//! assert_eq!(parser.parse(&mut input), Progress::NeedInput);
//! let names: Vec<_> = parser.requests(&input).map(|request| request.name()).collect();
//! assert_eq!(names, [b"GET".as_slice(), b"PING"]);
//! parser.consume(&mut input);
//! assert_eq!(&input[..], b"*1");
//! ```

use bytes::buf::Limit;
use bytes::{BufMut, Bytes, BytesMut};

pub use super::protocol_error::ProtocolError;
pub use super::request::{OwnedRequest, Request};

use super::inline;
use super::number;
use super::request::Span;

/// A bulk of at least this many bytes is read into a buffer of its own.
pub const LARGE_BULK: usize = 32 << 10;

/// The first piece of a large bulk's buffer. Below it a value is never moved while it arrives; a claimed length
/// reserves no more than this before its bytes have arrived.
const LARGE_STEP: usize = 256 << 10;

/// Free space kept in the read buffer.
const READ_STEP: usize = 16 << 10;

/// Longest line: of an inline command, or of a number.
const LINE: usize = 64 << 10;

/// Most arguments in a request.
const MAX_ARGS: i64 = 1 << 20;

/// Most arguments in a request, and longest bulk, before login.
const UNAUTHENTICATED_ARGS: i64 = 10;
const UNAUTHENTICATED_BULK: i64 = 16 << 10;

/// Most requests in a batch: bounds the time between two looks at the socket.
const BATCH: usize = 512;

/// Spans kept for the next batch; a request with more gives its memory back.
const KEEP_SPANS: usize = 4096;

/// Limits on what a logged-in connection may send.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Longest argument in bytes.
    pub bulk_bytes: u32,
    /// Most bytes of one request with all its arguments.
    pub request_bytes: u32,
}

impl Default for Limits {
    /// Arguments of 64 MiB, requests of 1 GiB.
    fn default() -> Self {
        Self { bulk_bytes: 64 << 20, request_bytes: 1 << 30 }
    }
}

/// Why [`Parser::parse`] stopped. In each case run the requests found so far and call [`Parser::consume`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// The rest of the buffer is no whole request: read more.
    NeedInput,
    /// The batch is full: parse again before reading.
    Full,
    /// What follows the requests found so far is no request: answer with the error and close.
    Failed(ProtocolError),
}

/// An incremental parser of the requests of one connection. See the [module](self) for how it is driven.
///
/// # Limits
/// 1,048,576 arguments a request, the [`Limits`], lines of 64 KiB; before login 10 arguments and bulks of 16 KiB.
#[derive(Debug)]
pub struct Parser {
    limits: Limits,
    authenticated: bool,
    /// The whole requests of the batch, in order.
    frames: Vec<Frame>,
    /// The arguments of the whole requests, then those of the one in progress.
    spans: Vec<Span>,
    /// Their large arguments, in the same order.
    large: Vec<Bytes>,
    /// The request in progress.
    partial: Partial,
    state: State,
}

/// A whole request: where it begins in the read buffer and where its arguments end. They begin where those of the
/// request before it end.
#[derive(Debug, Clone, Copy)]
struct Frame {
    base: usize,
    spans_end: usize,
    large_end: usize,
}

/// The request in progress.
#[derive(Debug, Default, Clone, Copy)]
struct Partial {
    /// Where it begins in the read buffer.
    base: usize,
    /// Where to go on in the read buffer.
    position: usize,
    /// How many bytes after the position are known to hold no line ending.
    scanned: usize,
    /// Arguments still to come.
    args_left: usize,
    /// Bytes of the arguments so far, the large ones included.
    size: u64,
    /// Number of its first large argument among those of the batch.
    first_large: usize,
}

#[derive(Debug)]
enum State {
    /// Between requests.
    Start,
    /// Before the `$` of an argument.
    BulkHeader,
    /// Inside an argument of this length.
    Bulk(usize),
    /// Inside an argument of this length with a buffer of its own.
    Large { buffer: BytesMut, len: usize },
    /// Before the CR LF after such an argument.
    LargeEnd,
    /// For good.
    Failed(ProtocolError),
}

/// What a step of the parser came to.
enum Step {
    Again,
    NeedInput,
}

impl Parser {
    /// A parser for a new connection, which has not logged in.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            authenticated: false,
            frames: Vec::new(),
            spans: Vec::new(),
            large: Vec::new(),
            partial: Partial::default(),
            state: State::Start,
        }
    }

    /// Says whether the connection has logged in (or need not). Before that the limits are low, and a batch is one
    /// request, so that what follows a login is judged after it.
    pub fn set_authenticated(&mut self, authenticated: bool) {
        self.authenticated = authenticated;
    }

    /// Whether the connection counts as logged in.
    #[must_use]
    pub fn is_authenticated(&self) -> bool {
        self.authenticated
    }

    /// Where the next bytes of the connection belong: the buffer of a large argument in progress, limited to what is
    /// missing of it, or else `input`. Read into it, then call [`parse`](Self::parse).
    pub fn target<'a>(&'a mut self, input: &'a mut BytesMut) -> Limit<&'a mut BytesMut> {
        match &mut self.state {
            State::Large { buffer, len } if buffer.len() < *len => {
                grow_if_full(buffer, *len);
                let missing = *len - buffer.len();
                buffer.limit(missing)
            }
            _ => {
                if input.capacity() - input.len() < READ_STEP / 4 {
                    input.reserve(READ_STEP);
                }
                input.limit(usize::MAX)
            }
        }
    }

    /// Finds the requests in `input`. It may rewrite bytes of `input` (unquoting) and take bytes off its end (the
    /// beginning of a large argument); apart from that `input` must only be appended to, and must be the same buffer
    /// every time.
    pub fn parse(&mut self, input: &mut BytesMut) -> Progress {
        let batch = if self.authenticated { BATCH } else { 1 };
        loop {
            if self.frames.len() >= batch {
                return Progress::Full;
            }
            match self.step(input) {
                Ok(Step::Again) => {}
                Ok(Step::NeedInput) => return Progress::NeedInput,
                Err(error) => {
                    self.state = State::Failed(error);
                    return Progress::Failed(error);
                }
            }
        }
    }

    /// The requests of the batch, in order. `input` is the buffer that was parsed.
    pub fn requests<'a>(&'a self, input: &'a BytesMut) -> impl ExactSizeIterator<Item = Request<'a>> + Clone {
        self.requests_from(input, 0)
    }

    /// Those of them from `index` on.
    pub(super) fn requests_from<'a>(
        &'a self,
        input: &'a BytesMut,
        index: usize,
    ) -> impl ExactSizeIterator<Item = Request<'a>> + Clone {
        (index..self.frames.len()).map(|index| self.request(input, index))
    }

    /// Number of requests in the batch.
    #[must_use]
    pub fn count(&self) -> usize {
        self.frames.len()
    }

    /// Whether all that arrived was consumed: nothing of a request is there that waits for its rest.
    #[must_use]
    pub fn is_between(&self, input: &BytesMut) -> bool {
        input.is_empty() && self.frames.is_empty() && matches!(self.state, State::Start)
    }

    /// Forgets the batch and takes its bytes off the front of `input`.
    pub fn consume(&mut self, input: &mut BytesMut) {
        let (spans, large) = self.complete();
        self.frames.clear();
        self.spans.drain(..spans);
        self.large.drain(..large);
        if self.spans.capacity() > KEEP_SPANS && self.spans.len() < KEEP_SPANS {
            self.spans.shrink_to(KEEP_SPANS);
            self.frames.shrink_to(KEEP_SPANS);
        }
        let base = std::mem::take(&mut self.partial.base);
        self.partial.position -= base;
        self.partial.first_large = 0;
        bytes::Buf::advance(input, base);
    }

    /// The request at `index` of the batch; empty if there is none.
    pub(super) fn request<'a>(&'a self, input: &'a BytesMut, index: usize) -> Request<'a> {
        let before = match index.checked_sub(1).and_then(|before| self.frames.get(before)) {
            Some(frame) => (frame.spans_end, frame.large_end),
            None => (0, 0),
        };
        let Some(frame) = self.frames.get(index) else { return Request::new(&[], &[], &[]) };
        Request::new(
            input.get(frame.base..).unwrap_or_default(),
            self.spans.get(before.0..frame.spans_end).unwrap_or_default(),
            self.large.get(before.1..frame.large_end).unwrap_or_default(),
        )
    }

    /// How many spans and large arguments belong to whole requests.
    fn complete(&self) -> (usize, usize) {
        self.frames.last().map_or((0, 0), |frame| (frame.spans_end, frame.large_end))
    }

    fn step(&mut self, input: &mut BytesMut) -> Result<Step, ProtocolError> {
        match &self.state {
            State::Start => self.start(input),
            State::BulkHeader | State::Bulk(_) => self.bulks(input),
            State::Large { .. } => Ok(self.large(input)),
            State::LargeEnd => self.large_end(input),
            State::Failed(error) => Err(*error),
        }
    }

    fn start(&mut self, input: &mut BytesMut) -> Result<Step, ProtocolError> {
        let rest = input.get_mut(self.partial.position..).unwrap_or_default();
        match rest.first() {
            None => Ok(Step::NeedInput),
            Some(b'*') => self.multibulk(rest),
            Some(_) => self.inline(rest),
        }
    }

    fn multibulk(&mut self, rest: &[u8]) -> Result<Step, ProtocolError> {
        let Some((count, end)) = self.number_line(rest, ProtocolError::MultibulkLine)? else {
            return Ok(Step::NeedInput);
        };
        let count = count.filter(|count| *count <= MAX_ARGS).ok_or(ProtocolError::MultibulkLength)?;
        if count > UNAUTHENTICATED_ARGS && !self.authenticated {
            return Err(ProtocolError::UnauthenticatedMultibulk);
        }
        self.go_on(end);
        if count <= 0 {
            self.partial.base = self.partial.position;
            return Ok(Step::Again);
        }
        self.partial.args_left = count.unsigned_abs() as usize;
        self.partial.size = end as u64;
        self.state = State::BulkHeader;
        Ok(Step::Again)
    }

    /// The arguments, as far as they have arrived.
    fn bulks(&mut self, input: &BytesMut) -> Result<Step, ProtocolError> {
        while self.partial.args_left > 0 {
            let len = match self.state {
                State::Bulk(len) => len,
                _ => match self.bulk_header(input)? {
                    Some(len) => len,
                    None => return Ok(Step::NeedInput),
                },
            };
            let rest = input.get(self.partial.position..).unwrap_or_default();
            match rest.get(len..len + 2) {
                Some(b"\r\n") => {}
                Some(_) => return Err(ProtocolError::BulkEnd),
                None if len >= LARGE_BULK && rest.len() < len => {
                    let capacity = len.min((rest.len() * 8).max(LARGE_STEP));
                    self.state = State::Large { buffer: BytesMut::with_capacity(capacity), len };
                    return Ok(Step::Again);
                }
                None => {
                    self.state = State::Bulk(len);
                    return Ok(Step::NeedInput);
                }
            }
            self.spans.push(Span::inside(self.partial.position - self.partial.base, len));
            self.end_of_bulk(len + 2);
        }
        self.end_of_request();
        Ok(Step::Again)
    }

    /// The length of the next argument, if its line has arrived.
    #[inline]
    fn bulk_header(&mut self, input: &BytesMut) -> Result<Option<usize>, ProtocolError> {
        let rest = input.get(self.partial.position..).unwrap_or_default();
        let Some((len, end)) = self.number_line(rest, ProtocolError::BulkLine)? else { return Ok(None) };
        match rest.first() {
            Some(b'$') => {}
            Some(other) => return Err(ProtocolError::ExpectedBulk(*other)),
            None => return Ok(None),
        }
        let limit = i64::from(self.limits.bulk_bytes);
        let len = len.filter(|len| (0..=limit).contains(len)).ok_or(ProtocolError::BulkLength)?;
        if len > UNAUTHENTICATED_BULK && !self.authenticated {
            return Err(ProtocolError::UnauthenticatedBulk);
        }
        let len = len.unsigned_abs() as usize;
        self.partial.size += (end + len + 2) as u64;
        if self.partial.size > u64::from(self.limits.request_bytes) {
            return Err(ProtocolError::RequestSize);
        }
        self.go_on(end);
        Ok(Some(len))
    }

    /// Moves what has arrived of a large argument out of the read buffer; most of it arrives through
    /// [`target`](Self::target) instead.
    fn large(&mut self, input: &mut BytesMut) -> Step {
        let State::Large { buffer, len } = &mut self.state else { return Step::Again };
        let start = self.partial.position.min(input.len());
        let mut end = start;
        while buffer.len() < *len && end < input.len() {
            grow_if_full(buffer, *len);
            let room = (*len).min(buffer.capacity()) - buffer.len();
            let arrived = input.get(end..).unwrap_or_default();
            let arrived = arrived.get(..room).unwrap_or(arrived);
            buffer.extend_from_slice(arrived);
            end += arrived.len();
        }
        input.copy_within(end.., start);
        input.truncate(input.len() - (end - start));
        if buffer.len() < *len {
            return Step::NeedInput;
        }
        let number = self.large.len() - self.partial.first_large;
        self.large.push(std::mem::take(buffer).freeze());
        self.spans.push(Span::large(number));
        self.state = State::LargeEnd;
        Step::Again
    }

    fn large_end(&mut self, input: &BytesMut) -> Result<Step, ProtocolError> {
        match input.get(self.partial.position..).unwrap_or_default() {
            [b'\r', b'\n', ..] => self.end_of_bulk(2),
            [_, _, ..] => return Err(ProtocolError::BulkEnd),
            _ => return Ok(Step::NeedInput),
        }
        Ok(Step::Again)
    }

    #[inline]
    fn end_of_bulk(&mut self, bytes: usize) {
        self.go_on(bytes);
        self.partial.args_left -= 1;
        self.state = State::BulkHeader;
    }

    #[inline]
    fn end_of_request(&mut self) {
        let frame =
            Frame { base: self.partial.base, spans_end: self.spans.len(), large_end: self.large.len() };
        self.frames.push(frame);
        self.partial.base = self.partial.position;
        self.partial.first_large = self.large.len();
        self.state = State::Start;
    }

    fn inline(&mut self, rest: &mut [u8]) -> Result<Step, ProtocolError> {
        let Some(end) = self.line(rest, b'\n', ProtocolError::InlineLine)? else {
            return Ok(Step::NeedInput);
        };
        let line = rest.get_mut(..end).unwrap_or_default();
        let line = match line {
            [line @ .., b'\r'] => line,
            line => line,
        };
        let before = self.spans.len();
        inline::split(line, |word| self.spans.push(Span::inside(word.start, word.len())))
            .map_err(|inline::Unbalanced| ProtocolError::UnbalancedQuotes)?;
        self.go_on(end + 1);
        if self.spans.len() > before {
            self.end_of_request();
        } else {
            self.partial.base = self.partial.position;
        }
        Ok(Step::Again)
    }

    /// The number after the first byte of `rest` and where its line ends, if the line has arrived whole. The number
    /// is `None` if what stands there is not one.
    #[inline]
    fn number_line(
        &mut self,
        rest: &[u8],
        too_long: ProtocolError,
    ) -> Result<Option<(Option<i64>, usize)>, ProtocolError> {
        if let Some((value, end)) = short_number(rest) {
            return Ok(Some((Some(value), end)));
        }
        let Some(cr) = self.line(rest, b'\r', too_long)? else { return Ok(None) };
        let value = match rest.get(cr + 1) {
            None => return Ok(None),
            Some(b'\n') => number::parse_integer(rest.get(1..cr).unwrap_or_default()),
            Some(_) => None,
        };
        Ok(Some((value, cr + 2)))
    }

    /// Where the first `end` is in `rest`, if it has arrived. Bytes searched once are not searched again.
    #[cold]
    fn line(
        &mut self,
        rest: &[u8],
        end: u8,
        too_long: ProtocolError,
    ) -> Result<Option<usize>, ProtocolError> {
        let window = rest.get(..rest.len().min(LINE + 1)).unwrap_or_default();
        let scanned = self.partial.scanned.min(window.len());
        match memchr::memchr(end, window.get(scanned..).unwrap_or_default()) {
            Some(index) => {
                // A line may be found and still not be whole, so it must be found again.
                self.partial.scanned = scanned + index;
                Ok(Some(scanned + index))
            }
            None if rest.len() > LINE => Err(too_long),
            None => {
                self.partial.scanned = window.len();
                Ok(None)
            }
        }
    }

    #[inline]
    fn go_on(&mut self, bytes: usize) {
        self.partial.position += bytes;
        self.partial.scanned = 0;
    }
}

/// The usual case of a number line: a few digits and CR LF, all there. Anything else takes the careful way.
#[inline]
fn short_number(rest: &[u8]) -> Option<(i64, usize)> {
    let mut value = 0;
    for (i, byte) in rest.iter().enumerate().skip(1).take(10) {
        match byte {
            b'0'..=b'9' => value = value * 10 + i64::from(byte - b'0'),
            b'\r' if rest.get(i + 1) == Some(&b'\n') => {
                let canonical = i > 1 && (rest.get(1) != Some(&b'0') || i == 2);
                return canonical.then_some((value, i + 2));
            }
            _ => return None,
        }
    }
    None
}

/// Capacity follows the bytes that have arrived, and never exceeds what is needed, so that the value carries no
/// slack into the store. Eightfold steps keep the copying to a seventh of the value.
fn grow_if_full(buffer: &mut BytesMut, len: usize) {
    if buffer.len() < buffer.capacity() {
        return;
    }
    let mut grown = BytesMut::with_capacity(len.min((buffer.len() * 8).max(LARGE_STEP)));
    grown.extend_from_slice(buffer);
    *buffer = grown;
}
