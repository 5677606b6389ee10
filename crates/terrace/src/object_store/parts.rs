//! Reading: a range is cut into parts, and each is taken from the cache or asked for once.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::stream::{self, StreamExt};
use object_store::path::Path;
use object_store::{Error, Extensions, GetOptions, GetRange, GetResult, GetResultPayload, Result};

use super::failure::{Failure, told};
use super::{Head, Shared, TOGETHER};

/// How often an object that changes all the time is read anew before it is read past the cache.
const ATTEMPTS: usize = 4;

impl Head {
    /// The ETag, if it tells every state of the object from every other.
    fn tag(&self) -> Option<&str> {
        self.meta.e_tag.as_deref().filter(|tag| !tag.starts_with("W/") && *tag != "*")
    }
}

fn depends(options: &GetOptions) -> bool {
    options.if_match.is_some()
        || options.if_none_match.is_some()
        || options.if_modified_since.is_some()
        || options.if_unmodified_since.is_some()
}

impl Shared {
    pub(super) async fn get(self: &Arc<Self>, location: &Path, options: GetOptions) -> Result<GetResult> {
        if options.version.is_some() || !options.extensions.is_empty() {
            return self.inner.get_opts(location, options).await;
        }
        for _ in 0..ATTEMPTS {
            // What depends on the state of the object depends on the one it has now.
            let head =
                if depends(&options) { self.ask_head(location).await? } else { self.head(location).await? };
            options.check_preconditions(&head.meta)?;
            if options.head {
                return Ok(head.result(0..head.meta.size, stream::empty().boxed()));
            }
            let range = match options.range.as_ref().map(|range| range.as_range(head.meta.size)) {
                None => Some(0..head.meta.size),
                Some(range) => range.ok(),
            };
            // What cannot be cached, or is wrong, the store beneath tells in its own way.
            let (Some(_), Some(range)) = (head.tag(), range) else { break };
            if range.is_empty() {
                return Ok(head.result(range, stream::empty().boxed()));
            }
            match self.part(&head, range.start / self.part_size).await {
                Ok(first) => return Ok(self.stream(head, range, first)),
                // It has changed since its head was asked for.
                Err(Error::Precondition { .. } | Error::NotFound { .. }) => self.forget(location),
                Err(error) => return Err(error),
            }
        }
        self.inner.get_opts(location, options).await
    }

    /// The bytes of a range, whose first part is there.
    fn stream(self: &Arc<Self>, head: Arc<Head>, range: Range<u64>, first: Bytes) -> GetResult {
        let (size, all) = (self.part_size, range.clone());
        let (from, to) = (range.start / size, (range.end - 1) / size);
        let (shared, of) = (Arc::clone(self), Arc::clone(&head));
        let later = stream::iter(from + 1..=to).map(move |number| {
            let (shared, of) = (Arc::clone(&shared), Arc::clone(&of));
            async move {
                let part = shared.part(&of, number).await;
                // It has changed while it was read: who reads it again asks for its head anew.
                if let Err(Error::Precondition { .. } | Error::NotFound { .. }) = &part {
                    shared.forget(&of.meta.location);
                }
                part
            }
        });
        let parts = stream::iter([Ok(first)]).chain(later.buffered(TOGETHER)).enumerate();
        let cut = parts.map(move |(n, part)| {
            let part: Bytes = part?;
            let start = (from + n as u64) * size;
            let within = |at: u64| at.clamp(start, start + part.len() as u64) - start;
            Ok(part.slice(within(all.start) as usize..within(all.end) as usize))
        });
        head.result(range, cut.boxed())
    }

    /// A part of this state of an object.
    async fn part(self: &Arc<Self>, head: &Arc<Head>, number: u64) -> Result<Bytes> {
        let range = number * self.part_size..((number + 1) * self.part_size).min(head.meta.size);
        let tag = head.tag().unwrap_or_default();
        let version = head.meta.version.as_deref().unwrap_or_default();
        let (location, length) = (&head.meta.location, range.end - range.start);
        let key = format!("{location}\0{tag}\0{version}\0{}\0{}\0{number}", head.meta.size, self.part_size);
        let (shared, of, asked) = (Arc::clone(self), Arc::clone(head), range.clone());
        let load = |_| async move { shared.ask_part(&of, asked).await.map_err(Failure::of) };
        let part = self.parts.get_or_load(&key, load).await.map_err(told)?;
        match part.len() as u64 == length {
            true => Ok(part),
            // Nothing of ours wrote that.
            false => self.ask_part(head, range).await,
        }
    }

    /// Asks for bytes of an object, if it still is in this state.
    async fn ask_part(&self, head: &Head, range: Range<u64>) -> Result<Bytes> {
        let length = range.end - range.start;
        let options = GetOptions {
            range: Some(GetRange::Bounded(range)),
            if_match: head.meta.e_tag.clone(),
            ..GetOptions::new()
        };
        let found = self.inner.get_opts(&head.meta.location, options).await?;
        let same = found.meta.e_tag == head.meta.e_tag && found.meta.size == head.meta.size;
        let bytes = found.bytes().await?;
        if same && bytes.len() as u64 == length {
            return Ok(bytes);
        }
        // A store that does not judge the condition.
        let path = head.meta.location.to_string();
        Err(Error::Precondition { path, source: "the object has changed while it was read".into() })
    }
}

impl Head {
    fn result(&self, range: Range<u64>, bytes: stream::BoxStream<'static, Result<Bytes>>) -> GetResult {
        GetResult {
            payload: GetResultPayload::Stream(bytes),
            meta: self.meta.clone(),
            range,
            attributes: self.attributes.clone(),
            extensions: Extensions::new(),
        }
    }
}
