//! Listening: a connection or stream a listener, and a task that puts what arrives into its bounded queue.
//!
//! One that breaks is made anew, and the listener told that it lagged, unless the server can tell what was missed. At
//! the end of the store each listener first reads what the server was told before that.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use terrace_store::capability::{Change, Changes, Message, Subscription};
use terrace_store::{BoxFuture, Clock, Result};
use tokio::sync::{oneshot, watch};

use super::leaving::Leaving;
use super::life::Life;
use crate::inbox::Inbox;

/// How long to wait before a connection is made anew, at first and at most.
const WAITS: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(2));

/// What a server tells one listener.
pub(crate) trait Feed: Send + 'static {
    /// What it tells.
    type Item: Clone + Send + Sync + 'static;

    /// What stands in the place of items that were lost.
    fn lagged(&self) -> Self::Item;

    /// Connects, or connects again, and says whether nothing told since the last connection was lost.
    fn connect(&mut self) -> impl Future<Output = Result<bool>> + Send;

    /// What is told next; `None` once the connection broke. Dropping the future loses nothing.
    fn next(&mut self) -> impl Future<Output = Option<Vec<Self::Item>>> + Send;

    /// What was told before this call and not read yet.
    fn drain(&mut self) -> impl Future<Output = Vec<Self::Item>> + Send;

    /// Lets the server know that nobody listens any more.
    fn leave(&mut self) -> impl Future<Output = ()> + Send;
}

/// One who listens. Its end is the end of its task.
pub(crate) struct Listening<T> {
    inbox: Arc<Inbox<T>>,
    leaving: Arc<Leaving>,
    _gone: oneshot::Sender<()>,
}

impl<T> Drop for Listening<T> {
    fn drop(&mut self) {
        self.leaving.begin();
    }
}

impl Changes for Listening<Change> {
    fn next(&mut self) -> BoxFuture<'_, Option<Change>> {
        self.inbox.next()
    }
}

impl Subscription for Listening<Message> {
    fn next(&mut self) -> BoxFuture<'_, Option<Message>> {
        self.inbox.next()
    }
}

impl Life {
    /// Listens to a feed, from when this has completed on.
    pub(crate) async fn listen<F: Feed>(
        &self,
        name: &'static str,
        mut feed: F,
    ) -> Result<Listening<F::Item>> {
        let _ = feed.connect().await?;
        let (gone, left) = oneshot::channel();
        let (inbox, leaving) = (Arc::new(Inbox::default()), Arc::clone(&self.leaving));
        let task = Task {
            feed,
            inbox: Arc::clone(&inbox),
            leaving: Arc::clone(&leaving),
            clock: Arc::clone(&self.clock),
            ending: self.ending.subscribe(),
            left,
        };
        self.listeners.spawn(name, task.run());
        // A close that came meanwhile has seen this task, or does not wait for it.
        if self.check_open("subscribe").is_err() {
            inbox.close();
        }
        Ok(Listening { inbox, leaving, _gone: gone })
    }
}

struct Task<F: Feed> {
    feed: F,
    inbox: Arc<Inbox<F::Item>>,
    leaving: Arc<Leaving>,
    clock: Arc<dyn Clock>,
    ending: watch::Receiver<bool>,
    left: oneshot::Receiver<()>,
}

/// Why a task stops to read.
enum Stop {
    /// The store ends.
    Ending,
    /// Nobody listens any more.
    Left,
    /// The connection broke.
    Broken,
}

impl<F: Feed> Task<F> {
    async fn run(mut self) {
        loop {
            match self.forward().await {
                Stop::Left => {
                    // A server that hangs must not let those who publish wait for this.
                    let _ = tokio::time::timeout(WAITS.1, self.feed.leave()).await;
                    return self.leaving.end();
                }
                Stop::Ending => {
                    let last = tokio::time::timeout(WAITS.1, self.feed.drain()).await;
                    self.push(last.unwrap_or_default());
                    break;
                }
                Stop::Broken => match self.connect_again().await {
                    Stop::Broken => {}
                    Stop::Ending => break,
                    Stop::Left => return self.leaving.end(),
                },
            }
        }
        self.inbox.close();
    }

    async fn forward(&mut self) -> Stop {
        loop {
            if *self.ending.borrow() {
                return Stop::Ending;
            }
            let told = tokio::select! {
                _ = self.ending.changed() => continue,
                _ = &mut self.left => return Stop::Left,
                told = self.feed.next() => told,
            };
            match told {
                Some(items) => self.push(items),
                None => return Stop::Broken,
            }
        }
    }

    fn push(&self, items: Vec<F::Item>) {
        for item in items {
            self.inbox.push(item, self.feed.lagged());
        }
    }

    /// Tries until there is a connection, which is `Broken` no more, or no need of one.
    async fn connect_again(&mut self) -> Stop {
        let mut wait = WAITS.0;
        loop {
            tokio::select! {
                _ = self.ending.changed() => return Stop::Ending,
                _ = &mut self.left => return Stop::Left,
                () = self.clock.sleep(wait) => {}
            }
            match self.feed.connect().await {
                Ok(true) => return Stop::Broken,
                Ok(false) => {
                    // What was told between the break and now is lost.
                    self.push(vec![self.feed.lagged()]);
                    return Stop::Broken;
                }
                Err(_) => wait = (wait * 2).min(WAITS.1),
            }
        }
    }
}
