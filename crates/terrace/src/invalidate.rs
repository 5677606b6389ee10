//! What many keys at once are called.

use bytes::Bytes;
use terrace_store::Namespace;
use terrace_tiers::Scope;

/// Everything with this tag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tag<T>(pub T);

/// Every key that begins with these bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Prefix<T>(pub T);

/// Many keys, by something they have in common.
pub trait Target {
    /// What it is called in the tiers.
    fn scope(self, namespace: &Namespace) -> Scope;
}

impl<T: AsRef<[u8]>> Target for Tag<T> {
    fn scope(self, _: &Namespace) -> Scope {
        Scope::Tag(Bytes::copy_from_slice(self.0.as_ref()))
    }
}

impl<T: AsRef<[u8]>> Target for Prefix<T> {
    fn scope(self, namespace: &Namespace) -> Scope {
        Scope::Prefix(namespace.clone(), Bytes::copy_from_slice(self.0.as_ref()))
    }
}
