//! `terrace serve`: the flags, and which option each sets.

use std::path::PathBuf;

use clap::Args;

use crate::config::Sources;
use crate::exit::{Exit, Failure};

const EXAMPLES: &str = "\
Examples:
  terrace serve                                  127.0.0.1, data in ./terrace-data
  terrace serve --dir /var/lib/terrace --maxmemory 10gib --hot 1gib
  terrace serve --memory --maxmemory 512mib      no disk: a restart begins empty
  terrace serve --config terrace.toml --port 6379
  terrace serve --bind 0.0.0.0 --requirepass-file pass --tls-cert cert.pem --tls-key key.pem

Every option can also stand in the file (`terrace config check` prints one) or in the environment, as
TERRACE_SECTION_OPTION: --port is resp.port in the file and TERRACE_RESP_PORT in the environment. Flags win over
the environment, that over the file. SIGTERM and SIGINT stop the server in good order, another one a second or more later at once.";

const NETWORK: &str = "Network";
const DATA: &str = "Data";
const ACCESS: &str = "Access";
const LIMITS: &str = "Limits";

/// Runs the server.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Serve {
    /// A configuration file (TOML)
    #[arg(long, short, value_name = "FILE")]
    config: Option<PathBuf>,

    /// Address to listen on, for both protocols [default: 127.0.0.1]
    #[arg(long, value_name = "ADDRESS", help_heading = NETWORK)]
    bind: Option<String>,
    /// Port of the Redis protocol; 0 takes a free one [default: 7379]
    #[arg(long, short, value_name = "PORT", help_heading = NETWORK)]
    port: Option<String>,
    /// Address of HTTP, where it differs
    #[arg(long, value_name = "ADDRESS", help_heading = NETWORK)]
    http_bind: Option<String>,
    /// Port of HTTP; 0 takes a free one [default: 7380]
    #[arg(long, value_name = "PORT", help_heading = NETWORK)]
    http_port: Option<String>,
    /// Speak no HTTP
    #[arg(long, help_heading = NETWORK, conflicts_with_all = ["http_bind", "http_port"])]
    no_http: bool,

    /// The data directory [default: ./terrace-data]
    #[arg(long, value_name = "DIR", help_heading = DATA)]
    dir: Option<String>,
    /// What keeps the keys: disk, memory, or fjall, the engine before [default: disk]
    #[arg(long, value_name = "KIND", help_heading = DATA)]
    store: Option<String>,
    /// Keep everything in memory only: --store memory
    #[arg(long, help_heading = DATA, conflicts_with_all = ["store", "dir", "hot", "durability", "interval"])]
    memory: bool,
    /// Memory for live values in front of the disk; 0 for none [default: 256mib]
    #[arg(long, value_name = "SIZE", help_heading = DATA)]
    hot: Option<String>,
    /// Room for all keys and values; 0 for no limit [default: 0]
    #[arg(long, value_name = "SIZE", help_heading = DATA)]
    maxmemory: Option<String>,
    /// Who makes room: noeviction, volatile-lfu, volatile-ttl, allkeys-lfu [default: volatile-lfu]
    #[arg(long, value_name = "POLICY", help_heading = DATA)]
    maxmemory_policy: Option<String>,
    /// When a write is acknowledged: always, group, interval, never [default: interval]
    #[arg(long, value_name = "MODE", help_heading = DATA)]
    durability: Option<String>,
    /// Between two fsyncs with --durability interval [default: 1s]
    #[arg(long, value_name = "TIME", help_heading = DATA)]
    interval: Option<String>,

    /// Password; --requirepass-file keeps it from the list of processes
    #[arg(long, value_name = "TEXT", help_heading = ACCESS)]
    requirepass: Option<String>,
    /// File whose first line is the password
    #[arg(long, value_name = "FILE", help_heading = ACCESS, conflicts_with = "requirepass")]
    requirepass_file: Option<String>,
    /// Certificate chain (PEM): both protocols then speak TLS 1.3 only
    #[arg(long, value_name = "FILE", help_heading = ACCESS)]
    tls_cert: Option<String>,
    /// Its private key (PEM)
    #[arg(long, value_name = "FILE", help_heading = ACCESS)]
    tls_key: Option<String>,
    /// Listen beyond this machine without a password or without TLS
    #[arg(long, help_heading = ACCESS)]
    insecure: bool,

    /// Clients at a time [default: 10000]
    #[arg(long, value_name = "N", help_heading = LIMITS)]
    max_clients: Option<String>,
    /// Close a connection that is silent for so long; 0s never, but half a command after 1m [default: 5m]
    #[arg(long, value_name = "TIME", help_heading = LIMITS)]
    idle_timeout: Option<String>,
    /// Threads that serve connections; 0 is one a processor [default: 0]
    #[arg(long, value_name = "N", help_heading = LIMITS)]
    threads: Option<String>,
}

/// The flag, the option, the value.
type Setting<'a> = (&'static str, &'static str, &'a str);

fn text<'a>(flag: &'static str, option: &'static str, value: &'a Option<String>) -> Option<Setting<'a>> {
    value.as_deref().map(|value| (flag, option, value))
}

fn switch(
    flag: &'static str,
    option: &'static str,
    on: bool,
    value: &'static str,
) -> Option<Setting<'static>> {
    on.then_some((flag, option, value))
}

impl Serve {
    pub(super) fn run(&self) -> Result<Exit, Failure> {
        let mut sources = Sources::of_process(self.config.as_deref())?;
        for (flag, option, value) in self.settings() {
            // A flag that is wrong is a matter of the command line, not of the configuration.
            sources
                .flag(flag, option, value)
                .map_err(|error| Failure::new(Exit::Usage, error.to_string()))?;
        }
        crate::serve::run(sources.finish()?)
    }

    /// What the flags say.
    fn settings(&self) -> Vec<Setting<'_>> {
        [
            text("--bind", "resp.bind", &self.bind),
            text("--bind", "http.bind", &self.bind),
            text("--port", "resp.port", &self.port),
            text("--http-bind", "http.bind", &self.http_bind),
            text("--http-port", "http.port", &self.http_port),
            switch("--no-http", "http.enabled", self.no_http, "false"),
            text("--dir", "store.dir", &self.dir),
            text("--store", "store.kind", &self.store),
            switch("--memory", "store.kind", self.memory, "memory"),
            text("--hot", "hot.size", &self.hot),
            text("--maxmemory", "store.maxmemory", &self.maxmemory),
            text("--maxmemory-policy", "store.policy", &self.maxmemory_policy),
            text("--durability", "store.durability", &self.durability),
            text("--interval", "store.interval", &self.interval),
            text("--requirepass", "auth.requirepass", &self.requirepass),
            text("--requirepass-file", "auth.requirepass_file", &self.requirepass_file),
            text("--tls-cert", "tls.cert", &self.tls_cert),
            text("--tls-key", "tls.key", &self.tls_key),
            switch("--insecure", "server.insecure", self.insecure, "true"),
            text("--max-clients", "limits.clients", &self.max_clients),
            text("--idle-timeout", "limits.idle", &self.idle_timeout),
            text("--threads", "server.threads", &self.threads),
        ]
        .into_iter()
        .flatten()
        .collect()
    }
}
