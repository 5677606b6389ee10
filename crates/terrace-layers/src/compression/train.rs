//! Training a dictionary from a namespace's own entries.

use terrace_envelope::Compression as Algorithm;
use terrace_envelope::codec::{Coder, Dictionary};
use terrace_store::capability::{Iterate, List, Order};
use terrace_store::{Error, ErrorKind, Namespace, Result};

use super::Compression;

/// From what a dictionary is trained, and when it is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Training {
    /// How many bytes of values it learns from at most.
    pub samples: usize,
    /// How long it may be.
    pub length: usize,
    /// It is kept if values become so many per cent shorter by it than without.
    pub gain_percent: usize,
}

impl Default for Training {
    /// A megabyte of values, 16 KiB of dictionary, five per cent.
    fn default() -> Self {
        Self { samples: 1 << 20, length: 16 << 10, gain_percent: 5 }
    }
}

/// Longer values have enough in common with themselves.
const LONGEST_SAMPLE: usize = 16 << 10;

impl Compression {
    /// Trains a dictionary from the entries of a namespace, and uses it from then on if it pays: every tenth value is
    /// kept from the training to see. Returns its number, or `None` if it did not pay or there was too little to learn
    /// from.
    ///
    /// # Errors
    /// `NotSupported` if the store cannot list; whatever it answers otherwise.
    ///
    /// # Cost
    /// Reads the samples, and some 60 ms of processor for each megabyte of them: work for the background.
    ///
    /// # Cancellation
    /// Dropping it leaves at most a dictionary in the store that nothing uses.
    pub async fn train(&self, namespace: &Namespace, training: Training) -> Result<Option<u32>> {
        let (learn, judge) = self.samples(namespace, training.samples).await?;
        let lengths: Vec<usize> = learn.iter().map(|value| value.len()).collect();
        let Ok(dictionary) = Dictionary::train(&learn.concat(), &lengths, training.length) else {
            return Ok(None);
        };
        let (mut with, mut without) = (0, 0);
        let (mut coder, mut out) = (Coder::new(), Vec::new());
        for value in &judge {
            out.clear();
            let failed = |error| Error::new(ErrorKind::Codec, "train").caused_by(error);
            with += coder.encode(Algorithm::Zstd, Some(&dictionary), value, &mut out).map_err(failed)?;
            without += coder.encode(Algorithm::Zstd, None, value, &mut out).map_err(failed)?;
        }
        if judge.is_empty() || with * 100 > without * (100 - training.gain_percent.min(100)) {
            return Ok(None);
        }
        let compressor = self.transform();
        let id = compressor.dictionaries.adopt(&**self.inner(), namespace, dictionary).await?;
        compressor.forget(namespace);
        Ok(Some(id))
    }

    /// Values to learn from, and values to judge by.
    async fn samples(&self, namespace: &Namespace, most: usize) -> Result<(Vec<Vec<u8>>, Vec<Vec<u8>>)> {
        let list = List { limit: 256, order: Order::Any, ..List::all(namespace.clone()) };
        let (mut learn, mut judge) = (Vec::new(), Vec::new());
        let (mut taken, mut cursor) = (0, None);
        if self.inner().as_iterate().is_none() {
            return Err(
                Error::new(ErrorKind::NotSupported, "train").because("the store cannot list its entries")
            );
        }
        while taken < most {
            let page = Iterate::list(self, &list, cursor.as_ref()).await?;
            let values = page.entries.iter().map(|(_, entry)| &entry.value);
            for value in values.filter(|value| !value.is_empty() && value.len() <= LONGEST_SAMPLE) {
                taken += value.len();
                let seen = learn.len() + judge.len();
                if seen % 10 == 9 { judge.push(value.to_vec()) } else { learn.push(value.to_vec()) }
            }
            cursor = page.next;
            if cursor.is_none() {
                break;
            }
        }
        Ok((learn, judge))
    }
}
