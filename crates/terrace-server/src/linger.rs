//! How a connection ends whose client is still sending.
//!
//! A socket that is closed with bytes unread resets the connection, and the client, which writes on, sees a broken
//! pipe in place of the error that was sent to it. So our stream is ended first, and what still arrives is read
//! and thrown away, until the client has ended its stream too: within limits, for it need not.

use std::future::poll_fn;
use std::io;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use terrace_store::Clock;
use terrace_store::net::Connection;

/// Long enough for a client on the same machine to send hundreds of megabytes, and for one far away to read a line.
/// Short enough that connections which are over do not pile up, and that a shutdown does not wait for them.
const PATIENCE: Duration = Duration::from_secs(2);

/// Bytes read at a time.
const SCRATCH: usize = 64 << 10;

/// Ends our stream, then reads what arrives and forgets it, until the other side ends or breaks its stream, `most`
/// bytes have arrived, or two seconds have passed.
///
/// # Cancellation
/// Dropping the future drops nothing that matters: the connection is the caller's to close.
pub(crate) async fn linger(connection: &mut dyn Connection, clock: &dyn Clock, most: u64) {
    let mut timer = pin!(clock.sleep(PATIENCE));
    let mut ended = false;
    let mut scratch = vec![0; SCRATCH];
    let mut left = most;
    poll_fn(|context| {
        if timer.as_mut().poll(context).is_ready() {
            return Poll::Ready(());
        }
        while !ended {
            match connection.poll_shutdown(context) {
                Poll::Ready(Ok(())) => ended = true,
                Poll::Ready(Err(_)) => return Poll::Ready(()),
                Poll::Pending => return Poll::Pending,
            }
        }
        loop {
            let read: Poll<io::Result<usize>> = connection.poll_read(context, &mut scratch);
            match read {
                Poll::Ready(Ok(read @ 1..)) if (read as u64) < left => left -= read as u64,
                Poll::Ready(_) => return Poll::Ready(()),
                Poll::Pending => return Poll::Pending,
            }
        }
    })
    .await;
}
