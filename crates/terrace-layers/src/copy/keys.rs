//! The keys of two stores side by side, each once, in order.

use std::collections::VecDeque;

use terrace_store::{Key, Namespace, Result, Store};

use super::page::Pages;

/// The keys that either of two stores has.
pub(super) struct Both<'a> {
    sides: [Side<'a>; 2],
}

struct Side<'a> {
    pages: Option<Pages<'a>>,
    keys: VecDeque<Key>,
}

impl Side<'_> {
    async fn fill(&mut self) -> Result<()> {
        while self.keys.is_empty() {
            let Some(pages) = &mut self.pages else { return Ok(()) };
            match pages.next().await? {
                Some(keys) => self.keys.extend(keys),
                None => self.pages = None,
            }
        }
        Ok(())
    }
}

impl<'a> Both<'a> {
    /// Those of a namespace after this key; of the second store only if it is given.
    pub(super) fn new(
        first: &'a dyn Store,
        second: Option<&'a dyn Store>,
        namespace: &Namespace,
        after: Option<&Key>,
    ) -> Self {
        let side = |store: Option<&'a dyn Store>| Side {
            pages: store.map(|store| Pages::new(store, namespace.clone(), after.cloned())),
            keys: VecDeque::new(),
        };
        Self { sides: [side(Some(first)), side(second)] }
    }

    /// The next keys, at most so many; none at the end.
    pub(super) async fn next(&mut self, most: usize) -> Result<Vec<Key>> {
        let mut keys = Vec::new();
        while keys.len() < most.max(1) {
            for side in &mut self.sides {
                side.fill().await?;
            }
            let Some(next) = self.sides.iter().filter_map(|side| side.keys.front()).min().cloned() else {
                break;
            };
            for side in &mut self.sides {
                // What is written while it is listed may come twice.
                while side.keys.front().is_some_and(|key| *key <= next) {
                    side.keys.pop_front();
                }
            }
            keys.push(next);
        }
        Ok(keys)
    }
}
