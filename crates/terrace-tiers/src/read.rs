//! The way of a get.
//!
//! A hot hit never comes here: the typed API asks the hot tier itself. On a miss the caller joins the flight for
//! the key, or starts it. The leader asks the tiers below from the top, the first acceptable entry wins, and is
//! promoted on the way back; if all miss and there is a loader, that runs as a detached task with a budget of
//! its own, so a caller that goes away neither ends nor delays it for the others.

use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use terrace_store::{Entry, Error, ErrorKind, Key, Result, Version};

use crate::floors::Ticket;
use crate::generations::Verdict;
use crate::load::{self, Load, Loading};
use crate::parcel::{Codec, Parcel};
use crate::single_flight::{Flight, Joined, Landing, Pilot, Wait};
use crate::tier::{Lower, Tier};
use crate::tiers::Tiers;

/// How a flight ends for those who wait for it.
pub type Outcome = Result<Found>;

/// What a read found.
#[derive(Clone)]
pub struct Found {
    /// The value; `None` is a miss.
    pub parcel: Option<Parcel>,
    /// Where it was; of a miss, where the search ended.
    pub tier: Tier,
    /// Whether it is stale.
    pub stale: bool,
}

/// What is asked.
pub struct Ask {
    /// How entries are read.
    pub decode: Decode,
    /// Where to get the value if no tier has it.
    pub load: Option<Load>,
}

/// How entries are read.
#[derive(Clone, Copy, Default)]
pub struct Decode {
    /// Makes live values of entries; `None` leaves them as bytes.
    pub codec: Option<&'static dyn Codec>,
    /// Treats an entry of another type as a miss instead of an error: for caches of one type, whose stored
    /// entries may be of an older shape.
    pub retyped: bool,
}

/// A read on its way. Dropping it leaves the flight to the others.
pub struct Fetch(State);

enum State {
    /// It completed in the call.
    Ready(Option<Outcome>),
    /// It waits for a flight; and this is what to ask if somebody else's does not answer the question.
    Waiting(Wait<Outcome>, Option<Box<Again>>),
}

impl Fetch {
    /// What was found, if nothing has to be waited for.
    pub fn now(&mut self) -> Option<Outcome> {
        match &mut self.0 {
            State::Ready(outcome) => outcome.take(),
            State::Waiting(..) => None,
        }
    }
}

/// A question put to somebody else's flight.
struct Again {
    tiers: Arc<Tiers>,
    key: Key,
    ask: Ask,
    /// Whether that flight has a loader.
    loads: bool,
}

impl Future for Fetch {
    type Output = Outcome;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Outcome> {
        loop {
            let (wait, again) = match &mut self.0 {
                State::Ready(outcome) => return Poll::Ready(outcome.take().unwrap_or_else(|| Err(lost()))),
                State::Waiting(wait, again) => (wait, again),
            };
            let outcome = match Pin::new(wait).poll(context) {
                Poll::Ready(Landing::Landed(outcome)) => outcome,
                Poll::Ready(Landing::Lost) => Err(lost()),
                Poll::Pending => return Poll::Pending,
            };
            match again.take() {
                Some(again) if !again.ask.is_answered_by(&outcome, again.loads) => {
                    let Again { tiers, key, ask, .. } = *again;
                    *self = tiers.fetch(key, ask);
                }
                _ => return Poll::Ready(outcome),
            }
        }
    }
}

fn lost() -> Error {
    Error::new(ErrorKind::Unavailable, "get").transient(true).because("the flight ended without an answer")
}

impl Ask {
    /// Whether what somebody else's flight brought answers this question too. It does not if that flight missed
    /// and had no loader, left the value as bytes, wanted another type, or failed in a way that is its own: by its
    /// loader, or for want of one.
    fn is_answered_by(&self, outcome: &Outcome, loads: bool) -> bool {
        match outcome {
            Ok(Found { parcel: Some(parcel), stale, .. }) => {
                (self.decode.codec.is_none() || parcel.live.is_some()) && (self.load.is_none() || !stale)
            }
            Ok(Found { parcel: None, .. }) => self.load.is_none(),
            Err(error) => error.kind() != ErrorKind::TypeMismatch && self.load.is_some() == loads,
        }
    }
}

impl Tiers {
    /// Gets a value from below the hot tier, or from the loader. To be called after the hot tier missed.
    ///
    /// # Errors
    /// Those of the loader; those of the durable tier, if nothing else answers; `TypeMismatch`; `Closed`.
    pub fn fetch(self: &Arc<Self>, key: Key, ask: Ask) -> Fetch {
        if let Err(error) = self.open_for("get") {
            return Fetch(State::Ready(Some(Err(error))));
        }
        if ask.load.is_none() && self.in_place {
            // Stores that answer in place are read by the caller itself: a flight would cost more than it
            // saves. Versions and floors alone fence the promotion.
            let ticket = self.hot.as_ref().map(|_| self.base.floors.ticket());
            let reading = pin!(self.read(&key, ask.decode, None));
            if let Poll::Ready(outcome) = reading.poll(&mut Context::from_waker(Waker::noop())) {
                drop(ticket);
                return Fetch(State::Ready(Some(outcome)));
            }
        }
        match self.flights.join(&key, ask.load.is_some()) {
            Joined::Follower(flight) => {
                self.loads.join();
                let again = Again { tiers: Arc::clone(self), key, ask, loads: flight.loads };
                Fetch(State::Waiting(flight.wait(), Some(Box::new(again))))
            }
            Joined::Leader(pilot) => {
                let wait = Arc::clone(pilot.flight()).wait();
                let journey = Journey::begin(self, pilot, key, ask.decode);
                // A task of its own, and so nobody's: whoever goes away, the others get their value.
                self.tasks.spawn("flight", journey.fly(ask.load));
                Fetch(State::Waiting(wait, None))
            }
        }
    }

