//! Tests of the crate from outside, one binary.

mod http_access;
mod http_entries;
mod http_listener;
mod http_server;
#[cfg(feature = "http")]
mod http_store;
mod http_watch;
mod process;
// What every store in a server has to bear, and a way to one that can be cut.
#[cfg(feature = "http")]
#[path = "../../../terrace-backends/tests/it/proxy.rs"]
mod proxy;
#[cfg(feature = "http")]
#[path = "../../../terrace-backends/tests/it/remote.rs"]
mod remote;
mod resp_bad_input;
mod resp_commit;
mod resp_differential;
mod resp_docs;
mod resp_full;
mod resp_model;
mod resp_parse;
mod resp_pipeline;
mod resp_transactions;
mod resp_wire;
mod world;
