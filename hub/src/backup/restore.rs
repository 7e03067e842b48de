//! Makes a data directory from a backup: all of it or nothing.

use crate::{
    HubError,
    store::{KIND, META, Meta},
};
use mamba_core::{
    clock::UnixMs,
    db::{
        self, BackupError, BackupReport, DataDir, DirError, Fault, Snapshot as _, Store,
        StoreOptions,
    },
    seq::Incarnation,
};
use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
};

/// What a restore made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Restored {
    /// What the store holds.
    pub report: BackupReport,
    /// The new life of the database.
    pub incarnation: Incarnation,
}

/// Why nothing was restored. The data directory is as it was.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// The data directory holds something.
    #[error("data directory `{}` is not empty: move it away first", path.display())]
    NotEmpty {
        /// The directory.
        path: PathBuf,
    },
    /// A directory beside the data directory could not be used.
    #[error("directory for the restore cannot be used")]
    Dir(#[source] DirError),
    /// The backup could not be read or copied.
    #[error("backup could not be restored")]
    Copy(#[source] BackupError),
    /// The restored store cannot be opened.
    #[error("restored store cannot be opened")]
    Open(#[source] Fault),
    /// The restored store is not a hub's, or a new life could not be begun in it.
    #[error("restored store cannot begin a new life")]
    Begin(#[source] HubError),
    /// A file operation failed.
    #[error("{step} `{}` failed", path.display())]
    File {
        /// What was tried.
        step: &'static str,
        /// With which file.
        path: PathBuf,
        /// Why it failed.
        #[source]
        source: io::Error,
    },
}

/// Makes the data directory `target`, which must be missing or empty, from the backup `source`.
///
/// The store is made beside it and gets its name when everything is done, so that a crash leaves no
/// hub that believes to be in its old life.
///
/// # Errors
/// See [`RestoreError`].
pub async fn restore(source: &Path, target: &Path, now: UnixMs) -> Result<Restored, RestoreError> {
    check_empty(target)?;
    let mut name = target.as_os_str().to_owned();
    name.push(".restoring");
    let draft = PathBuf::from(name);
    if draft.exists() {
        // Left over by a restore that was interrupted; nobody else uses this name.
        fs::remove_dir_all(&draft).map_err(|err| file("removing", &draft, err))?;
    }
    let made = make(source, &draft, now).await;
    if made.is_err() {
        fs::remove_dir_all(&draft).ok();
    }
    let restored = made?;
    publish(&draft, target)?;
    Ok(restored)
}

async fn make(source: &Path, draft: &Path, now: UnixMs) -> Result<Restored, RestoreError> {
    let dir = DataDir::open(draft, KIND).map_err(RestoreError::Dir)?;
    let report = db::restore(source, &dir).map_err(RestoreError::Copy)?;
    let store = Store::open(&dir, 0, StoreOptions::EDGE).map_err(RestoreError::Open)?;
    let incarnation = store
        .write(move |txn| {
            let meta: Meta = txn
                .get(META, &())?
                .ok_or_else(|| HubError::Bug("backup holds no hub".to_owned()))?;
            let incarnation = next_life(meta.incarnation, now);
            txn.put(META, &(), &Meta { incarnation, restored_at: Some(now), ..meta })?;
            Ok(incarnation)
        })
        .await
        .map_err(|err| RestoreError::Begin(HubError::from(err)))?;
    store.close().await;
    Ok(Restored { report, incarnation })
}

/// Numbers the new life by the second in which it begins: two restores of one backup must not have
/// the same number, since nodes may have seen wishes of both.
fn next_life(last: Incarnation, now: UnixMs) -> Incarnation {
    let second = u32::try_from(now.0 / 1_000).unwrap_or(0);
    Incarnation(second.max(last.next().0))
}

fn check_empty(target: &Path) -> Result<(), RestoreError> {
    match fs::read_dir(target).map(|entries| entries.count()) {
        Ok(0) => Ok(()),
        Ok(_) => Err(RestoreError::NotEmpty { path: target.to_path_buf() }),
        Err(err) if err.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(err) => Err(file("reading", target, err)),
    }
}

fn publish(draft: &Path, target: &Path) -> Result<(), RestoreError> {
    // Renaming a directory over an empty one replaces it.
    fs::rename(draft, target).map_err(|err| file("naming", target, err))?;
    let parent = match target.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        Some(_) | None => Path::new("."),
    };
    let synced = File::open(parent).and_then(|it| it.sync_all());
    synced.map_err(|err| file("syncing", parent, err))
}

fn file(step: &'static str, path: &Path, source: io::Error) -> RestoreError {
    RestoreError::File { step, path: path.to_path_buf(), source }
}
