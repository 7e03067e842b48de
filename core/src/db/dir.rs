//! A data directory: private, of one kind and version, and owned by one process at a time.
//!
//! | file | what |
//! |---|---|
//! | `LOCK` | locked while a process uses the directory; holds its id in decimal |
//! | `FORMAT` | `mamba <kind> <version>`: who wrote the rest, and how new it was |
//! | `store.redb` | the store |
//! | `ballast` | space to give up when the disk is full |
//!
//! The owner may keep other files beside them.

use super::disk::{STORE_FILE, publish, sync_dir};
use super::fault::Fault;
use rustix::fs::{FlockOperation, flock};
use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

const LOCK_FILE: &str = "LOCK";
const FORMAT_FILE: &str = "FORMAT";
/// Longest `FORMAT` or `LOCK` that is read; ours are far shorter.
const MARKER_BYTES_MAX: u64 = 256;
/// Damaged stores kept aside before the oldest name is used again.
const ASIDE_MAX: u32 = 100;
const MODE_PRIVATE: u32 = 0o700;
const MODE_OTHERS: u32 = 0o077;

/// What kind of store a directory holds. The version rises with each release that an older one
/// could not read the store of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoreKind {
    /// One word, such as `edge`.
    pub name: &'static str,
    /// Version of what is stored.
    pub version: u32,
}

/// Why a data directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DirError {
    /// There is nothing, and nothing was to be made.
    #[error("data directory `{}` does not exist or was never used", path.display())]
    Missing {
        /// The directory.
        path: PathBuf,
    },
    /// Another process uses it.
    #[error("data directory `{}` is in use by process {pid}", path.display())]
    InUse {
        /// The directory.
        path: PathBuf,
        /// Process id, or `unknown`.
        pid: String,
    },
    /// It belongs to another user, who could read or change everything in it.
    #[error("data directory `{}` belongs to user {owner}, this process runs as {user}", path.display())]
    ForeignOwner {
        /// The directory.
        path: PathBuf,
        /// Its owner's user id.
        owner: u32,
        /// Our user id.
        user: u32,
    },
    /// The path is something else than a directory.
    #[error("`{}` is not a directory", path.display())]
    NotADirectory {
        /// The path.
        path: PathBuf,
    },
    /// Written by a newer release.
    #[error(
        "data directory `{}` has version {found}, this release knows versions up to {known}",
        path.display()
    )]
    Newer {
        /// The directory.
        path: PathBuf,
        /// Its version.
        found: u32,
        /// Our version.
        known: u32,
    },
    /// It holds the store of another program.
    #[error("data directory `{}` holds a store of kind `{found}`, not `{wanted}`", path.display())]
    OtherKind {
        /// The directory.
        path: PathBuf,
        /// Its kind.
        found: String,
        /// Our kind.
        wanted: &'static str,
    },
    /// The marker file makes no sense, or is missing beside a store.
    #[error("data directory `{}` has a damaged FORMAT file", path.display())]
    DamagedFormat {
        /// The directory.
        path: PathBuf,
    },
    /// Too many damaged stores are kept.
    #[error("data directory `{}` keeps too many damaged stores", path.display())]
    TooManyAside {
        /// The directory.
        path: PathBuf,
    },
    /// A file operation failed.
    #[error("data directory: {step} `{}` failed", path.display())]
    File {
        /// What was tried.
        step: &'static str,
        /// With which file.
        path: PathBuf,
        /// Why it failed.
        #[source]
        source: Fault,
    },
}

/// A locked data directory. Clones share the lock, which ends with the last of them.
#[derive(Clone, Debug)]
pub struct DataDir {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    path: PathBuf,
    kind: StoreKind,
    is_writable: bool,
    /// Locked as long as it is open.
    _lock: File,
}

