//! Where a store lives: the seam between the engine and files, or a simulated disk.

use super::dir::DataDir;
use super::overlay::Overlay;
use redb::backends::FileBackend;
use redb::{Builder, Database, DatabaseError};
use rustix::fs::{FallocateFlags, fallocate};
use rustix::io::Errno;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The store's file in its data directory.
pub(super) const STORE_FILE: &str = "store.redb";
const BALLAST_FILE: &str = "ballast";

/// A place that holds one store and, beside it, the ballast: space that is given up when the disk
/// is full, because then even a delete needs room for new pages.
pub trait Disk: Send + 'static {
    /// Whether [`Disk::open`] can ever work: false for a look at the store of a stopped daemon.
    fn is_writable(&self) -> bool;

    /// Opens the store, and makes an empty one where there is none.
    ///
    /// # Errors
    /// Whatever the engine says; nothing half-made is left under the store's name.
    fn open(&mut self, builder: &Builder) -> Result<Database, DatabaseError>;

    /// Opens an existing store without changing a byte of it.
    ///
    /// # Errors
    /// Whatever the engine says, with `NotFound` when there is no store.
    fn open_unwritten(&mut self, builder: &Builder) -> Result<Database, DatabaseError>;

    /// Makes the ballast unless it is there.
    ///
    /// # Errors
    /// When there is no room for it with as much again to spare; then nothing is left of it.
    fn make_ballast(&mut self) -> io::Result<()>;

    /// Gives the ballast's space back. Returns whether there was one.
    ///
    /// # Errors
    /// When it exists and cannot be removed.
    fn free_ballast(&mut self) -> io::Result<bool>;

    /// How much longer each change takes than it does by itself. Only a simulated disk has such a
    /// time, and only a store without a thread waits for it.
    fn delay(&self) -> Duration {
        Duration::ZERO
    }
}

/// The files of a [`DataDir`].
pub struct FileDisk {
    /// Keeps the directory locked as long as the store is open.
    dir: DataDir,
    ballast_bytes: u64,
}

impl FileDisk {
    /// Ballast of an edge: room for a few hundred small commits.
    pub const EDGE_BALLAST_BYTES: u64 = 8 << 20;
    /// Ballast of a hub: room for some of its largest commits.
    pub const HUB_BALLAST_BYTES: u64 = 64 << 20;

    /// Uses the files in `dir`, with a ballast of `ballast_bytes`.
    #[must_use]
    pub fn new(dir: DataDir, ballast_bytes: u64) -> Self {
        Self { dir, ballast_bytes }
    }

    fn store_path(&self) -> PathBuf {
        self.dir.path().join(STORE_FILE)
    }

    fn ballast_path(&self) -> PathBuf {
        self.dir.path().join(BALLAST_FILE)
    }
}

impl Disk for FileDisk {
    fn is_writable(&self) -> bool {
        self.dir.is_writable()
    }

    fn open(&mut self, builder: &Builder) -> Result<Database, DatabaseError> {
        let path = self.store_path();
        if !path.try_exists()? {
            create_store(builder, &path)?;
        }
        builder.open(&path)
    }

    fn open_unwritten(&mut self, builder: &Builder) -> Result<Database, DatabaseError> {
        open_unwritten(builder, &self.store_path())
    }

    fn make_ballast(&mut self) -> io::Result<()> {
        let path = self.ballast_path();
        match fs::metadata(&path) {
            Ok(found) if found.len() == self.ballast_bytes => return Ok(()),
            Ok(_) => fs::remove_file(&path)?,
            Err(err) if err.kind() == io::ErrorKind::NotFound => {}
            Err(err) => return Err(err),
        }
        let space = rustix::fs::statvfs(self.dir.path())?;
        if space.f_bavail.saturating_mul(space.f_frsize) < self.ballast_bytes.saturating_mul(2) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        fill(&path, self.ballast_bytes).inspect_err(|_| {
            // What was allocated so far is needed more urgently elsewhere.
            fs::remove_file(&path).ok();
        })
    }

    fn free_ballast(&mut self) -> io::Result<bool> {
        match fs::remove_file(self.ballast_path()) {
            Ok(()) => sync_dir(self.dir.path()).map(|()| true),
            Err(err) if err.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(err) => Err(err),
        }
    }
}

/// Opens the store at `path` and keeps every change, repairs included, in memory.
pub(super) fn open_unwritten(builder: &Builder, path: &Path) -> Result<Database, DatabaseError> {
    let file = File::open(path)?;
    let bytes = file.metadata()?.len();
    if bytes == 0 {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "the store's file is empty").into());
    }
    builder.create_with_backend(Overlay::new(file, bytes))
}

/// Makes an empty store under another name first: a crash leaves no half-made one.
pub(super) fn create_store(builder: &Builder, path: &Path) -> Result<(), DatabaseError> {
    let draft = path.with_extension("new");
    let file = private_file(&draft)?;
    builder.create_with_backend(FileBackend::new(file)?)?.close()?;
    publish(&draft, path)?;
    Ok(())
}

/// Makes an empty file that only the owner can read.
pub(super) fn private_file(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).create(true).truncate(true).mode(0o600).open(path)
}

/// Gives a finished file its name, durably.
pub(super) fn publish(draft: &Path, path: &Path) -> io::Result<()> {
    File::open(draft)?.sync_all()?;
    fs::rename(draft, path)?;
    sync_dir(path.parent().unwrap_or(Path::new("/")))
}

/// Makes names in a directory durable.
pub(super) fn sync_dir(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

fn fill(path: &Path, bytes: u64) -> io::Result<()> {
    let mut file = private_file(path)?;
    match fallocate(&file, FallocateFlags::empty(), 0, bytes) {
        // Some file systems cannot reserve space, but nearly all keep what is written.
        Err(Errno::OPNOTSUPP) => {
            io::copy(&mut io::repeat(0x6d).take(bytes), &mut file)?;
        }
        reserved => reserved?,
    }
    file.sync_all()
}
