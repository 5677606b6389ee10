//! The engine as its users see it.

mod accounting;
mod atomicity;
mod concurrency;
mod expiry;
mod footprint;
mod integrity;
mod model;
mod walking;
