//! What a store's URL says: `scheme:path?name=value&name=value`.
//!
//! A backend takes the options it knows one by one, and [`Url::finish`] refuses what nobody took, so that a misspelt
//! option is never silently a default.

use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use terrace_store::nearest::{did_you_mean, nearest};
use terrace_store::{Durability, Error, ErrorKind, Result};

/// A URL whose options are taken one by one; [`Url::finish`] refuses what nobody took.
pub struct Url {
    scheme: String,
    location: String,
    path: String,
    options: Vec<(String, String)>,
    known: Vec<&'static str>,
}

/// Without a password.
impl std::fmt::Debug for Url {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Url").field("location", &without_password(&self.location)).finish_non_exhaustive()
    }
}

impl Url {
    /// Takes a URL apart. `scheme://path` means the same as `scheme:path`.
    ///
    /// # Errors
    /// `Config` if it has no scheme, an option without a value, or a `%` that two hexadecimal digits do not follow.
    pub fn parse(url: &str) -> Result<Self> {
        let (scheme, rest) = url
            .split_once(':')
            .ok_or_else(|| refused(format!("`{url}` is no URL of a store: it has no scheme")))?;
        let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
        let path = decode(path.strip_prefix("//").unwrap_or(path))?;
        let mut options = Vec::new();
        for option in query.split('&').filter(|option| !option.is_empty()) {
            let (name, value) = option.split_once('=').ok_or_else(|| {
                refused(format!("option `{option}` of `{scheme}:` has no value: write name=value"))
            })?;
            options.push((decode(name)?, decode(value)?));
        }
        Ok(Self {
            scheme: scheme.to_owned(),
            location: url.split_once('?').map_or(url, |(location, _)| location).to_owned(),
            path,
            options,
            known: Vec::new(),
        })
    }

    /// What stands before the colon.
    pub fn scheme(&self) -> &str {
        &self.scheme
    }

    /// The URL without its options, as it was written.
    pub fn location(&self) -> String {
        self.location.clone()
    }

    /// The path it names.
    ///
    /// # Errors
    /// `Config` if it names none.
    pub fn path(&self) -> Result<PathBuf> {
        if self.path.is_empty() {
            return Err(refused(format!("`{}:` needs a path, such as {0}:/var/lib/terrace", self.scheme)));
        }
        Ok(PathBuf::from(&self.path))
    }

    /// Refuses a path where there is nothing it could mean.
    ///
    /// # Errors
    /// `Config` if there is one.
    pub fn no_path(&self) -> Result<()> {
        if self.path.is_empty() {
            return Ok(());
        }
        Err(refused(format!("`{}:` takes no path, but `{}` was given", self.scheme, self.path)))
    }

    /// The value of an option.
    pub fn text(&mut self, name: &'static str) -> Option<String> {
        self.known.push(name);
        let at = self.options.iter().position(|(given, _)| given == name)?;
        Some(self.options.remove(at).1)
    }

    /// The value of an option that is a number.
    ///
    /// # Errors
    /// `Config` if it is none.
    pub fn number<T: FromStr>(&mut self, name: &'static str) -> Result<Option<T>> {
        let Some(text) = self.text(name) else { return Ok(None) };
        let number =
            text.parse().map_err(|_| refused(format!("option `{name}` is not a whole number: `{text}`")))?;
        Ok(Some(number))
    }

    /// The options `durability`, `interval_ms` and `group_ms`.
    ///
    /// # Errors
    /// `Config` for another word, or a time that the durability does not have.
    pub fn durability(&mut self, default: Durability) -> Result<Durability> {
        let interval = self.number("interval_ms")?.map(Duration::from_millis);
        let group = self.number("group_ms")?.map(Duration::from_millis);
        let word = self.text("durability");
        let durability = match word.as_deref() {
            None => match (interval, group) {
                (Some(interval), _) => Durability::Interval(interval),
                (None, Some(group)) => Durability::Group(group),
                (None, None) => default,
            },
            Some("never") => Durability::Never,
            Some("interval") => Durability::Interval(interval.unwrap_or(Duration::from_secs(1))),
            Some("group") => Durability::Group(group.unwrap_or(Duration::from_millis(2))),
            Some("always") => Durability::Always,
            Some(other) => {
                return Err(refused(format!(
                    "durability is never, interval, group or always, not `{other}`"
                )));
            }
        };
        let idle = |name: &str| {
            Err(refused(format!("option `{name}` means nothing with durability={durability:?}")))
        };
        match durability {
            Durability::Interval(_) if group.is_some() => idle("group_ms"),
            Durability::Group(_) if interval.is_some() => idle("interval_ms"),
            Durability::Never | Durability::Always if interval.is_some() => idle("interval_ms"),
            Durability::Never | Durability::Always if group.is_some() => idle("group_ms"),
            _ => Ok(durability),
        }
    }

