//! The layers, each over a store and in pairs.

mod conformance;
mod subject;
