//! `terrace get`.

use std::io::IsTerminal;

use clap::Args;
use serde_json::json;

use super::client::{Reply, Target};
use super::output;
use crate::exit::{Exit, Failure};

const EXAMPLES: &str = "\
Examples:
  terrace get greeting
  terrace get photo.jpg > photo.jpg      exactly its bytes
  terrace get greeting --json            {\"key\":..,\"found\":true,\"value\":{\"text\":..}}

Exits with 1 if there is no such key.";

/// Prints the value of a key.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Get {
    /// The key
    key: String,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    target: Target,
}

impl Get {
    pub(super) fn run(&self) -> Result<Exit, Failure> {
        let value = match self.target.connect()?.call(&[b"GET", self.key.as_bytes()])? {
            Reply::Bulk(value) => Some(value),
            _ => None,
        };
        match (&value, self.json) {
            (Some(value), true) => {
                output::line(
                    json!({ "key": self.key, "found": true, "value": output::bytes(value) }).to_string(),
                )?;
            }
            (None, true) => output::line(json!({ "key": self.key, "found": false }).to_string())?,
            // A file gets exactly the value; a person gets it on a line of its own.
            (Some(value), false) if std::io::stdout().is_terminal() => output::line(value)?,
            (Some(value), false) => output::raw(value)?,
            (None, false) => eprintln!("terrace: there is no key `{}`", self.key),
        }
        Ok(if value.is_some() { Exit::Success } else { Exit::No })
    }
}
