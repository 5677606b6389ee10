//! What outlives a process: the files, and their names with the changes that no sync of the folder has covered.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::chance::Chance;
use super::cut::Cut;
use super::inode::Inode;

#[derive(Clone, Debug)]
pub(super) enum Kind {
    Link(String, u64),
    Unlink(String),
    Rename(String, String),
}

/// A change of names, and when in the order of all changes of the disk.
#[derive(Clone, Debug)]
pub(super) struct Change {
    pub(super) order: u64,
    pub(super) kind: Kind,
}

impl Change {
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        let (one, other) = match &self.kind {
            Kind::Link(name, _) | Kind::Unlink(name) => (name, None),
            Kind::Rename(from, to) => (from, Some(to)),
        };
        std::iter::once(one.as_str()).chain(other.map(String::as_str))
    }

    fn apply(&self, names: &mut BTreeMap<String, u64>) {
        match &self.kind {
            Kind::Link(name, inode) => _ = names.insert(name.clone(), *inode),
            Kind::Unlink(name) => _ = names.remove(name),
            Kind::Rename(from, to) => {
                if let Some(inode) = names.remove(from) {
                    names.insert(to.clone(), inode);
                }
            }
        }
    }
}

/// Cheap to clone: contents are shared until somebody writes.
#[derive(Clone, Debug, Default)]
pub(super) struct Media {
    pub(super) inodes: BTreeMap<u64, Arc<Inode>>,
    /// What the folder shows.
    pub(super) names: BTreeMap<String, u64>,
    /// What the platter holds of it.
    synced: BTreeMap<String, u64>,
    changes: Vec<Change>,
    order: u64,
}

impl Media {
    /// The number of the next change of anything on the disk.
    pub(super) fn next_order(&mut self) -> u64 {
        self.order += 1;
        self.order
    }

    pub(super) fn change(&mut self, kind: Kind) {
        let change = Change { order: self.next_order(), kind };
        change.apply(&mut self.names);
        self.changes.push(change);
    }

    pub(super) fn create(&mut self, name: &str, inode: Inode) -> u64 {
        let number = self.next_order();
        self.inodes.insert(number, Arc::new(inode));
        self.change(Kind::Link(name.to_owned(), number));
        number
    }

    pub(super) fn inode(&mut self, number: u64) -> &mut Inode {
        Arc::make_mut(self.inodes.entry(number).or_default())
    }

    pub(super) fn inode_ref(&self, number: u64) -> Option<&Inode> {
        self.inodes.get(&number).map(Arc::as_ref)
    }

    /// A sync of a file that fails: some sectors are on the platter, the others never will be.
    pub(super) fn lose_file(&mut self, number: u64, chance: &mut Chance) {
        self.inode(number).lose(&mut Cut::partial(chance));
    }

    pub(super) fn sync_names(&mut self) {
        let changes = std::mem::take(&mut self.changes);
        changes.iter().for_each(|change| change.apply(&mut self.synced));
    }

    /// A sync of the folder that fails. Names are kept by a journal, which holds what it could not write: any part
    /// of the changes may be on the platter, but none is forgotten.
    pub(super) fn fail_names(&mut self, chance: &mut Chance) {
        let kept = Cut::partial(chance).names(self.changes.clone());
        kept.iter().for_each(|change| change.apply(&mut self.synced));
        self.changes.retain(|change| kept.iter().all(|done| done.order != change.order));
    }

    /// When the unsynced changes were made.
    pub(super) fn orders(&self) -> Vec<u64> {
        let names = self.changes.iter().map(|change| change.order);
        names.chain(self.inodes.values().flat_map(|inode| inode.orders())).collect()
    }

    /// What is found when the power is back.
    pub(super) fn crash(&self, seed: u64) -> Self {
        let mut chance = Chance::new(seed);
        let mut after = self.clone();
        let mut cut = Cut::draw(self, &mut chance);
        let kept = cut.names(std::mem::take(&mut after.changes));
        cut.contents(&mut after);
        kept.iter().for_each(|change| change.apply(&mut after.synced));
        after.names.clone_from(&after.synced);
        let linked: Vec<u64> = after.names.values().copied().collect();
        after.inodes.retain(|number, _| linked.contains(number));
        after.inodes.values_mut().for_each(|inode| Arc::make_mut(inode).power_on());
        after
    }
}
