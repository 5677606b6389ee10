//! A store as commands name it: a URL, or the configuration of a stack.

use terrace::backends::registry;
use terrace::backends::url::Url;
use terrace::layers::World;
use terrace::stack::{Stack, StackConfig, Storage};
use terrace_store::rng::SplitMix;
use terrace_store::tokio_runtime::{TokioClock, TokioSpawn};
use terrace_store::{Error, ErrorKind};

use crate::exit::{Exit, Failure};

/// What the text names: a file that ends as configurations do, or else a URL.
pub(super) fn config(text: &str) -> Result<StackConfig, Failure> {
    if [".toml", ".yaml", ".yml"].iter().any(|end| text.ends_with(end)) {
        return StackConfig::from_file(text).map_err(|error| failed(&error));
    }
    if !text.contains(':') {
        return Err(Failure::new(
            Exit::Usage,
            format!(
                "`{text}` is neither a URL, such as disk:{text}, nor a configuration that ends in .toml, .yaml or .yml"
            ),
        ));
    }
    Ok(StackConfig { storage: Some(Storage::url(text)), ..StackConfig::default() })
}

/// Refuses a folder that is not there: opening it would make an empty store of a misspelling.
pub(super) fn must_be_there(config: &StackConfig) -> Result<(), Failure> {
    let Some(storage) = &config.storage else { return Ok(()) };
    // A scheme that there is not is told when it is opened.
    let known = registry::schemes().any(|scheme| scheme == storage.scheme());
    if !known || !registry::is_local(storage.scheme()) {
        return Ok(());
    }
    let path = Url::parse(&storage.to_url()).and_then(|url| url.path()).map_err(|error| failed(&error))?;
    if path.exists() {
        return Ok(());
    }
    Err(Failure::new(Exit::Directory, format!("{} is not there", path.display())))
}

/// Opens it, and tells what it does not do.
pub(super) async fn open(config: StackConfig) -> Result<Stack, Failure> {
    let stack = Stack::builder(config).build().await.map_err(|error| failed(&error))?;
    for warning in stack.warnings() {
        eprintln!("terrace: {warning}");
    }
    Ok(stack)
}

/// Runs a command that uses stores.
pub(super) fn block_on<T>(work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime =
        runtime.map_err(|error| Failure::new(Exit::Internal, format!("cannot start threads: {error}")))?;
    runtime.block_on(work)
}

/// Time, chance and tasks of the process.
pub(super) fn world() -> Result<World, Failure> {
    let clock = TokioClock::current().map_err(|error| failed(&error))?;
    let spawn = TokioSpawn::current().map_err(|error| failed(&error))?;
    Ok(World::new(
        std::sync::Arc::new(clock),
        std::sync::Arc::new(SplitMix::random()),
        std::sync::Arc::new(spawn),
    ))
}

/// A failure of a store or a configuration, with the code that says which.
pub(super) fn failed(error: &Error) -> Failure {
    let exit = match error.kind() {
        ErrorKind::Config | ErrorKind::Invalid | ErrorKind::NotSupported => Exit::Config,
        ErrorKind::Busy => Exit::Held,
        ErrorKind::Corrupt => Exit::Damaged,
        ErrorKind::Network | ErrorKind::Timeout => Exit::Unreachable,
        ErrorKind::Denied | ErrorKind::Full | ErrorKind::Unavailable => Exit::Directory,
        ErrorKind::Unknown => Exit::Refused,
        _ => Exit::Internal,
    };
    Failure::new(exit, error.to_string())
}

/// A URL as it may be told and kept: without a password.
pub(super) fn without_password(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else { return url.to_owned() };
    let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
    match authority.rsplit_once('@') {
        Some((_, host)) => format!("{scheme}://{host}/{path}"),
        None => url.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_not_kept() {
        assert_eq!(without_password("redis://me:s@cret@host:1/0?prefix=a"), "redis://host:1/0?prefix=a");
        for url in ["disk:/a@b", "redis://host/0", "disk:///a@b/c"] {
            assert_eq!(without_password(url), url);
        }
    }
}