impl DataDir {
    /// Opens `path` for the only process that may use it, and makes it when it is missing.
    ///
    /// A mode that lets others in is tightened to 0700. Waits for processes that only [peek] to
    /// finish.
    ///
    /// [peek]: DataDir::peek
    ///
    /// # Errors
    /// See [`DirError`]. Nothing in an existing directory was changed, except its mode.
    pub fn open(path: &Path, kind: StoreKind) -> Result<Self, DirError> {
        let made = DirBuilder::new().recursive(true).mode(MODE_PRIVATE).create(path);
        match made {
            // A dangling or other file is named below.
            Err(err) if err.kind() != io::ErrorKind::AlreadyExists => {
                return Err(file_error("making", path, err));
            }
            _ => {}
        }
        check_owner(path)?;
        let mut lock = open_lock(path)?;
        lock_exclusively(path, &lock)?;
        // The id is for people. On a full or read-only disk the lock holds without it.
        write_pid(&mut lock).ok();
        match check_format(path, kind)? {
            FormatFound::Same => {}
            FormatFound::Older => write_format(path, kind)?,
            FormatFound::None if path.join(STORE_FILE).exists() => {
                return Err(DirError::DamagedFormat { path: path.to_path_buf() });
            }
            FormatFound::None => write_format(path, kind)?,
        }
        Ok(Self::new(path, kind, true, lock))
    }

    /// Opens `path` to look at its store while no process owns it. Nothing in it is changed.
    ///
    /// # Errors
    /// See [`DirError`]; `InUse` while a daemon runs.
    pub fn peek(path: &Path, kind: StoreKind) -> Result<Self, DirError> {
        let lock_path = path.join(LOCK_FILE);
        let lock = File::open(&lock_path).map_err(|err| match err.kind() {
            io::ErrorKind::NotFound => DirError::Missing { path: path.to_path_buf() },
            _ => file_error("opening", &lock_path, err),
        })?;
        flock(&lock, FlockOperation::NonBlockingLockShared)
            .map_err(|err| lock_error(path, err.into()))?;
        match check_format(path, kind)? {
            FormatFound::Same | FormatFound::Older => Ok(Self::new(path, kind, false, lock)),
            FormatFound::None => Err(DirError::Missing { path: path.to_path_buf() }),
        }
    }

    fn new(path: &Path, kind: StoreKind, is_writable: bool, lock: File) -> Self {
        let inner = Inner { path: path.to_path_buf(), kind, is_writable, _lock: lock };
        Self { inner: Arc::new(inner) }
    }

    /// The directory.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.inner.path
    }

    /// What it was opened as.
    #[must_use]
    pub fn kind(&self) -> StoreKind {
        self.inner.kind
    }

    /// Whether it was opened by [`DataDir::open`].
    #[must_use]
    pub fn is_writable(&self) -> bool {
        self.inner.is_writable
    }

    /// Whether it holds a store.
    #[must_use]
    pub fn has_store(&self) -> bool {
        self.path().join(STORE_FILE).exists()
    }

    /// Moves a damaged store out of the way, so that [`Store::open`](super::Store::open) makes an
    /// empty one. Returns where it is kept. The store must be closed.
    ///
    /// # Errors
    /// `TooManyAside` or `File`; then the store is where it was.
    pub fn set_store_aside(&self) -> Result<PathBuf, DirError> {
        let store = self.path().join(STORE_FILE);
        let aside = (1..=ASIDE_MAX)
            .map(|number| self.path().join(format!("{STORE_FILE}.damaged-{number}")))
            .find(|aside| !aside.exists())
            .ok_or_else(|| DirError::TooManyAside { path: self.path().to_path_buf() })?;
        fs::rename(&store, &aside)
            .and_then(|()| sync_dir(self.path()))
            .map_err(|err| file_error("moving aside", &store, err))?;
        Ok(aside)
    }
}

fn file_error(step: &'static str, path: &Path, err: io::Error) -> DirError {
    DirError::File { step, path: path.to_path_buf(), source: err.into() }
}

fn check_owner(path: &Path) -> Result<(), DirError> {
    let found = fs::metadata(path).map_err(|err| file_error("looking at", path, err))?;
    if !found.is_dir() {
        return Err(DirError::NotADirectory { path: path.to_path_buf() });
    }
    let user = rustix::process::geteuid().as_raw();
    if found.uid() != user {
        return Err(DirError::ForeignOwner { path: path.to_path_buf(), owner: found.uid(), user });
    }
    if found.mode() & MODE_OTHERS != 0 {
        fs::set_permissions(path, Permissions::from_mode(MODE_PRIVATE))
            .map_err(|err| file_error("making private", path, err))?;
    }
    Ok(())
}

