//! `terrace serve`: from a configuration to a running server, and to its end.
//!
//! Decision: connections of the Redis protocol run on threads of their own, one a processor (`workers`);
//! everything else, which is HTTP, loads, syncs, sweeps and signals, runs on one multi-threaded runtime beside
//! them. Ports are taken first and served last: a port that is taken leaves no trace on the disk, and nobody is let
//! in before the keys are there. Every task and thread has an owner that ends it and waits for it.

mod accept;
mod announce;
mod front;
mod health;
mod open;
mod process;
mod seats;
mod stop;
mod stream;
mod tls;
mod web;
mod workers;

use std::io;
use std::io::Write;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use terrace_store::net::{Listener, Net};
use terrace_store::tokio_runtime::TokioNet;
use tokio::runtime::Runtime;

use crate::config::Config;
use crate::exit::{Exit, Failure};
use crate::keyspace::Keyspace;
use front::Front;
use stop::{Signals, Stop};
use tls::Encryption;
use web::Web;

/// What the stores get to end their background work after the last connection is gone.
const RUNTIME_GRACE: Duration = Duration::from_secs(2);

/// A signal that comes sooner after the first is the same wish told twice, as by a supervisor and a terminal, and
/// not impatience.
const IMPATIENCE: Duration = Duration::from_secs(1);

/// Runs the server until it is told to stop.
///
/// # Errors
/// Each with the exit code that says what is to be done.
pub fn run(config: Config) -> Result<Exit, Failure> {
    check_user(&config)?;
    let config = Arc::new(fitted(config));
    let encryption = Encryption::new(&config.tls)?;
    let runtime = runtime()?;
    let outcome = runtime.block_on(serve(&config, encryption));
    runtime.shutdown_timeout(RUNTIME_GRACE);
    outcome
}

/// The configuration with no more clients than the system gives files for.
fn fitted(mut config: Config) -> Config {
    let room = process::reserve_files(config.limits.clients);
    if room < config.limits.clients {
        eprintln!(
            "terrace: the system allows files for {room} clients only, not for {}: raise the limit (ulimit -n)",
            config.limits.clients
        );
        config.limits.clients = room;
    }
    config
}

/// A mistake in a server that runs as root is a mistake with the whole machine.
fn check_user(config: &Config) -> Result<(), Failure> {
    let exposed = config.exposed();
    if config.server.insecure {
        for address in &exposed {
            eprintln!("terrace: --insecure: {address} can be reached from other machines");
        }
    }
    match (process::is_root(), exposed.first()) {
        (true, Some(address)) if !config.server.insecure => Err(Failure::new(
            Exit::Config,
            format!(
                "refused: running as root while {address} can be reached from other machines: \
                 run it as a user of its own, or say --insecure if this machine has nothing else to lose"
            ),
        )),
        (true, _) => {
            eprintln!("terrace: running as root is more than a server needs: a user of its own is safer");
            Ok(())
        }
        (false, _) => Ok(()),
    }
}

fn runtime() -> Result<Runtime, Failure> {
    let built = tokio::runtime::Builder::new_multi_thread().thread_name("background").enable_all().build();
    built.map_err(|error| Failure::new(Exit::Internal, format!("cannot start threads: {error}")))
}

/// From the ports to the goodbye.
async fn serve(config: &Arc<Config>, encryption: Option<Encryption>) -> Result<Exit, Failure> {
    let mut signals = Signals::take()?;
    let resp = listen(config.resp_address(), "--port").await?;
    let http = match config.http_address() {
        Some(address) => Some(listen(address, "--http-port").await?),
        None => None,
    };
    let addresses = (resp.local_address(), http.as_ref().map(|http| http.local_address()));
    let keyspace = tokio::select! {
        keyspace = open::keyspace(config) => keyspace?,
        // Opening may take long, and whoever has no patience need not have any.
        signal = signals.next() => {
            eprintln!("terrace: {signal} while opening the keys: ending");
            return Ok(Exit::Success);
        }
    };
    let stop = Stop::new();
    health::start(&keyspace, stop.notice()).await;
    let front = Front::start(config, addresses.0, resp, &keyspace, encryption.clone(), &stop)?;
    let web =
        http.map(|listener| Web::start(config, addresses, listener, &keyspace, encryption, &front, &stop));
    announce(&announce::ready(config, addresses.0, addresses.1));

    let signal = signals.next().await;
    eprintln!("terrace: {signal}: stopping, at most {} for clients to finish", config.server.shutdown);
    tokio::select! {
        outcome = wind_down(stop, front, web, &keyspace) => outcome.map(|()| Exit::Success),
        signal = signals.next_after(IMPATIENCE) => {
            eprintln!("terrace: {signal} again: ending at once");
            std::process::exit(Exit::Interrupted as i32)
        }
    }
}

/// No new connections, then no connections, then no keys.
async fn wind_down(stop: Stop, front: Front, web: Option<Web>, keyspace: &Keyspace) -> Result<(), Failure> {
    stop.now();
    let (cut_off, ()) = tokio::join!(front.end(), async {
        if let Some(web) = web {
            web.end().await;
        }
    });
    if cut_off > 0 {
        eprintln!("terrace: {cut_off} connections did not end in time and were cut off");
    }
    let flushed = keyspace.tiers().flush().await;
    let closed = keyspace.tiers().close().await;
    flushed.and(closed).map_err(|error| {
        Failure::new(Exit::Directory, format!("the last writes may not be on the disk: {error}"))
    })
}

async fn listen(address: SocketAddr, flag: &str) -> Result<Box<dyn Listener>, Failure> {
    TokioNet.listen(address).await.map_err(|error| {
        let advice = match error.kind() {
            io::ErrorKind::AddrInUse => {
                format!("another process listens there: stop it, or choose another port with {flag}")
            }
            io::ErrorKind::PermissionDenied => {
                format!("ports below 1024 are for root: choose another with {flag}")
            }
            io::ErrorKind::AddrNotAvailable => "this machine has no such address".into(),
            _ => format!("choose another with {flag}"),
        };
        Failure::new(
            Exit::Address,
            format!("cannot listen on {address}, port {}: {error}; {advice}", address.port()),
        )
    })
}

/// To stdout, for people and for those who start servers and wait for this. If nobody listens, nobody does.
fn announce(words: &str) {
    let mut out = io::stdout().lock();
    let _ = out.write_all(words.as_bytes()).and_then(|()| out.flush());
}
