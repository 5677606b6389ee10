//! What is read before the log itself: dictionaries and the newest index snapshot that checks.

use super::Recovery;
use crate::checkpoint::{Loaded, snapshot_name, snapshot_number};
use crate::codec::training::{dictionary_name, parse_dictionary};
use crate::error::Result;
use crate::open::read_file;
use crate::report::OpenReport;

impl Recovery<'_> {
    pub(crate) fn load_dictionaries(&self, names: &[String], report: &mut OpenReport) -> Result<()> {
        for name in names.iter().filter(|name| name.starts_with("dict-") && !name.ends_with(".new")) {
            let bytes = read_file(&*self.shared.io, name)?;
            match parse_dictionary(&bytes, self.shared.mark.store) {
                Some((id, dictionary)) if dictionary_name(id) == *name => {
                    self.shared.codecs.add_dictionary(id, dictionary);
                }
                _ => report.refused.push(format!("{name} does not check: what it encoded cannot be read")),
            }
        }
        Ok(())
    }

    pub(crate) fn load_snapshot(&mut self, names: &[String], report: &mut OpenReport) {
        let mut numbers: Vec<u64> = names.iter().filter_map(|name| snapshot_number(name)).collect();
        numbers.sort_unstable();
        for number in numbers.into_iter().rev() {
            let name = snapshot_name(number);
            let (store, threads) = (self.shared.mark.store, self.shared.config.threads());
            let read =
                self.shared.io.open(&name, false).and_then(|file| Loaded::read(&*file, store, threads));
            if let Ok(Some(loaded)) = read {
                self.loaded = Some(loaded);
                return;
            }
            report.refused.push(format!("{name} does not check: the segments are read instead"));
        }
    }
}
