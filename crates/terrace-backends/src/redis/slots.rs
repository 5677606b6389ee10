//! The slots of a cluster: which a name is in, and the way to its owner.

use redis::cluster::{ClusterClientBuilder, ClusterConfig};
use redis::cluster_async::ClusterConnection;
use redis::cluster_routing::{Route, RoutingInfo, SingleNodeRoutingInfo, SlotAddr};
use redis::{Client, Cmd, ConnectionAddr, ConnectionInfo, ErrorKind, Pipeline, RedisResult, Value};
use terrace_store::Result;

use super::config::{RedisClusterConfig, refused};
use super::error::translate;
use super::link::{certs, client};
use crate::remote::runtime;

/// How many there are.
pub(super) const SLOTS: usize = 16_384;

/// The slot of a name without braces: CRC-16 of XMODEM.
pub(super) fn slot(name: &[u8]) -> u16 {
    let crc =
        name.iter().fold(0_u16, |crc, byte| {
            (0..8).fold(crc ^ u16::from(*byte) << 8, |crc, _| {
                if crc & 0x8000 == 0 { crc << 1 } else { crc << 1 ^ 0x1021 }
            })
        });
    crc % SLOTS as u16
}

/// Names for so many parts of a store, each in another stretch of the slots, as these are dealt out to servers.
pub(super) fn tags(prefix: &str, parts: usize) -> Vec<String> {
    let in_stretch = |part: usize, name: &String| usize::from(slot(name.as_bytes())) * parts / SLOTS == part;
    let tag = |part| {
        let mut names = (0..).map(|turn| format!("{prefix}/{part}.{turn}"));
        names.find(|name| in_stretch(part, name)).unwrap_or_default()
    };
    (0..parts).map(tag).collect()
}

/// Connections to all servers of a cluster.
#[derive(Clone)]
pub(super) struct Cluster {
    connection: ClusterConnection,
    /// The server that the URL names, for user, password and TLS of the others.
    first: ConnectionInfo,
}

impl Cluster {
    /// Prepares them. Nothing is sent yet.
    ///
    /// Decision: the client repeats nothing by itself, because it does not tell reads from writes.
    pub(super) fn open(config: &RedisClusterConfig) -> Result<Self> {
        let runtime = runtime(super::NAME)?;
        let first = client(&config.redis)?.get_connection_info().clone();
        let mut nodes = vec![first.clone()];
        for node in &config.nodes {
            let told = node.rsplit_once(':').and_then(|(host, port)| Some((host, port.parse().ok()?)));
            let (host, port) = told.ok_or_else(|| refused(&format!("`{node}` is not host:port")))?;
            nodes.push(at(&first, host.trim_matches(['[', ']']), port));
        }
        let timeout = config.redis.timeout;
        let mut client =
            ClusterClientBuilder::new(nodes).retries(0).connection_timeout(timeout).response_timeout(timeout);
        if let Some(certs) = certs(&config.redis)? {
            client = client.certs(certs);
        }
        let client = client.build().map_err(|source| translate("open", false, source))?;
        let _here = runtime.enter();
        let connection = client.get_pending_async_connection_with_config(ClusterConfig::new());
        Ok(Self { connection, first })
    }
}

/// The same server elsewhere.
fn at(known: &ConnectionInfo, host: &str, port: u16) -> ConnectionInfo {
    let host = host.to_owned();
    let address = match known.addr().clone() {
        ConnectionAddr::TcpTls { insecure, tls_params, .. } => {
            ConnectionAddr::TcpTls { host, port, insecure, tls_params }
        }
        _ => ConnectionAddr::Tcp(host, port),
    };
    known.clone().set_addr(address)
}

/// The way to whoever owns a slot.
pub(super) struct Owner {
    cluster: Cluster,
    slot: u16,
}

impl Owner {
    pub(super) fn of(cluster: &Cluster, tag: &str) -> Self {
        Self { cluster: cluster.clone(), slot: slot(tag.as_bytes()) }
    }

    fn route(&self) -> SingleNodeRoutingInfo {
        SingleNodeRoutingInfo::SpecificNode(Route::new(self.slot, SlotAddr::Master))
    }

    pub(super) async fn send(&self, command: &Cmd) -> RedisResult<Value> {
        let mut connection = self.cluster.connection.clone();
        connection.route_command(command.clone(), RoutingInfo::SingleNode(self.route())).await
    }

    pub(super) async fn send_all(&self, commands: &Pipeline) -> RedisResult<Vec<Value>> {
        let mut connection = self.cluster.connection.clone();
        connection.route_pipeline(commands.clone(), 0, commands.len(), self.route()).await
    }

    /// A client of the owner alone.
    pub(super) async fn client(&self) -> RedisResult<Client> {
        let mut ask = redis::cmd("CLUSTER");
        ask.arg("SLOTS");
        let rows: Vec<Vec<Value>> = redis::from_redis_value(self.send(&ask).await?.extract_error()?)?;
        for row in rows {
            let [first, last, owner, ..] = &row[..] else { continue };
            let number = |value| redis::from_redis_value_ref::<u16>(value);
            if !(number(first)?..=number(last)?).contains(&self.slot) {
                continue;
            }
            let owner: Vec<Value> = redis::from_redis_value_ref(owner)?;
            let [host, port, ..] = &owner[..] else { continue };
            // A server that was not told its own name is where it was asked.
            let host: Option<String> = redis::from_redis_value_ref(host)?;
            let host = host.filter(|host| !host.is_empty()).unwrap_or_else(|| self.first_host());
            return Client::open(at(&self.cluster.first, &host, number(port)?));
        }
        Err((ErrorKind::ClusterConnectionNotFound, "no server owns the slot").into())
    }

    fn first_host(&self) -> String {
        match self.cluster.first.addr() {
            ConnectionAddr::Tcp(host, _) | ConnectionAddr::TcpTls { host, .. } => host.clone(),
            _ => String::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_are_those_of_the_specification() {
        assert_eq!(slot(b"123456789"), 0x31c3);
        assert_eq!(slot(b"foo"), 12_182);
    }

    #[test]
    fn the_parts_of_a_store_are_spread_evenly_over_the_slots() {
        for parts in [1, 3, 16, 100] {
            let tags = tags("orders", parts);
            let slots: Vec<_> = tags.iter().map(|tag| usize::from(slot(tag.as_bytes()))).collect();
            assert!(slots.is_sorted() && slots.len() == parts, "{slots:?}");
            assert!(slots.iter().enumerate().all(|(part, slot)| slot * parts / SLOTS == part), "{slots:?}");
        }
    }
}
