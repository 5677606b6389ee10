//! The folder of the disk tier: marked as a replay's own, and measured.

use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use crate::exit::{Exit, Failure};

/// What a replay's folder holds, so that it is known again, and a server refuses it.
pub(crate) const MARK: &str = "terrace-replay";

/// Marks a folder as a replay's. Anybody else's data would be evicted to make room for the trace.
pub(super) fn claim(folder: &Path) -> Result<(), Failure> {
    let mark = folder.join(MARK);
    let failed = |error: io::Error| {
        Failure::new(Exit::Directory, format!("the folder {} cannot be used: {error}", folder.display()))
    };
    std::fs::create_dir_all(folder).map_err(failed)?;
    if mark.exists() {
        return Ok(());
    }
    if std::fs::read_dir(folder).map_err(failed)?.next().is_some() {
        let text = format!(
            "the folder {} holds something that is no replay's: choose an empty or a new one",
            folder.display()
        );
        return Err(Failure::new(Exit::Directory, text));
    }
    std::fs::write(mark, "made by terrace replay\n").map_err(failed)
}

/// How many bytes of the disk everything in the folder takes, as `du` counts: whole blocks, holes left out.
pub(super) fn size(folder: &Path) -> io::Result<u64> {
    /// A block as the system reports it, whatever the file system's own are.
    const BLOCK: u64 = 512;
    let mut bytes = 0;
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let about = entry.metadata()?;
        bytes += about.blocks() * BLOCK;
        if about.is_dir() {
            bytes += size(&entry.path())?;
        }
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_as_large_as_the_blocks_of_its_files() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(size(folder.path()).unwrap(), 0);
        std::fs::create_dir(folder.path().join("below")).unwrap();
        std::fs::write(folder.path().join("below/file"), vec![1; 100_000]).unwrap();
        // A hole takes nothing.
        std::fs::File::create(folder.path().join("hole")).unwrap().set_len(1 << 30).unwrap();
        let size = size(folder.path()).unwrap();
        assert!((100_000..1 << 20).contains(&size), "{size}");
    }
}
