//! Messages on their way to a connection: bounded in bytes, filled by any thread, emptied by the connection.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use bytes::Bytes;

use super::lock;

/// What became of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Post {
    /// It waits to be sent.
    Taken,
    /// There was no room. Nothing is kept any more.
    Overflow,
}

#[derive(Debug)]
pub(super) struct Mailbox {
    limit: usize,
    filled: AtomicBool,
    bytes: AtomicUsize,
    /// `None` after an overflow.
    messages: Mutex<Option<Vec<Bytes>>>,
}

impl Mailbox {
    pub(super) fn new(limit: usize) -> Self {
        let messages = Mutex::new(Some(Vec::new()));
        Self { limit, filled: AtomicBool::new(false), bytes: AtomicUsize::new(0), messages }
    }

    pub(super) fn push(&self, message: &Bytes) -> Post {
        let mut slot = lock(&self.messages);
        let Some(messages) = slot.as_mut() else { return Post::Overflow };
        let bytes = self.bytes.load(Ordering::Relaxed) + message.len();
        if bytes > self.limit {
            *slot = None;
            return Post::Overflow;
        }
        self.bytes.store(bytes, Ordering::Relaxed);
        messages.push(message.clone());
        self.filled.store(true, Ordering::Release);
        Post::Taken
    }

    pub(super) fn take(&self) -> Vec<Bytes> {
        let mut slot = lock(&self.messages);
        self.filled.store(false, Ordering::Release);
        self.bytes.store(0, Ordering::Relaxed);
        slot.as_mut().map(std::mem::take).unwrap_or_default()
    }

    #[inline]
    pub(super) fn is_filled(&self) -> bool {
        self.filled.load(Ordering::Acquire)
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }
}
