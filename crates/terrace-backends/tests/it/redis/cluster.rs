//! redis+cluster: the contract in a real cluster of six servers, beyond one slot and through a failover.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use terrace_backends::redis::{RedisClusterConfig, RedisClusterStore, RedisConfig};
use terrace_backends::registry;
use terrace_store::capability::{Change, Outcome, Write};
use terrace_store::conformance::{self, Subject};
use terrace_store::fakes::FrozenClock;
use terrace_store::tokio_runtime::{TokioClock, TokioSpawn};
use terrace_store::{
    BoxFuture, Condition, Entry, ErrorKind, Health, Key, Namespace, PutOptions, Result, Store, StoreExt,
    Written,
};

use super::nodes::Nodes;
use super::prefix;

fn config_of(nodes: &Nodes) -> RedisClusterConfig {
    let redis = RedisConfig { prefix: prefix(), ..RedisConfig::new(nodes.url()) };
    RedisClusterConfig { redis, nodes: nodes.others(), ..RedisClusterConfig::new("") }
}

fn open(config: RedisClusterConfig) -> RedisClusterStore {
    let clock = Arc::new(TokioClock::current().unwrap());
    RedisClusterStore::open(config, clock, Arc::new(TokioSpawn::current().unwrap())).unwrap()
}

fn key(space: u32, name: &str) -> Key {
    Key::new(format!("space {space}"), name).unwrap()
}

struct Cluster<'a> {
    nodes: &'a Nodes,
    last: Mutex<Option<RedisClusterConfig>>,
}

impl Cluster<'_> {
    fn open_with(&self, config: RedisClusterConfig, clock: FrozenClock) -> Result<Arc<dyn Store>> {
        let spawn = Arc::new(TokioSpawn::current()?);
        Ok(Arc::new(RedisClusterStore::open(config, Arc::new(clock), spawn)?))
    }
}

