//! `terrace disk migrate`.

use std::path::PathBuf;

#[cfg(not(feature = "fjall"))]
use crate::exit::{Exit, Failure};
use clap::Args;

/// What an advice to migrate has to add.
#[cfg(feature = "fjall")]
pub(crate) const WITHOUT_FJALL: &str = "";
/// What an advice to migrate has to add.
#[cfg(not(feature = "fjall"))]
pub(crate) const WITHOUT_FJALL: &str =
    " (both with a build that has fjall: `cargo build --release -p terrace-server --features fjall`)";

/// Moves a data directory of the engine before over to a log.
#[derive(Args)]
pub(in crate::cli) struct Migrate {
    /// The data directory. No server may run on it; it needs room for both stores
    dir: PathBuf,
    /// The server's configuration file (TOML): the new log gets its options in [disk]
    #[arg(long, short, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Go on although some of the old entries cannot be read, and lose them
    #[arg(long)]
    partial: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[cfg(not(feature = "fjall"))]
impl Migrate {
    pub(super) fn run(&self) -> Result<Exit, Failure> {
        let Self { dir, .. } = self;
        let _ = (&self.config, self.partial, self.json);
        Err(Failure::new(Exit::Usage, format!("{}: this build has no fjall{WITHOUT_FJALL}", dir.display())))
    }
}

#[cfg(feature = "fjall")]
mod moving {
    use std::sync::Arc;

    use serde_json::json;
    use terrace::backends::disk::migrate::{Migrated, Migration, State, state};
    use terrace_store::tokio_runtime::{TokioClock, TokioSpawn};
    use terrace_store::{Clock, ErrorKind, Spawn};

    use super::Migrate;
    use crate::cli::disk::Bar;
    use crate::cli::output;
    use crate::config::Sources;
    use crate::exit::{Exit, Failure};

    impl Migrate {
        pub(in crate::cli::disk) fn run(&self) -> Result<Exit, Failure> {
            let dir = self.dir.display();
            if !self.dir.is_dir() {
                return Err(Failure::new(Exit::Directory, format!("{dir} is no folder")));
            }
            if state(&self.dir) == State::Nothing {
                return Err(Failure::new(
                    Exit::Directory,
                    format!("{dir} holds nothing that fjall has written: there is nothing to move over"),
                ));
            }
            let config = Sources::of_process(self.config.as_deref())?.unchecked()?;
            let mut to = config.log()?;
            to.path.clone_from(&self.dir);
            let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
            let runtime = runtime
                .map_err(|error| Failure::new(Exit::Internal, format!("cannot start threads: {error}")))?;
            let migration = Migration { to, partial: self.partial };
            let moved = runtime.block_on(self.migrate(migration)).map_err(|error| {
                let failure = match error.kind() {
                    // Not a newer release: a log in the way.
                    ErrorKind::Config => Failure::new(Exit::Directory, error.to_string()),
                    _ => Failure::of_store(&error),
                };
                Failure::new(failure.exit, format!("{dir}: {failure}"))
            })?;
            self.tell(moved)
        }

        async fn migrate(&self, migration: Migration) -> terrace_store::Result<Migrated> {
            let clock: Arc<dyn Clock> = Arc::new(TokioClock::current()?);
            let spawn: Arc<dyn Spawn> = Arc::new(TokioSpawn::current()?);
            let mut bar = Bar::new("migrate");
            migration.run(clock, spawn, &mut |done, total| bar.at(done, total)).await
        }

        fn tell(&self, Migrated { entries, lost }: Migrated) -> Result<Exit, Failure> {
            if self.json {
                output::line(json!({ "entries": entries, "lost": lost }).to_string())?;
                return Ok(Exit::Success);
            }
            let dir = self.dir.display();
            output::line(match (entries, lost) {
                (0, 0) => format!("{dir} is a log now; what was left to do is done"),
                (_, 0) => format!("{dir} is a log now, with all {entries} entries"),
                _ => format!(
                    "{dir} is a log now, with {entries} entries; {lost} could not be read and are lost"
                ),
            })?;
            Ok(Exit::Success)
        }
    }
}
