//! The engine as its users see it.

mod crash;
mod model;