    /// The value of an option that is on or off.
    ///
    /// # Errors
    /// `Config` if it is neither `true` nor `false`.
    pub fn switch(&mut self, name: &'static str) -> Result<Option<bool>> {
        match self.text(name).as_deref() {
            None => Ok(None),
            Some("true") => Ok(Some(true)),
            Some("false") => Ok(Some(false)),
            Some(other) => Err(refused(format!("option `{name}` is true or false, not `{other}`"))),
        }
    }

    /// Refuses options that nobody took, and names those that there are.
    ///
    /// # Errors
    /// `Config` if there is such an option.
    pub fn finish(mut self) -> Result<()> {
        let Some((name, _)) = self.options.first() else { return Ok(()) };
        self.known.sort_unstable();
        let known = if self.known.is_empty() { "none".to_owned() } else { self.known.join(", ") };
        let near = match self.known.contains(&name.as_str()) {
            true => String::new(),
            false => did_you_mean(nearest(name, self.known.iter().copied())),
        };
        Err(refused(format!(
            "`{}:` has no option `{name}`, or it was given twice; its options are: {known}{near}",
            self.scheme
        )))
    }
}

/// A URL as it may be told.
pub(crate) fn without_password(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else { return url.to_owned() };
    match rest.rsplit_once('@') {
        Some((_, host)) => format!("{scheme}://...@{host}"),
        None => url.to_owned(),
    }
}

pub(crate) fn refused(why: String) -> Error {
    Error::new(ErrorKind::Config, "open").because(why)
}

/// A path or a value as it is written in a URL: what would end it, and `%`, as `%XX`.
pub fn encode(text: &str) -> String {
    text.chars().fold(String::with_capacity(text.len()), |mut out, c| {
        match c {
            '%' => out.push_str("%25"),
            '?' => out.push_str("%3f"),
            '&' => out.push_str("%26"),
            c => out.push(c),
        }
        out
    })
}

/// Resolves `%XX`.
pub(crate) fn decode(text: &str) -> Result<String> {
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        if byte != b'%' {
            out.push(byte);
            continue;
        }
        let mut digit = || bytes.next().and_then(|digit| char::from(digit).to_digit(16));
        match (digit(), digit()) {
            (Some(high), Some(low)) => out.push((high * 16 + low) as u8),
            _ => return Err(refused(format!("`{text}` has a % that two hexadecimal digits do not follow"))),
        }
    }
    String::from_utf8(out).map_err(|_| refused(format!("`{text}` is not UTF-8")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_taken_apart_with_or_without_slashes() {
        for url in ["fs:/a%20b?x=1&y=%3d", "fs:///a%20b?x=1&y=%3d"] {
            let mut url = Url::parse(url).unwrap();
            assert_eq!((url.scheme(), url.path().unwrap()), ("fs", PathBuf::from("/a b")));
            assert_eq!((url.number::<u64>("x").unwrap(), url.text("y")), (Some(1), Some("=".into())));
            url.finish().unwrap();
        }
    }

    #[test]
    fn what_is_encoded_is_read_back() {
        for text in ["/plain", "/a b", "100%", "a?b&c=d", "%41"] {
            let mut url = Url::parse(&format!("fs:{0}?x={0}", encode(text))).unwrap();
            assert_eq!((url.path().unwrap(), url.text("x")), (PathBuf::from(text), Some(text.into())));
        }
    }

    #[test]
    fn what_is_wrong_is_named_with_what_would_be_right() {
        let unknown = |url: &str| {
            let mut url = Url::parse(url)?;
            url.durability(Durability::Never)?;
            url.finish()
        };
        for (url, words) in [
            ("fs", "no scheme"),
            ("fs:/a?size=1", "no option `size`"),
            ("fs:/a?durabilty=1", "did you mean `durability`?"),
            ("fs:/a?size=1", "durability, group_ms, interval_ms"),
            ("fs:/a?durability=sometimes", "never, interval, group or always"),
            ("fs:/a?interval_ms=soon", "not a whole number"),
            ("fs:/a?durability=always&interval_ms=5", "means nothing"),
            ("fs:/a?x", "name=value"),
            ("fs:/a%2", "hexadecimal"),
        ] {
            let error = unknown(url).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Config);
            assert!(error.to_string().contains(words), "{url}: {error}");
        }
    }

    #[test]
    fn an_interval_alone_says_which_durability_is_meant() {
        let durability = |url: &str| Url::parse(url).unwrap().durability(Durability::Never).unwrap();
        assert_eq!(durability("fs:/a"), Durability::Never);
        assert_eq!(durability("fs:/a?interval_ms=5"), Durability::Interval(Duration::from_millis(5)));
        assert_eq!(durability("fs:/a?durability=group"), Durability::Group(Duration::from_millis(2)));
    }
}
