//! Envelopes that are too long for one message, in pieces that are stored before the message that names them.
//!
//! The pieces of a write that came to nothing are removed by the writer, or, if that has gone, by a sweep.

use bytes::{Bytes, BytesMut};
use futures_util::{StreamExt, TryStreamExt, stream};
use terrace_store::Result;

use super::Nats;
use super::link::{reads, writes};
use super::rows::Write;

/// How many pieces are under way at once.
const TOGETHER: usize = 8;

impl Nats {
    /// Stores an envelope in pieces of this length, and returns what names them.
    pub(super) async fn store(
        &self,
        operation: &'static str,
        record: Bytes,
        length: usize,
    ) -> Result<(u32, Write)> {
        let write = crate::remote::holder();
        let count = record.len().div_ceil(length) as u32;
        let stored: Result<Vec<_>> = stream::iter(0..count)
            .map(|n| {
                let from = n as usize * length;
                let piece = record.slice(from..record.len().min(from + length));
                let subject = self.link.subjects.piece(&write, n);
                // Nobody can see it before it is named, so this write has not happened if it fails.
                self.link.publish(reads(operation), subject, None, piece, None)
            })
            .buffer_unordered(TOGETHER)
            .try_collect()
            .await;
        if let Err(error) = stored {
            self.discard(operation, Some((count, write))).await;
            return Err(error);
        }
        Ok((count, write))
    }

    /// Reads an envelope whose value has so many bytes; `None` if a piece is missing.
    pub(super) async fn fetch(
        &self,
        operation: &'static str,
        (count, write): (u32, Write),
        size: u64,
    ) -> Result<Option<Bytes>> {
        let mut pieces = stream::iter(0..count)
            .map(|n| self.link.last(reads(operation), self.link.subjects.piece(&write, n)))
            .buffered(TOGETHER);
        let mut record = BytesMut::with_capacity(size.min(64 << 20) as usize + 1024);
        while let Some(piece) = pieces.next().await {
            match piece? {
                Some(piece) => record.extend_from_slice(&piece.payload),
                None => return Ok(None),
            }
        }
        Ok(Some(record.freeze()))
    }

    /// Removes pieces that nobody needs any more. If that fails a sweep does.
    pub(super) async fn discard(&self, operation: &'static str, pieces: Option<(u32, Write)>) {
        if let Some((_, write)) = pieces {
            let _ = self.link.purge(writes(operation), self.link.subjects.pieces(&write), None).await;
        }
    }
}
