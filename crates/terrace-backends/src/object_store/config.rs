//! How a store in an object store is set up.

use std::path::PathBuf;
use std::time::Duration;

use object_store::path::Path;
use terrace_store::{Durability, Error, ErrorKind, Result};

use super::names::PREFIX_LIMIT;
use crate::url::{Url, decode, without_password};

/// Where objects lie.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Place {
    /// A bucket of S3, or of what speaks its protocol.
    S3(Bucket),
    /// A folder, one file an object, which this process alone has open.
    File(PathBuf),
    /// The memory of this process.
    Memory,
}

/// A bucket, and who asks for it. What is not said is taken from the environment (`AWS_REGION`, `AWS_ACCESS_KEY_ID`
/// and so on) or from where the machine runs, as Amazon's own clients do.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Bucket {
    /// Its name.
    pub name: String,
    /// Where the server is, such as `http://127.0.0.1:9000`; `None`: Amazon's.
    pub endpoint: Option<String>,
    /// In which region it is.
    pub region: Option<String>,
    /// The access key and its secret.
    pub access_key: Option<(String, String)>,
    /// Whether the bucket is part of the server's name instead of the path.
    pub virtual_hosted_style: bool,
}

/// How an [`ObjectStore`](super::ObjectStore) is set up.
#[derive(Clone)]
pub struct ObjectStoreConfig {
    /// Where its objects lie.
    pub place: Place,
    /// What the names of all its objects begin with: letters, digits, `.`, `_`, `-`, and `/` between them. Stores with
    /// different prefixes, none of which is a folder of the other, do not see each other.
    pub prefix: String,
    /// How long one request may take, the time to connect included. A read takes one, a write two one after another,
    /// and two more each time that another process gets in between.
    pub timeout: Duration,
    /// Of a bucket [`Durability::Always`], or [`Durability::Group`], which is the same there; of a folder these or
    /// [`Durability::Never`]; of memory [`Durability::Process`].
    pub durability: Durability,
    /// For how long another process's [`clear`](terrace_store::capability::Batch::clear) may go unseen by reads; zero
    /// costs each read a second request. Everything else is seen at once.
    pub clear_seen_within: Duration,
    /// From which length on a value is compressed, where the put does not say; `None`: never.
    pub compress_from: Option<usize>,
}

impl ObjectStoreConfig {
    /// A store in this place, with ten seconds for a request, a second for clears to be seen, and the greatest
    /// durability there is.
    pub fn new(place: Place) -> Self {
        let durability = if place == Place::Memory { Durability::Process } else { Durability::Always };
        Self {
            place,
            prefix: String::new(),
            timeout: Duration::from_secs(10),
            durability,
            clear_seen_within: Duration::from_secs(1),
            compress_from: None,
        }
    }

    /// What a URL such as `s3://key:secret@bucket/some/prefix?region=eu-west-1&endpoint=http://127.0.0.1:9000`,
    /// `object+file:/path` or `object+memory:` says.
    ///
    /// # Errors
    /// `Config` for an option it does not know or cannot read.
    pub(crate) fn from_url(mut url: Url) -> Result<Self> {
        let mut config = match url.scheme() {
            "object+memory" => {
                url.no_path()?;
                Self::new(Place::Memory)
            }
            "object+file" => Self::new(Place::File(url.path()?)),
            _ => {
                let (bucket, prefix) = bucket(&mut url)?;
                Self { prefix, ..Self::new(Place::S3(bucket)) }
            }
        };
        if let Some(ms) = url.number("timeout_ms")? {
            config.timeout = Duration::from_millis(ms);
        }
        if let Some(ms) = url.number("clear_seen_within_ms")? {
            config.clear_seen_within = Duration::from_millis(ms);
        }
        config.durability = url.durability(config.durability)?;
        config.compress_from = url.number("compress_from")?;
        url.finish()?;
        Ok(config)
    }

    /// Refuses what the store cannot do.
    pub(super) fn check(&self) -> Result<()> {
        let plain = Path::parse(&self.prefix).is_ok_and(|path| path.as_ref() == self.prefix);
        let plain =
            plain && self.prefix.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-/".contains(&byte));
        match (&self.place, self.durability) {
            _ if self.timeout.is_zero() => Err(refused("timeout is at least 1 ms")),
            _ if !plain || self.prefix.len() > PREFIX_LIMIT => Err(refused(
                "the prefix has at most 200 letters, digits, `.`, `_`, `-`, and single `/` between them",
            )),
            (Place::S3(bucket), _) if bucket.name.is_empty() => {
                Err(refused("the URL names no bucket: s3://[key:secret@]bucket[/prefix]"))
            }
            (Place::S3(_), Durability::Always | Durability::Group(_)) => Ok(()),
            (Place::S3(_), _) => Err(refused(
                "an object store has one durability, which is also its ceiling, `always`: a write is acknowledged once \
                 the server says that it is kept",
            )),
            (Place::File(_), Durability::Always | Durability::Group(_) | Durability::Never) => Ok(()),
            (Place::File(_), _) => {
                Err(refused("a folder of objects has the durabilities `never` and `always`"))
            }
            (Place::Memory, Durability::Process) => Ok(()),
            (Place::Memory, _) => Err(refused(
                "objects in memory are gone with the process, which is their ceiling of durability: leave `durability` \
                 out",
            )),
        }
    }
}

