//! Sealing anew what an old key sealed, or nothing did, so that the old key can go.

use terrace_store::capability::{Cursor, List};
use terrace_store::{Condition, Error, ErrorKind, Namespace, PutOptions, Result, Written};

use super::{Cipher, Encryption};
use crate::transform::Transform;

/// What a [`Encryption::reseal`] did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Resealed {
    /// Entries that were looked at.
    pub seen: u64,
    /// Entries that were sealed anew.
    pub resealed: u64,
    /// Entries that could not be opened.
    pub damaged: u64,
    /// Where to go on; `None` when the namespace is done.
    pub next: Option<Cursor>,
}

impl Encryption {
    /// Seals the entries of one page of a namespace anew that were not sealed by the current key. Their versions change,
    /// and are not bound. An entry that others write meanwhile is left to them, who seal with the current key.
    ///
    /// # Errors
    /// `NotSupported` if the store cannot list; `Config` if a key is missing; whatever the store answers.
    pub async fn reseal(
        &self,
        namespace: &Namespace,
        cursor: Option<&Cursor>,
        limit: usize,
    ) -> Result<Resealed> {
        let Some(iterate) = self.inner().as_iterate() else {
            return Err(
                Error::new(ErrorKind::NotSupported, "reseal").because("the store cannot list its entries")
            );
        };
        let current = self.transform().keyring().current().id();
        let list = List { limit, ..List::all(namespace.clone()) };
        let page = iterate.list(&list, cursor).await?;
        let mut done = Resealed { next: page.next, ..Resealed::default() };
        for (key, stored) in page.entries {
            done.seen += 1;
            if Cipher::key_id(&stored) == Some(current) {
                continue;
            }
            let version = stored.version;
            let entry = match self.transform().decode(&key, stored) {
                Ok(entry) => entry,
                Err(error) if error.kind() == ErrorKind::Config => return Err(error),
                Err(_) => {
                    done.damaged += 1;
                    continue;
                }
            };
            let options = PutOptions { condition: Condition::Match(version), ..PutOptions::default() };
            let stored = self.transform().encode(&key, entry, &options)?;
            if let Written::Stored { .. } = self.inner().put(&key, stored, options).await? {
                done.resealed += 1;
            }
        }
        Ok(done)
    }
}
