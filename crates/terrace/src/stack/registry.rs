//! What a configuration can name: the stores, layers and codecs of this build, and those of a user's own.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::de::DeserializeOwned;
use terrace_backends::registry::Registry as Backends;
use terrace_backends::url::Url;
use terrace_layers::compression::Codec;
use terrace_layers::{Layer, World};
use terrace_store::{Clock, Error, ErrorKind, Result, Spawn, Store};

use super::config::StackConfig;
use super::value::{Node, keys_of};

type Make = dyn Fn(&Options, &World) -> Result<Box<dyn Layer>> + Send + Sync;

/// Stores by scheme, layers by name, codecs by name.
#[derive(Clone, Default)]
pub struct Registry {
    backends: Backends,
    layers: BTreeMap<String, Arc<Make>>,
    codecs: Vec<Arc<dyn Codec>>,
}

impl std::fmt::Debug for Registry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let codecs: Vec<&str> = self.codecs.iter().map(|codec| codec.name()).collect();
        let layers: Vec<&str> = self.layers().collect();
        f.debug_struct("Registry")
            .field("backends", &self.backends)
            .field("layers", &layers)
            .field("codecs", &codecs)
            .finish()
    }
}

fn refused(why: String) -> Error {
    Error::new(ErrorKind::Config, "register").because(why)
}

impl Registry {
    /// Adds a store: `open` is called for URLs of this scheme.
    ///
    /// # Errors
    /// `Config` if the scheme is none, or taken.
    pub fn register_backend(
        &mut self,
        scheme: impl Into<String>,
        open: impl Fn(Url, Arc<dyn Clock>, Arc<dyn Spawn>) -> Result<Arc<dyn Store>> + Send + Sync + 'static,
    ) -> Result<&mut Self> {
        self.backends.register(scheme, open)?;
        Ok(self)
    }

    /// Adds a layer: `make` is called with the options of the section of this name, where a configuration has one. Its
    /// rank says where it stands.
    ///
    /// # Errors
    /// `Config` if the name is taken, by another layer or by a key of the configuration.
    pub fn register_layer(
        &mut self,
        name: impl Into<String>,
        make: impl Fn(&Options, &World) -> Result<Box<dyn Layer>> + Send + Sync + 'static,
    ) -> Result<&mut Self> {
        let name = name.into();
        if keys_of::<StackConfig>().contains(&name.as_str()) || self.layers.contains_key(&name) {
            return Err(refused(format!("the name `{name}` is taken; register yours under another")));
        }
        self.layers.insert(name, Arc::new(make));
        Ok(self)
    }

    /// Adds a codec, which `compression.algorithm` can name; what it wrote is read whatever that names.
    ///
    /// # Errors
    /// `Config` if its name or its number is taken.
    pub fn register_codec(&mut self, codec: impl Codec) -> Result<&mut Self> {
        let (name, id) = (codec.name().to_owned(), codec.id());
        let built_in = terrace_envelope::codec::ALGORITHMS.iter().any(|algorithm| algorithm.name() == name);
        if built_in || ["none", "adaptive"].contains(&name.as_str()) {
            return Err(refused(format!(
                "the codec `{name}` has the name of a built-in one; give it another"
            )));
        }
        if let Some(other) = self.codecs.iter().find(|other| other.name() == name || other.id() == id) {
            let other = other.name();
            return Err(refused(format!(
                "the codec `{name}`, number {id}, is taken by `{other}`, or has its number"
            )));
        }
        self.codecs.push(Arc::new(codec));
        Ok(self)
    }

    /// The stores.
    pub fn backends(&self) -> &Backends {
        &self.backends
    }

    /// The names of the layers that were registered, in order.
    pub fn layers(&self) -> impl Iterator<Item = &str> {
        self.layers.keys().map(String::as_str)
    }

    /// The codecs that were registered.
    pub fn codecs(&self) -> &[Arc<dyn Codec>] {
        &self.codecs
    }

    pub(super) fn layer(&self, name: &str, options: &Options, world: &World) -> Result<Box<dyn Layer>> {
        let make = self.layers.get(name).ok_or_else(|| {
            refused(format!(
                "there is a section `{name}`, but no layer of that name is registered with the builder"
            ))
        })?;
        make(options, world)
    }
}

/// The options of a section of a user's own.
#[derive(Clone, Debug, PartialEq)]
pub struct Options {
    name: String,
    node: Node,
}

impl Options {
    pub(super) fn new(name: &str, node: Node) -> Self {
        Self { name: name.to_owned(), node }
    }

    /// The options as a type that serde reads; give it `deny_unknown_fields`, and a misspelt key is told with the nearest.
    /// A section that only says `true` has none.
    ///
    /// # Errors
    /// `Config` with the path of the key, and what would be right.
    pub fn read<T: DeserializeOwned>(&self) -> Result<T> {
        let node = match &self.node {
            Node::Bool(true) => Node::Table(BTreeMap::new()),
            Node::Words(words) if super::value::switch(words) == Some(true) => Node::Table(BTreeMap::new()),
            node => node.clone(),
        };
        T::deserialize(node).map_err(|fault| {
            let path = if fault.path.is_empty() {
                self.name.clone()
            } else {
                format!("{}.{}", self.name, fault.path())
            };
            Error::new(ErrorKind::Config, "configuration").because(format!("{path}: {fault}"))
        })
    }

    /// Whether the section says that the layer is not to be there: `false`.
    pub(super) fn is_off(&self) -> bool {
        match &self.node {
            Node::Bool(on) => !on,
            Node::Words(words) => super::value::switch(words) == Some(false),
            _ => false,
        }
    }
}
