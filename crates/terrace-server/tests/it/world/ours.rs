//! Our server in this process.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::mpsc;
use std::thread::JoinHandle;

use terrace::tiers::{Foundation, HotConfig, HotTier, Lower, Options, Tier, Tiers, WriteMode};
use terrace_memory::Config as MemoryConfig;
use terrace_server::keyspace::{Keyspace, hold};
use terrace_server::resp::connection::serve;
use terrace_server::resp::server::Server;
use terrace_server::resp::settings::Config;
use terrace_store::net::Net;
use terrace_store::rng::SplitMix;
use terrace_store::tokio_runtime::{TokioClock, TokioNet, TokioSpawn};
use terrace_store::{Clock, Namespace, Store, block_on};

/// How it is set up.
pub(crate) struct Setup {
    pub(crate) config: Config,
    /// Bytes of the hot tier; 0 for none.
    pub(crate) hot: u64,
    /// The store that decides, by URL.
    pub(crate) store: String,
    /// What is put around the store.
    pub(crate) around: fn(Arc<dyn Store>) -> Arc<dyn Store>,
    /// Threads that serve, each a runtime of its own.
    pub(crate) threads: usize,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            config: Config::default(),
            hot: 8 << 20,
            store: "memory:".to_owned(),
            around: |store| store,
            threads: 1,
        }
    }
}

pub(crate) struct Ours {
    pub(crate) address: SocketAddr,
    pub(crate) server: Arc<Server>,
    stop: Vec<tokio::sync::oneshot::Sender<()>>,
    threads: Vec<JoinHandle<()>>,
    // Dropped last: the background tasks and timers live on it.
    _background: tokio::runtime::Runtime,
}

impl Ours {
    pub(crate) fn start(setup: Setup) -> Self {
        let background =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let server = background.block_on(open(&setup));
        let (listening, addresses) = mpsc::channel();
        let (mut stop, mut threads) = (Vec::new(), Vec::new());
        let (hand, accepted) = (0..setup.threads)
            .map(|_| tokio::sync::mpsc::unbounded_channel())
            .unzip::<_, _, Vec<_>, Vec<_>>();
        for mut accepted in accepted {
            let (sender, mut stopped) = tokio::sync::oneshot::channel();
            stop.push(sender);
            let server = Arc::clone(&server);
            threads.push(std::thread::spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
                runtime.block_on(async {
                    loop {
                        let next: Box<dyn terrace_store::net::Accepted> = tokio::select! {
                            Some(next) = accepted.recv() => next,
                            _ = &mut stopped => break,
                        };
                        let peer = next.peer();
                        let Ok(connection) = next.attach() else { continue };
                        drop(tokio::spawn(serve(Arc::clone(&server), connection, peer)));
                    }
                });
            }));
        }
        background.spawn(async move {
            let listener = TokioNet.listen(([127, 0, 0, 1], 0).into()).await.unwrap();
            listening.send(listener.local_address()).unwrap();
            for turn in 0.. {
                let Ok(next) = listener.accept().await else { continue };
                if hand[turn % hand.len()].send(next).is_err() {
                    return;
                }
            }
        });
        Self { address: addresses.recv().unwrap(), server, stop, threads, _background: background }
    }
}

impl Drop for Ours {
    fn drop(&mut self) {
        self.server.clients.close();
        self.stop.drain(..).for_each(drop);
        self.threads.drain(..).for_each(|thread| drop(thread.join()));
        let _ = block_on(self.server.keyspace.tiers().close());
    }
}

async fn open(setup: &Setup) -> Arc<Server> {
    let clock: Arc<dyn Clock> = Arc::new(TokioClock::current().unwrap());
    let base = Foundation::new(Arc::clone(&clock), Options::default());
    let hot = (setup.hot > 0).then(|| {
        let config = HotConfig {
            memory: MemoryConfig::bytes(setup.hot),
            namespace: Namespace::new("0").unwrap(),
            hold,
            keep_unexpiring: false,
        };
        Arc::new(HotTier::new(config, Arc::clone(&clock), base.floors.clone(), base.generations.clone()))
    });
    let spawn = Arc::new(TokioSpawn::current().unwrap());
    let store = terrace::backends::registry::open(&setup.store, clock, spawn.clone()).unwrap();
    let store = (setup.around)(store);
    let lower = vec![Lower::new(Tier::Durable, store, WriteMode::Through)];
    let erased = hot.clone().map(|hot| hot as Arc<dyn terrace::tiers::Hot>);
    let tiers = Tiers::open(base, erased, lower, spawn).await.unwrap();
    let keyspace = Arc::new(Keyspace::new(tiers, hot).unwrap());
    Server::new(keyspace, setup.config.clone(), Arc::new(SplitMix::random()))
}
