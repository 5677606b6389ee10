//! `terrace del`.

use clap::Args;
use serde_json::json;

use super::client::{Reply, Target};
use super::output;
use crate::exit::{Exit, Failure};

const EXAMPLES: &str = "\
Examples:
  terrace del greeting
  terrace del session:7 session:8 --json    {\"removed\":2}

Prints how many of the keys were there. Exits with 1 if none was.";

/// Removes keys.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Del {
    /// The keys
    #[arg(required = true, value_name = "KEY")]
    keys: Vec<String>,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    target: Target,
}

impl Del {
    pub(super) fn run(&self) -> Result<Exit, Failure> {
        let words: Vec<&[u8]> =
            std::iter::once(&b"DEL"[..]).chain(self.keys.iter().map(String::as_bytes)).collect();
        let removed = match self.target.connect()?.call(&words)? {
            Reply::Integer(removed) => removed,
            other => return Err(Failure::new(Exit::Refused, format!("the server answered {other:?}"))),
        };
        match self.json {
            true => output::line(json!({ "removed": removed }).to_string())?,
            false => output::line(removed.to_string())?,
        }
        Ok(if removed > 0 { Exit::Success } else { Exit::No })
    }
}
