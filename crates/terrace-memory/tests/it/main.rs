//! The engine as its users see it. With `--cfg shuttle` only the schedules run: outside of them shuttle's locks and
//! atomics cannot be used.

#[cfg(not(shuttle))]
mod accounting;
#[cfg(not(shuttle))]
mod atomicity;
#[cfg(not(shuttle))]
mod batches;
#[cfg(not(shuttle))]
mod concurrency;
#[cfg(not(shuttle))]
mod expiry;
#[cfg(not(shuttle))]
mod extremes;
#[cfg(not(shuttle))]
mod footprint;
#[cfg(not(shuttle))]
mod hashing;
#[cfg(not(shuttle))]
mod integrity;
#[cfg(not(shuttle))]
mod load;
#[cfg(not(shuttle))]
mod model;
#[cfg(not(shuttle))]
mod policies;
#[cfg(not(shuttle))]
mod priority;
#[cfg(not(shuttle))]
mod random;
#[cfg(not(shuttle))]
mod ranking;
#[cfg(not(shuttle))]
mod resident;
#[cfg(shuttle)]
mod schedules;
#[cfg(not(shuttle))]
mod walking;
#[cfg(not(shuttle))]
mod warm;
