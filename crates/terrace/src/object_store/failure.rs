//! One failure of the store beneath, told to all who wait for the same part.

use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;

use object_store::Error as Source;
use terrace_store::Error;

/// What a load failed with. Its source is what those who wait are told.
#[derive(Debug)]
pub(super) struct Failure(Shared);

/// An error that several have.
#[derive(Clone, Debug)]
struct Shared(Arc<Source>);

impl Failure {
    pub(super) fn of(source: Source) -> Self {
        Self(Shared(Arc::new(source)))
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl StdError for Failure {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        Some(&self.0)
    }
}

impl fmt::Display for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl StdError for Shared {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.source()
    }
}

/// What the cache failed with, as the store beneath would have told it.
pub(super) fn told(error: Error) -> Source {
    let mut next = StdError::source(&error);
    while let Some(beneath) = next {
        if let Some(shared) = beneath.downcast_ref::<Shared>() {
            return again(shared);
        }
        next = beneath.source();
    }
    Source::Generic { store: "Terrace", source: Box::new(error) }
}

fn again(shared: &Shared) -> Source {
    let (source, all) = (Box::new(shared.clone()), &*shared.0);
    let same = |path: &String| path.clone();
    match all {
        Source::NotFound { path, .. } => Source::NotFound { path: same(path), source },
        Source::AlreadyExists { path, .. } => Source::AlreadyExists { path: same(path), source },
        Source::Precondition { path, .. } => Source::Precondition { path: same(path), source },
        Source::NotModified { path, .. } => Source::NotModified { path: same(path), source },
        Source::PermissionDenied { path, .. } => Source::PermissionDenied { path: same(path), source },
        Source::Unauthenticated { path, .. } => Source::Unauthenticated { path: same(path), source },
        Source::NotSupported { .. } => Source::NotSupported { source },
        _ => Source::Generic { store: "Terrace", source },
    }
}
