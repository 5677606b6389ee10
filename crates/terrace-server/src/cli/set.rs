//! `terrace set`.

use std::io::Read;

use clap::Args;
use serde_json::json;

use super::client::Target;
use super::output;
use crate::config::units::Span;
use crate::exit::{Exit, Failure};

const EXAMPLES: &str = "\
Examples:
  terrace set greeting 'hello, world'
  terrace set session:7 '{\"user\":1}' --ttl 30m
  terrace set photo.jpg - < photo.jpg    the value comes from stdin";

/// Writes a key.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Set {
    /// The key
    key: String,
    /// The value; `-` reads it from stdin
    #[arg(allow_hyphen_values = true)]
    value: String,
    /// After how long it is gone, such as 30s or 10m; without, never
    #[arg(long, value_name = "TIME")]
    ttl: Option<Span>,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    target: Target,
}

impl Set {
    pub(super) fn run(&self) -> Result<Exit, Failure> {
        let value = match self.value.as_str() {
            "-" => stdin()?,
            value => value.as_bytes().to_vec(),
        };
        let ttl = self.ttl.map(|ttl| ttl.0.as_millis().to_string());
        let mut words: Vec<&[u8]> = vec![b"SET", self.key.as_bytes(), &value];
        if let Some(ttl) = &ttl {
            words.extend([&b"PX"[..], ttl.as_bytes()]);
        }
        self.target.connect()?.call(&words)?;
        if self.json {
            output::line(json!({ "key": self.key, "stored": true }).to_string())?;
        }
        Ok(Exit::Success)
    }
}

fn stdin() -> Result<Vec<u8>, Failure> {
    let mut value = Vec::new();
    let read = std::io::stdin().lock().read_to_end(&mut value);
    read.map_err(|error| Failure::new(Exit::Directory, format!("stdin: {error}")))?;
    Ok(value)
}
