//! The tiers put together, on fakes and a frozen clock.

#[cfg(not(shuttle))]
mod batches;
#[cfg(not(shuttle))]
mod expiry;
#[cfg(not(shuttle))]
mod faults;
#[cfg(not(shuttle))]
mod fences;
#[cfg_attr(shuttle, allow(dead_code, reason = "the schedules need only a part of it"))]
mod gate;
#[cfg(not(shuttle))]
mod invalidation;
#[cfg(not(shuttle))]
mod loads;
#[cfg(shuttle)]
mod schedules;
#[cfg_attr(shuttle, allow(dead_code, reason = "the schedules need only a part of it"))]
mod world;
