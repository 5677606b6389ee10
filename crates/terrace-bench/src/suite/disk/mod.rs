//! Suite `disk`: the log beside the embedded engines that keep keys and values in a folder.
//!
//! Decision: every engine gets the same keys and values, one operation a key, in batches of 128, 64 MiB of cache if it
//! has one, and its other settings as they come. Processor time is that of the whole process, so what an engine does in
//! threads of its own counts; `log` is the plain limit: a file that is appended to, and a map in memory.

mod cases;
pub(super) mod engine;
pub(super) mod peer;
pub(super) mod values;

use crate::report::Report;
use crate::suite::{Failure, Plan};

pub(super) fn run(plan: &Plan, report: &mut Report) -> Result<(), Failure> {
    for kind in [values::Kind::Text, values::Kind::Noise] {
        for size in [100, 1024, 10 * 1024] {
            cases::stored(plan, report, kind, size)?;
        }
    }
    for threads in [1, 2] {
        cases::bulk(plan, report, threads)?;
    }
    cases::synced(plan, report)?;
    cases::reopened(plan, report)
}