    /// Asks the tiers below from the top; the first acceptable entry wins, and is promoted on the way back.
    async fn read(&self, key: &Key, decode: Decode, flight: Option<&Flight<Outcome>>) -> Outcome {
        let mut failure = None;
        for (index, lower) in self.lower.iter().enumerate() {
            match self.ask(index, key, decode).await {
                Answer::Hit(parcel, stale) => {
                    self.promote(key, &parcel, index, flight).await;
                    return Ok(Found { parcel: Some(parcel), tier: lower.tier, stale });
                }
                Answer::Miss => {}
                Answer::Failed(error) => failure = Some(error),
                Answer::Mismatch(error) => return Err(error),
            }
        }
        let tier = self.lower.last().map_or(Tier::Hot, |lower| lower.tier);
        failure.map_or(Ok(Found { parcel: None, tier, stale: false }), Err)
    }

    /// What one tier holds of a key, if it may be served.
    async fn ask(&self, index: usize, key: &Key, decode: Decode) -> Answer {
        let lower = &self.lower[index];
        let began = self.begin();
        let result = lower.store.get(key).await;
        let took = self.took(began);
        let answer = match result {
            Ok(Some(entry)) => self.accept(index, key, entry, decode),
            Ok(None) => Answer::Miss,
            Err(error) if matches!(error.kind(), ErrorKind::Corrupt | ErrorKind::Codec) => {
                damaged(lower, error)
            }
            Err(error) => {
                lower.counters.error();
                return failed(lower, error);
            }
        };
        match &answer {
            Answer::Hit(..) => lower.counters.hit(took),
            _ => lower.counters.miss(took),
        }
        answer
    }

    fn accept(&self, index: usize, key: &Key, entry: Entry, decode: Decode) -> Answer {
        let lower = &self.lower[index];
        let invalidated = match self.base.generations.verdict_of(key, &entry) {
            Verdict::Purged => return Answer::Miss,
            Verdict::Expired => true,
            Verdict::Valid => false,
        };
        // What the authority holds is the truth, whatever copies are suspected of.
        let is_copy = self.authority.is_some_and(|authority| index < authority);
        if is_copy && (lower.is_suspect(key, &entry) || entry.version <= self.base.floors.of(key)) {
            return Answer::Miss;
        }
        let stale = invalidated || entry.is_stale(self.clock().wall_ms());
        let mut parcel = Parcel::of_entry(entry);
        match decode.codec.map(|codec| codec.decode(&parcel.entry)).transpose() {
            Ok(live) => {
                parcel.live = live;
                Answer::Hit(parcel, stale)
            }
            Err(error) if error.kind() == ErrorKind::TypeMismatch && decode.retyped => Answer::Miss,
            Err(error) if error.kind() == ErrorKind::TypeMismatch => Answer::Mismatch(error),
            Err(error) => damaged(lower, error),
        }
    }
}

/// Damage is a miss where the data is a copy, and an error where it is all there is.
fn damaged(lower: &Lower, error: Error) -> Answer {
    lower.counters.damaged();
    failed(lower, error)
}

fn failed(lower: &Lower, error: Error) -> Answer {
    if lower.tier.must_answer() { Answer::Failed(error) } else { Answer::Miss }
}

/// What one tier answered.
enum Answer {
    Hit(Parcel, bool),
    Miss,
    Mismatch(Error),
    Failed(Error),
}

/// A flight, from its leader's side.
pub(crate) struct Journey {
    pub(crate) tiers: Arc<Tiers>,
    pub(crate) pilot: Pilot<Outcome>,
    pub(crate) key: Key,
    decode: Decode,
    /// Keeps the floors of whatever is deleted meanwhile.
    _ticket: Ticket,
    /// The invalidations that were known when it began.
    pub(crate) stamp: u64,
    /// The version its load's value gets: older than any write that began after it. `None` if the authority
    /// gave none; the value is then not kept.
    pub(crate) version: Option<Version>,
}

impl Journey {
    fn begin(tiers: &Arc<Tiers>, pilot: Pilot<Outcome>, key: Key, decode: Decode) -> Self {
        let (_ticket, stamp) = (tiers.base.floors.ticket(), tiers.base.generations.stamp());
        Self { tiers: Arc::clone(tiers), pilot, key, decode, _ticket, stamp, version: None }
    }

    /// Asks the tiers, then the loader, and lands.
    async fn fly(mut self, load: Option<Load>) {
        if load.is_some() {
            self.version = self.tiers.reserve().await;
        }
        let read = self.tiers.read(&self.key, self.decode, Some(self.pilot.flight())).await;
        let outcome = match (read, load) {
            (Err(error), _) if error.kind() == ErrorKind::TypeMismatch => Err(error),
            (Ok(found), _) if found.parcel.is_some() && !found.stale => Ok(found),
            // Nothing, or nothing fresh, or a tier that failed: the loader can serve the read.
            (_, Some(load)) => self.load(load).await,
            (read, None) => read,
        };
        self.pilot.land(outcome);
    }

    /// Runs the loader and keeps its value.
    async fn load(&self, load: Load) -> Outcome {
        let clock = self.tiers.clock();
        let loading = Loading::default();
        let started = clock.now();
        let loaded =
            load::run(load.loader, loading.clone(), self.tiers.base.options.load_timeout, &**clock).await;
        self.tiers.loads.loaded(clock.now().saturating_sub(started), loaded.is_ok());
        self.keep(loaded?, load.lifetime, &loading, self.decode.codec).await
    }
}
