//! The typed API as its users see it.

mod allocations;
mod blocking;
mod cold;
mod conditional;
mod eviction;
mod freshness;
mod house;
mod mixed;
mod typed;

#[global_allocator]
static ALLOCATOR: allocations::Counting = allocations::Counting;
