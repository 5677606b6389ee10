//! What opening a log came across.

/// Bytes of a segment that are not what was written there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Damage {
    /// The segment.
    pub segment: u64,
    /// The first damaged byte.
    pub from: u64,
    /// Behind the last one.
    pub to: u64,
}

/// What opening a log came across. Nothing is lost without being said here.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OpenReport {
    /// Whether there was no log yet.
    pub created: bool,
    /// Whether an index snapshot was used.
    pub from_snapshot: bool,
    /// Records that were read because no snapshot covers them.
    pub replayed: u64,
    /// Bytes of a torn tail, which a crash left, that were cut off. They were never promised.
    pub cut_bytes: u64,
    /// What is damaged. What precedes and what follows is served. In a store, an older value of a key whose
    /// newer one was there may be served.
    pub damaged: Vec<Damage>,
    /// Segments that belong to the log and are not there.
    pub missing: Vec<u64>,
    /// Entries of a cache that were dropped because damage may have hidden newer ones.
    pub dropped: u64,
    /// Index snapshots and dictionaries that do not check, and why.
    pub refused: Vec<String>,
    /// Files in the folder that are not ours. They are left alone.
    pub foreign: Vec<String>,
}

impl std::fmt::Display for OpenReport {
    /// What is wrong, in a sentence; nothing if it is sound.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut parts = Vec::new();
        for Damage { segment, from, to } in &self.damaged {
            parts.push(format!("segment {segment} is damaged from byte {from} to {to}"));
        }
        parts.extend(self.missing.iter().map(|segment| format!("segment {segment} is missing")));
        parts.extend(self.refused.iter().cloned());
        if self.dropped > 0 {
            parts.push(format!("{} entries were dropped, because damage may hide newer ones", self.dropped));
        }
        f.write_str(&parts.join("; "))
    }
}

impl OpenReport {
    /// Whether nothing was damaged, missing or dropped.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        self.damaged.is_empty() && self.missing.is_empty() && self.refused.is_empty()
    }
}
