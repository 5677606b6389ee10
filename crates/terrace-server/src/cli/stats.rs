//! `terrace stats`.

use std::time::Duration;

use clap::Args;
use serde_json::Value;

use super::client::Address;
use super::output;
use crate::config::units::Span;
use crate::exit::{Exit, Failure};

const EXAMPLES: &str = "\
Examples:
  terrace stats                 totals, and what each tier does
  terrace stats --watch         a line a second until Ctrl-C
  terrace stats --watch 10s --json
  terrace stats --json | jq '.tiers[] | {tier, hit_ratio}'

It asks the server over HTTP: `curl http://127.0.0.1:7380/v1/stats` gives the same JSON.";

/// Shows what a running server is doing.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Stats {
    /// Go on, with a line for every second, or for every TIME
    #[arg(long, value_name = "TIME", num_args = 0..=1, default_missing_value = "1s")]
    watch: Option<Span>,
    /// Print JSON, one object a line
    #[arg(long)]
    json: bool,
    /// Its port of HTTP
    #[arg(long, value_name = "PORT", default_value_t = 7380, help_heading = "Server")]
    http_port: u16,
    #[command(flatten)]
    address: Address,
}

/// Lines between two headings.
const PAGE: usize = 20;
const HEADING: &str = " commands/s   reads/s   hit ratio         keys   clients    hot bytes";

impl Stats {
    pub(super) fn run(&self) -> Result<Exit, Failure> {
        let Some(Span(period)) = self.watch else {
            let stats = self.ask()?;
            match self.json {
                true => output::line(stats.to_string())?,
                false => output::raw(overview(&stats).as_bytes())?,
            }
            return Ok(Exit::Success);
        };
        let period = period.max(Duration::from_millis(10));
        let mut before = self.ask()?;
        for number in 0.. {
            if !self.json && number % PAGE == 0 {
                output::line(HEADING)?;
            }
            std::thread::sleep(period);
            let now = self.ask()?;
            match self.json {
                true => output::line(now.to_string())?,
                false => output::line(change(&before, &now))?,
            }
            before = now;
        }
        Ok(Exit::Success)
    }

    fn ask(&self) -> Result<Value, Failure> {
        let answer = self.address.fetch(self.http_port, "/v1/stats")?;
        serde_json::from_slice(&answer)
            .map_err(|error| Failure::new(Exit::Refused, format!("the server's answer is no JSON: {error}")))
    }
}

/// A number somewhere in the answer; 0 where there is none.
fn number(of: &Value, path: &str) -> u64 {
    of.pointer(path).and_then(Value::as_u64).unwrap_or(0)
}

fn text<'a>(of: &'a Value, path: &str) -> &'a str {
    of.pointer(path).and_then(Value::as_str).unwrap_or("-")
}

fn percent(of: &Value, path: &str) -> String {
    of.pointer(path)
        .and_then(Value::as_f64)
        .map_or_else(|| "-".into(), |ratio| format!("{:.2} %", ratio * 100.0))
}

fn uptime(ms: u64) -> String {
    let minutes = ms / 60_000;
    match (minutes / 1440, minutes / 60 % 24, minutes % 60) {
        (0, 0, 0) => format!("{} s", ms / 1000),
        (0, 0, minutes) => format!("{minutes} min"),
        (0, hours, minutes) => format!("{hours} h {minutes} min"),
        (days, hours, _) => format!("{days} d {hours} h"),
    }
}

/// The answer for people.
fn overview(stats: &Value) -> String {
    let totals = |name: &str| number(stats, &format!("/totals/{name}"));
    let mut out = format!(
        "terrace {}, {} for {}\n{} keys, {}; {} clients, {} commands; hit ratio {}\n",
        text(stats, "/version"),
        text(stats, "/state"),
        uptime(number(stats, "/uptime_ms")),
        totals("keys"),
        output::human_bytes(totals("bytes")),
        number(stats, "/redis/connections"),
        number(stats, "/redis/commands_total"),
        percent(stats, "/totals/hit_ratio"),
    );
    for reason in stats.pointer("/reasons").and_then(Value::as_array).into_iter().flatten() {
        out.push_str(&format!("  {}\n", reason.as_str().unwrap_or_default()));
    }
    let tiers = stats.pointer("/tiers").and_then(Value::as_array);
    let rows: Vec<Vec<String>> = tiers.into_iter().flatten().map(tier).collect();
    out.push('\n');
    out.push_str(&output::table(
        &["tier", "store", "hits", "misses", "hit ratio", "errors", "entries", "bytes", "p50", "p99"],
        &rows,
    ));
    if stats.pointer("/policy/rules").is_some() {
        out.push_str(&policy(stats));
    }
    out
}

