//! Stack: layers over a store, in an order that is sound.
//!
//! [`build`](StackBuilder::build) takes layers in any order and puts them where they belong ([`ORDER`](order::ORDER));
//! [`build_as_given`](StackBuilder::build_as_given) keeps the order they were given in, and refuses one that would not hold
//! what its layers promise, with the reason ([`RULES`](order::RULES)). A layer of a user's own says its name and its rank
//! and stands among the others.

mod layers;
pub mod order;
#[cfg(test)]
mod tests;

use std::any::Any;
use std::sync::Arc;

use terrace_store::{BoxFuture, Error, ErrorKind, Result, Store};

#[cfg(feature = "compression")]
pub use self::layers::CompressionLayer;
#[cfg(feature = "encryption")]
pub use self::layers::EncryptionLayer;
pub use self::layers::{AccessLayer, ChecksumLayer, MetricsLayer, NamespaceLayer, ReadOnlyLayer};
use crate::world::World;

/// A layer that is to be put over a store.
pub trait Layer: Send + 'static {
    /// Its name.
    fn name(&self) -> &str;

    /// Where it belongs: the lower the number, the nearer to the caller. Those of the built-in layers are in
    /// [`ORDER`](order::ORDER).
    fn rank(&self) -> u16;

    /// Whether there may be several of it.
    fn repeats(&self) -> bool {
        false
    }

    /// Puts it over the store.
    fn wrap<'a>(self: Box<Self>, inner: Arc<dyn Store>, world: &'a World) -> BoxFuture<'a, Result<Layered>>;
}

/// A layer over a store.
pub struct Layered {
    store: Arc<dyn Store>,
    handle: Arc<dyn Any + Send + Sync>,
}

impl Layered {
    /// This store, which is also what [`Stack::layer`] gives out.
    pub fn new<S: Store>(store: S) -> Self {
        let store = Arc::new(store);
        Self { store: Arc::clone(&store) as Arc<dyn Store>, handle: store }
    }
}

/// Layers over a store.
pub struct Stack {
    store: Arc<dyn Store>,
    /// The layers with their names, the topmost first.
    layers: Vec<(String, Arc<dyn Any + Send + Sync>)>,
}

impl std::fmt::Debug for Stack {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.names()).entry(&self.store.name()).finish()
    }
}

impl Stack {
    /// Begins a stack over this store.
    pub fn over(store: Arc<dyn Store>) -> StackBuilder {
        StackBuilder { store, layers: Vec::new() }
    }

    /// The store with all its layers.
    pub fn store(&self) -> &Arc<dyn Store> {
        &self.store
    }

    /// The names of the layers, the topmost first.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.layers.iter().map(|(name, _)| name.as_str())
    }

    /// The topmost layer of this type, to look at and to change: `stack.layer::<Cache>()`.
    pub fn layer<S: Store>(&self) -> Option<Arc<S>> {
        self.layers.iter().find_map(|(_, handle)| Arc::clone(handle).downcast().ok())
    }
}

/// Takes layers.
pub struct StackBuilder {
    store: Arc<dyn Store>,
    layers: Vec<Box<dyn Layer>>,
}

impl StackBuilder {
    /// With this layer.
    #[must_use]
    pub fn with(self, layer: impl Layer) -> Self {
        self.with_boxed(Box::new(layer))
    }

    /// With this layer, whose type only whoever made it knows.
    #[must_use]
    pub fn with_boxed(mut self, layer: Box<dyn Layer>) -> Self {
        self.layers.push(layer);
        self
    }

    /// The stack, its layers in the order that [`ORDER`](order::ORDER) draws. Those of equal rank stay as they were given,
    /// the first on top.
    ///
    /// # Errors
    /// `Config` for a layer that is there twice; whatever a layer says when it is put over the rest.
    pub async fn build(mut self, world: &World) -> Result<Stack> {
        self.layers.sort_by_key(|layer| layer.rank());
        self.build_as_given(world).await
    }

    /// The stack in the order in which the layers were given, the first on top.
    ///
    /// # Errors
    /// `Config` for an order that is not sound, with the reason, or a layer that is there twice; whatever a layer says when
    /// it is put over the rest.
    pub async fn build_as_given(self, world: &World) -> Result<Stack> {
        self.check()?;
        let Self { mut store, layers } = self;
        let mut handles = Vec::with_capacity(layers.len());
        for layer in layers.into_iter().rev() {
            let name = layer.name().to_owned();
            let layered = layer.wrap(store, world).await?;
            store = layered.store;
            handles.push((name, layered.handle));
        }
        handles.reverse();
        Ok(Stack { store, layers: handles })
    }

    fn check(&self) -> Result<()> {
        for (place, lower) in self.layers.iter().enumerate() {
            for upper in &self.layers[..place] {
                if upper.name() == lower.name() && !lower.repeats() {
                    return Err(Error::new(ErrorKind::Config, "stack")
                        .because(format!("the layer {} is there twice; give it once", lower.name())));
                }
                if let Some(reason) = order::forbids(upper.name(), lower.name()) {
                    let (upper, lower) = (upper.name(), lower.name());
                    return Err(Error::new(ErrorKind::Config, "stack").because(format!(
                        "{upper} must not stand above {lower}: {reason}; put {lower} above {upper}"
                    )));
                }
            }
        }
        Ok(())
    }
}
