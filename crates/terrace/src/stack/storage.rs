//! Which store lies at the bottom: a URL, or its parts.

use std::collections::BTreeMap;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, Error as _, MapAccess, Visitor};
use terrace_backends::url::encode;

use super::value::{Node, from_map};

/// A store, by its URL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Storage {
    scheme: String,
    /// All between the scheme's colon and the options.
    place: String,
    options: Vec<(String, String)>,
}

impl Storage {
    /// The store of this URL; what is wrong with it shows when it is opened.
    pub fn url(url: &str) -> Self {
        let (scheme, rest) = url.split_once(':').unwrap_or((url, ""));
        let (place, query) = rest.split_once('?').unwrap_or((rest, ""));
        let option = |option: &str| match option.split_once('=') {
            Some((name, value)) => (name.to_owned(), value.to_owned()),
            None => (option.to_owned(), String::new()),
        };
        let options = query.split('&').filter(|option| !option.is_empty()).map(option).collect();
        Self { scheme: scheme.to_owned(), place: place.to_owned(), options }
    }

    /// The scheme: which store it is.
    pub fn scheme(&self) -> &str {
        &self.scheme
    }

    /// Whether the option is given.
    pub(super) fn has(&self, option: &str) -> bool {
        self.options.iter().any(|(name, _)| name == option)
    }

    /// Gives an option.
    pub(super) fn set(&mut self, option: &str, value: impl fmt::Display) {
        self.options.push((option.to_owned(), encode(&value.to_string())));
    }

    /// The URL that opens it.
    pub fn to_url(&self) -> String {
        let mut url = format!("{}:{}", self.scheme, self.place);
        for (n, (name, value)) in self.options.iter().enumerate() {
            url.push(if n == 0 { '?' } else { '&' });
            url.push_str(name);
            url.push('=');
            url.push_str(value);
        }
        url
    }
}

/// As a table.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Parts {
    r#type: String,
    path: Option<String>,
    address: Option<String>,
    #[serde(default)]
    options: BTreeMap<String, Node>,
}

impl Parts {
    fn storage(self) -> Result<Storage, String> {
        let place = match (self.path, self.address) {
            (Some(_), Some(_)) => {
                return Err(
                    "path is for a store in a folder and address for one in a server; give one".to_owned()
                );
            }
            (Some(path), None) => format!("//{}", encode(&path)),
            // It is written as in a URL, with whatever has to be encoded there.
            (None, Some(address)) => format!("//{address}"),
            (None, None) => String::new(),
        };
        let mut options = Vec::new();
        for (name, value) in self.options {
            let text = match value {
                Node::Text(text) | Node::Words(text) => text,
                Node::Integer(number) => number.to_string(),
                Node::Bool(on) => on.to_string(),
                Node::Float(number) => number.to_string(),
                Node::Null | Node::List(_) | Node::Table(_) => {
                    return Err(format!("options.{name} is a text, a number, true or false"));
                }
            };
            options.push((encode(&name), encode(&text)));
        }
        Ok(Storage { scheme: self.r#type, place, options })
    }
}

impl<'de> Deserialize<'de> for Storage {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Storages;

        impl<'de> Visitor<'de> for Storages {
            type Value = Storage;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a URL, or a table with type, path or address, and options")
            }

            fn visit_str<E: serde::de::Error>(self, url: &str) -> Result<Storage, E> {
                Ok(Storage::url(url))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Storage, A::Error> {
                from_map::<Parts, A>(map)?.storage().map_err(A::Error::custom)
            }
        }

        deserializer.deserialize_any(Storages)
    }
}
