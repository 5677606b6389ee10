//! A Redis Cluster of six real servers on the loopback: three that own the slots, and a replica of each.

use std::net::TcpListener;
use std::time::{Duration, Instant};

use ::redis::aio::MultiplexedConnection;

use super::server::Server;

pub(super) struct Nodes {
    servers: Vec<Server>,
}

const OWNERS: usize = 3;

impl Nodes {
    /// Starts them, and waits until they are one; `None`, and said so, if no server is installed.
    pub(super) async fn start() -> Option<Self> {
        let mut servers = Vec::new();
        let mut buses = Vec::new();
        for _ in 0..2 * OWNERS {
            let bus = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port().to_string();
            let options =
                ["--cluster-enabled", "yes", "--cluster-node-timeout", "1000", "--cluster-port", &bus];
            servers.push(Server::start(&[&options[..], &["--repl-diskless-sync-delay", "0"]].concat())?);
            buses.push(bus);
        }
        let nodes = Self { servers };
        for owner in 0..OWNERS {
            let (first, behind) = (owner * 16_384 / OWNERS, (owner + 1) * 16_384 / OWNERS);
            nodes.tell(owner, &["ADDSLOTSRANGE", &first.to_string(), &(behind - 1).to_string()]).await;
        }
        for (server, bus) in nodes.servers.iter().zip(&buses).skip(1) {
            nodes.tell(0, &["MEET", "127.0.0.1", &server.port().to_string(), bus]).await;
        }
        nodes
            .until("all know each other", async |node| nodes.info(node).await.contains("known_nodes:6"))
            .await;
        for owner in 0..OWNERS {
            let id: String = nodes.ask(owner, "MYID").await;
            nodes.tell(owner + OWNERS, &["REPLICATE", &id]).await;
        }
        nodes.until("the cluster is whole", async |node| nodes.info(node).await.contains("state:ok")).await;
        nodes
            .until("the replicas follow", async |node| {
                let mut connection = nodes.connection(node).await;
                let told: String =
                    ::redis::cmd("INFO").arg("replication").query_async(&mut connection).await.unwrap();
                node < OWNERS || told.contains("master_link_status:up")
            })
            .await;
        Some(nodes)
    }

    /// A URL of the last one, which owns nothing: the others are found by asking it.
    pub(super) fn url(&self) -> String {
        self.servers[2 * OWNERS - 1].url()
    }

    /// Where the others are.
    pub(super) fn others(&self) -> Vec<String> {
        self.servers.iter().map(|server| format!("127.0.0.1:{}", server.port())).collect()
    }

    pub(super) async fn connection(&self, node: usize) -> MultiplexedConnection {
        let client = ::redis::Client::open(self.servers[node].url()).unwrap();
        client.get_multiplexed_async_connection().await.unwrap()
    }

    /// A command of `CLUSTER` to a node, that has to work.
    pub(super) async fn tell(&self, node: usize, command: &[&str]) {
        let mut connection = self.connection(node).await;
        let () = ::redis::cmd("CLUSTER").arg(command).query_async(&mut connection).await.unwrap();
    }

    /// The answer to a command of `CLUSTER`.
    pub(super) async fn ask(&self, node: usize, command: &str) -> String {
        let mut connection = self.connection(node).await;
        ::redis::cmd("CLUSTER").arg(command).query_async(&mut connection).await.unwrap()
    }

    async fn info(&self, node: usize) -> String {
        self.ask(node, "INFO").await
    }

    async fn until(&self, what: &str, holds: impl AsyncFn(usize) -> bool) {
        let began = Instant::now();
        for node in 0..self.servers.len() {
            while !holds(node).await {
                assert!(began.elapsed() < Duration::from_secs(60), "it takes too long until {what}");
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
    }

    /// How many keys each owner has.
    pub(super) async fn sizes(&self) -> Vec<u64> {
        let mut sizes = Vec::new();
        for owner in 0..OWNERS {
            let mut connection = self.connection(owner).await;
            sizes.push(::redis::cmd("DBSIZE").query_async(&mut connection).await.unwrap());
        }
        sizes
    }

    /// Waits until the replica of an owner has all that was written, and kills the owner.
    pub(super) async fn lose(&mut self, owner: usize) {
        let offset = async |node: usize| {
            let mut connection = self.connection(node).await;
            let told: String =
                ::redis::cmd("INFO").arg("replication").query_async(&mut connection).await.unwrap();
            let (_, rest) = told.split_once("master_repl_offset:").unwrap();
            rest.lines().next().unwrap().parse::<u64>().unwrap()
        };
        let wanted = offset(owner).await;
        while offset(owner + OWNERS).await < wanted {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        self.servers[owner].kill();
    }
}
