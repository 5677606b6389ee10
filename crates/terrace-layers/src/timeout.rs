//! timeout: no call takes longer than it may.
//!
//! Decision: an elapsed read is `Timeout`, and nothing has happened; an elapsed write, and an elapsed promise of
//! durability, is `Unknown`, because it may have been applied and may still be. The call is dropped when its time is
//! over. Streams are awaited for as long as their caller likes; only asking for one is timed.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use terrace_store::{BoxFuture, Capabilities, Clock, Error, ErrorKind, Health, Result, Store};

use crate::answer::Answer;
use crate::call::{Call, Class, Operation};
use crate::guard::{Guarded, Policy};
use crate::world::World;

/// How long calls may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimeoutConfig {
    /// A read, and what belongs to no other line.
    pub read: Duration,
    /// A write.
    pub write: Duration,
    /// `commit`, `flush`, `sweep` and `close`, and a batch's `clear`, all of which may have much to do.
    pub upkeep: Duration,
}

impl Default for TimeoutConfig {
    /// A second for reads, two for writes, thirty for upkeep.
    fn default() -> Self {
        Self { read: Duration::from_secs(1), write: Duration::from_secs(2), upkeep: Duration::from_secs(30) }
    }
}

impl TimeoutConfig {
    fn of(&self, operation: Operation) -> Duration {
        match (operation, operation.class()) {
            (Operation::Reserve, _) => self.read,
            (Operation::Clear, _) | (_, Class::Upkeep) => self.upkeep,
            (_, Class::Read) => self.read,
            (_, Class::Write) => self.write,
        }
    }
}

/// A store whose calls end in time.
pub type Timeout = Guarded<Deadline>;

impl Timeout {
    /// Ends calls to the store that take too long.
    pub fn over(inner: Arc<dyn Store>, config: TimeoutConfig, world: &World) -> Self {
        Self::new(inner, Deadline { config, clock: Arc::clone(&world.clock) })
    }
}

/// Ends calls by a clock. Made by [`Timeout::over`].
pub struct Deadline {
    config: TimeoutConfig,
    clock: Arc<dyn Clock>,
}

/// What the future gives, if it does within this time.
pub(crate) async fn within<T>(
    clock: &dyn Clock,
    limit: Duration,
    future: impl Future<Output = T>,
) -> Option<T> {
    let mut future = pin!(future);
    // Most calls are over at once and need no timer.
    let mut timer = None;
    poll_fn(|context| {
        if let Poll::Ready(value) = future.as_mut().poll(context) {
            return Poll::Ready(Some(value));
        }
        timer.get_or_insert_with(|| clock.sleep(limit)).as_mut().poll(context).map(|()| None)
    })
    .await
}

impl Policy for Deadline {
    fn capabilities(&self, beneath: Capabilities) -> Capabilities {
        beneath
    }

    fn health<'a>(&'a self, beneath: &'a dyn Store) -> BoxFuture<'a, Health> {
        Box::pin(async move {
            let limit = self.config.read;
            let told = within(&*self.clock, limit, beneath.health()).await;
            told.unwrap_or_else(|| Health::Down(format!("it gave no answer within {limit:?}")))
        })
    }

    async fn run<'a, T, M>(&'a self, call: Call<'a>, mut make: M) -> Result<T>
    where
        T: Answer + 'a,
        M: FnMut() -> BoxFuture<'a, Result<T>> + Send + 'a,
    {
        let limit = self.config.of(call.operation);
        within(&*self.clock, limit, make()).await.unwrap_or_else(|| Err(elapsed(call.operation, limit)))
    }
}

fn elapsed(operation: Operation, limit: Duration) -> Error {
    let (kind, why) = if operation.leaves_unknown() {
        (ErrorKind::Unknown, "it took too long: it may have been applied, and may still be; read to find out")
    } else {
        (ErrorKind::Timeout, "it took too long; ask again, or allow more time")
    };
    Error::new(kind, operation.name()).because(why).with("after", format!("{limit:?}"))
}

#[cfg(test)]
mod tests {
    use terrace_store::block_on::poll_once;
    use terrace_store::fakes::{FrozenClock, MapStore, Operation as Held, Slow};
    use terrace_store::{Key, StoreExt, block_on};

    use super::*;
    use crate::world::tests::world;

    #[test]
    fn an_elapsed_read_is_a_timeout_and_an_elapsed_write_is_unknown() {
        let clock = FrozenClock::default();
        let slow = Arc::new(Slow::over(Arc::new(MapStore::default()), Arc::new(clock.clone())));
        let store = Timeout::over(slow.clone(), TimeoutConfig::default(), &world(&clock));
        let key = Key::new("n", "k").unwrap();
        let _ = block_on(store.put_with(&key, "v")).unwrap();
        assert_eq!(clock.sleepers(), 0, "a call that is over at once needs no timer");
        slow.control().hold(&Held::ALL);
        let get = poll_once(store.get(&key)).expect_err("it hangs");
        clock.advance_ms(999);
        let get = poll_once(get).expect_err("it is not yet time");
        clock.advance_ms(1);
        assert_eq!(block_on(get).unwrap_err().kind(), ErrorKind::Timeout);
        for (call, after_ms) in [
            (Box::pin(async { store.put_with(&key, "w").await.map(drop) }) as BoxFuture<'_, _>, 2_000),
            (Box::pin(async { store.remove(&key).await.map(drop) }), 2_000),
            (store.commit(), 30_000),
            (store.flush(), 30_000),
        ] {
            let call = poll_once(call).expect_err("it hangs");
            clock.advance_ms(after_ms);
            assert_eq!(block_on(call).unwrap_err().kind(), ErrorKind::Unknown);
        }
        let reserve = poll_once(store.reserve()).expect_err("it hangs");
        clock.advance_ms(1_000);
        assert_eq!(block_on(reserve).unwrap_err().kind(), ErrorKind::Timeout);
        assert_eq!(slow.control().hanging(), 0, "what has elapsed is dropped");
    }
}
