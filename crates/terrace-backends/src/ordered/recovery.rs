//! What an open does with what it finds: checks the format, restores or counts what is kept in memory, and compares
//! it with the mark of the last clean close.
//!
//! The counters of a clean close are trusted only if the database stands as its mark says; else every row is counted,
//! since counters and rows may be of different times.

use std::collections::HashMap;
use std::sync::atomic::Ordering;

use bytes::{Buf, Bytes};
use terrace_store::{Error, ErrorKind, Result, Version};

use super::engine::{Engine, Space};
use super::folder::{CLEAN_KEY, FLOOR_KEY, FORMAT, FORMAT_KEY, Folder, SEQUENCE_KEY};
use super::mark::{self, Found, Mark};
use super::row;
use super::rows::Rows;
use super::sequence::{BLOCK, Sequence};
use super::write::Prior;
use crate::spaces::Amount;

impl<E: Engine> Folder<E> {
    /// Checks the format, and restores or counts anew what is kept in memory.
    pub(super) fn recover(&self, found: Found) -> Result<()> {
        let format = self.meta_get(FORMAT_KEY)?;
        format.as_deref().map_or(Ok(()), check_format)?;
        self.recover_floors()?;
        let clean = self.meta_get(CLEAN_KEY)?;
        match clean.clone().map(read_counters).transpose()? {
            Some(counters) if found.mark().is_none_or(|mark| self.was_closed_so(mark, &counters)) => {
                counters.into_iter().for_each(|(prefix, amount)| self.spaces.restore(prefix, amount));
            }
            _ => {
                let highest = self.recount()?;
                self.compare(found, highest)?;
            }
        }
        if found == Found::Unreadable {
            self.note_loss(
                "the mark that its last close left is damaged, so it is not known whether \
                            anything else is; nothing was found to be missing"
                    .into(),
            );
        }
        mark::remove(&self.path)?;
        if format.is_none() {
            self.meta_put("open", FORMAT_KEY, &FORMAT.to_be_bytes())?;
        }
        if clean.is_some() {
            self.meta_remove("open", CLEAN_KEY)?;
        }
        self.engine.sync("open")
    }

    /// Whether the database stands as this mark says.
    fn was_closed_so(&self, mark: Mark, counters: &[(Bytes, Amount)]) -> bool {
        let entries: u64 = counters.iter().map(|(_, amount)| amount.count).sum();
        mark.entries == entries && mark.highest.0 == self.sequence.last()
    }

    /// Compares what was counted, and the highest version met, with what the last close left.
    fn compare(&self, found: Found, highest: Version) -> Result<()> {
        let Some(mark) = found.mark() else {
            // Without a bound the journal that held it was taken away, and with it what used versions below it.
            let lost = if self.sequence.last() == 0 && highest.0 != 0 { BLOCK } else { 0 };
            return self.raise_version(Version(highest.0.saturating_add(lost)));
        };
        // The bound may have been lost as well, and no version is used twice.
        self.raise_version(highest.max(mark.highest))?;
        let entries: u64 = self.spaces.amounts().iter().map(|(_, amount)| amount.count).sum();
        // What is ahead of the mark was written since, by a release that knew no marks.
        let ahead = highest > mark.highest;
        if !ahead && (highest, entries) != (mark.highest, mark.entries) {
            self.note_loss(format!(
                "{} is behind its last clean close, so a file in it was cut or changed since: it ends at version \
                 {highest}, {} versions before the last, and has {entries} entries of {}; what is missing is \
                 in a copy of the folder, if there is one",
                self.path.display(),
                mark.highest.0 - highest.0,
                mark.entries
            ));
        }
        Ok(())
    }

    fn note_loss(&self, words: String) {
        self.damage.note();
        let _ = self.loss.set(words);
    }

    /// What was missing when the folder was opened, in words.
    pub(super) fn loss(&self) -> Option<&str> {
        self.loss.get().map(String::as_str)
    }

    fn recover_floors(&self) -> Result<()> {
        for row in self.engine.range("open", Space::Meta, FLOOR_KEY, None) {
            let (key, value) = row?;
            if !key.starts_with(FLOOR_KEY) {
                break;
            }
            let prefix = Bytes::copy_from_slice(&key[FLOOR_KEY.len()..]);
            let mut value = &value[..];
            if value.len() != 16 {
                return Err(Error::new(ErrorKind::Corrupt, "open").because("a namespace's floor is damaged"));
            }
            let (floor, deadline) = (Version(value.get_u64()), value.get_u64());
            self.spaces.raise_floor(&prefix, floor);
            self.floors().insert(prefix, (floor, deadline));
        }
        Ok(())
    }

