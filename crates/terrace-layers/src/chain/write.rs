//! Writing: to the first member that takes writes, with nothing left below that could show again.

use terrace_store::{
    Condition, DeleteOptions, Deleted, Entry, Error, ErrorKind, Key, PutOptions, Result, Version, Written,
};

use super::{Chain, each};

/// What a condition on the whole chain comes to.
enum Judged {
    /// The first member judges it: what a read would find is there, or the condition is of its versions.
    ByMember(Condition),
    /// It holds, and the first member must have nothing.
    Holds,
    /// It does not.
    Conflict(Option<Version>),
}

impl Chain {
    /// The version that a read would find, and whether it lies in the member that takes writes.
    async fn current(&self, key: &Key) -> Result<Option<(Version, bool)>> {
        let writer = self.members.iter().position(|member| member.takes_writes);
        let found = self.find(key).await?;
        Ok(found.map(|found| (found.entry.version, Some(found.place) == writer)))
    }

    async fn judge(&self, key: &Key, condition: Condition) -> Result<Judged> {
        if self.members.len() == 1 {
            return Ok(Judged::ByMember(condition));
        }
        Ok(match condition {
            Condition::Any => Judged::ByMember(Condition::Any),
            Condition::Newer(_) => {
                return Err(Error::new(ErrorKind::NotSupported, "put")
                    .because("versions of a chain's members say nothing about each other"));
            }
            Condition::Absent => match self.current(key).await? {
                None => Judged::Holds,
                Some((version, _)) => Judged::Conflict(Some(version)),
            },
            Condition::Match(expected) => match self.current(key).await? {
                Some((version, true)) if version == expected => Judged::ByMember(condition),
                Some((version, false)) if version == expected => Judged::Holds,
                current => Judged::Conflict(current.map(|(version, _)| version)),
            },
        })
    }

    pub(super) async fn put_first(&self, key: &Key, entry: Entry, options: PutOptions) -> Result<Written> {
        let writer = self.writer("put")?;
        options.validate(&entry)?;
        let _turn = self.turns.at(self.turns.index(key)).take().await;
        let (condition, hidden) = match self.judge(key, options.condition).await? {
            Judged::ByMember(condition) => (condition, None),
            Judged::Holds => (Condition::Absent, self.current(key).await?.map(|(version, _)| version)),
            Judged::Conflict(current) => return Ok(Written::Conflict { current }),
        };
        let was_there = hidden.is_some() || self.shows_below(key).await?;
        let written = writer.put(key, entry, PutOptions { condition, ..options }).await?;
        if let Written::Stored { version, replaced } = written {
            self.remove_below(key, options.deferred).await.map_err(unsure)?;
            return Ok(Written::Stored { version, replaced: replaced || was_there });
        }
        Ok(written)
    }

    pub(super) async fn delete_all(&self, key: &Key, options: DeleteOptions) -> Result<Deleted> {
        let writer = self.writer("delete")?;
        options.validate()?;
        let _turn = self.turns.at(self.turns.index(key)).take().await;
        let condition = match self.judge(key, options.condition).await? {
            Judged::ByMember(condition) => condition,
            Judged::Holds => Condition::Any,
            Judged::Conflict(current) => return Ok(Deleted::Conflict { current }),
        };
        let was_there = self.shows_below(key).await?;
        // From below, so that nothing shows again while the one above is gone already.
        if condition == Condition::Any {
            let removed = self.remove_below(key, options.deferred).await;
            // A closed member had nothing removed, and the others are closed with it.
            removed.map_err(|error| if error.kind() == ErrorKind::Closed { error } else { unsure(error) })?;
        }
        let deleted = writer.delete(key, DeleteOptions { condition, ..options }).await?;
        let Deleted::Done { version, existed } = deleted else { return Ok(deleted) };
        if condition != Condition::Any {
            self.remove_below(key, options.deferred).await.map_err(unsure)?;
        }
        Ok(Deleted::Done { version, existed: existed || was_there })
    }

    /// Whether a member other than the one that takes the writes has the key.
    async fn shows_below(&self, key: &Key) -> Result<bool> {
        let writer = self.members.iter().position(|member| member.takes_writes);
        for (place, member) in self.members.iter().enumerate() {
            if Some(place) != writer && member.store.exists(key).await.unwrap_or(false) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Removes the key from the other members that take writes.
    async fn remove_below(&self, key: &Key, deferred: bool) -> Result<()> {
        let below = self.writers().skip(1);
        let removed = each(below, |member| {
            Box::pin(async move {
                let options = DeleteOptions { deferred, ..DeleteOptions::default() };
                member.store.delete(key, options).await.map(drop)
            })
        });
        removed.await
    }
}

/// A part of the write was done, and an older entry may show again once the new one is gone.
fn unsure(error: Error) -> Error {
    Error::new(ErrorKind::Unknown, "put")
        .because("another member of the chain may still have an older entry; write again")
        .caused_by(error)
}