fn bucket(url: &mut Url) -> Result<(Bucket, String)> {
    let location = url.location();
    let (_, rest) = location.split_once(':').unwrap_or_default();
    let rest = rest.strip_prefix("//").unwrap_or(rest);
    let (user, rest) = rest.rsplit_once('@').map_or((None, rest), |(user, rest)| (Some(user), rest));
    let (name, prefix) = rest.split_once('/').unwrap_or((rest, ""));
    let access_key = match user.map(|user| user.split_once(':')) {
        None => None,
        Some(Some((key, secret))) => Some((decode(key)?, decode(secret)?)),
        Some(None) => return Err(refused("an access key needs its secret: s3://key:secret@bucket")),
    };
    let bucket = Bucket {
        name: decode(name)?,
        endpoint: url.text("endpoint"),
        region: url.text("region"),
        access_key,
        virtual_hosted_style: url.switch("virtual_hosted_style")?.unwrap_or(false),
    };
    Ok((bucket, decode(prefix)?.trim_end_matches('/').to_owned()))
}

/// Without the secret.
impl std::fmt::Debug for Bucket {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Bucket")
            .field("name", &self.name)
            .field("endpoint", &self.endpoint.as_deref().map(without_password))
            .field("region", &self.region)
            .field("access_key", &self.access_key.as_ref().map(|(key, _)| key))
            .field("virtual_hosted_style", &self.virtual_hosted_style)
            .finish()
    }
}

impl std::fmt::Debug for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::S3(bucket) => bucket.fmt(f),
            Self::File(path) => f.debug_tuple("File").field(path).finish(),
            Self::Memory => f.write_str("Memory"),
        }
    }
}

impl std::fmt::Debug for ObjectStoreConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ObjectStoreConfig")
            .field("place", &self.place)
            .field("prefix", &self.prefix)
            .field("timeout", &self.timeout)
            .field("durability", &self.durability)
            .field("clear_seen_within", &self.clear_seen_within)
            .field("compress_from", &self.compress_from)
            .finish()
    }
}

pub(super) fn refused(why: &str) -> Error {
    Error::new(ErrorKind::Config, "open").with("store", super::NAME).because(why)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(url: &str) -> Result<ObjectStoreConfig> {
        let config = ObjectStoreConfig::from_url(Url::parse(url)?)?;
        config.check()?;
        Ok(config)
    }

    #[test]
    fn a_url_says_all_there_is_to_say() {
        let found = config(
            "s3://me:se%2fcret@orders/a/b/?endpoint=http://h:1&region=eu&timeout_ms=50&durability=group\
             &compress_from=9&virtual_hosted_style=true&clear_seen_within_ms=0",
        )
        .unwrap();
        let Place::S3(bucket) = &found.place else { panic!("{found:?}") };
        assert_eq!((bucket.name.as_str(), found.prefix.as_str()), ("orders", "a/b"));
        assert_eq!(bucket.access_key, Some(("me".into(), "se/cret".into())));
        assert_eq!((bucket.endpoint.as_deref(), bucket.region.as_deref()), (Some("http://h:1"), Some("eu")));
        assert_eq!((found.timeout, found.compress_from), (Duration::from_millis(50), Some(9)));
        assert!(bucket.virtual_hosted_style && found.clear_seen_within.is_zero());
        assert!(!format!("{found:?}").contains("se/cret"), "{found:?}");
        assert_eq!(config("object+file:///a").unwrap().place, Place::File("/a".into()));
        assert_eq!(config("object+memory:").unwrap().durability, Durability::Process);
    }

    #[test]
    fn what_a_place_cannot_do_is_refused_with_its_ceiling() {
        for (url, words) in [
            ("s3://b?durability=never", "ceiling, `always`"),
            ("s3://b?interval_ms=10", "ceiling, `always`"),
            ("s3://b/a//b", "single `/`"),
            ("s3://b/a b", "letters, digits"),
            ("s3://me@b", "key:secret"),
            ("s3:", "no bucket"),
            ("s3://b?bucket=4", "no option `bucket`"),
            ("s3://b?timeout_ms=0", "at least 1 ms"),
            ("object+file:/a?interval_ms=10", "`never` and `always`"),
            ("object+file:", "needs a path"),
            ("object+file:/a?region=eu", "no option `region`"),
            ("object+memory:/a", "no path"),
            ("object+memory:?durability=always", "ceiling of durability"),
        ] {
            let error = config(url).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Config, "{url}");
            assert!(error.to_string().contains(words), "{url}: {error}");
        }
    }
}
