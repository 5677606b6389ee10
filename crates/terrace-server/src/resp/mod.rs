//! The Redis protocol, versions 2 and 3.
//!
//! [`parse`] turns the bytes of a connection into requests and [`reply`] turns replies into bytes; both work on
//! buffers and know nothing of sockets, so that tests and fuzzers drive them byte by byte. [`command`] is the table
//! of commands and what they do. [`number`], [`extended`] and [`glob`] are the small languages inside arguments,
//! with the exact rules of Redis.
//!
//! [`connection::serve`] serves one client: a [`session::Session`] is what it remembers, a [`server::Server`] what
//! all share ([`clients`], [`pubsub`], [`settings`] and the keys). `dispatch.rs` leads from a request to its reply.

pub mod call;
pub mod clients;
pub mod command;
pub mod connection;
mod dispatch;
pub mod extended;
pub mod glob;
mod inline;
pub mod number;
pub mod parse;
mod pipeline;
mod protocol_error;
pub mod pubsub;
pub mod reply;
mod request;
pub mod server;
pub mod session;
pub mod settings;

/// The version of Redis whose commands clients may expect: they switch features by it.
pub const REDIS_VERSION: &str = "7.2.4";
