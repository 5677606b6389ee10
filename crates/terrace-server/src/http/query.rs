//! The part of an address behind the `?`. Values are bytes, since a prefix may be; a parameter nobody knows, or one
//! that is given twice, is refused: a misspelt `tll=10m` must not quietly store a value for ever.

use std::fmt::Display;
use std::str::FromStr;

use axum::http::Uri;

use super::percent;
use super::problem::Problem;

/// The parameters of a request.
pub(crate) struct Query(Vec<(String, Vec<u8>)>);

impl Query {
    /// The parameters of this address, all of which must be among the known ones.
    pub(crate) fn of(uri: &Uri, known: &[&str]) -> Result<Self, Problem> {
        let mut parameters: Vec<(String, Vec<u8>)> = Vec::new();
        for pair in uri.query().unwrap_or_default().split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            if !known.contains(&name) {
                let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
                return Err(Problem::invalid(format!(
                    "there is no parameter `{}` here; the parameters are: {known}",
                    name.escape_debug()
                )));
            }
            if parameters.iter().any(|(given, _)| given == name) {
                return Err(Problem::invalid(format!("the parameter `{name}` is given twice")));
            }
            let spaced = value.replace('+', " ");
            let value = percent::decode(spaced.as_bytes())
                .map_err(|error| Problem::invalid(format!("the parameter `{name}`: {error}")))?;
            parameters.push((name.to_owned(), value));
        }
        Ok(Self(parameters))
    }

    /// The bytes of a parameter.
    pub(crate) fn bytes(&self, name: &str) -> Option<&[u8]> {
        self.0.iter().find(|(given, _)| given == name).map(|(_, value)| value.as_slice())
    }

    /// The text of a parameter.
    pub(crate) fn text(&self, name: &str) -> Result<Option<&str>, Problem> {
        self.bytes(name)
            .map(|bytes| {
                std::str::from_utf8(bytes)
                    .map_err(|_| Problem::invalid(format!("the parameter `{name}` is not UTF-8")))
            })
            .transpose()
    }

    /// A parameter that is a number or the like.
    pub(crate) fn parsed<T: FromStr<Err: Display>>(&self, name: &str) -> Result<Option<T>, Problem> {
        let parse = |text: &str| {
            text.parse().map_err(|error| {
                Problem::invalid(format!("the parameter `{name}` is `{}`: {error}", text.escape_debug()))
            })
        };
        self.text(name)?.map(parse).transpose()
    }
}
