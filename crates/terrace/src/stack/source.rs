//! Where a configuration comes from, and which source wins: what is added later, so files, then the environment, then
//! what the program or its command line overrides.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;
use terrace_store::{Error, ErrorKind, Result};

use super::config::StackConfig;
use super::registry::{Options, Registry};
use super::value::{Fault, Node};

/// What the environment variables of a stack begin with. What follows is the path of a key in upper case, its parts apart
/// by two underscores: `TERRACE_STACK_CACHE__MAX_ENTRIES`.
pub const ENVIRONMENT: &str = "TERRACE_STACK_";

/// The sources of a configuration, from the weakest to the strongest.
pub struct Sources {
    tree: Node,
    /// Which source said what.
    places: BTreeMap<String, String>,
    registry: Registry,
}

fn refused(place: &str, why: impl std::fmt::Display) -> Error {
    Error::new(ErrorKind::Config, "configuration").because(format!("{place}: {why}"))
}

impl Sources {
    /// No source yet. The registry says which layers of a user's own have sections.
    pub fn new(registry: &Registry) -> Self {
        Self { tree: Node::Table(BTreeMap::new()), places: BTreeMap::new(), registry: registry.clone() }
    }

    /// Adds a file, which ends in `.toml`, `.yaml` or `.yml`.
    ///
    /// # Errors
    /// `Config` if it is of no such kind or cannot be parsed; what reading it says.
    pub fn file(&mut self, path: impl AsRef<Path>) -> Result<&mut Self> {
        let path = path.as_ref();
        let place = path.display().to_string();
        let text = std::fs::read_to_string(path).map_err(|error| Error::from(error).with("file", &place))?;
        match path.extension().and_then(|extension| extension.to_str()) {
            Some("toml") => self.toml(&place, &text),
            #[cfg(feature = "yaml")]
            Some("yaml" | "yml") => self.yaml(&place, &text),
            #[cfg(not(feature = "yaml"))]
            Some("yaml" | "yml") => {
                Err(refused(&place, "this build reads no YAML; it needs the feature `yaml`"))
            }
            _ => Err(refused(&place, "a configuration is a file that ends in .toml, .yaml or .yml")),
        }
    }

    /// Adds a text in TOML; `place` is what errors call it.
    ///
    /// # Errors
    /// `Config` if it is none.
    pub fn toml(&mut self, place: &str, text: &str) -> Result<&mut Self> {
        let node: Node = toml::from_str(text).map_err(|error| refused(place, error))?;
        self.add(place, node)
    }

    /// Adds a text in YAML; `place` is what errors call it.
    ///
    /// # Errors
    /// `Config` if it is none.
    #[cfg(feature = "yaml")]
    pub fn yaml(&mut self, place: &str, text: &str) -> Result<&mut Self> {
        let node: Node = serde_saphyr::from_str(text).map_err(|error| refused(place, error))?;
        self.add(place, node)
    }

    fn add(&mut self, place: &str, node: Node) -> Result<&mut Self> {
        let node = match node {
            // An empty document.
            Node::Null => Node::Table(BTreeMap::new()),
            table @ Node::Table(_) => table,
            _ => return Err(refused(place, "a configuration is a table of keys")),
        };
        let mut leaves = Vec::new();
        node.leaves("", &mut leaves);
        for leaf in leaves {
            self.places.insert(leaf, place.to_owned());
        }
        self.tree.merge(node);
        Ok(self)
    }

    /// Adds those of these variables that begin with the prefix.
    ///
    /// # Errors
    /// `Config` for one that names no key.
    pub fn environment(
        &mut self,
        prefix: &str,
        variables: impl IntoIterator<Item = (String, String)>,
    ) -> Result<&mut Self> {
        for (variable, value) in variables {
            let Some(path) = variable.strip_prefix(prefix) else { continue };
            let path = path.to_ascii_lowercase().replace("__", ".");
            self.words(&variable, &path, &value)?;
        }
        Ok(self)
    }

    /// Adds the variables of this process that begin with [`ENVIRONMENT`].
    ///
    /// # Errors
    /// As [`Sources::environment`].
    pub fn process_environment(&mut self) -> Result<&mut Self> {
        let text = |(name, value): (std::ffi::OsString, std::ffi::OsString)| {
            Some((name.into_string().ok()?, value.to_string_lossy().into_owned()))
        };
        self.environment(ENVIRONMENT, std::env::vars_os().filter_map(text))
    }

    /// Overrides a key: `set("cache.max_entries", "5000")`.
    ///
    /// # Errors
    /// `Config` if the path is none.
    pub fn set(&mut self, path: &str, value: &str) -> Result<&mut Self> {
        self.words(&format!("`{path}={value}`"), path, value)
    }

    fn words(&mut self, place: &str, path: &str, value: &str) -> Result<&mut Self> {
        let mut node = Node::Words(value.to_owned());
        for part in path.rsplit('.') {
            if part.is_empty() {
                return Err(refused(place, "a key's path is words with a full stop between them"));
            }
            node = Node::Table(BTreeMap::from([(part.to_owned(), node)]));
        }
        self.add(place, node)
    }

    /// The configuration that follows.
    ///
    /// # Errors
    /// `Config` for a key that nobody knows or a value that it cannot have, with the source and what would be right.
    pub fn finish(self) -> Result<StackConfig> {
        let Self { mut tree, places, registry } = self;
        let mut own = BTreeMap::new();
        if let Node::Table(table) = &mut tree {
            for name in registry.layers() {
                if let Some(node) = table.remove(name) {
                    own.insert(name.to_owned(), Options::new(name, node));
                }
            }
        }
        let mut config = StackConfig::deserialize(tree).map_err(|fault| told(&places, &fault))?;
        config.own = own;
        if let Some(distributed) = &config.distributed {
            distributed
                .check()
                .map_err(|why| refused(place_of(&places, "distributed"), format!("distributed: {why}")))?;
        }
        Ok(config)
    }
}

/// Which source said what is at this path, or beneath it.
fn place_of<'a>(places: &'a BTreeMap<String, String>, path: &str) -> &'a str {
    let within =
        |known: &str| known == path || known.strip_prefix(path).is_some_and(|rest| rest.starts_with('.'));
    let beneath = places.iter().find(|(known, _)| within(known));
    beneath.map_or("configuration", |(_, place)| place.as_str())
}

fn told(places: &BTreeMap<String, String>, fault: &Fault) -> Error {
    let path = fault.path();
    refused(
        place_of(places, &path),
        if path.is_empty() { fault.to_string() } else { format!("{path}: {fault}") },
    )
}
