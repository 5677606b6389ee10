//! A request as the parser leaves it: the arguments of one command, most of them ranges of the read buffer.

use bytes::Bytes;

/// Where an argument lies. The offsets count from the first byte of the request, which stays where it is relative
/// to its arguments when the buffer is moved; `u32` because the parser refuses requests of more than 4 GiB.
#[derive(Debug, Clone, Copy)]
pub(super) struct Span {
    start: u32,
    len: u32,
}

impl Span {
    /// In place of a start: the argument has a buffer of its own, and the length is its number.
    const LARGE: u32 = u32::MAX;

    pub(super) fn inside(start: usize, len: usize) -> Self {
        Self { start: start as u32, len: len as u32 }
    }

    pub(super) fn large(number: usize) -> Self {
        Self { start: Self::LARGE, len: number as u32 }
    }
}

/// One command with its arguments, borrowed from the read buffer. Argument 0 is the name of the command.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// The read buffer from the first byte of the request on.
    input: &'a [u8],
    spans: &'a [Span],
    /// The large arguments of this request.
    large: &'a [Bytes],
}

impl<'a> Request<'a> {
    pub(super) fn new(input: &'a [u8], spans: &'a [Span], large: &'a [Bytes]) -> Self {
        Self { input, spans, large }
    }

    /// Number of arguments, the name of the command counted; at least 1.
    #[expect(clippy::len_without_is_empty, reason = "a request is never empty")]
    #[inline]
    #[must_use]
    pub fn len(&self) -> usize {
        self.spans.len()
    }

    /// The name of the command as the client wrote it.
    #[inline]
    #[must_use]
    pub fn name(&self) -> &'a [u8] {
        self.arg(0)
    }

    /// The argument at `index`, empty if there is none: for commands whose number of arguments has been checked.
    #[inline]
    #[must_use]
    pub fn arg(&self, index: usize) -> &'a [u8] {
        self.get(index).unwrap_or_default()
    }

    /// The argument at `index`.
    #[inline]
    #[must_use]
    pub fn get(&self, index: usize) -> Option<&'a [u8]> {
        self.spans.get(index).map(|span| self.resolve(*span))
    }

    /// The argument at `index` in a form that outlives the read buffer; empty if there is none.
    ///
    /// # Cost
    /// An argument that was read into a buffer of its own is handed over without a copy; another one is copied.
    #[must_use]
    pub fn bytes(&self, index: usize) -> Bytes {
        match self.spans.get(index) {
            Some(span) if span.start == Span::LARGE => {
                self.large.get(span.len as usize).cloned().unwrap_or_default()
            }
            Some(span) => Bytes::copy_from_slice(self.resolve(*span)),
            None => Bytes::new(),
        }
    }

    /// The arguments from `index` on; none if there are fewer.
    pub fn args_from(&self, index: usize) -> impl ExactSizeIterator<Item = &'a [u8]> + Clone + use<'a> {
        let request = *self;
        self.spans.get(index..).unwrap_or_default().iter().map(move |span| request.resolve(*span))
    }

    /// A copy that outlives the read buffer, as a transaction queues it. Large arguments are shared, not copied.
    #[must_use]
    pub fn to_owned(&self) -> OwnedRequest {
        let size =
            self.spans.iter().filter(|span| span.start != Span::LARGE).map(|span| span.len as usize).sum();
        let mut input = Vec::with_capacity(size);
        let spans = self.spans.iter().map(|span| {
            if span.start == Span::LARGE {
                return *span;
            }
            let start = input.len();
            input.extend_from_slice(self.resolve(*span));
            Span::inside(start, span.len as usize)
        });
        let spans = spans.collect();
        OwnedRequest { input, spans, large: self.large.into() }
    }

    #[inline]
    fn resolve(&self, span: Span) -> &'a [u8] {
        if span.start == Span::LARGE {
            return self.large.get(span.len as usize).map(|bytes| &bytes[..]).unwrap_or_default();
        }
        let (start, len) = (span.start as usize, span.len as usize);
        self.input.get(start..start + len).unwrap_or_default()
    }
}

/// A request that owns its arguments.
#[derive(Debug, Clone)]
pub struct OwnedRequest {
    input: Vec<u8>,
    spans: Box<[Span]>,
    large: Box<[Bytes]>,
}

impl OwnedRequest {
    /// The request, to be run like one that was just read.
    #[must_use]
    pub fn as_request(&self) -> Request<'_> {
        Request::new(&self.input, &self.spans, &self.large)
    }

    /// Bytes of memory it holds, for limits on what a transaction may queue.
    #[must_use]
    pub fn memory(&self) -> usize {
        let large: usize = self.large.iter().map(Bytes::len).sum();
        size_of::<Self>()
            + self.input.capacity()
            + size_of_val(&*self.spans)
            + size_of_val(&*self.large)
            + large
    }
}
