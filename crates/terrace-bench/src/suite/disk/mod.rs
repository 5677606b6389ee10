//! Suite `disk`: the log beside the embedded engines that keep keys and values in a folder.
//!
//! Decision: every engine gets the same keys and values, one operation a key, in batches of 128, 64 MiB of cache if it
//! has one, and its other settings as they come. Processor time is that of the whole process, so what an engine does in
//! threads of its own counts; `log` is the plain limit: a file that is appended to, and a map in memory.

pub(super) mod engine;
mod larger;
pub(super) mod peer;
mod reopened;
mod rows;
mod stored;
pub(super) mod values;
mod work;
mod writers;

use crate::report::Report;
use crate::suite::{Failure, Plan};

pub(super) fn run(plan: &Plan, report: &mut Report) -> Result<(), Failure> {
    for kind in [values::Kind::Text, values::Kind::Noise] {
        for size in [100, 1024, 10 * 1024] {
            stored::measure(plan, report, kind, size)?;
        }
    }
    for threads in [1, 2] {
        writers::bulk(plan, report, threads)?;
    }
    for threads in [1, 16] {
        writers::synced(plan, report, threads)?;
    }
    reopened::measure(plan, report)?;
    reopened::idle(plan, report)?;
    larger::measure(plan, report)
}
