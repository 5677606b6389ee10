//! The engine as its users see it.

mod allocation;
mod crash;
mod folder;
mod model;
mod ring;
mod store;
mod threads;
mod unordered;
