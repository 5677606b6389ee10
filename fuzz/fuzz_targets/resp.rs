//! Any bytes in any chunks, as a client might send them: the parser never panics, its memory stays within what has
//! arrived, chunks make no difference, and every request it reads is read again from its own encoding.

#![no_main]

use bytes::{Buf, BufMut, BytesMut};
use libfuzzer_sys::fuzz_target;
use terrace_server::resp::command::lookup;
use terrace_server::resp::extended::Extended;
use terrace_server::resp::glob;
use terrace_server::resp::number::parse_integer;
use terrace_server::resp::parse::{Limits, Parser, Progress, ProtocolError, Request};
use terrace_server::resp::reply::Output;

type Args = Vec<Vec<u8>>;

// The first byte chooses the chunks and whether the connection has logged in.
fuzz_target!(|data: &[u8]| {
    let Some((choice, bytes)) = data.split_first() else { return };
    let authenticated = choice & 0x80 == 0;
    let chunk = usize::from(choice & 0x7f) + 1;
    let whole = read(bytes, bytes.len(), authenticated);
    assert!(read(bytes, chunk, authenticated) == whole, "chunks made a difference");

    let (requests, _) = whole;
    let mut encoded = Output::new(usize::MAX);
    for args in &requests {
        encoded.array(args.len());
        args.iter().for_each(|arg| encoded.bulk(arg));
    }
    let len = encoded.len();
    let (again, failure) = read(&encoded.copy_to_bytes(len), chunk * 16, true);
    assert!(again == requests && failure.is_none(), "an encoded request was not read back");
});

/// Receives `bytes` in chunks and returns the requests and the error that ended them.
fn read(mut bytes: &[u8], chunk: usize, authenticated: bool) -> (Vec<Args>, Option<ProtocolError>) {
    let mut parser = Parser::new(Limits::default());
    parser.set_authenticated(authenticated);
    let (mut input, mut requests, total) = (BytesMut::new(), Vec::new(), bytes.len());
    while !bytes.is_empty() {
        let mut target = parser.target(&mut input);
        let part = target.chunk_mut().len().min(target.remaining_mut()).min(chunk).min(bytes.len());
        target.put_slice(&bytes[..part]);
        bytes = &bytes[part..];
        assert!(
            parser.target(&mut input).get_ref().capacity() <= 8 * total + (512 << 10),
            "memory ran ahead"
        );
        loop {
            let progress = parser.parse(&mut input);
            for request in parser.requests(&input) {
                requests.push(use_arguments(request));
            }
            parser.consume(&mut input);
            match progress {
                Progress::Full => {}
                Progress::NeedInput => break,
                Progress::Failed(error) => return (requests, Some(error)),
            }
        }
    }
    (requests, None)
}

/// Does with the arguments what commands do with them.
fn use_arguments(request: Request<'_>) -> Args {
    if let Some(Ok(mut keys)) = lookup(request.name()).map(|command| command.key_indices(request.len())) {
        assert!(keys.all(|key| request.get(key).is_some()), "a key past the arguments");
    }
    for arg in request.args_from(1).filter(|arg| arg.len() <= 1024) {
        if let Some(integer) = parse_integer(arg) {
            assert_eq!(integer.to_string().as_bytes(), arg);
        }
        if let Some(value) = Extended::parse(arg) {
            assert!(value.checked_add(value).is_none_or(|sum| !sum.to_string().is_empty()));
        }
        let _ = glob::matches(arg, request.name(), glob::Case::Ignored);
    }
    let owned = request.to_owned();
    assert!(owned.as_request().args_from(0).eq(request.args_from(0)));
    request.args_from(0).map(<[u8]>::to_vec).collect()
}
