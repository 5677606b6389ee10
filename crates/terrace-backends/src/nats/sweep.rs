//! Clears and sweeps: what is removed many at a time.

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use terrace_store::{Error, ErrorKind, Key, Namespace, Result, Swept};

use super::link::{reads, writes};
use super::mirror::{Due, Mirror};
use super::rows::{Head, Stamp};
use super::{NAME, Nats, TOGETHER};

const ATTEMPTS: usize = 1_000;

impl Nats {
    /// Removes every entry of a namespace, or of all: a floor is stored, then everything before it removed.
    pub(super) async fn clear_all(&self, namespace: Option<&Namespace>) -> Result<u64> {
        let mirror = self.mirror("clear").await?;
        let mut laid = false;
        let cleared = self.clear_below_floor(mirror, namespace, &mut laid).await;
        cleared.map_err(|error| match laid {
            false => error,
            // A sweep removes what is below the floor, so the clear is not undone.
            true => Error::new(ErrorKind::Unknown, "clear")
                .with("store", NAME)
                .because("its floor is stored, so a sweep finishes it")
                .caused_by(error),
        })
    }

    /// Tells whether a floor was laid, also if it fails.
    async fn clear_below_floor(
        &self,
        mirror: &Mirror,
        namespace: Option<&Namespace>,
        laid: &mut bool,
    ) -> Result<u64> {
        let mut live = 0;
        for _ in 0..ATTEMPTS {
            let (base, _) = self.base("clear").await?;
            let Some(floor) = self.lay_floor(namespace, base).await? else { continue };
            *laid = true;
            self.reached("clear", floor).await?;
            let cleared = mirror.cleared(floor);
            live += cleared.live;
            // Whatever was stored before the floor with a version of its own is below it, unless the base was
            // raised for it just now.
            if self.base("clear").await?.0 != base {
                continue;
            }
            self.link.purge(writes("clear"), self.link.subjects.heads(namespace), Some(floor)).await?;
            mirror.purged(floor);
            let gone = stream::iter(cleared.pieces);
            gone.for_each_concurrent(TOGETHER, |pieces| self.discard("clear", Some(pieces))).await;
            return Ok(live);
        }
        Err(Error::new(ErrorKind::Busy, "clear").with("store", NAME).because("others clear it all the time"))
    }

    async fn lay_floor(&self, namespace: Option<&Namespace>, base: u64) -> Result<Option<u64>> {
        let subject = self.link.subjects.floor(namespace);
        let prior = self.link.last(reads("clear"), subject.clone()).await?;
        let flat = Bytes::copy_from_slice(namespace.map_or(&b""[..], Namespace::flat_prefix));
        let floor = Head::floor(flat, Stamp::Assigned { base }, self.life.floor_deadline());
        let expected = prior.map_or(0, |row| row.sequence);
        let header = Some(floor.to_header());
        self.link.publish(writes("clear"), subject, header, Bytes::new(), Some(expected)).await
    }

    pub(super) async fn sweep_once(&self, limit: usize) -> Result<Swept> {
        let mirror = self.mirror("sweep").await?;
        self.finish_clears(mirror).await?;
        for write in mirror.lost_pieces() {
            self.discard("sweep", Some((0, write))).await;
        }
        let mut swept = Swept::default();
        for (due, by) in [
            (Due::Entry, self.life.wall_ms()),
            (Due::Tombstone, self.life.floor_now()),
            (Due::Floor, self.life.floor_now()),
        ] {
            let done = usize::try_from(swept.expired + swept.floors).unwrap_or(limit);
            let left = limit.saturating_sub(done);
            let mut found = mirror.due(due, by, left.saturating_add(1));
            swept.more |= found.len() > left;
            found.truncate(left);
            let removed = stream::iter(found)
                .map(|(ends, what)| async move { self.remove(mirror, due, ends, &what).await })
                .buffer_unordered(TOGETHER);
            let removed: Vec<Result<bool>> = removed.collect().await;
            for removed in removed {
                match due {
                    Due::Entry => swept.expired += u64::from(removed?),
                    Due::Tombstone | Due::Floor => swept.floors += u64::from(removed?),
                }
            }
        }
        Ok(swept)
    }

    /// Removes what clears left whose callers have gone in their midst.
    async fn finish_clears(&self, mirror: &Mirror) -> Result<()> {
        for (floor, space) in mirror.unpurged() {
            let namespace = match space.split_first() {
                None => None,
                Some((_, name)) => Some(Namespace::new(name)?),
            };
            let subjects = self.link.subjects.heads(namespace.as_ref());
            self.link.purge(writes("sweep"), subjects, Some(floor)).await?;
            mirror.purged(floor);
        }
        Ok(())
    }

    /// Removes one that is due, unless it was written anew.
    async fn remove(&self, mirror: &Mirror, due: Due, ends: u64, what: &Bytes) -> Result<bool> {
        let subjects = &self.link.subjects;
        match due {
            Due::Floor => {
                let Some(sequence) = mirror.floor_due(ends, what) else { return Ok(false) };
                let namespace = match what.split_first() {
                    None => None,
                    Some((_, name)) => Some(Namespace::new(name)?),
                };
                let subject = subjects.floor(namespace.as_ref());
                self.link.purge(writes("sweep"), subject, Some(sequence + 1)).await?;
            }
            Due::Tombstone => {
                let Some(known) = mirror.known_due(due, ends, what) else { return Ok(false) };
                let subject = subjects.head(&Key::from_flat(what.clone())?);
                self.link.purge(writes("sweep"), subject, Some(known.sequence + 1)).await?;
            }
            Due::Entry => {
                let Some(known) = mirror.known_due(due, ends, what) else { return Ok(false) };
                let subject = subjects.head(&Key::from_flat(what.clone())?);
                let stamp = Stamp::Given(known.version);
                let left = Head::floor(what.clone(), stamp, self.life.floor_deadline());
                let (header, payload) = (Some(left.to_header()), left.payload(Bytes::new()));
                let intent = writes("sweep");
                let stored =
                    self.link.publish(intent, subject, header, payload, Some(known.sequence)).await?;
                let Some(sequence) = stored else { return Ok(false) };
                self.discard("sweep", known.pieces).await;
                // What is asked for next is not to find it again.
                return self.reached("sweep", sequence).await.map(|()| true);
            }
        }
        mirror.forget(due, ends, what);
        Ok(true)
    }
}