impl Subject for Cluster<'_> {
    fn open(&self, clock: FrozenClock) -> BoxFuture<'_, Result<Arc<dyn Store>>> {
        let mut config = config_of(self.nodes);
        config.redis.timeout = Duration::from_secs(20);
        *self.last.lock().unwrap() = Some(config.clone());
        Box::pin(async move { self.open_with(config, clock) })
    }

    fn reopen(&self, clock: FrozenClock) -> BoxFuture<'_, Result<Option<Arc<dyn Store>>>> {
        let config = self.last.lock().unwrap().clone().unwrap();
        Box::pin(async move { self.open_with(config, clock).map(Some) })
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn it_keeps_the_contract_in_a_cluster() {
    let Some(nodes) = Nodes::start().await else { return };
    println!("{}", conformance::all(&Cluster { nodes: &nodes, last: Mutex::default() }).await);
    let sizes = nodes.sizes().await;
    assert!(sizes.iter().all(|size| *size > 0), "all of it lies in one server: {sizes:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_names_several_slots_is_put_together_and_a_transaction_over_them_is_refused_in_words() {
    let Some(nodes) = Nodes::start().await else { return };
    let store = open(config_of(&nodes));
    let writes = |value: &'static str| -> Vec<Write> {
        let put = |n: u32| Write::Put(key(n % 40, &n.to_string()), Entry::new(value), PutOptions::default());
        (0..200).map(put).collect()
    };
    let outcomes = store.as_batch().unwrap().apply(writes("1")).await.unwrap();
    assert!(
        outcomes
            .iter()
            .all(|outcome| matches!(outcome, Outcome::Put(Written::Stored { replaced: false, .. })))
    );
    assert!(!store.capabilities().atomic_batches);
    let keys: Vec<Key> = writes("").iter().map(|write| write.key().clone()).chain([key(7, "none")]).collect();
    let found = store.as_batch().unwrap().get_many(&keys).await.unwrap();
    assert_eq!(
        found.iter().filter(|entry| entry.as_ref().is_some_and(|entry| entry.value == "1")).count(),
        200
    );
    assert!(found[200].is_none());
    assert_eq!(store.as_iterate().unwrap().namespaces().await.unwrap().len(), 40);

    // A ticket is above all that was written, wherever that lies, and below all that will be.
    let ticket = store.reserve().await.unwrap();
    assert!(found.iter().flatten().all(|entry| entry.version < ticket));
    for n in 0..40 {
        let version = store.put_with(&key(n, "late"), "2").await.unwrap().version().unwrap();
        assert!(version > ticket, "{version} after {ticket}");
        let options = PutOptions { condition: Condition::Newer(ticket), ..PutOptions::default() };
        let old = store.put(&key(n, "late"), Entry::new("0"), options).await.unwrap();
        assert!(matches!(old, Written::Conflict { .. }));
    }

    let transact = store.as_transact().unwrap();
    let mut refused = Vec::new();
    for n in 1..40 {
        let mut transaction = transact.begin().await.unwrap();
        transaction.put(key(0, "a"), Entry::new("both"));
        transaction.put(key(n, "a"), Entry::new("both"));
        if let Err(error) = transaction.commit().await {
            refused.push((n, error));
        }
    }
    assert!(refused.len() > 30, "{}", refused.len());
    for (n, error) in refused {
        assert_eq!(error.kind(), ErrorKind::NotSupported);
        let words = error.to_string();
        assert!(
            words.contains("space 0") && words.contains(&format!("space {n}")) && words.contains("slot"),
            "{words}"
        );
        assert!(!store.exists(&key(n, "a")).await.unwrap());
    }
    let both = store.as_iterate().unwrap();
    let mut count = 0;
    for space in both.namespaces().await.unwrap() {
        count += both.count(&space).await.unwrap();
    }
    assert!(count >= 240);
    assert_eq!(store.as_batch().unwrap().clear(None).await.unwrap(), count);
    assert!(store.as_iterate().unwrap().namespaces().await.unwrap().is_empty());
    assert_eq!(store.health().await, Health::Up);
    store.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failover_is_outlived_and_what_may_have_been_written_is_told() {
    let Some(mut nodes) = Nodes::start().await else { return };
    let mut config = config_of(&nodes);
    config.redis.timeout = Duration::from_secs(1);
    let store = open(config);
    let lock = store.as_lock().unwrap();
    let mut watches = Vec::new();
    let mut tokens = Vec::new();
    for n in 0..30 {
        let _ = store.put_with(&key(n, "a"), "0").await.unwrap();
        let space = Namespace::new(format!("space {n}")).unwrap();
        watches.push(store.as_watch().unwrap().watch(&space, "".into()).await.unwrap());
        let lease = lock.try_acquire(&n.to_be_bytes(), Duration::from_secs(1)).await.unwrap().unwrap();
        tokens.push(lease.token);
    }
    nodes.lose(1).await;
    // Each value counts up; one whose outcome is unknown may be either.
    let (mut known, mut unknown, mut failed) = (vec![0_u32; 30], 0, 0);
    let began = Instant::now();
    for round in 1..=20_u32 {
        for n in 0..30_u32 {
            match store.put_with(&key(n, "a"), round.to_string()).await {
                Ok(_) => known[n as usize] = round,
                Err(error) if error.kind() == ErrorKind::Unknown => unknown += 1,
                Err(error) => {
                    assert!(error.is_transient() || error.kind() == ErrorKind::Unavailable, "{error:?}");
                    failed += 1;
                }
            }
            if let Ok(found) = store.get(&key(n, "a")).await {
                let value: u32 = String::from_utf8_lossy(&found.unwrap().value).parse().unwrap();
                assert!(value >= known[n as usize] && value <= round, "{n}: {value} of {known:?}");
            }
        }
        if began.elapsed() > Duration::from_secs(60) {
            break;
        }
    }
    println!("{unknown} writes were unknown and {failed} failed");
    assert!(known.iter().all(|value| *value == 20), "the slots found no owner: {known:?}");
    for (n, changes) in watches.iter_mut().enumerate() {
        let last = async {
            loop {
                match tokio::time::timeout(Duration::from_millis(200), changes.next()).await {
                    Ok(Some(Change::Put { version, .. })) => {
                        let current = store.get(&key(n as u32, "a")).await.unwrap().unwrap().version;
                        if version == current {
                            break;
                        }
                    }
                    Ok(Some(_)) => {}
                    Ok(None) => panic!("the watch ended"),
                    Err(_) => _ = store.put_with(&key(n as u32, "a"), "21").await,
                }
            }
        };
        tokio::time::timeout(Duration::from_secs(30), last).await.unwrap();
    }
    for (n, token) in tokens.into_iter().enumerate() {
        let lease = lock.try_acquire(&(n as u32).to_be_bytes(), Duration::from_secs(1)).await.unwrap();
        assert!(lease.is_some_and(|lease| lease.token > token));
    }
    store.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_is_opened_by_url_and_another_number_of_parts_is_refused() {
    let Some(nodes) = Nodes::start().await else { return };
    let open = |options: &str| {
        let url = nodes.url().replacen("redis:", "redis+cluster:", 1);
        let (clock, spawn) = (TokioClock::current().unwrap(), TokioSpawn::current().unwrap());
        registry::open(&format!("{url}?{options}"), Arc::new(clock), Arc::new(spawn)).unwrap()
    };
    let nodes_told = nodes.others().join(",");
    let store = open(&format!("prefix=one&parts=4&nodes={nodes_told}"));
    let _ = store.put_with(&key(1, "a"), "1").await.unwrap();
    let error = open("prefix=one&parts=5").as_iterate().unwrap().namespaces().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config, "{error:?}");
    assert!(open("prefix=one&parts=4").exists(&key(1, "a")).await.unwrap());
    // Somebody who takes the cluster for a server is told.
    let alone = nodes.url();
    let (clock, spawn) = (TokioClock::current().unwrap(), TokioSpawn::current().unwrap());
    let alone = registry::open(&alone, Arc::new(clock), Arc::new(spawn)).unwrap();
    let error = alone.get(&key(1, "a")).await.unwrap_err();
    assert!(error.to_string().contains("redis+cluster:"), "{error}");
}
