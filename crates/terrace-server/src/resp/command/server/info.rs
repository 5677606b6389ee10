//! INFO: facts and figures, in sections, under the names that tools for Redis look for.

use std::fmt::Write;
use std::sync::atomic::{AtomicU64, Ordering};

use terrace_store::Result;

use crate::keyspace::DATABASES;
use crate::resp::REDIS_VERSION;
use crate::resp::call::{Call, Reply};
use crate::resp::server::Server;

/// The sections, in their order.
const SECTIONS: [&str; 8] =
    ["server", "clients", "memory", "persistence", "stats", "replication", "cpu", "keyspace"];

pub(super) async fn info(call: Call<'_>) -> Reply {
    let words: Vec<String> =
        call.request.args_from(1).map(|word| String::from_utf8_lossy(word).to_ascii_lowercase()).collect();
    let all = words.is_empty()
        || words.iter().any(|word| matches!(word.as_str(), "all" | "default" | "everything"));
    let mut text = String::new();
    for section in SECTIONS {
        if all || words.iter().any(|word| word == section) {
            if !text.is_empty() {
                text.push_str("\r\n");
            }
            let heading = section[..1].to_ascii_uppercase() + &section[1..];
            let heading = if section == "cpu" { "CPU" } else { &heading };
            let _ = write!(text, "# {heading}\r\n");
            write_section(call.server, section, &mut text).await?;
        }
    }
    call.output.verbatim(*b"txt", &text);
    Ok(())
}

async fn write_section(server: &Server, section: &str, text: &mut String) -> Result<()> {
    match section {
        "server" => about_server(server, text),
        "clients" => about_clients(server, text),
        "memory" => return about_memory(server, text).await,
        "persistence" => about_persistence(server, text),
        "stats" => about_stats(server, text),
        "replication" => line(text, "role", "master\r\nconnected_slaves:0"),
        "cpu" => about_cpu(text),
        _ => return about_keyspace(server, text).await,
    }
    Ok(())
}

fn line(text: &mut String, name: &str, value: impl std::fmt::Display) {
    // Writing to a string cannot fail.
    let _ = write!(text, "{name}:{value}\r\n");
}

fn about_server(server: &Server, text: &mut String) {
    let uptime = server.clock().now().saturating_sub(server.started).as_secs();
    let address = server.settings.config.address;
    line(text, "redis_version", REDIS_VERSION);
    line(text, "terrace_version", env!("CARGO_PKG_VERSION"));
    line(text, "redis_mode", "standalone");
    line(text, "os", std::env::consts::OS);
    line(text, "arch_bits", usize::BITS);
    line(text, "process_id", std::process::id());
    line(text, "run_id", &server.run_id);
    line(text, "tcp_port", address.port());
    line(text, "server_time_usec", u128::from(server.clock().wall_ms()) * 1000);
    line(text, "uptime_in_seconds", uptime);
    line(text, "uptime_in_days", uptime / 86_400);
    line(text, "config_file", "");
}

fn about_clients(server: &Server, text: &mut String) {
    line(text, "connected_clients", server.clients.len());
    line(text, "maxclients", server.settings.max_clients());
    line(text, "blocked_clients", 0);
}

async fn about_memory(server: &Server, text: &mut String) -> Result<()> {
    let stats = server.keyspace.tiers().stats();
    let used = server.keyspace.bytes().await?;
    let limit = server.settings.maxmemory();
    line(text, "used_memory", used);
    line(text, "used_memory_human", human(used));
    line(text, "used_memory_rss", resident());
    line(text, "used_memory_dataset", used);
    line(text, "hot_entries", stats.hot_entries);
    line(text, "hot_bytes", stats.hot_bytes);
    line(text, "hot_capacity", stats.hot_capacity);
    line(text, "maxmemory", limit);
    line(text, "maxmemory_human", human(limit));
    line(text, "maxmemory_policy", server.keyspace.eviction().name());
    Ok(())
}

fn human(bytes: u64) -> String {
    let (mut value, mut unit) = (bytes as f64, 0);
    while value >= 1024.0 && unit < 4 {
        value /= 1024.0;
        unit += 1;
    }
    let unit = ["B", "K", "M", "G", "T"][unit];
    if unit == "B" { format!("{bytes}B") } else { format!("{value:.2}{unit}") }
}

/// Bytes of memory the process holds, where the system tells.
fn resident() -> u64 {
    let pages = std::fs::read_to_string("/proc/self/statm").ok();
    let pages = pages.as_deref().and_then(|text| text.split(' ').nth(1)?.parse::<u64>().ok());
    pages.unwrap_or_default() * 4096
}

fn about_persistence(server: &Server, text: &mut String) {
    line(text, "loading", 0);
    line(text, "async_loading", 0);
    line(text, "store", server.keyspace.authority().name());
    line(text, "rdb_bgsave_in_progress", 0);
    line(text, "aof_enabled", u8::from(server.settings.config.persistent));
    line(text, "aof_rewrite_in_progress", 0);
}

fn about_stats(server: &Server, text: &mut String) {
    let counters = &server.counters;
    let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    let (accepted, refused) = server.clients.totals();
    let (channels, patterns) = server.hub.counts();
    let tiers = server.keyspace.tiers();
    line(text, "total_connections_received", accepted);
    line(text, "total_commands_processed", get(&counters.commands));
    line(text, "total_net_input_bytes", get(&counters.received));
    line(text, "total_net_output_bytes", get(&counters.sent));
    line(text, "rejected_connections", refused);
    line(text, "expired_keys", tiers.expired());
    line(text, "evicted_keys", server.keyspace.evicted());
    line(text, "keyspace_hits", get(&counters.hits));
    line(text, "keyspace_misses", get(&counters.misses));
    line(text, "pubsub_channels", channels);
    line(text, "pubsub_patterns", patterns);
    line(text, "total_error_replies", get(&counters.errors));
    for tier in tiers.stats().tiers {
        line(text, &format!("{}_hits", tier.tier), tier.hits);
        line(text, &format!("{}_misses", tier.tier), tier.misses);
    }
}

/// The processor time of the process, where the system tells.
fn about_cpu(text: &mut String) {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // The name of the program comes second, in parentheses, and may hold anything.
    let after = stat.rsplit(") ").next().unwrap_or_default();
    let ticks = |index: usize| after.split(' ').nth(index).and_then(|text| text.parse::<f64>().ok());
    if let (Some(user), Some(system)) = (ticks(11), ticks(12)) {
        line(text, "used_cpu_sys", format!("{:.6}", system / 100.0));
        line(text, "used_cpu_user", format!("{:.6}", user / 100.0));
    }
}

async fn about_keyspace(server: &Server, text: &mut String) -> Result<()> {
    for database in 0..DATABASES {
        let keys = server.keyspace.count(database).await?;
        if keys > 0 {
            line(text, &format!("db{database}"), format!("keys={keys}"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_written_for_people() {
        assert_eq!(
            [0, 1023, 1024, 1 << 20, (3 << 30) + (1 << 29)].map(human),
            ["0B", "1023B", "1.00K", "1.00M", "3.50G"]
        );
    }
}
