//! What is over goes: entries leave a tombstone, tombstones go once their floor is not needed any more, folders that were
//! cleared are emptied.

use bytes::Bytes;
use object_store::path::Path;
use terrace_store::{Key, Result, Swept};

use super::head::Head;
use super::header::{HEADER, Header};
use super::link::Over;
use super::{Inner, Removed, names};

/// What became of what a marker stands for.
enum Due {
    /// An entry has left a tombstone.
    Expired,
    /// A tombstone is gone.
    Forgotten,
    /// There was nothing to do, and never will be.
    Needless,
    /// It is to be looked at again.
    Later,
}

impl Inner {
    pub(super) async fn sweep(&self, limit: usize) -> Result<Swept> {
        self.ready("sweep").await?;
        let head = self.heads.within(&self.link, "sweep", 0).await?;
        let (mut swept, wall) = (Swept::default(), self.life.wall_ms());
        let markers = self.names.markers();
        let mut listing = self.link.list("sweep", &markers, &markers).await?;
        while let Some(marker) = listing.next(&self.link).await? {
            let Some(ends_ms) = names::due(&marker.location) else { continue };
            if ends_ms > wall {
                break;
            }
            let full = swept.expired + swept.floors >= limit as u64;
            match self.end(&head, &marker.location, ends_ms, full).await? {
                None => {
                    swept.more = true;
                    return Ok(swept);
                }
                Some(Due::Later) => continue,
                Some(Due::Expired) => swept.expired += 1,
                Some(Due::Forgotten) => swept.floors += 1,
                Some(Due::Needless) => {}
            }
            self.link.remove_anyway("sweep", &marker.location).await?;
        }
        self.bury(&head, 1000).await?;
        Ok(swept)
    }

    /// Ends what a marker stands for, if that is over; `None` if it is and nothing more may be done.
    async fn end(&self, head: &Head, marker: &Path, ends_ms: u64, full: bool) -> Result<Option<Due>> {
        let Some((cleared, key)) = self.marked(marker).await? else { return Ok(Some(Due::Needless)) };
        if cleared < head.cleared_of(&key) {
            return Ok(Some(Due::Needless));
        }
        let _turn = self.turn(&key).await;
        let path = self.names.object(cleared, &key);
        let Some(found) = self.link.read("sweep", &path, Some(HEADER)).await? else {
            return Ok(Some(Due::Needless));
        };
        let header = Header::parse(&found.bytes).ok().filter(|header| header.ends_ms == ends_ms);
        // It was written anew since, with another end.
        let Some(header) = header else { return Ok(Some(Due::Needless)) };
        if header.tombstone && ends_ms > self.life.floor_now() {
            return Ok(Some(Due::Later));
        }
        if full {
            return Ok(None);
        }
        if header.tombstone {
            return Ok(Some(match self.link.remove("sweep", &path, &found.tag).await? {
                Removed::Done => Due::Forgotten,
                Removed::Changed | Removed::CannotJudge => Due::Needless,
            }));
        }
        let ends_ms = self.life.floor_deadline();
        self.mark("sweep", head, &key, ends_ms).await?;
        let tombstone = Header::new(true, header.version, ends_ms).tombstone(&key);
        let put = self.link.write("sweep", &path, tombstone.into(), Over::Tag(found.tag)).await?;
        Ok(Some(if put.is_some() { Due::Expired } else { Due::Needless }))
    }

    /// What a marker says: in which folder the key is.
    async fn marked(&self, marker: &Path) -> Result<Option<(u64, Key)>> {
        let Some(found) = self.link.read("sweep", marker, None).await? else { return Ok(None) };
        let Some((cleared, flat)) = found.bytes.split_first_chunk::<8>() else { return Ok(None) };
        let key = Key::from_flat(Bytes::copy_from_slice(flat)).ok();
        Ok(key.map(|key| (u64::from_be_bytes(*cleared), key)))
    }

    /// Empties folders that were cleared. Nothing is ever written into them but by who began before.
    pub(super) async fn bury(&self, head: &Head, mut limit: usize) -> Result<()> {
        for space in self.folders(head).await?.1 {
            let mut listing = self.link.list("sweep", &space, &space).await?;
            loop {
                let mut some = Vec::new();
                while some.len() < limit.min(1000)
                    && let Some(object) = listing.next(&self.link).await?
                {
                    some.push(object.location);
                }
                if some.is_empty() {
                    break;
                }
                limit -= some.len();
                self.link.remove_many("sweep", some).await?;
            }
            if limit == 0 {
                break;
            }
        }
        Ok(())
    }
}
