//! What the headers of the bucket say, in order: what listings, counts, sweeps and clears are answered from.
//!
//! It is fed with the messages of the stream in the order of their sequence numbers. Some are missing: what was replaced
//! before it was delivered never comes, only what has replaced it, which may be above any number that was reached by
//! then. So to have seen a number is not to know of all that was stored up to it. But a message that is missing below a
//! mark was replaced before the mark came, so what replaced it is below a mark that is stored after that; if nothing is
//! missing between two such marks, nothing is outstanding ([`Mirror::is_settled`]). The server does not tell what a purge
//! removes: what a clear removes follows from its floor, what a sweep removes it is told here.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::Bound;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use terrace_store::{Clock, Namespace, Result, Version};
use tokio::sync::watch;

use super::rows::{Head, Kind, Stamp, Write};

/// For how long pieces may wait for the message that names them, in monotonic milliseconds.
const PIECES_WAIT_MS: u64 = 600_000;

/// What is known of an entry, or of the floor that a delete left.
#[derive(Clone, Debug)]
pub(super) struct Known {
    pub(super) sequence: u64,
    pub(super) version: Version,
    pub(super) tombstone: bool,
    pub(super) ends_ms: u64,
    pub(super) size: u64,
    pub(super) pieces: Option<(u32, Write)>,
    given: bool,
}

impl Known {
    pub(super) fn lives(&self, wall_ms: u64) -> bool {
        !self.tombstone && (self.ends_ms == 0 || wall_ms < self.ends_ms)
    }
}

/// What is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Due {
    Entry,
    Tombstone,
    Floor,
}

/// What a clear left.
#[derive(Clone, Copy, Debug)]
struct Floor {
    sequence: u64,
    version: Version,
    ends_ms: u64,
}

/// What a clear removed.
#[derive(Default)]
pub(super) struct Cleared {
    pub(super) live: u64,
    pub(super) pieces: Vec<(u32, Write)>,
}

#[derive(Default)]
struct State {
    known: BTreeMap<Bytes, Known>,
    /// By the flat prefix of the namespace; of everything: empty.
    floors: HashMap<Bytes, Floor>,
    amounts: BTreeMap<Bytes, (u64, u64)>,
    due: BTreeSet<(Due, u64, Bytes)>,
    /// Pieces that no entry is known to need, and since when.
    loose: HashMap<Write, u64>,
    /// Clears whose messages may not be removed yet.
    unpurged: BTreeMap<u64, Bytes>,
    cleared: HashMap<u64, Cleared>,
    last: u64,
    /// The last message before which one was missing.
    behind_gap: u64,
    /// A mark up to which nothing is outstanding.
    settled: u64,
}

pub(super) struct Mirror {
    state: Mutex<State>,
    clock: Arc<dyn Clock>,
    position: watch::Sender<u64>,
}

