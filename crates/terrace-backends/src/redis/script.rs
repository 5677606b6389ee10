//! The scripts, and how they are called: by their hash, with their text where the server does not know them yet.

use std::sync::LazyLock;

use redis::{Cmd, FromRedisValue, Script};
use terrace_store::Result;

use super::link::{Intent, Link};

macro_rules! script {
    ($file:literal) => {
        LazyLock::new(|| Text::new(concat!(include_str!("lua/common.lua"), include_str!($file))))
    };
}

pub(super) static APPLY: LazyLock<Text> = script!("lua/apply.lua");
pub(super) static RESERVE: LazyLock<Text> = script!("lua/reserve.lua");
pub(super) static SWEEP: LazyLock<Text> = script!("lua/sweep.lua");
pub(super) static CLEAR: LazyLock<Text> = script!("lua/clear.lua");
pub(super) static ACQUIRE: LazyLock<Text> = LazyLock::new(|| Text::new(include_str!("lua/acquire.lua")));
pub(super) static RENEW: LazyLock<Text> = LazyLock::new(|| Text::new(include_str!("lua/renew.lua")));
pub(super) static RELEASE: LazyLock<Text> = LazyLock::new(|| Text::new(include_str!("lua/release.lua")));

/// A script and its hash.
pub(super) struct Text {
    text: &'static str,
    hash: String,
}

impl Text {
    fn new(text: &'static str) -> Self {
        Self { text, hash: Script::new(text).get_hash().to_owned() }
    }
}

/// A call of a script: its keys, then its arguments.
#[derive(Default)]
pub(super) struct Call {
    keys: Vec<Vec<u8>>,
    arguments: Vec<Vec<u8>>,
}

impl Call {
    pub(super) fn key(&mut self, key: impl Into<Vec<u8>>) {
        self.keys.push(key.into());
    }

    pub(super) fn argument(&mut self, argument: impl Into<Vec<u8>>) {
        self.arguments.push(argument.into());
    }

    pub(super) async fn run<T: FromRedisValue>(
        &self,
        link: &Link,
        intent: Intent,
        script: &Text,
    ) -> Result<T> {
        let by_hash = self.command("EVALSHA", &script.hash);
        match link.run_unless_unknown(intent, &by_hash).await? {
            Some(answer) => Ok(answer),
            // It was not run: the server has forgotten its scripts, or never had this one.
            None => link.run(intent, &self.command("EVAL", script.text)).await,
        }
    }

    fn command(&self, name: &str, script: &str) -> Cmd {
        let mut command = redis::cmd(name);
        command.arg(script).arg(self.keys.len());
        for word in self.keys.iter().chain(&self.arguments) {
            command.arg(&word[..]);
        }
        command
    }
}
