//! What the operating system says of this process. Read from `/proc`; elsewhere than on Linux nothing is known.

use std::fs;

use serde::Serialize;

/// The unit of the times in `/proc`, which is the same on every machine (the kernel's USER_HZ).
const TICKS_PER_SECOND: f64 = 100.0;

/// What this process uses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub(crate) struct Process {
    /// Processor time in seconds, in user and system mode.
    pub(crate) cpu_seconds: f64,
    /// Memory, in bytes.
    pub(crate) resident_bytes: u64,
}

/// What this process uses now; `None` if the system does not say.
pub(crate) fn usage() -> Option<Process> {
    let stat = fs::read_to_string("/proc/self/stat").ok()?;
    let status = fs::read_to_string("/proc/self/status").ok()?;
    Some(Process { cpu_seconds: cpu_seconds(&stat)?, resident_bytes: resident_bytes(&status)? })
}

fn cpu_seconds(stat: &str) -> Option<f64> {
    // The name of the program comes second, in parentheses, and may hold spaces and parentheses itself.
    let (_, after) = stat.rsplit_once(')')?;
    let mut times = after.split_ascii_whitespace().skip(11);
    let (user, system): (f64, f64) = (times.next()?.parse().ok()?, times.next()?.parse().ok()?);
    Some((user + system) / TICKS_PER_SECOND)
}

fn resident_bytes(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_the_program_does_not_shift_the_fields() {
        let stat = "7 (a) b (c)) S 1 7 7 0 -1 4194304 100 0 0 0 250 150 0 0 20 0 4 0 100 1000 200";
        assert_eq!(cpu_seconds(stat), Some(4.0));
        assert_eq!(cpu_seconds("7 (cut off"), None);
    }

    #[test]
    fn memory_is_in_bytes() {
        assert_eq!(resident_bytes("Name:\tx\nVmRSS:\t    2048 kB\nVmData: 1 kB\n"), Some(2 << 20));
        assert_eq!(resident_bytes("Name:\tx\n"), None);
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn this_process_uses_memory() {
        assert!(usage().is_some_and(|usage| usage.resident_bytes > 1 << 20));
    }
}
