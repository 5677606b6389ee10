//! One file: what reads see, what the platter holds, and every state in between that a power cut may leave.
//!
//! Each write leaves a version of each sector that it touched, and each change of the length is remembered in
//! order, until a sync. The kernel may write a page back at any time, so *any* of a sector's versions since
//! the last sync can be what survives, independent of what happens to its neighbours: that covers lost,
//! reordered and torn writes alike. A sector itself is written whole or not at all.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// What a drive writes as one.
pub(super) const SECTOR: usize = 512;
/// What the page cache holds as one, and the unit of copy-on-write here.
pub(super) const PAGE: usize = 4096;
pub(super) const PER_PAGE: usize = PAGE / SECTOR;

/// A page that was never written takes no memory and reads as zeros.
type Page = Option<Arc<[u8; PAGE]>>;
type Sector = [u8; SECTOR];

/// A state that a sector had since the last sync, and when in the order of all changes of the disk.
#[derive(Clone, Debug)]
pub(super) struct Version {
    pub(super) order: u64,
    bytes: Arc<Sector>,
}

/// A length that the file had since the last sync.
#[derive(Clone, Copy, Debug)]
pub(super) struct Length {
    pub(super) order: u64,
    len: u64,
}

/// What chance decides for one file when the power is cut.
pub(super) trait Fate {
    /// How many of these changes of the length, oldest first, have reached the disk.
    fn lengths(&mut self, changes: &[Length]) -> usize;
    /// Which of the sector's versions has reached the disk: 0 is what was there at the last sync.
    fn version(&mut self, sector: u64, versions: &[Version]) -> usize;
}

/// Everything reaches the disk, as after a sync that succeeded.
struct Synced;

impl Fate for Synced {
    fn lengths(&mut self, changes: &[Length]) -> usize {
        changes.len()
    }
    fn version(&mut self, _: u64, versions: &[Version]) -> usize {
        versions.len()
    }
}

#[derive(Clone, Debug, Default)]
pub(super) struct Inode {
    pages: Vec<Page>,
    len: u64,
    platter: Vec<Page>,
    platter_len: u64,
    lengths: Vec<Length>,
    dirty: BTreeMap<u64, Vec<Version>>,
    /// Pages of which a failed sync lost something: their cache and their platter differ for good.
    lost: BTreeSet<usize>,
    /// Sectors that answer with an error.
    bad: BTreeSet<u64>,
    reserved: u64,
}

fn page_of(at: u64) -> usize {
    usize::try_from(at / PAGE as u64).unwrap_or(usize::MAX)
}

fn within(at: u64) -> usize {
    usize::try_from(at % PAGE as u64).unwrap_or_default()
}

fn sector_of(pages: &[Page], sector: u64) -> Sector {
    let mut bytes = [0; SECTOR];
    let at = sector * SECTOR as u64;
    if let Some(Some(page)) = pages.get(page_of(at)) {
        bytes.copy_from_slice(&page[within(at)..][..SECTOR]);
    }
    bytes
}

/// The page's bytes for writing; a page that images share is copied first.
fn page_mut(pages: &mut Vec<Page>, page: usize) -> &mut [u8; PAGE] {
    if pages.len() <= page {
        pages.resize(page + 1, None);
    }
    Arc::make_mut(pages[page].get_or_insert_with(|| Arc::new([0; PAGE])))
}

fn set_sector(pages: &mut Vec<Page>, sector: u64, bytes: &Sector) {
    let at = sector * SECTOR as u64;
    page_mut(pages, page_of(at))[within(at)..][..SECTOR].copy_from_slice(bytes);
}

/// Zeros from `len` on, as a file has that is cut and grows again.
fn cut_pages(pages: &mut Vec<Page>, len: u64) {
    let (page, rest) = (page_of(len), within(len));
    if rest > 0 && pages.get(page).is_some_and(Option::is_some) {
        page_mut(pages, page)[rest..].fill(0);
    }
    pages.truncate(page + usize::from(rest > 0));
}

impl Inode {
    pub(super) fn of(bytes: &[u8]) -> Self {
        let mut inode = Self::default();
        inode.write(bytes, 0, 0);
        inode.sync();
        inode
    }

    pub(super) fn len(&self) -> u64 {
        self.len
    }

    /// Bytes of disk that the file takes.
    pub(super) fn space(&self) -> u64 {
        let reserved = page_of(self.reserved + PAGE as u64 - 1);
        let beyond = self.pages.iter().skip(reserved).filter(|page| page.is_some()).count();
        (reserved + beyond) as u64 * PAGE as u64
    }

    /// Bytes of disk that a write would take beyond that.
    pub(super) fn missing(&self, at: u64, len: u64) -> u64 {
        let reserved = page_of(self.reserved + PAGE as u64 - 1);
        let last = page_of(at + len + PAGE as u64 - 1);
        let absent = |page: &usize| self.pages.get(*page).is_none_or(Option::is_none);
        (page_of(at).max(reserved)..last).filter(absent).count() as u64 * PAGE as u64
    }

    pub(super) fn is_dirty(&self) -> bool {
        !self.dirty.is_empty() || !self.lengths.is_empty()
    }

    /// When the unsynced changes were made.
    pub(super) fn orders(&self) -> impl Iterator<Item = u64> {
        let contents = self.dirty.values().flatten().map(|version| version.order);
        contents.chain(self.lengths.iter().map(|length| length.order))
    }

