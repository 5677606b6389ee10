//! What is known about an entry, as header fields: `Terrace-Ttl`, `Terrace-Tags`, `Terrace-Meta-*` and the fields
//! HTTP has for the rest. Tags and metadata are percent-encoded where a header could not carry them as they are.

use std::collections::BTreeMap;
use std::num::NonZeroU64;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use axum::http::header::{AGE, CACHE_CONTROL, CONTENT_TYPE, ETAG};
use axum::http::{HeaderMap, HeaderName, HeaderValue};
use bytes::Bytes;
use terrace_store::{Entry, Metadata, Tags};

use super::percent::{self, Place};
use super::precondition::etag;
use super::problem::Problem;
use super::query::Query;
use crate::config::units::Span;
use crate::keyspace::Lookup;

const TTL: HeaderName = HeaderName::from_static("terrace-ttl");
const TAGS: HeaderName = HeaderName::from_static("terrace-tags");
const META: &str = "terrace-meta-";
const CACHE_STATUS: HeaderName = HeaderName::from_static("cache-status");

/// The entry these headers and parameters describe, still without its value.
pub(crate) fn entry(headers: &HeaderMap, query: &Query, wall_ms: u64) -> Result<Entry, Problem> {
    let expires_ms =
        ttl(headers, query)?.map(|ttl| wall_ms.saturating_add(ttl.get())).and_then(NonZeroU64::new);
    let metadata = metadata(headers)?;
    let metadata = (!metadata.is_empty()).then(|| Arc::new(metadata));
    Ok(Entry { expires_ms, tags: tags(headers)?, metadata, ..Entry::new(Bytes::new()) })
}

/// How long the value is to live, in milliseconds.
fn ttl(headers: &HeaderMap, query: &Query) -> Result<Option<NonZeroU64>, Problem> {
    let field = single(headers, &TTL)?;
    let text = match (field, query.text("ttl")?) {
        (Some(_), Some(_)) => {
            return Err(Problem::invalid(
                "the TTL is given both as `Terrace-Ttl` and as the parameter `ttl`",
            ));
        }
        (Some(text), None) | (None, Some(text)) => text,
        (None, None) => return Ok(None),
    };
    let span = Span::from_str(text).map_err(|error| Problem::invalid(format!("the TTL: {error}")))?;
    let ms = u64::try_from(span.0.as_millis()).ok().and_then(NonZeroU64::new);
    ms.map(Some).ok_or_else(|| Problem::invalid("the TTL is 0: to remove an entry, DELETE it"))
}

fn single<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Result<Option<&'a str>, Problem> {
    let mut values = headers.get_all(name).iter();
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err(Problem::invalid(format!("`{name}` is given twice")));
    }
    let text = value.to_str().map_err(|_| Problem::invalid(format!("`{name}` is not ASCII text")))?;
    Ok(Some(text.trim()))
}

fn tags(headers: &HeaderMap) -> Result<Tags, Problem> {
    let mut tags = Vec::new();
    for value in headers.get_all(&TAGS) {
        let parts = value.as_bytes().split(|byte| *byte == b',').map(<[u8]>::trim_ascii);
        for part in parts.filter(|part| !part.is_empty()) {
            let tag =
                percent::decode(part).map_err(|error| Problem::invalid(format!("`{TAGS}`: {error}")))?;
            tags.push(tag);
        }
    }
    Ok(Tags::new(tags)?)
}

fn metadata(headers: &HeaderMap) -> Result<Metadata, Problem> {
    let content_type = single(headers, &CONTENT_TYPE)?.filter(|text| !text.is_empty()).map(str::to_owned);
    let mut map = BTreeMap::new();
    for (name, value) in headers {
        let Some(key) = name.as_str().strip_prefix(META) else { continue };
        let wrong = |error: String| Problem::invalid(format!("`{name}`: {error}"));
        if key.is_empty() {
            return Err(wrong("a name is to follow the last dash".into()));
        }
        let value = percent::decode(value.as_bytes()).map_err(wrong)?;
        let value = String::from_utf8(value).map_err(|_| wrong("the value is not UTF-8".into()))?;
        if map.insert(key.to_owned(), value).is_some() {
            return Err(wrong("it is given twice".into()));
        }
    }
    Ok(Metadata { content_type, map })
}

/// The headers that describe what was found.
pub(crate) fn describe(lookup: &Lookup, wall_ms: u64) -> HeaderMap {
    let mut headers = HeaderMap::new();
    let value = &lookup.value;
    headers.insert(ETAG, etag(value.version));
    // Copies elsewhere are to ask again, with the ETag: only here is it known when the entry changes.
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    headers.insert(AGE, HeaderValue::from(wall_ms.saturating_sub(value.created_ms) / 1000));
    let left = value.expires_ms.map(|end| Duration::from_millis(end.get().saturating_sub(wall_ms)));
    if let Some(left) = left {
        insert(&mut headers, TTL, &Span(left).to_string());
    }
    insert(&mut headers, CACHE_STATUS, &cache_status(lookup, left));
    let about = value.about.as_deref();
    let content_type = about.and_then(Entry::content_type).and_then(|text| HeaderValue::from_str(text).ok());
    let unknown = HeaderValue::from_static("application/octet-stream");
    headers.insert(CONTENT_TYPE, content_type.unwrap_or(unknown));
    let Some(about) = about else { return headers };
    if !about.tags.is_empty() {
        let tags: Vec<String> = about.tags.iter().map(|tag| percent::encode(tag, Place::Field)).collect();
        insert(&mut headers, TAGS, &tags.join(", "));
    }
    for (key, value) in about.metadata.iter().flat_map(|metadata| &metadata.map) {
        // Names that other writers chose and that no header can have are left out.
        if let Ok(name) = HeaderName::from_str(&format!("{META}{key}")) {
            insert(&mut headers, name, &percent::encode(value.as_bytes(), Place::Field));
        }
    }
    headers
}

/// RFC 9211, with the tier that answered as the detail.
fn cache_status(lookup: &Lookup, left: Option<Duration>) -> String {
    let ttl = match (lookup.stale, left) {
        (true, _) => "; ttl=-1".to_owned(),
        (false, Some(left)) => format!("; ttl={}", left.as_secs()),
        (false, None) => String::new(),
    };
    format!("terrace; hit{ttl}; detail={}", lookup.tier)
}

/// The `Cache-Status` of a miss.
pub(crate) fn missed() -> (HeaderName, HeaderValue) {
    (CACHE_STATUS, HeaderValue::from_static("terrace; fwd=miss"))
}

fn insert(headers: &mut HeaderMap, name: HeaderName, text: &str) {
    if let Ok(value) = HeaderValue::from_str(text) {
        headers.insert(name, value);
    }
}
