//! Copies of a store while it is open, which share the files that have not changed since the last one.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use ::rocksdb::Env;
use ::rocksdb::backup::{BackupEngine, BackupEngineOptions, RestoreOptions};
use terrace_store::{Error, ErrorKind, Result};

use super::engine::Rocksdb;
use super::error::translate;
use super::{NAME, RocksdbStore};
use crate::ordered::Engine;

fn backups(operation: &'static str, folder: &Path) -> Result<BackupEngine> {
    let open = || BackupEngine::open(&BackupEngineOptions::new(folder)?, &Env::new()?);
    open().map_err(|source| translate(operation, source))
}

impl RocksdbStore {
    /// Adds a copy of the store as it is now to a folder of backups, or makes one. Others read and write meanwhile.
    ///
    /// # Errors
    /// Those of the disk; the folder then holds the backups it held before.
    ///
    /// # Cost
    /// Data files that an earlier backup in the folder has already are not copied again.
    pub async fn backup(&self, to: impl Into<PathBuf>) -> Result<()> {
        let (shared, to) = (Arc::clone(&self.shared), to.into());
        self.shared
            .offload("backup", move || {
                shared.with("backup", |folder| {
                    let mut backups = backups("backup", &to)?;
                    let done = backups.create_new_backup_flush(&folder.engine.db, true);
                    done.map_err(|source| translate("backup", source))
                })
            })
            .await
    }

    /// Makes the folder of a store from the latest of the backups in a folder. Blocks.
    ///
    /// # Errors
    /// `Conflict` if there is something in the folder of the store, `Corrupt` if the backup is damaged, and those of the
    /// disk.
    pub fn restore(from: &Path, folder: &Path) -> Result<()> {
        if std::fs::read_dir(folder).is_ok_and(|mut files| files.next().is_some()) {
            return Err(Error::new(ErrorKind::Conflict, "restore")
                .with("store", NAME)
                .with("folder", folder.display())
                .because("the folder is not empty; name another one, or move away what is there"));
        }
        std::fs::create_dir_all(folder)?;
        let to = folder.join(Rocksdb::FILE);
        let mut backups = backups("restore", from)?;
        let latest = backups.get_backup_info().last().map(|backup| backup.backup_id);
        let Some(latest) = latest else {
            return Err(Error::new(ErrorKind::Invalid, "restore")
                .with("store", NAME)
                .because("there is no backup in the folder"));
        };
        let check = backups.verify_backup(latest);
        check
            .and_then(|()| backups.restore_from_latest_backup(&to, &to, &RestoreOptions::default()))
            .map_err(|source| translate("restore", source))
    }
}
