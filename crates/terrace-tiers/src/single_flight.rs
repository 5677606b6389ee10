//! One flight a key: the first who misses climbs, everybody else waits for what comes back.
//!
//! A flight is also the *fill ticket* (Nishtala et al., NSDI 2013, call it a lease): a write, delete or
//! invalidation *poisons* it. A poisoned flight leaves the table at once, so that whoever comes after the write
//! starts a new one; its value still goes to those who already wait, and nowhere else. Poisoning and filling
//! take the same lock, so a fill happens wholly before the poison, and is then undone by the write, or not at
//! all.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Waker};

use std::collections::HashMap;
use std::hash::BuildHasher;
use std::hash::RandomState;
use terrace_store::Key;

use crate::sync::{Mutex, lock};

const SHARDS: usize = 64;

/// The flights under way.
pub struct Flights<T> {
    shards: Box<[Mutex<Shard<T>>]>,
    hasher: RandomState,
    /// How many there are. Lets a write on a quiet cache pass by the table without a lock.
    active: AtomicUsize,
}

type Shard<T> = HashMap<Key, Arc<Flight<T>>>;

/// What [`Flights::join`] gives.
pub enum Joined<T: Clone> {
    /// Nobody was on the way: the caller leads, and must land the flight.
    Leader(Pilot<T>),
    /// Somebody is on the way: wait for it.
    Follower(Arc<Flight<T>>),
}

impl<T: Clone> Flights<T> {
    /// No flights.
    pub fn new() -> Arc<Self> {
        Arc::new(Self {
            shards: (0..SHARDS).map(|_| Mutex::new(HashMap::new())).collect(),
            hasher: RandomState::new(),
            active: AtomicUsize::new(0),
        })
    }

    fn shard(&self, key: &Key) -> &Mutex<Shard<T>> {
        &self.shards[self.hasher.hash_one(key) as usize % SHARDS]
    }

    /// How many flights are under way.
    pub fn active(&self) -> usize {
        self.active.load(Ordering::SeqCst)
    }

    /// Joins the flight for this key, or starts it; `loads` says whether a flight started here has a loader.
    pub fn join(self: &Arc<Self>, key: &Key, loads: bool) -> Joined<T> {
        let mut shard = lock(self.shard(key));
        if let Some(flight) = shard.get(key) {
            return Joined::Follower(Arc::clone(flight));
        }
        let flight = Arc::new(Flight::new(loads));
        shard.insert(key.clone(), Arc::clone(&flight));
        self.active.fetch_add(1, Ordering::SeqCst);
        Joined::Leader(Pilot { flights: Arc::clone(self), key: key.clone(), flight, landed: false })
    }

    /// Whether a flight for this key is under way.
    pub fn is_flying(&self, key: &Key) -> bool {
        self.active() > 0 && lock(self.shard(key)).contains_key(key)
    }

    /// Poisons the flight for this key, if there is one.
    pub fn poison(&self, key: &Key) {
        if self.active() == 0 {
            return;
        }
        let flight = lock(self.shard(key)).remove(key);
        if let Some(flight) = flight {
            self.active.fetch_sub(1, Ordering::SeqCst);
            flight.poison();
        }
    }

    /// Poisons every flight.
    pub fn poison_all(&self) {
        if self.active() == 0 {
            return;
        }
        for shard in &self.shards {
            let flights = std::mem::take(&mut *lock(shard));
            self.active.fetch_sub(flights.len(), Ordering::SeqCst);
            flights.values().for_each(|flight| flight.poison());
        }
    }

    fn remove(&self, key: &Key, flight: &Arc<Flight<T>>) {
        let mut shard = lock(self.shard(key));
        if shard.get(key).is_some_and(|current| Arc::ptr_eq(current, flight)) {
            shard.remove(key);
            self.active.fetch_sub(1, Ordering::SeqCst);
        }
    }
}

/// A load in progress, shared by all who want its value.
pub struct Flight<T> {
    /// Whether it has a loader.
    pub loads: bool,
    state: Mutex<State<T>>,
}

struct State<T> {
    outcome: Option<Landing<T>>,
    poisoned: bool,
    waiters: Vec<(u64, Waker)>,
    next: u64,
}

/// How a flight ended.
#[derive(Clone)]
pub enum Landing<T> {
    /// With this outcome.
    Landed(T),
    /// Its leader went down: panicked, or its runtime ended.
    Lost,
}

impl<T: Clone> Flight<T> {
    fn new(loads: bool) -> Self {
        Self {
            loads,
            state: Mutex::new(State { outcome: None, poisoned: false, waiters: Vec::new(), next: 0 }),
        }
    }

    fn poison(&self) {
        lock(&self.state).poisoned = true;
    }

    /// Whether something newer has happened since it started.
    pub fn is_poisoned(&self) -> bool {
        lock(&self.state).poisoned
    }

    /// Runs `fill` unless the flight is poisoned, and says whether it ran. No poison can come in between.
    pub fn fill(&self, fill: impl FnOnce()) -> bool {
        let state = lock(&self.state);
        if !state.poisoned {
            fill();
        }
        !state.poisoned
    }

