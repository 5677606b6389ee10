//! Several writes as one, and single writes that need no waiting: the same rules hold for them.

use std::sync::Arc;

use terrace_store::fakes::FrozenClock;
use terrace_store::tokio_runtime::TokioSpawn;
use terrace_store::{Condition, Entry, ErrorKind, Key, Store, Written};
use terrace_tiers::{Parcel, PutRequest, Tier, WriteMode};

use crate::gate::{Fault, Gate};
use crate::world::{TEXT, World, gate, key, open};

/// Hot over as many of these as there are tiers.
async fn world(tiers: &[Tier], in_place: bool) -> (World, Vec<Arc<Gate>>) {
    let clock = FrozenClock::at_wall_ms(1_000_000);
    let gates: Vec<_> = tiers.iter().map(|_| gate(&clock, in_place)).collect();
    let below = tiers.iter().zip(&gates).map(|(tier, gate)| (*tier, Arc::clone(gate), WriteMode::Through));
    let world = open(&clock, &below.collect(), Arc::new(TokioSpawn::current().unwrap())).await;
    (world, gates)
}

fn parcel(world: &World, value: &str) -> Parcel {
    use terrace_store::Clock;
    let entry = Entry { created_ms: world.clock.wall_ms(), ..Entry::new("") };
    Parcel { entry, live: Some(Arc::new(value.to_owned())), weight: value.len() as u64 }
}

fn writes(world: &World, pairs: &[(&str, &str)]) -> Vec<(Key, Parcel)> {
    pairs.iter().map(|(name, value)| (key(name), parcel(world, value))).collect()
}

fn plain() -> PutRequest {
    PutRequest { codec: Some(&TEXT), ..PutRequest::default() }
}

/// An encoded parcel, as those have it who write in place.
fn encoded(world: &World, value: &str) -> Parcel {
    let mut parcel = parcel(world, value);
    parcel.entry.value = value.to_owned().into();
    parcel
}

async fn stored(gate: &Gate, name: &str) -> Option<String> {
    let entry = gate.store.get(&key(name)).await.unwrap()?;
    Some(String::from_utf8(entry.value.to_vec()).unwrap())
}

#[tokio::test]
async fn a_batch_reaches_every_tier_and_the_later_of_two_stays() {
    let (world, gates) = world(&[Tier::Cold, Tier::Durable], true).await;
    let _ = world.put("a", "before").await.unwrap();
    let pairs = [("a", "1"), ("b", "2"), ("a", "3")];
    world.tiers.put_many(writes(&world, &pairs), plain()).await.unwrap();
    for (name, value) in [("a", "3"), ("b", "2")] {
        assert_eq!(world.in_hot(name).as_deref(), Some(value));
        for gate in &gates {
            assert_eq!(stored(gate, name).await.as_deref(), Some(value));
        }
    }
    let wrong = PutRequest { condition: Condition::Absent, ..plain() };
    let error = world.tiers.put_many(writes(&world, &pairs), wrong).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
}

#[tokio::test]
async fn without_a_store_the_hot_tier_takes_a_batch_one_by_one() {
    let (world, _) = world(&[], true).await;
    world.tiers.put_many(writes(&world, &[("a", "1"), ("b", "2")]), plain()).await.unwrap();
    assert_eq!((world.in_hot("a").as_deref(), world.in_hot("b").as_deref()), (Some("1"), Some("2")));
}

#[tokio::test]
async fn a_batch_that_failed_changed_nothing_and_one_that_may_have_been_applied_is_not_trusted() {
    let (world, gates) = world(&[Tier::Cold, Tier::Durable], true).await;
    let _ = world.put("a", "old").await.unwrap();
    gates[1].fail_writes(Fault::Fail(ErrorKind::Unavailable));
    let pairs = [("a", "new"), ("b", "new")];
    assert!(world.tiers.put_many(writes(&world, &pairs), plain()).await.is_err());
    assert_eq!(world.get("a").await.unwrap().as_deref(), Some("old"));
    assert_eq!(world.get("b").await.unwrap(), None);

    gates[1].fail_writes(Fault::AppliedUnknown);
    let error = world.tiers.put_many(writes(&world, &pairs), plain()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unknown);
    assert_eq!(world.in_hot("a"), None, "the old value may be gone");
    assert_eq!(world.get("a").await.unwrap().as_deref(), Some("new"), "the cold tier's copy is passed by");
}

#[tokio::test]
async fn a_put_in_place_keeps_the_hot_tier_current() {
    let (world, gates) = world(&[Tier::Durable], true).await;
    for value in ["1", "2"] {
        let written = world.tiers.put_in_place(&key("a"), encoded(&world, value)).expect("in place").unwrap();
        assert!(matches!(written, Written::Stored { .. }));
        assert_eq!(world.in_hot("a").as_deref(), Some(value));
        assert_eq!(stored(&gates[0], "a").await.as_deref(), Some(value));
    }
    let _ = world.delete("a").await.unwrap();
    assert_eq!(world.get("a").await.unwrap(), None);
}

#[tokio::test]
async fn what_would_have_to_wait_or_make_room_is_not_put_in_place() {
    let (waits, _) = world(&[Tier::Durable], false).await;
    assert!(waits.tiers.put_in_place(&key("a"), encoded(&waits, "1")).is_none());
    let (above, _) = world(&[Tier::Cold, Tier::Durable], true).await;
    assert!(above.tiers.put_in_place(&key("a"), encoded(&above, "1")).is_none());
    let (full, gates) = world(&[Tier::Durable], true).await;
    let _ = full.put("a", "old").await.unwrap();
    gates[0].fail_writes(Fault::Fail(ErrorKind::Full));
    assert!(full.tiers.put_in_place(&key("a"), encoded(&full, "new")).is_none());
    assert_eq!(full.get("a").await.unwrap().as_deref(), Some("old"));
}

#[tokio::test]
async fn a_put_in_place_that_may_have_been_applied_is_not_trusted() {
    let (world, gates) = world(&[Tier::Durable], true).await;
    let _ = world.put("a", "old").await.unwrap();
    gates[0].fail_writes(Fault::AppliedUnknown);
    // The gate answers at once, in place.
    let error = world.tiers.put_in_place(&key("a"), encoded(&world, "new")).expect("in place").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unknown);
    assert_eq!(world.in_hot("a"), None);
    assert_eq!(world.get("a").await.unwrap().as_deref(), Some("new"));
}
