//! Callers that are not asynchronous.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use terrace::{Cache, ErrorKind, Size};

#[test]
fn a_program_without_a_runtime_has_a_whole_cache() {
    let folder = tempfile::tempdir().unwrap();
    let cache = Cache::<String>::builder("n").cold(folder.path(), 1.gib()).build_blocking().unwrap();
    let blocking = cache.blocking();
    blocking.put("n", &1u64).unwrap();
    assert_eq!(blocking.get::<u64>("n").unwrap(), Some(1));
    assert!(blocking.compare_and_swap("n", &1u64, &2u64).unwrap());
    assert_eq!(blocking.replace("n", &3u64).unwrap(), Some(2));
    assert!(!blocking.put_if_absent("n", &4u64).unwrap());
    blocking.run(cache.put("t", "text").ttl("1m").tag("x")).unwrap();
    blocking.invalidate(terrace::Tag("x")).unwrap();
    assert!(!blocking.contains("t").unwrap());
    assert!(blocking.remove("n").unwrap());
    assert_eq!(blocking.get::<u64>("n").unwrap(), None);
    blocking.close().unwrap();
}

#[test]
fn blocking_and_asynchronous_callers_share_one_flight() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let cache = runtime.block_on(Cache::<String, u64>::builder("n").build()).unwrap();
    let loads = Arc::new(AtomicU32::new(0));
    let threads: Vec<_> = (0..4)
        .map(|_| {
            let (cache, loads) = (cache.clone(), Arc::clone(&loads));
            std::thread::spawn(move || {
                cache.blocking().get_or_load("k", move |_| {
                    loads.fetch_add(1, Ordering::SeqCst);
                    std::thread::sleep(Duration::from_millis(100));
                    Ok::<_, std::io::Error>(7)
                })
            })
        })
        .collect();
    // While that load sleeps, an asynchronous caller joins it.
    while !cache.tiers().is_flying() {
        std::thread::yield_now();
    }
    let counted = Arc::clone(&loads);
    let joined = runtime.block_on(cache.get_or_load("k", move |_| async move {
        counted.fetch_add(1, Ordering::SeqCst);
        Ok::<_, std::io::Error>(8)
    }));
    assert_eq!(joined.unwrap(), 7);
    for thread in threads {
        assert_eq!(thread.join().unwrap().unwrap(), 7);
    }
    assert_eq!(loads.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn waiting_on_a_runtimes_thread_is_refused_in_words_and_a_hit_is_not() {
    let cache = Cache::<String, u64>::builder("n").build().await.unwrap();
    cache.put("k", 1).await.unwrap();
    assert_eq!(cache.blocking().get("k").unwrap(), Some(1));
    let error = cache.blocking().put("k", 2).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Denied);
    assert!(error.to_string().contains("spawn_blocking"), "{error}");
}
