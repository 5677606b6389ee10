//! The commands of the Redis protocol.
//!
//! One file a group. Each file holds the rows of its commands, a row each with what it does, and [`table`] joins
//! them into the one table that parsing, permission, `COMMAND` and the documentation read. Adding a command is one
//! row and one function.

mod arguments;
mod connection;
mod help;
mod keys;
mod pubsub;
mod server;
mod strings;
pub mod table;
mod transactions;
mod write;

pub use table::{Categories, Command, Flags, KeyError, KeySpan, lookup};