    /// The bytes read, or nothing if a sector among them is bad.
    pub(super) fn read(&self, into: &mut [u8], at: u64) -> Option<usize> {
        let len = usize::try_from(self.len.saturating_sub(at)).unwrap_or(usize::MAX).min(into.len());
        if len > 0 {
            let sectors = at / SECTOR as u64..=(at + len as u64 - 1) / SECTOR as u64;
            if self.bad.range(sectors).next().is_some() {
                return None;
            }
        }
        let mut done = 0;
        while done < len {
            let place = at + done as u64;
            let take = (PAGE - within(place)).min(len - done);
            match self.pages.get(page_of(place)) {
                Some(Some(page)) => into[done..done + take].copy_from_slice(&page[within(place)..][..take]),
                _ => into[done..done + take].fill(0),
            }
            done += take;
        }
        Some(len)
    }

    pub(super) fn write(&mut self, bytes: &[u8], at: u64, order: u64) {
        let mut done = 0;
        while done < bytes.len() {
            let place = at + done as u64;
            let take = (PAGE - within(place)).min(bytes.len() - done);
            page_mut(&mut self.pages, page_of(place))[within(place)..][..take]
                .copy_from_slice(&bytes[done..done + take]);
            done += take;
        }
        self.touch(at, bytes.len() as u64, order);
        let end = at + bytes.len() as u64;
        if end > self.len {
            self.set_len(end, order);
        }
    }

    fn touch(&mut self, at: u64, len: u64, order: u64) {
        let last = (at + len).div_ceil(SECTOR as u64);
        for sector in at / SECTOR as u64..last {
            let bytes = Arc::new(sector_of(&self.pages, sector));
            self.bad.remove(&sector);
            self.dirty.entry(sector).or_default().push(Version { order, bytes });
        }
    }

    fn set_len(&mut self, len: u64, order: u64) {
        self.len = len;
        self.lengths.push(Length { order, len });
    }

    pub(super) fn allocate(&mut self, len: u64, order: u64) {
        self.reserved = self.reserved.max(len);
        if len > self.len {
            self.set_len(len, order);
        }
    }

    pub(super) fn truncate(&mut self, len: u64, order: u64) {
        if len == self.len {
            self.reserved = self.reserved.min(len);
            return;
        }
        let shrinks = len < self.len;
        self.set_len(len, order);
        self.reserved = self.reserved.min(len);
        if shrinks {
            cut_pages(&mut self.pages, len);
            // The kernel zeroes the rest of the last page in its cache and writes it back as any other page.
            let rest = len.next_multiple_of(SECTOR as u64) - len;
            self.touch(len, rest, order);
        }
    }

    /// What the file is when everything so far has reached the platter.
    pub(super) fn sync(&mut self) {
        if !self.lengths.is_empty() || !self.lost.is_empty() {
            return self.settle(&mut Synced);
        }
        // The common case shares the cache's pages instead of copying their sectors.
        for (sector, _) in std::mem::take(&mut self.dirty) {
            let page = page_of(sector * SECTOR as u64);
            if self.platter.len() <= page {
                self.platter.resize(page + 1, None);
            }
            self.platter[page] = self.pages.get(page).cloned().flatten();
        }
    }

    /// Puts on the platter what fate keeps of the changes since the last sync, and forgets the others.
    pub(super) fn settle(&mut self, fate: &mut dyn Fate) {
        let lengths = std::mem::take(&mut self.lengths);
        let kept = fate.lengths(&lengths).min(lengths.len());
        for change in &lengths[..kept] {
            if change.len < self.platter_len {
                cut_pages(&mut self.platter, change.len);
            }
            self.platter_len = change.len;
        }
        for (sector, versions) in std::mem::take(&mut self.dirty) {
            let chosen = fate.version(sector, &versions).min(versions.len());
            let Some(version) = chosen.checked_sub(1).and_then(|index| versions.get(index)) else { continue };
            // What was written before the file was cut there went with the cut.
            let start = sector * SECTOR as u64;
            let gone = lengths[..kept].iter().any(|cut| cut.order > version.order && cut.len <= start);
            if !gone {
                set_sector(&mut self.platter, sector, &version.bytes);
            }
        }
    }

    /// A sync that fails: fate says what got out in time, the cache goes on showing everything, and no later
    /// sync writes what was lost, for its pages are marked clean.
    pub(super) fn lose(&mut self, fate: &mut dyn Fate) {
        self.lost.extend(self.dirty.keys().map(|sector| page_of(sector * SECTOR as u64)));
        self.settle(fate);
    }

    /// Power comes back: the cache is empty, and reads see the platter.
    pub(super) fn power_on(&mut self) {
        self.len = self.platter_len;
        cut_pages(&mut self.platter, self.platter_len);
        self.pages.clone_from(&self.platter);
        self.lost.clear();
        self.reserved = self.reserved.min(self.len);
    }

    /// The sectors that the next sync has to write.
    pub(super) fn dirty_sectors(&self) -> Vec<u64> {
        self.dirty.keys().copied().collect()
    }

    /// The drive takes a sector to the wrong place: its own keeps what it had, and another one is overwritten.
    pub(super) fn misdirect(&mut self, sector: u64, onto: u64) {
        let Some(bytes) = self.dirty.remove(&sector).and_then(|mut versions| versions.pop()) else { return };
        set_sector(&mut self.platter, onto, &bytes.bytes);
        set_sector(&mut self.pages, onto, &bytes.bytes);
        self.lost.insert(page_of(sector * SECTOR as u64));
    }

    /// Changes bytes behind everybody's back, in the cache and on the platter.
    pub(super) fn damage(&mut self, at: u64, change: impl Fn(u8) -> u8) {
        if at < self.len {
            for pages in [&mut self.pages, &mut self.platter] {
                let byte = &mut page_mut(pages, page_of(at))[within(at)];
                *byte = change(*byte);
            }
        }
    }

    pub(super) fn spoil(&mut self, at: u64) {
        self.bad.insert(at / SECTOR as u64);
    }
}