impl Mirror {
    pub(super) fn new(clock: Arc<dyn Clock>) -> Self {
        Self { state: Mutex::default(), clock, position: watch::Sender::new(0) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How far it has come.
    pub(super) fn position(&self) -> watch::Receiver<u64> {
        self.position.subscribe()
    }

    /// Takes a message of the stream.
    pub(super) fn take(&self, kind: Kind, sequence: u64, head: Option<Head>) {
        let (wall, now) = (self.clock.wall_ms(), self.clock.now_ms());
        let mut state = self.state();
        if sequence > state.last + 1 {
            state.behind_gap = sequence;
        }
        state.last = state.last.max(sequence);
        match (kind, head) {
            (Kind::Head, Some(head)) => state.take_head(sequence, head, now),
            (Kind::Floor, Some(head)) => state.take_floor(sequence, head, wall, now),
            (Kind::Piece(write), _) => {
                state.loose.insert(write, now);
            }
            _ => {}
        }
        drop(state);
        self.position.send_replace(sequence);
    }

    /// Whether nothing of what was stored up to a mark that was reached is outstanding. `before` is a mark that was
    /// reached before this one was stored, if there is one.
    pub(super) fn is_settled(&self, before: Option<u64>, mark: u64) -> bool {
        let mut state = self.state();
        let settled = state.behind_gap <= before.unwrap_or(0).max(state.settled);
        if settled {
            state.settled = state.settled.max(mark);
        }
        settled
    }

    /// What the clear of this sequence number removed, once.
    pub(super) fn cleared(&self, sequence: u64) -> Cleared {
        self.state().cleared.remove(&sequence).unwrap_or_default()
    }

    /// Clears whose messages may not be removed yet: the number of the floor, and the flat prefix.
    pub(super) fn unpurged(&self) -> Vec<(u64, Bytes)> {
        self.state().unpurged.iter().map(|(sequence, space)| (*sequence, space.clone())).collect()
    }

    /// The messages of this clear are removed.
    pub(super) fn purged(&self, sequence: u64) {
        self.state().unpurged.remove(&sequence);
    }

    /// At most so many of those that are there and alive, from one place on and before another, with the place
    /// to go on from if there may be more.
    pub(super) fn range(
        &self,
        from: Bound<&[u8]>,
        before: &[u8],
        limit: usize,
        bytes: u64,
    ) -> (Vec<(Bytes, Known)>, bool) {
        let wall = self.clock.wall_ms();
        let state = self.state();
        let (mut found, mut sum) = (Vec::new(), 0);
        if matches!(from, Bound::Included(from) | Bound::Excluded(from) if from >= before) {
            return (found, false);
        }
        for (flat, known) in state.known.range::<[u8], _>((from, Bound::Excluded(before))) {
            if !known.lives(wall) {
                continue;
            }
            if found.len() >= limit || sum > bytes {
                return (found, true);
            }
            sum += known.size;
            found.push((flat.clone(), known.clone()));
        }
        (found, false)
    }

    pub(super) fn amount(&self, namespace: &Namespace) -> (u64, u64) {
        self.state().amounts.get(namespace.flat_prefix()).copied().unwrap_or_default()
    }

    pub(super) fn namespaces(&self) -> Result<Vec<Namespace>> {
        self.state().amounts.keys().map(|space| Namespace::new(&space[1..])).collect()
    }

    /// What is due by a time, at most so many.
    pub(super) fn due(&self, due: Due, by_ms: u64, limit: usize) -> Vec<(u64, Bytes)> {
        let state = self.state();
        let range = (due, 0, Bytes::new())..(due, by_ms.saturating_add(1), Bytes::new());
        state.due.range(range).take(limit).map(|(_, ends, what)| (*ends, what.clone())).collect()
    }

    /// The entry or tombstone that was due with this end, unless its key was written anew since.
    pub(super) fn known_due(&self, due: Due, ends_ms: u64, flat: &Bytes) -> Option<Known> {
        let state = self.state();
        let known = state.known.get(flat)?;
        (self::due(known) == Some(due) && known.ends_ms == ends_ms).then(|| known.clone())
    }

    /// The sequence number of the floor that was due with this end, unless there is a new one since.
    pub(super) fn floor_due(&self, ends_ms: u64, space: &Bytes) -> Option<u64> {
        let state = self.state();
        state.floors.get(space).filter(|floor| floor.ends_ms == ends_ms).map(|floor| floor.sequence)
    }

    /// A sweep removed what was due.
    pub(super) fn forget(&self, due: Due, ends_ms: u64, what: &Bytes) {
        let mut state = self.state();
        if !state.due.remove(&(due, ends_ms, what.clone())) {
            return;
        }
        match due {
            Due::Floor => drop(state.floors.remove(what)),
            Due::Entry | Due::Tombstone => drop(state.known.remove(what)),
        }
    }

    /// Pieces that have waited for long enough, and are forgotten with this call.
    pub(super) fn lost_pieces(&self) -> Vec<Write> {
        let now = self.clock.now_ms();
        let mut state = self.state();
        let over = |since: &u64| now.saturating_sub(*since) >= PIECES_WAIT_MS;
        let lost: Vec<Write> =
            state.loose.iter().filter(|(_, since)| over(since)).map(|(write, _)| *write).collect();
        state.loose.retain(|_, since| !over(since));
        lost
    }
}

impl State {
    fn take_head(&mut self, sequence: u64, head: Head, now: u64) {
        let flat = head.flat.clone();
        if self.known.get(&flat).is_some_and(|known| known.sequence >= sequence) {
            return;
        }
        let known = Known {
            sequence,
            version: head.stamp.version(sequence),
            tombstone: head.tombstone,
            ends_ms: head.ends_ms,
            size: head.size,
            pieces: head.pieces,
            given: matches!(head.stamp, Stamp::Given(_)),
        };
        if let Some((_, write)) = self.remove(&flat).and_then(|prior| prior.pieces) {
            self.loose.insert(write, now);
        }
        // It came after a clear whose floor is above it.
        if known.given && known.version <= self.floor_of(&flat) {
            return;
        }
        if let Some((_, write)) = known.pieces {
            self.loose.remove(&write);
        }
        self.add(flat, known);
    }

    fn take_floor(&mut self, sequence: u64, head: Head, wall: u64, now: u64) {
        let space = head.flat.clone();
        if let Some(prior) = self.floors.get(&space).copied() {
            if prior.sequence >= sequence {
                return;
            }
            self.due.remove(&(Due::Floor, prior.ends_ms, space.clone()));
        }
        let floor = Floor { sequence, version: head.stamp.version(sequence), ends_ms: head.ends_ms };
        self.due.insert((Due::Floor, floor.ends_ms, space.clone()));
        self.floors.insert(space.clone(), floor);
        self.unpurged.insert(sequence, space.clone());
        let over: Vec<Bytes> = self
            .known
            .range(space.clone()..)
            .take_while(|(flat, _)| flat.starts_with(&space))
            .filter(|(_, known)| known.sequence < sequence)
            .map(|(flat, _)| flat.clone())
            .collect();
        let mut cleared = Cleared::default();
        for flat in over {
            if let Some(known) = self.remove(&flat) {
                cleared.live += u64::from(known.lives(wall));
                if let Some(pieces) = known.pieces {
                    self.loose.insert(pieces.1, now);
                    cleared.pieces.push(pieces);
                }
            }
        }
        // Whoever cleared asks soon, and only for its own.
        if self.cleared.len() >= 64 {
            let old = self.cleared.keys().min().copied();
            old.map(|old| self.cleared.remove(&old));
        }
        self.cleared.insert(sequence, cleared);
    }

    fn floor_of(&self, flat: &Bytes) -> Version {
        let space = flat.slice(..(1 + usize::from(flat[0])).min(flat.len()));
        let floor = |space: &Bytes| self.floors.get(space).map_or(Version::ZERO, |floor| floor.version);
        floor(&space).max(floor(&Bytes::new()))
    }

    fn add(&mut self, flat: Bytes, known: Known) {
        if let Some(due) = due(&known) {
            self.due.insert((due, known.ends_ms, flat.clone()));
        }
        if !known.tombstone {
            let amount = self.amounts.entry(space(&flat)).or_default();
            *amount = (amount.0 + 1, amount.1 + known.size);
        }
        self.known.insert(flat, known);
    }

    fn remove(&mut self, flat: &Bytes) -> Option<Known> {
        let known = self.known.remove(flat)?;
        if let Some(due) = due(&known) {
            self.due.remove(&(due, known.ends_ms, flat.clone()));
        }
        if !known.tombstone {
            let space = space(flat);
            if let Some(amount) = self.amounts.get_mut(&space) {
                *amount = (amount.0.saturating_sub(1), amount.1.saturating_sub(known.size));
                if amount.0 == 0 {
                    self.amounts.remove(&space);
                }
            }
        }
        Some(known)
    }
}

fn due(known: &Known) -> Option<Due> {
    match (known.tombstone, known.ends_ms) {
        (_, 0) => None,
        (true, _) => Some(Due::Tombstone),
        (false, _) => Some(Due::Entry),
    }
}

/// The flat prefix of a flat key.
fn space(flat: &Bytes) -> Bytes {
    flat.slice(..1 + usize::from(flat[0]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use terrace_store::Key;
    use terrace_store::fakes::FrozenClock;

    fn mirror() -> (Mirror, FrozenClock) {
        let clock = FrozenClock::at_wall_ms(1_000);
        (Mirror::new(Arc::new(clock.clone())), clock)
    }

    fn flat(space: &str, key: &str) -> Bytes {
        Key::new(space, key).unwrap().flat_bytes().clone()
    }

    fn entry(flat: Bytes, stamp: Stamp, ends_ms: u64) -> Head {
        Head { tombstone: false, stamp, ends_ms, size: 5, pieces: None, flat }
    }

    const ASSIGNED: Stamp = Stamp::Assigned { base: 0 };

    #[test]
    fn a_clear_removes_what_was_before_and_what_comes_late_with_a_version_below() {
        let (mirror, _) = mirror();
        let space = Namespace::new("n").unwrap();
        mirror.take(Kind::Head, 1, Some(entry(flat("n", "a"), ASSIGNED, 0)));
        mirror.take(Kind::Head, 2, Some(entry(flat("n", "over"), ASSIGNED, 1_000)));
        mirror.take(Kind::Head, 3, Some(entry(flat("m", "a"), ASSIGNED, 0)));
        assert_eq!(mirror.amount(&space), (2, 10));
        let floor = Head::floor(Bytes::copy_from_slice(space.flat_prefix()), ASSIGNED, 9_000);
        mirror.take(Kind::Floor, 4, Some(floor));
        assert_eq!((mirror.cleared(4).live, mirror.amount(&space)), (1, (0, 0)));
        mirror.take(Kind::Head, 5, Some(entry(flat("n", "late"), Stamp::Given(Version(3)), 0)));
        mirror.take(Kind::Head, 6, Some(entry(flat("n", "new"), Stamp::Given(Version(9)), 0)));
        assert_eq!(mirror.amount(&space), (1, 5));
        assert_eq!(mirror.namespaces().unwrap().len(), 2);
        assert_eq!(mirror.unpurged().len(), 1);
    }

    #[test]
    fn what_is_due_is_told_in_its_order_and_forgotten_when_it_was_replaced() {
        let (mirror, _) = mirror();
        mirror.take(Kind::Head, 1, Some(entry(flat("n", "a"), ASSIGNED, 500)));
        mirror.take(Kind::Head, 2, Some(entry(flat("n", "b"), ASSIGNED, 400)));
        let due = |mirror: &Mirror| {
            mirror.due(Due::Entry, 500, 9).into_iter().map(|(ends, _)| ends).collect::<Vec<_>>()
        };
        assert_eq!(due(&mirror), [400, 500]);
        mirror.take(Kind::Head, 3, Some(Head::floor(flat("n", "b"), ASSIGNED, 900)));
        assert_eq!(due(&mirror), [500]);
        mirror.forget(Due::Tombstone, 900, &flat("n", "b"));
        assert!(mirror.known_due(Due::Tombstone, 900, &flat("n", "b")).is_none());
    }

    #[test]
    fn what_was_due_is_not_found_once_something_else_is_in_its_place() {
        let (mirror, _) = mirror();
        let (key, space) =
            (flat("n", "a"), Bytes::copy_from_slice(Namespace::new("n").unwrap().flat_prefix()));
        mirror.take(Kind::Head, 1, Some(Head::floor(key.clone(), ASSIGNED, 500)));
        mirror.take(Kind::Floor, 2, Some(Head::floor(space.clone(), ASSIGNED, 500)));
        mirror.take(Kind::Head, 3, Some(Head::floor(key.clone(), ASSIGNED, 500)));
        let sequence = |due, ends| mirror.known_due(due, ends, &key).map(|known| known.sequence);
        assert_eq!((sequence(Due::Tombstone, 500), mirror.floor_due(500, &space)), (Some(3), Some(2)));
        // An entry with the same end, then one without, and another floor.
        mirror.take(Kind::Head, 4, Some(entry(key.clone(), ASSIGNED, 500)));
        assert_eq!((sequence(Due::Tombstone, 500), sequence(Due::Entry, 500)), (None, Some(4)));
        mirror.take(Kind::Head, 5, Some(entry(key.clone(), ASSIGNED, 0)));
        mirror.take(Kind::Floor, 6, Some(Head::floor(space.clone(), ASSIGNED, 900)));
        assert_eq!((sequence(Due::Entry, 500), mirror.floor_due(500, &space)), (None, None));
    }

    #[test]
    fn what_is_missing_below_a_mark_is_outstanding_until_the_next_one() {
        let (mirror, _) = mirror();
        let put =
            |sequence, name| mirror.take(Kind::Head, sequence, Some(entry(flat("n", name), ASSIGNED, 0)));
        put(1, "a");
        put(2, "b");
        assert!(mirror.is_settled(None, 2));
        // The third was replaced before it came.
        put(4, "d");
        assert!(!mirror.is_settled(None, 4));
        put(5, "c");
        put(6, "e");
        assert!(mirror.is_settled(Some(4), 6));
        put(7, "f");
        assert!(mirror.is_settled(None, 7));
        put(9, "g");
        put(11, "h");
        assert!(!mirror.is_settled(Some(9), 11));
    }

    #[test]
    fn pieces_that_nobody_names_are_lost_after_a_while() {
        let (mirror, clock) = mirror();
        mirror.take(Kind::Piece([1; 16]), 1, None);
        mirror.take(Kind::Piece([2; 16]), 2, None);
        let whole = Head { pieces: Some((1, [2; 16])), ..entry(flat("n", "a"), ASSIGNED, 0) };
        mirror.take(Kind::Head, 3, Some(whole));
        assert!(mirror.lost_pieces().is_empty());
        clock.advance_ms(PIECES_WAIT_MS);
        assert_eq!(mirror.lost_pieces(), [[1; 16]]);
        mirror.take(Kind::Head, 4, Some(entry(flat("n", "a"), ASSIGNED, 0)));
        clock.advance_ms(PIECES_WAIT_MS);
        assert_eq!(mirror.lost_pieces(), [[2; 16]]);
    }
}
