//! `If-Match` and `If-None-Match`. An ETag is the version of an entry in quotes, so it names one write of one key.

use axum::http::header::{ETAG, IF_MATCH, IF_NONE_MATCH};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use terrace_store::Version;

use super::problem::Problem;

/// What a request depends on.
#[derive(Debug, Default)]
pub(crate) struct Preconditions {
    matches: Option<Tags>,
    none_matches: Option<Tags>,
}

#[derive(Debug)]
enum Tags {
    /// `*`: any entry.
    Any,
    /// One of these.
    Listed(Vec<Tag>),
}

#[derive(Debug)]
struct Tag {
    weak: bool,
    /// `None` if the tag is none of ours, and so names nothing.
    version: Option<Version>,
}

/// The ETag of a version.
pub(crate) fn etag(version: Version) -> HeaderValue {
    // Digits and quotes are always a header value.
    HeaderValue::from_str(&format!("\"{version}\"")).unwrap_or(HeaderValue::from_static("\"\""))
}

impl Preconditions {
    /// Those of these headers.
    pub(crate) fn of(headers: &HeaderMap) -> Result<Self, Problem> {
        Ok(Self { matches: tags(headers, &IF_MATCH)?, none_matches: tags(headers, &IF_NONE_MATCH)? })
    }

    /// Whether there are any.
    pub(crate) fn any(&self) -> bool {
        self.matches.is_some() || self.none_matches.is_some()
    }

    /// Whether a write may be done over what is there.
    ///
    /// # Errors
    /// 412 with the ETag of what is there.
    pub(crate) fn allow_write(&self, current: Option<Version>) -> Result<(), Problem> {
        let matches = self.matches.as_ref().is_none_or(|tags| tags.name_strongly(current));
        let free = self.none_matches.as_ref().is_none_or(|tags| !tags.name(current));
        if matches && free { Ok(()) } else { Err(failed(current)) }
    }

    /// Whether what is there is to be sent: `false` means that the asker has it already.
    ///
    /// # Errors
    /// 412 with the ETag of what is there, if it is not the one asked for.
    pub(crate) fn wants(&self, current: Version) -> Result<bool, Problem> {
        if self.matches.as_ref().is_some_and(|tags| !tags.name_strongly(Some(current))) {
            return Err(failed(Some(current)));
        }
        Ok(self.none_matches.as_ref().is_none_or(|tags| !tags.name(Some(current))))
    }
}

fn failed(current: Option<Version>) -> Problem {
    let status = StatusCode::PRECONDITION_FAILED;
    match current {
        Some(version) => {
            let detail = format!("the entry is there with version {version}; nothing was changed");
            Problem::new(status, "conflict", detail).with(ETAG, etag(version))
        }
        None => Problem::new(status, "conflict", "there is no entry with this key; nothing was changed"),
    }
}

impl Tags {
    /// The weak comparison of RFC 9110.
    fn name(&self, current: Option<Version>) -> bool {
        match self {
            Self::Any => current.is_some(),
            Self::Listed(tags) => current.is_some() && tags.iter().any(|tag| tag.version == current),
        }
    }

    /// The strong comparison: a weak tag names nothing.
    fn name_strongly(&self, current: Option<Version>) -> bool {
        match self {
            Self::Any => current.is_some(),
            Self::Listed(tags) => {
                current.is_some() && tags.iter().any(|tag| !tag.weak && tag.version == current)
            }
        }
    }
}

fn tags(headers: &HeaderMap, name: &HeaderName) -> Result<Option<Tags>, Problem> {
    let mut listed = Vec::new();
    let mut given = false;
    for value in headers.get_all(name) {
        given = true;
        let text = value.to_str().map_err(|_| malformed(name))?.trim();
        if text == "*" {
            return Ok(Some(Tags::Any));
        }
        parse_list(text, &mut listed).ok_or_else(|| malformed(name))?;
    }
    Ok(given.then_some(Tags::Listed(listed)))
}

fn parse_list(text: &str, tags: &mut Vec<Tag>) -> Option<()> {
    let mut rest = text;
    loop {
        let (weak, quoted) = match rest.strip_prefix("W/") {
            Some(rest) => (true, rest),
            None => (false, rest),
        };
        let (tag, after) = quoted.strip_prefix('"')?.split_once('"')?;
        tags.push(Tag { weak, version: tag.parse().ok().map(Version) });
        rest = after.trim_start();
        if rest.is_empty() {
            return Some(());
        }
        rest = rest.strip_prefix(',')?.trim_start();
    }
}

fn malformed(name: &HeaderName) -> Problem {
    Problem::invalid(format!("`{name}` is `*` or a list of ETags in double quotes, such as \"12\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn conditions(pairs: &[(HeaderName, &'static str)]) -> Result<Preconditions, Problem> {
        let headers = pairs.iter().map(|(name, value)| (name.clone(), HeaderValue::from_static(value)));
        let mut map = HeaderMap::new();
        headers.for_each(|(name, value)| {
            map.append(name, value);
        });
        Preconditions::of(&map)
    }

    #[test]
    fn a_write_depends_on_what_its_headers_say() {
        type Headers<'a> = &'a [(HeaderName, &'static str)];
        let cases: [(Headers<'_>, Option<u64>, bool); 12] = [
            (&[], None, true),
            (&[], Some(5), true),
            (&[(IF_MATCH, "*")], None, false),
            (&[(IF_MATCH, "*")], Some(5), true),
            (&[(IF_MATCH, "\"4\" , \"5\"")], Some(5), true),
            (&[(IF_MATCH, "\"4\""), (IF_MATCH, "\"5\"")], Some(5), true),
            (&[(IF_MATCH, "\"4\"")], Some(5), false),
            (&[(IF_MATCH, "W/\"5\"")], Some(5), false),
            (&[(IF_MATCH, "\"x\"")], None, false),
            (&[(IF_NONE_MATCH, "*")], None, true),
            (&[(IF_NONE_MATCH, "*")], Some(5), false),
            (&[(IF_NONE_MATCH, "W/\"5\"")], Some(5), false),
        ];
        for (headers, current, allowed) in cases {
            let conditions = conditions(headers).unwrap();
            assert_eq!(
                conditions.allow_write(current.map(Version)).is_ok(),
                allowed,
                "{headers:?} {current:?}"
            );
        }
    }

    #[test]
    fn what_is_no_list_of_tags_is_refused() {
        for text in ["5", "", "\"5", "\"5\" \"6\"", "\"5\",", "w/\"5\""] {
            assert!(conditions(&[(IF_MATCH, text)]).is_err(), "{text}");
        }
    }
}
