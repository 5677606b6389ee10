//! The request parser against a naive model, in any chunks.

use bytes::buf::BufMut;
use bytes::{Buf, BytesMut};
use proptest::prelude::*;
use terrace_server::resp::parse::{LARGE_BULK, Limits, Parser, Progress, ProtocolError};
use terrace_server::resp::reply::Output;

use crate::resp_model::{Args, read_all};

const SMALL_LIMITS: Limits = Limits { bulk_bytes: 100_000, request_bytes: 1 << 30 };

/// A connection in miniature.
struct Connection {
    parser: Parser,
    input: BytesMut,
    requests: Vec<Args>,
    failure: Option<ProtocolError>,
}

impl Connection {
    fn new(limits: Limits) -> Self {
        let mut parser = Parser::new(limits);
        parser.set_authenticated(true);
        Self { parser, input: BytesMut::new(), requests: Vec::new(), failure: None }
    }

    /// Receives `bytes` as a socket would deliver them: at most what the target takes at a time.
    fn receive(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() && self.failure.is_none() {
            let mut target = self.parser.target(&mut self.input);
            let part = target.chunk_mut().len().min(target.remaining_mut()).min(bytes.len());
            assert!(part > 0, "there is always room to read into");
            target.put_slice(&bytes[..part]);
            bytes = &bytes[part..];
            self.run();
        }
    }

    fn run(&mut self) {
        loop {
            let progress = self.parser.parse(&mut self.input);
            for request in self.parser.requests(&self.input) {
                let args: Args = request.args_from(0).map(<[u8]>::to_vec).collect();
                assert_eq!(args.len(), request.len());
                for (i, arg) in args.iter().enumerate() {
                    assert_eq!(request.bytes(i), arg);
                }
                let owned = request.to_owned();
                assert!(owned.as_request().args_from(0).eq(request.args_from(0)));
                self.requests.push(args);
            }
            self.parser.consume(&mut self.input);
            match progress {
                Progress::Full => {}
                Progress::NeedInput => return,
                Progress::Failed(error) => {
                    self.failure = Some(error);
                    return;
                }
            }
        }
    }

    fn failure_text(&self) -> Option<String> {
        self.failure.map(|error| error.reply().iter().map(|byte| char::from(*byte)).collect())
    }
}

/// The same bytes in the given chunks must give what the model reads from the whole.
fn check_against_model(bytes: &[u8], cuts: &[usize]) -> Result<(), TestCaseError> {
    let mut connection = Connection::new(SMALL_LIMITS);
    let mut rest = bytes;
    for cut in cuts.iter().cycle() {
        if rest.is_empty() {
            break;
        }
        let (chunk, tail) = rest.split_at((*cut).clamp(1, rest.len()));
        connection.receive(chunk);
        rest = tail;
    }
    let (requests, outcome) = read_all(bytes, SMALL_LIMITS.bulk_bytes as usize);
    prop_assert!(connection.requests == requests, "requests differ");
    prop_assert_eq!(connection.failure_text(), outcome.err());
    Ok(())
}

fn encode(args: &[Vec<u8>]) -> Vec<u8> {
    let mut output = Output::new(usize::MAX);
    output.array(args.len());
    args.iter().for_each(|arg| output.bulk(arg));
    output.copy_to_bytes(output.len()).to_vec()
}

/// Arguments: mostly small, now and then about as large as what gets a buffer of its own.
fn argument() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        20 => prop::collection::vec(any::<u8>(), 0..20),
        1 => (LARGE_BULK - 2..LARGE_BULK + 3, any::<u8>()).prop_map(|(len, byte)| vec![byte; len]),
        1 => (0_usize..100_000, any::<u8>()).prop_map(|(len, byte)| vec![byte; len]),
    ]
}

fn well_formed() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        10 => prop::collection::vec(argument(), 1..6).prop_map(|args| encode(&args)),
        2 => "[ a-z]{0,3}(\"([a-z ]|\\\\x[0-9a-f]{2}|\\\\.)*\"|'[a-z]*'|[a-z]*)[ \t]{0,2}\r?\n".prop_map(String::into_bytes),
        1 => Just(b"*0\r\n".to_vec()),
        1 => Just(b"*-1\r\n".to_vec()),
    ]
}

