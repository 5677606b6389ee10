//! Reading: from the first member to the last.

use terrace_store::{BoxFuture, Entry, Error, ErrorKind, Key, Result, Store};

use super::{Chain, Found};

impl Chain {
    /// Asks the members in order until one has what is looked for, and says at which place that was.
    ///
    /// # Errors
    /// That of the first member that failed, if none had it.
    pub(super) async fn ask<'a, T>(
        &'a self,
        question: impl Fn(&'a dyn Store) -> BoxFuture<'a, Result<T>>,
        is_found: impl Fn(&T) -> bool,
    ) -> Result<Option<(usize, T)>> {
        let mut failed = None;
        for (place, member) in self.members.iter().enumerate() {
            match question(&*member.store).await {
                Ok(answer) if is_found(&answer) => return Ok(Some((place, answer))),
                Ok(_) if self.fallback.on_miss => {}
                Ok(_) => break,
                // A chain is closed with its members.
                Err(error) if !self.fallback.on_error || error.kind() == ErrorKind::Closed => {
                    return Err(self.blame(error, place));
                }
                Err(error) => failed = failed.or(Some(self.blame(error, place))),
            }
        }
        failed.map_or(Ok(None), Err)
    }

    fn blame(&self, error: Error, place: usize) -> Error {
        error.with("member", &self.members[place].name)
    }

    /// The entry, and which member had it; `None` if none has.
    ///
    /// # Errors
    /// That of the first member that failed, if no other had it: then it is not certain that there is none.
    pub async fn find(&self, key: &Key) -> Result<Option<Found>> {
        let found = self.ask(|store| store.get(key), Option::is_some).await?;
        Ok(found.and_then(|(place, entry): (usize, Option<Entry>)| {
            Some(Found { entry: entry?, member: self.members[place].name.clone(), place })
        }))
    }
}
