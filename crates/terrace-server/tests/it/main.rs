//! Tests of the crate from outside, one binary.

mod http_access;
mod http_entries;
mod http_listener;
mod http_server;
mod http_watch;
mod process;
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
