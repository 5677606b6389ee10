//! The face of an [`ObjectStore`]: reads by parts, everything else by the store beneath, and what it changes forgotten.

use std::collections::HashSet;
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::stream::{self, BoxStream, StreamExt, TryStreamExt};
use object_store::path::Path;
use object_store::{
    CopyOptions, GetOptions, GetRange, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, RenameOptions, Result, UploadPart,
};

use super::{CachedObjectStore, Shared, TOGETHER};

#[deny(clippy::missing_trait_methods)]
#[async_trait]
impl ObjectStore for CachedObjectStore {
    async fn put_opts(&self, location: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        let _forgetting = self.shared.forgetting(location);
        self.shared.inner.put_opts(location, payload, options).await
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        let inner = self.shared.inner.put_multipart_opts(location, options).await?;
        Ok(Box::new(Upload { inner, shared: Arc::clone(&self.shared), location: location.clone() }))
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.shared.get(location, options).await
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        let reads = ranges.iter().cloned().map(|range| async move {
            let options = GetOptions { range: Some(GetRange::Bounded(range)), ..GetOptions::new() };
            self.shared.get(location, options).await?.bytes().await
        });
        stream::iter(reads.collect::<Vec<_>>()).buffered(TOGETHER).try_collect().await
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        let leaving = Arc::new(Leaving { shared: Arc::clone(&self.shared), locations: Mutex::default() });
        let asked = Arc::clone(&leaving);
        let noted = locations.inspect_ok(move |location| {
            let mut locations = asked.locations.lock().unwrap_or_else(PoisonError::into_inner);
            locations.insert(location.clone());
        });
        let deleted = self.shared.inner.delete_stream(noted.boxed());
        deleted.inspect(move |deleted| leaving.left(deleted.as_ref().ok())).boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.shared.inner.list(prefix)
    }

    fn list_with_offset(
        &self,
        prefix: Option<&Path>,
        offset: &Path,
    ) -> BoxStream<'static, Result<ObjectMeta>> {
        self.shared.inner.list_with_offset(prefix, offset)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.shared.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        let _forgetting = self.shared.forgetting(to);
        self.shared.inner.copy_opts(from, to, options).await
    }

    async fn rename_opts(&self, from: &Path, to: &Path, options: RenameOptions) -> Result<()> {
        let _forgetting = (self.shared.forgetting(from), self.shared.forgetting(to));
        self.shared.inner.rename_opts(from, to, options).await
    }
}

/// Objects that are being deleted. What is not told of in the end, because a deletion failed or was dropped, may be gone
/// all the same.
struct Leaving {
    shared: Arc<Shared>,
    locations: Mutex<HashSet<Path>>,
}

impl Leaving {
    fn left(&self, location: Option<&Path>) {
        let mut locations = self.locations.lock().unwrap_or_else(PoisonError::into_inner);
        match location {
            Some(location) => {
                locations.remove(location);
                self.shared.forget(location);
            }
            None => locations.iter().for_each(|location| self.shared.forget(location)),
        }
    }
}

impl Drop for Leaving {
    fn drop(&mut self) {
        self.left(None);
    }
}

/// An upload in parts, whose end changes the object.
struct Upload {
    inner: Box<dyn MultipartUpload>,
    shared: Arc<Shared>,
    location: Path,
}

impl std::fmt::Debug for Upload {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.inner.fmt(f)
    }
}

#[async_trait]
impl MultipartUpload for Upload {
    fn put_part(&mut self, data: PutPayload) -> UploadPart {
        self.inner.put_part(data)
    }

    async fn complete(&mut self) -> Result<PutResult> {
        let _forgetting = self.shared.forgetting(&self.location);
        self.inner.complete().await
    }

    async fn abort(&mut self) -> Result<()> {
        self.inner.abort().await
    }
}