    /// Waits for its outcome.
    pub fn wait(self: Arc<Self>) -> Wait<T> {
        Wait { flight: self, id: None }
    }

    fn land(&self, landing: Landing<T>) {
        let waiters = {
            let mut state = lock(&self.state);
            state.outcome = Some(landing);
            std::mem::take(&mut state.waiters)
        };
        waiters.into_iter().for_each(|(_, waker)| waker.wake());
    }
}

/// The right and the duty to land a flight. Dropping it before that frees the waiters with [`Landing::Lost`].
pub struct Pilot<T: Clone> {
    flights: Arc<Flights<T>>,
    key: Key,
    flight: Arc<Flight<T>>,
    landed: bool,
}

impl<T: Clone> Pilot<T> {
    /// The flight.
    pub fn flight(&self) -> &Arc<Flight<T>> {
        &self.flight
    }

    /// Ends the flight: it leaves the table, and its waiters get the outcome.
    pub fn land(mut self, outcome: T) {
        self.end(Landing::Landed(outcome));
    }

    fn end(&mut self, landing: Landing<T>) {
        self.landed = true;
        // First out of the table, so that nobody joins a flight that has already landed.
        self.flights.remove(&self.key, &self.flight);
        self.flight.land(landing);
    }
}

impl<T: Clone> Drop for Pilot<T> {
    fn drop(&mut self) {
        if !self.landed {
            self.end(Landing::Lost);
        }
    }
}

/// Waits for a flight to land. Dropping it leaves the flight on its way.
pub struct Wait<T: Clone> {
    flight: Arc<Flight<T>>,
    id: Option<u64>,
}

impl<T: Clone> Future for Wait<T> {
    type Output = Landing<T>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Landing<T>> {
        let flight = Arc::clone(&self.flight);
        let mut state = lock(&flight.state);
        if let Some(outcome) = &state.outcome {
            return Poll::Ready(outcome.clone());
        }
        let id = *self.id.get_or_insert_with(|| {
            state.next += 1;
            state.next
        });
        match state.waiters.iter_mut().find(|(waiter, _)| *waiter == id) {
            Some((_, waker)) => waker.clone_from(context.waker()),
            None => state.waiters.push((id, context.waker().clone())),
        }
        Poll::Pending
    }
}

impl<T: Clone> Drop for Wait<T> {
    fn drop(&mut self) {
        if let Some(id) = self.id {
            lock(&self.flight.state).waiters.retain(|(waiter, _)| *waiter != id);
        }
    }
}

#[cfg(all(test, not(shuttle)))]
mod tests {
    use super::*;
    use terrace_store::block_on::{block_on, poll_once};

    fn key(name: &str) -> Key {
        Key::new("n", name).unwrap()
    }

    fn lead(flights: &Arc<Flights<u32>>, name: &str) -> Pilot<u32> {
        match flights.join(&key(name), false) {
            Joined::Leader(pilot) => pilot,
            Joined::Follower(_) => panic!("a flight is already on its way"),
        }
    }

    fn follow(flights: &Arc<Flights<u32>>, name: &str) -> Arc<Flight<u32>> {
        match flights.join(&key(name), false) {
            Joined::Follower(flight) => flight,
            Joined::Leader(_) => panic!("no flight is on its way"),
        }
    }

    #[test]
    fn followers_get_what_the_leader_lands() {
        let flights = Flights::new();
        let pilot = lead(&flights, "a");
        let follower = follow(&flights, "a");
        let wait = poll_once(Box::pin(Arc::clone(&follower).wait())).err().expect("not landed yet");
        pilot.land(7);
        assert!(matches!(block_on(wait), Landing::Landed(7)));
        assert!(matches!(block_on(follower.wait()), Landing::Landed(7)), "also for who asks late");
        assert_eq!(flights.active(), 0);
    }

    #[test]
    fn a_leader_that_goes_down_frees_its_followers() {
        let flights = Flights::new();
        let pilot = lead(&flights, "a");
        let follower = follow(&flights, "a");
        drop(pilot);
        assert!(matches!(block_on(follower.wait()), Landing::Lost));
        assert_eq!(flights.active(), 0);
    }

    #[test]
    fn a_poisoned_flight_fills_nothing_and_takes_no_new_followers() {
        let flights = Flights::new();
        let old = lead(&flights, "a");
        flights.poison(&key("a"));
        assert!(!old.flight().fill(|| panic!("must not fill")));
        let new = lead(&flights, "a");
        assert!(new.flight().fill(|| ()));
        old.land(1);
        assert!(flights.is_flying(&key("a")), "the old flight's end leaves the new one in the table");
        flights.poison_all();
        assert!(new.flight().is_poisoned());
        assert_eq!(flights.active(), 0);
    }

    #[test]
    fn a_follower_that_goes_away_leaves_no_waker_behind() {
        let flights = Flights::new();
        let pilot = lead(&flights, "a");
        let wait = poll_once(Box::pin(follow(&flights, "a").wait())).err();
        drop(wait);
        assert!(lock(&pilot.flight.state).waiters.is_empty());
    }
}
