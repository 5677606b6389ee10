//! The engine as its users see it.

mod accounting;
mod atomicity;
mod concurrency;
mod expiry;
mod footprint;
mod model;
mod policies;
mod walking;
mod warm;
