//! The warm engine as its users see it.

mod concurrency;
mod heap;
mod hit_ratio;
pub(crate) mod json;
mod model;
mod sizes;
mod training;
