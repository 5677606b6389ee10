//! The typed API as its users see it.

mod allocations;
mod blocking;
mod cold;
mod conditional;
mod eviction;
#[cfg(all(feature = "memory", feature = "stack"))]
mod examples;
mod freshness;
mod house;
mod mixed;
#[cfg(feature = "object_store")]
mod object_store;
#[cfg(feature = "object_store")]
#[path = "../../../terrace-backends/tests/it/process.rs"]
#[allow(dead_code, reason = "what the tests of the stores need besides")]
mod process;
#[cfg(feature = "object_store")]
#[path = "../../../terrace-backends/tests/it/object_store/server.rs"]
#[allow(dead_code, reason = "what the tests of the stores need besides")]
mod s3_server;
#[cfg(all(feature = "memory", feature = "fs", feature = "yaml"))]
mod stack;
mod typed;

#[global_allocator]
static ALLOCATOR: allocations::Counting = allocations::Counting;
