//! The suite itself under test: it passes what is right, and catches what is wrong.

mod broken;
mod subjects;

use std::sync::Arc;

use subjects::Fresh;
use terrace_store::block_on;
use terrace_store::conformance;
use terrace_store::fakes::{FrozenClock, MapStore, Recording, Slow};

#[test]
fn the_plain_map_keeps_the_contract() {
    let subject = Fresh(MapStore::new);
    let report = block_on(conformance::all(&subject));
    println!("{report}");
    assert!(report.ran.contains(&"model"), "{report}");
}

#[test]
fn the_plain_map_hands_back_the_very_buffer() {
    block_on(conformance::copies::values_keep_their_buffer(&Fresh(MapStore::new)));
}

#[test]
fn a_wrapped_store_keeps_the_contract_of_the_one_beneath() {
    let recording = Fresh(|clock| Recording::over(Arc::new(MapStore::new(clock))));
    let report = block_on(conformance::all(&recording));
    assert!(report.ran.contains(&"batch") && report.ran.contains(&"iterate"), "{report}");
    block_on(conformance::copies::values_keep_their_buffer(&recording));
    let idle = Fresh(|clock| Slow::over(Arc::new(MapStore::new(clock)), Arc::new(FrozenClock::default())));
    let _ = block_on(conformance::all(&idle));
}