/// What the hot tier's policy has learned.
fn policy(stats: &Value) -> String {
    let mut out = format!("\nhot tier: {}\n", text(stats, "/policy/rules"));
    let ratio =
        |index: usize| stats.pointer(&format!("/policy/sizes/{index}/lru_hit_ratio")).and_then(Value::as_f64);
    let now = (0..4).find(|index| {
        stats.pointer(&format!("/policy/sizes/{index}/scale")).and_then(Value::as_f64) == Some(1.0)
    });
    let Some((now, before)) = now.and_then(|now| Some((now, ratio(now)?))) else { return out };
    for index in (0..4).filter(|index| *index != now) {
        if let Some(ratio) = ratio(index) {
            let size = output::human_bytes(number(stats, &format!("/policy/sizes/{index}/bytes")));
            out.push_str(&format!(
                "  with {size} about {:+.1} points of hit ratio (estimated for LRU)\n",
                (ratio - before) * 100.0
            ));
        }
    }
    out
}

fn tier(tier: &Value) -> Vec<String> {
    let shown =
        |path: &str| tier.pointer(path).and_then(Value::as_u64).map_or_else(|| "-".into(), |n| n.to_string());
    vec![
        text(tier, "/tier").to_owned(),
        text(tier, "/store").to_owned(),
        shown("/hits"),
        shown("/misses"),
        percent(tier, "/hit_ratio"),
        shown("/errors"),
        shown("/entries"),
        tier.pointer("/bytes").and_then(Value::as_u64).map_or_else(|| "-".into(), output::human_bytes),
        output::human_ns(number(tier, "/read_latency/p50_ns")),
        output::human_ns(number(tier, "/read_latency/p99_ns")),
    ]
}

/// What happened between two answers.
fn change(before: &Value, now: &Value) -> String {
    let ms = number(now, "/uptime_ms").saturating_sub(number(before, "/uptime_ms")).max(1);
    // A server that was restarted counts from 0 again.
    let more = |path: &str| number(now, path).saturating_sub(number(before, path));
    let rate = |count: u64| count as f64 * 1000.0 / ms as f64;
    let (hits, misses) = (more("/totals/hits"), more("/totals/misses"));
    let ratio = match hits + misses {
        0 => "-".into(),
        reads => format!("{:.2} %", hits as f64 * 100.0 / reads as f64),
    };
    let tiers = now.pointer("/tiers").and_then(Value::as_array);
    let hot = tiers.into_iter().flatten().find(|tier| text(tier, "/tier") == "hot");
    format!(
        "{:>11.0} {:>9.0} {:>11} {:>12} {:>9} {:>12}",
        rate(more("/redis/commands_total")),
        rate(hits + misses),
        ratio,
        number(now, "/totals/keys"),
        number(now, "/redis/connections"),
        hot.map_or_else(|| "-".into(), |hot| output::human_bytes(number(hot, "/bytes"))),
    )
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_overview_names_each_tier() {
        let stats = json!({
            "version": "1", "state": "degraded", "reasons": ["cold: full"], "uptime_ms": 3_720_000,
            "totals": { "keys": 3, "bytes": 2048, "hit_ratio": 0.5 },
            "redis": { "connections": 1, "commands_total": 9 },
            "tiers": [{ "tier": "hot", "store": "memory", "hits": 4, "misses": 1, "hit_ratio": 0.8, "errors": 0,
                        "bytes": 10, "read_latency": { "p50_ns": 300, "p99_ns": 12_000 } }],
        });
        let shown = overview(&stats);
        for words in [
            "terrace 1, degraded for 1 h 2 min",
            "3 keys, 2.0 KiB",
            "cold: full",
            "80.00 %",
            "300 ns  12.0 us",
        ] {
            assert!(shown.contains(words), "{shown}");
        }
    }

    #[test]
    fn a_line_is_about_the_time_between() {
        let at = |uptime_ms: u64, commands: u64, hits: u64| {
            json!({ "uptime_ms": uptime_ms, "redis": { "commands_total": commands, "connections": 2 },
                    "totals": { "hits": hits, "misses": 0, "keys": 7 } })
        };
        let line = change(&at(1000, 100, 10), &at(3000, 300, 20));
        assert_eq!(line.split_whitespace().collect::<Vec<_>>(), ["100", "5", "100.00", "%", "7", "2", "-"]);
    }
}
