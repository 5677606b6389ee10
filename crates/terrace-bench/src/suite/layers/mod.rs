//! Suite `layers`: what each layer costs over the bare store in memory, how far the adaptive codec is from the best fixed
//! one, and the Bloom filter beside others.

mod bloom;
mod codec;
mod cost;
mod filter;
mod stacked;

use crate::report::Report;
use crate::suite::{Failure, Plan};

pub(super) fn run(plan: &Plan, report: &mut Report) -> Result<(), Failure> {
    if plan.wants("bloom") {
        bloom::run(plan, report)?;
    }
    codec::run(plan, report)?;
    cost::run(plan, report)
}