    /// Counts every row, removes those that a clear had buried, and returns the highest version it met.
    fn recount(&self) -> Result<Version> {
        let mut amounts: HashMap<Bytes, Amount> = HashMap::new();
        let mut highest = self.floors().values().map(|(floor, _)| *floor).max().unwrap_or(Version::ZERO);
        let mut buried = false;
        let mut rows = Rows::new(&self.engine, &self.damage, &[]);
        while let Some((row, value)) = rows.next()? {
            let Ok((key, _)) = row::parts(&row, &value) else {
                self.damage.note();
                continue;
            };
            let prior = Prior::weigh(self, &key, &row, value)?;
            buried |= prior.buried;
            highest = highest.max(prior.summary.map_or(Version::ZERO, |summary| summary.version));
            if prior.amount.count != 0 {
                let prefix = key.flat_bytes().slice(..1 + key.namespace_name().len());
                let amount = amounts.entry(prefix).or_default();
                amount.count += prior.amount.count;
                amount.bytes += prior.amount.bytes;
                amount.stored += prior.amount.stored;
            }
        }
        for (prefix, amount) in amounts {
            self.spaces.restore(Bytes::copy_from_slice(&prefix), amount);
        }
        if buried {
            match self.purge(&[]) {
                Err(error) if error.kind() != ErrorKind::Corrupt => return Err(error),
                // The floors stay, so nobody sees what could not be removed; the next open tries again.
                Err(_) => drop(self.purges_due.fetch_add(1, Ordering::AcqRel)),
                Ok(()) => {}
            }
        }
        Ok(highest)
    }
}

fn check_format(bytes: &[u8]) -> Result<()> {
    match bytes.try_into().map(u32::from_be_bytes) {
        Ok(FORMAT) => Ok(()),
        Ok(newer) if newer > FORMAT => Err(Error::new(ErrorKind::Config, "open").because(format!(
            "a newer release wrote it, in format {newer}; this release reads up to format {FORMAT}: use the newer one"
        ))),
        _ => Err(Error::new(ErrorKind::Corrupt, "open").because("its format marker is damaged")),
    }
}

/// The counter as it stands on disk: where the last close left it, or at the bound that was reserved.
pub(super) fn recover_sequence(engine: &impl Engine) -> Result<Sequence> {
    let bound = match engine.get("open", Space::Meta, SEQUENCE_KEY)? {
        None => 0,
        Some(bytes) => row::number(&bytes).ok_or_else(|| {
            Error::new(ErrorKind::Corrupt, "open").because("its version counter is damaged")
        })?,
    };
    Ok(Sequence::new(bound, bound))
}

fn read_counters(mut clean: Bytes) -> Result<Vec<(Bytes, Amount)>> {
    let mut counters = Vec::new();
    while clean.has_remaining() {
        let length = usize::from(clean.get_u8()) + 1;
        if clean.remaining() < length + 24 {
            return Err(Error::new(ErrorKind::Corrupt, "open")
                .because("the counters that the last close wrote are damaged"));
        }
        let prefix = Bytes::copy_from_slice(&clean.split_to(length));
        let amount = Amount { count: clean.get_u64(), bytes: clean.get_u64(), stored: clean.get_u64() };
        counters.push((prefix, amount));
    }
    Ok(counters)
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::{BufMut, BytesMut};

    #[test]
    fn counters_are_read_as_they_were_written_and_damage_is_noticed() {
        let mut clean = BytesMut::new();
        clean.put_slice(b"\x02\x02ab");
        for number in [1_u64, 2, 3] {
            clean.put_u64(number);
        }
        let expected = (Bytes::from_static(b"\x02ab"), Amount { count: 1, bytes: 2, stored: 3 });
        let clean = clean.freeze();
        let cut = read_counters(clean.slice(..clean.len() - 1));
        assert_eq!(cut.unwrap_err().kind(), ErrorKind::Corrupt);
        assert_eq!(read_counters(clean).unwrap(), [expected]);
    }

    #[test]
    fn a_newer_format_is_refused_in_words() {
        let error = check_format(&7_u32.to_be_bytes()).unwrap_err();
        assert!(error.to_string().contains("format 7"), "{error}");
        assert_eq!(check_format(b"x").unwrap_err().kind(), ErrorKind::Corrupt);
    }
}