/// Pieces of the protocol in any order, most of which make no sense.
fn malformed() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop::sample::select(vec![
        &b"*"[..],
        b"$",
        b"\r\n",
        b"\r",
        b"\n",
        b"1",
        b"2",
        b"3",
        b"0",
        b"-1",
        b"-",
        b"*1\r\n",
        b"*2\r\n",
        b"$1\r\n",
        b"$3\r\n",
        b"a",
        b"GET",
        b" ",
        b"\"",
        b"'",
        b"\\",
        b"\\x4",
        b"\0",
        b"\xff",
        b"99999999999",
        b"2147483647",
        b"$100001\r\n",
        b"$100000\r\n",
        b"*1048577\r\n",
        b"*03\r\n",
        b"+1",
        b"*1\r\n$4\r\nPING\r\n",
    ]);
    prop::collection::vec(piece, 0..30).prop_map(|pieces| pieces.concat())
}

fn cuts() -> impl Strategy<Value = Vec<usize>> {
    prop_oneof![
        prop::collection::vec(1_usize..8, 1..10),
        prop::collection::vec(1_usize..60_000, 1..10),
        Just(vec![usize::MAX])
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn any_chunks_give_the_same_requests(messages in prop::collection::vec(well_formed(), 0..12), cuts in cuts()) {
        check_against_model(&messages.concat(), &cuts)?;
    }

    #[test]
    fn nonsense_fails_as_in_the_model(
        before in prop::collection::vec(well_formed(), 0..3),
        nonsense in malformed(),
        cuts in cuts(),
    ) {
        check_against_model(&[before.concat(), nonsense].concat(), &cuts)?;
    }

    #[test]
    fn what_is_encoded_is_parsed_back(args in prop::collection::vec(argument(), 1..20)) {
        let mut connection = Connection::new(SMALL_LIMITS);
        connection.receive(&encode(&args));
        prop_assert!(connection.requests == [args]);
    }
}

#[track_caller]
fn check_failure(authenticated: bool, bytes: &[u8], expect: &str) {
    let mut connection = Connection::new(Limits::default());
    connection.parser.set_authenticated(authenticated);
    connection.receive(bytes);
    assert_eq!(connection.failure_text().as_deref(), Some(expect));
    // A failure is for good.
    assert!(matches!(connection.parser.parse(&mut connection.input), Progress::Failed(_)));
}

#[test]
fn errors_have_the_texts_of_redis() {
    let long = [b'1'; 70_000];
    for (bytes, expect) in [
        (&b"*abc\r\n"[..], "ERR Protocol error: invalid multibulk length"),
        (b"*\r\n", "ERR Protocol error: invalid multibulk length"),
        (b"*1048577\r\n", "ERR Protocol error: invalid multibulk length"),
        (b"*2147483647\r\n", "ERR Protocol error: invalid multibulk length"),
        (b"*99999999999999999999\r\n", "ERR Protocol error: invalid multibulk length"),
        (b"*1\r\n+PING\r\n", "ERR Protocol error: expected '$', got '+'"),
        (b"*1\r\n\rPING\r\n", "ERR Protocol error: expected '$', got '\r'"),
        (b"*1\r\n$-5\r\n", "ERR Protocol error: invalid bulk length"),
        (b"*1\r\n$x\r\n", "ERR Protocol error: invalid bulk length"),
        (b"*1\r\n$629145600\r\n", "ERR Protocol error: invalid bulk length"),
        (b"*1\r\n$4\r\nPINGPING\r\n", "ERR Protocol error: expected CRLF after bulk"),
        (b"set \"a\r\n", "ERR Protocol error: unbalanced quotes in request"),
        (&[&b"*"[..], &long].concat(), "ERR Protocol error: too big mbulk count string"),
        (&[&b"*1\r\n$"[..], &long].concat(), "ERR Protocol error: too big bulk count string"),
        (&long, "ERR Protocol error: too big inline request"),
    ] {
        check_failure(true, bytes, expect);
    }
}

#[test]
fn before_login_the_limits_are_low() {
    check_failure(false, b"*11\r\n", "ERR Protocol error: unauthenticated multibulk length");
    check_failure(
        false,
        b"*2\r\n$4\r\nAUTH\r\n$16385\r\n",
        "ERR Protocol error: unauthenticated bulk length",
    );
}

#[test]
fn what_follows_a_login_is_judged_after_it() {
    let mut parser = Parser::new(Limits::default());
    let mut input = BytesMut::from(&b"AUTH secret\r\n*12\r\n"[..]);
    assert_eq!(parser.parse(&mut input), Progress::Full);
    assert_eq!(parser.count(), 1);
    parser.consume(&mut input);
    parser.set_authenticated(true);
    assert_eq!(parser.parse(&mut input), Progress::NeedInput);
}

#[test]
fn requests_before_an_error_are_delivered() {
    let mut connection = Connection::new(Limits::default());
    connection.receive(b"PING\r\n*1\r\n$4\r\nPING\r\n*x\r\n");
    assert_eq!(connection.requests.len(), 2);
    assert_eq!(connection.failure, Some(ProtocolError::MultibulkLength));
}

#[test]
fn a_request_may_not_grow_past_its_limit() {
    let mut connection = Connection::new(Limits { bulk_bytes: 1000, request_bytes: 2500 });
    let bulk = [&b"$1000\r\n"[..], &[0; 1000], b"\r\n"].concat();
    connection.receive(b"*5\r\n");
    connection.receive(&bulk);
    connection.receive(&bulk);
    assert_eq!(connection.failure, None);
    connection.receive(&bulk);
    assert_eq!(connection.failure, Some(ProtocolError::RequestSize));
}

#[test]
fn a_claimed_length_costs_nothing() {
    let mut connection = Connection::new(Limits::default());
    connection.receive(b"*1048576\r\n$67108864\r\nx");
    let room = connection.parser.target(&mut connection.input).get_ref().capacity();
    assert!(room <= 256 << 10, "{room} bytes were reserved for one that came");
    assert!(connection.input.capacity() <= 64 << 10);
}

#[test]
fn a_large_bulk_is_handed_on_without_a_copy() {
    let mut parser = Parser::new(Limits::default());
    parser.set_authenticated(true);
    let mut input = BytesMut::from(&b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$100000\r\nfirst"[..]);
    assert_eq!(parser.parse(&mut input), Progress::NeedInput);
    let mut target = parser.target(&mut input);
    let place = target.get_ref().as_ptr();
    assert_eq!(target.remaining_mut(), 99_995);
    target.put_bytes(b'v', 99_995);
    assert_eq!(parser.parse(&mut input), Progress::NeedInput);
    input.extend_from_slice(b"\r\n*1\r\n$4\r\nPING\r\n");
    assert_eq!(parser.parse(&mut input), Progress::NeedInput);
    let value = parser.requests(&input).next().map(|request| request.bytes(2)).unwrap_or_default();
    assert_eq!((value.as_ptr(), value.len(), &value[..6]), (place, 100_000, &b"firstv"[..]));
    assert_eq!(parser.count(), 2);
    parser.consume(&mut input);
    assert!(input.is_empty() && value.is_unique(), "the parser keeps nothing of a batch that was consumed");
}

#[test]
fn many_tiny_chunks_of_a_long_request_take_linear_time() {
    // A parser that began again with each byte would take hours.
    let args = vec![b"x".to_vec(); 100_000];
    let mut connection = Connection::new(Limits::default());
    encode(&args).iter().for_each(|byte| connection.receive(&[*byte]));
    assert!(connection.requests == [args]);
    let line = [vec![b' '; 60_000], b"PING\r\n".to_vec()].concat();
    line.iter().for_each(|byte| connection.receive(&[*byte]));
    assert_eq!(connection.requests.len(), 2);
}