/// On a read-only disk the lock works too, on a file opened for reading.
fn open_lock(path: &Path) -> Result<File, DirError> {
    let path = path.join(LOCK_FILE);
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false).mode(0o600);
    options
        .open(&path)
        .or_else(|err| match err.kind() {
            io::ErrorKind::ReadOnlyFilesystem => File::open(&path).map_err(|_| err),
            _ => Err(err),
        })
        .map_err(|err| file_error("opening", &path, err))
}

fn lock_exclusively(path: &Path, lock: &File) -> Result<(), DirError> {
    let taken = flock(lock, FlockOperation::NonBlockingLockExclusive).or_else(|_| {
        // If the lock can be shared, those who hold it only look, and end soon.
        flock(lock, FlockOperation::NonBlockingLockShared)?;
        flock(lock, FlockOperation::LockExclusive)
    });
    taken.map_err(|err| lock_error(path, err.into()))
}

fn lock_error(path: &Path, err: io::Error) -> DirError {
    if err.kind() != io::ErrorKind::WouldBlock {
        return file_error("locking", path, err);
    }
    let pid = read_marker(&path.join(LOCK_FILE)).unwrap_or_default();
    let is_pid = !pid.trim().is_empty() && pid.trim().bytes().all(|byte| byte.is_ascii_digit());
    let pid = if is_pid { pid.trim().to_owned() } else { "unknown".to_owned() };
    DirError::InUse { path: path.to_path_buf(), pid }
}

fn write_pid(lock: &mut File) -> io::Result<()> {
    lock.set_len(0)?;
    writeln!(lock, "{}", std::process::id())
}

fn read_marker(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    File::open(path)?.take(MARKER_BYTES_MAX).read_to_string(&mut text)?;
    Ok(text)
}

enum FormatFound {
    Same,
    Older,
    None,
}

fn check_format(path: &Path, kind: StoreKind) -> Result<FormatFound, DirError> {
    let text = match read_marker(&path.join(FORMAT_FILE)) {
        Ok(text) => text,
        Err(err) if err.kind() == io::ErrorKind::NotFound => return Ok(FormatFound::None),
        Err(err) if err.kind() == io::ErrorKind::InvalidData => String::new(),
        Err(err) => return Err(file_error("reading", &path.join(FORMAT_FILE), err)),
    };
    let Some((found, version)) = parse_format(&text) else {
        return Err(DirError::DamagedFormat { path: path.to_path_buf() });
    };
    if found != kind.name {
        let (path, found) = (path.to_path_buf(), found.to_owned());
        return Err(DirError::OtherKind { path, found, wanted: kind.name });
    }
    match version.cmp(&kind.version) {
        std::cmp::Ordering::Equal => Ok(FormatFound::Same),
        std::cmp::Ordering::Less => Ok(FormatFound::Older),
        std::cmp::Ordering::Greater => {
            let (path, known) = (path.to_path_buf(), kind.version);
            Err(DirError::Newer { path, found: version, known })
        }
    }
}

/// Kind and version of `mamba <kind> <version>`.
pub(super) fn parse_format(text: &str) -> Option<(&str, u32)> {
    match text.split_whitespace().collect::<Vec<_>>().as_slice() {
        &["mamba", kind, version] => Some((kind, version.parse().ok()?)),
        _ => None,
    }
}

pub(super) fn format_text(kind: StoreKind) -> String {
    format!("mamba {} {}\n", kind.name, kind.version)
}

fn write_format(path: &Path, kind: StoreKind) -> Result<(), DirError> {
    let target = path.join(FORMAT_FILE);
    let draft = target.with_extension("new");
    fs::write(&draft, format_text(kind))
        .and_then(|()| publish(&draft, &target))
        .map_err(|err| file_error("writing", &target, err))
}
