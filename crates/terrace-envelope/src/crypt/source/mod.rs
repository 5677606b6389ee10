//! Where a master key is kept, and reading it from there.
//!
//! Decision: a source is one key. Several keys are several sources, each with its number, so that rotating is adding
//! a line to a configuration. What a source says about itself never shows a key: of a command only the program is
//! named, since its arguments may hold a token.

mod command;
mod file;

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use zeroize::Zeroizing;

use super::{KeyError, Secret};

/// The most bytes that are read from anywhere: far more than any form of a key has.
const MOST: usize = 4096;

/// How long a command may take unless told otherwise.
const TIME_LIMIT: Duration = Duration::from_secs(10);

/// Where a master key is kept.
///
/// What is found there may be 32 raw bytes, 64 hexadecimal digits, or base64 of 32 bytes. As text, for
/// configurations: `file:/etc/app/key`, `env:APP_KEY`, `command:program argument...` (split at white space, without a
/// shell), `shell:line` (by `/bin/sh`).
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum KeySource {
    /// A file that only its owner may read (mode 0600 or less).
    File(PathBuf),
    /// An environment variable.
    Environment(String),
    /// What a command writes to its standard output. Nothing is given to its standard input; its standard error is
    /// that of this process.
    Command {
        /// The program, looked for in `PATH`.
        program: String,
        /// Its arguments, as they are: no shell sees them.
        arguments: Vec<String>,
        /// How long it may take. It is then ended, with all that it started.
        time_limit: Duration,
    },
}

impl KeySource {
    /// A command with the usual limit of 10 seconds.
    #[must_use]
    pub fn command(
        program: impl Into<String>,
        arguments: impl IntoIterator<Item = impl Into<String>>,
    ) -> Self {
        Self::Command {
            program: program.into(),
            arguments: arguments.into_iter().map(Into::into).collect(),
            time_limit: TIME_LIMIT,
        }
    }

    /// A line for `/bin/sh`, with the usual limit of 10 seconds.
    #[must_use]
    pub fn shell(line: impl Into<String>) -> Self {
        Self::command("/bin/sh", ["-c".to_owned(), line.into()])
    }

    /// Reads the key.
    ///
    /// # Errors
    /// [`KeyError`]: what is wrong and what to do, without a byte of what was found.
    ///
    /// # Cost
    /// A command blocks the thread until it ends or its time is over.
    pub fn read(&self) -> Result<Secret, KeyError> {
        let found = match self {
            Self::File(path) => file::read(path),
            Self::Environment(name) => environment(name),
            Self::Command { program, arguments, time_limit } => {
                command::read(program, arguments, *time_limit)
            }
        };
        found
            .and_then(|found| Secret::parse(&found).map_err(str::to_owned))
            .map_err(|why| KeyError::new(self.to_string(), why))
    }
}

/// What was read, or why nothing was.
type Found = Result<Zeroizing<Vec<u8>>, String>;

fn environment(name: &str) -> Found {
    // A name with one of these would be no question that the standard library answers.
    if name.is_empty() || name.contains(['=', '\0']) {
        return Err("is no name of a variable".to_owned());
    }
    let value = std::env::var_os(name).ok_or("is not set")?;
    Ok(Zeroizing::new(value.into_encoded_bytes()))
}

impl fmt::Display for KeySource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "the key file {}", path.display()),
            Self::Environment(name) => write!(f, "the environment variable {name}"),
            Self::Command { program, .. } => write!(f, "the command {program}"),
        }
    }
}

impl fmt::Debug for KeySource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeySource({self})")
    }
}

impl FromStr for KeySource {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<Self, KeyError> {
        let refused = |why: &str| Err(KeyError::new("the source of a key", why));
        let Some((kind, rest)) = text.split_once(':') else {
            return refused("must begin with file:, env:, command: or shell:");
        };
        if rest.trim().is_empty() {
            return refused("names nothing behind the colon");
        }
        match kind {
            "file" => Ok(Self::File(rest.into())),
            "env" => Ok(Self::Environment(rest.to_owned())),
            "command" => {
                let mut words = rest.split_whitespace();
                Ok(Self::command(words.next().unwrap_or_default(), words))
            }
            "shell" => Ok(Self::shell(rest)),
            // Not the text itself: somebody may have put the key there.
            _ => refused("must begin with file:, env:, command: or shell:"),
        }
    }
}
