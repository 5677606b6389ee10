//! Where connections arrive.

use std::io;
use std::time::Duration;

use terrace_store::net::{Accepted, Listener};
use tokio::sync::watch;

use super::seats::{Seat, Seats};
use super::stop::noticed;

/// When the system has no file or memory left for a connection, trying at once again helps nobody.
const PAUSE: Duration = Duration::from_millis(50);

/// Accepts connections until the notice says stop, then closes the port. Each gets a seat; one that finds none is
/// closed without a word, for there are more than the process has files for.
pub(super) async fn accept(
    listener: Box<dyn Listener>,
    seats: Seats,
    mut notice: watch::Receiver<bool>,
    mut take_in: impl FnMut(Box<dyn Accepted>, Seat),
) {
    let mut complained = false;
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = noticed(&mut notice) => return,
        };
        match accepted {
            Ok(accepted) => {
                if let Some(seat) = seats.take() {
                    complained = false;
                    take_in(accepted, seat);
                }
            }
            // The client gave up before we came to it.
            Err(error)
                if matches!(error.kind(), io::ErrorKind::ConnectionAborted | io::ErrorKind::InvalidInput) => {
            }
            Err(error) => {
                if !complained {
                    eprintln!("terrace: a connection cannot be accepted: {error}; clients have to wait");
                    complained = true;
                }
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}
