#![doc = include_str!("../README.md")]

pub mod cli;
pub mod config;
pub mod exit;
pub mod http;
pub mod keyspace;
mod linger;
pub mod resp;
pub mod serve;
