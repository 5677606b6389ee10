//! What the tests of the server stand on: our server on a loopback port, the real `redis-server` on another, and a
//! client that speaks to both.

mod client;
mod ours;
mod redis;
mod value;

pub(crate) use client::{Client, encode};
pub(crate) use ours::{Ours, Setup};
pub(crate) use redis::Redis;
pub(crate) use value::Value;
