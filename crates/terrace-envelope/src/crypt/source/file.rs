//! A key in a file.
//!
//! Decision: the mode is that of the file that was opened, not of a path that may name another one a moment later;
//! and what is no regular file is not even opened, since a pipe would keep us waiting.

use std::fs::{File, Metadata, metadata};
use std::io::Read;
use std::path::Path;

use zeroize::Zeroizing;

use super::{Found, MOST};

pub(super) fn read(path: &Path) -> Found {
    check_kind(&metadata(path).map_err(|error| format!("cannot be read: {error}"))?)?;
    let file = File::open(path).map_err(|error| format!("cannot be read: {error}"))?;
    let opened = file.metadata().map_err(|error| format!("cannot be read: {error}"))?;
    check_kind(&opened)?;
    check_mode(&opened)?;
    // The room for all that is read, so that no copy is left behind by growing.
    let mut found = Zeroizing::new(Vec::with_capacity(2 * MOST));
    let limit = MOST as u64 + 1;
    file.take(limit).read_to_end(&mut found).map_err(|error| format!("cannot be read: {error}"))?;
    if found.len() > MOST {
        return Err(format!("is longer than {MOST} bytes, so it holds no key"));
    }
    Ok(found)
}

fn check_kind(metadata: &Metadata) -> Result<(), String> {
    if metadata.is_dir() {
        return Err("is a directory; name the file in it".to_owned());
    }
    if !metadata.is_file() {
        return Err("is no regular file; for a key from a pipe or a service use a command".to_owned());
    }
    Ok(())
}

#[cfg(unix)]
fn check_mode(metadata: &Metadata) -> Result<(), String> {
    use std::os::unix::fs::PermissionsExt;
    let mode = metadata.permissions().mode() & 0o7777;
    if mode & 0o077 == 0 {
        return Ok(());
    }
    Err(format!("may be read or written by others (mode {mode:04o}); make it yours alone: chmod 600"))
}

/// Elsewhere a file has no mode to look at.
#[cfg(not(unix))]
fn check_mode(_metadata: &Metadata) -> Result<(), String> {
    Ok(())
}
