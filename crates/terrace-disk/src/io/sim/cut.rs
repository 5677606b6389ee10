//! The power goes: which of the unsynced changes are found afterwards.
//!
//! Contents, lengths and names are decided apart from each other, each in one of several ways, because bugs hide
//! at the ends (everything but one sector kept, nothing but one kept) as much as in the middle. Names follow
//! what every journalling file system keeps: a rename is whole or not at all, and a change is never found
//! without the earlier changes of the same names that it builds on.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::chance::Chance;
use super::inode::{Fate, Length, PER_PAGE, Version};
use super::media::{Change, Media};

/// How one kind of unsynced change fares.
#[derive(Clone, Copy, Debug)]
enum Kept {
    All,
    None,
    /// What came before a moment, as on a disk that writes in order.
    Before(u64),
    /// Any subset, each with this chance in percent.
    Any(u64),
    /// Any subset of whole pages, each with this chance in percent.
    Pages(u64),
}

impl Kept {
    fn draw(chance: &mut Chance, orders: &[u64]) -> Self {
        let percent = [3, 25, 50, 75, 97][chance.index(5)];
        match chance.below(10) {
            0 => Self::All,
            1 => Self::None,
            2 | 3 => Self::Before(orders.get(chance.index(orders.len())).copied().unwrap_or_default()),
            4 | 5 => Self::Pages(percent),
            _ => Self::Any(percent),
        }
    }

    fn keeps(self, order: u64, chance: &mut Chance) -> bool {
        match self {
            Self::All => true,
            Self::None => false,
            Self::Before(moment) => order <= moment,
            Self::Any(percent) | Self::Pages(percent) => chance.percent(percent),
        }
    }
}

pub(super) struct Cut<'a> {
    chance: &'a mut Chance,
    contents: Kept,
    lengths: Kept,
    names: Kept,
    page: Option<(u64, bool)>,
}

impl<'a> Cut<'a> {
    pub(super) fn draw(media: &Media, chance: &'a mut Chance) -> Self {
        let orders = media.orders();
        let contents = Kept::draw(chance, &orders);
        let lengths = Kept::draw(chance, &orders);
        let names = Kept::draw(chance, &orders);
        Self { chance, contents, lengths, names, page: None }
    }

    /// A sync that failed: any part of it may have been done.
    pub(super) fn partial(chance: &'a mut Chance) -> Self {
        let any = Kept::Any([0, 50, 90][chance.index(3)]);
        Self { chance, contents: any, lengths: any, names: any, page: None }
    }

    /// Which of the changes of names survive; the others are gone for good.
    pub(super) fn names(&mut self, changes: Vec<Change>) -> Vec<Change> {
        let mut blocked = BTreeSet::new();
        let mut kept = Vec::new();
        for change in changes {
            let possible = change.names().all(|name| !blocked.contains(name));
            if possible && self.names.keeps(change.order, self.chance) {
                kept.push(change);
            } else {
                blocked.extend(change.names().map(str::to_owned));
            }
        }
        kept
    }

    pub(super) fn contents(&mut self, media: &mut Media) {
        for inode in media.inodes.values_mut().filter(|inode| inode.is_dirty()) {
            self.page = None;
            Arc::make_mut(inode).settle(self);
        }
    }

    /// One decision for all sectors of a page.
    fn page_keeps(&mut self, sector: u64, percent: u64) -> bool {
        let page = sector / PER_PAGE as u64;
        match self.page {
            Some((decided, keeps)) if decided == page => keeps,
            _ => {
                let keeps = self.chance.percent(percent);
                self.page = Some((page, keeps));
                keeps
            }
        }
    }
}

impl Fate for Cut<'_> {
    fn lengths(&mut self, changes: &[Length]) -> usize {
        match self.lengths {
            Kept::All => changes.len(),
            Kept::None => 0,
            Kept::Before(moment) => changes.iter().take_while(|change| change.order <= moment).count(),
            Kept::Any(_) | Kept::Pages(_) => self.chance.index(changes.len() + 1),
        }
    }

    fn version(&mut self, sector: u64, versions: &[Version]) -> usize {
        match self.contents {
            Kept::All => versions.len(),
            Kept::None => 0,
            Kept::Before(moment) => versions.iter().take_while(|version| version.order <= moment).count(),
            Kept::Pages(percent) => versions.len() * usize::from(self.page_keeps(sector, percent)),
            Kept::Any(percent) if self.chance.percent(percent) => versions.len(),
            // What was not written back last may have been written back earlier.
            Kept::Any(_) => self.chance.index(versions.len()),
        }
    }
}
