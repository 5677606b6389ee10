//! What is left after the worst moment: power cuts, dying processes, failing and lying disks, damage.
//!
//! How much is done is set by the environment (see `budget`); a failure prints the seed and how to run it again.

mod budget;
#[cfg(feature = "crypt")]
mod ciphertext;
mod damage;
mod found;
mod full;
mod history;
mod images;
mod judge;
mod kill;
mod lies;
mod oracle;
mod placements;
mod resurrection;
mod run;
#[cfg(seeded_bug)]
mod seeded;
mod store;
mod values;
mod versions;
mod workload;
mod writers;
