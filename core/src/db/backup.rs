//! Verified copies of a whole store.
//!
//! A live file is never copied: the pairs of one snapshot go into a new file, page by page, which is
//! closed, opened again and compared by count and digest before it gets its name. Memory stays
//! bounded whatever the size. The digest is
//! `blake3(for each pair in order: key length u32 le | key | value length u32 le | value)`, so that
//! two stores with the same pairs have the same one.
//!
//! A copy is itself a store file; its table `meta` says what kind and version of store it came from.
//!
//! These functions block for as long as the disk needs: call them on a thread that may.

use super::dir::{DataDir, StoreKind, format_text, parse_format};
use super::disk::{STORE_FILE, open_unwritten, private_file, publish};
use super::fault::Fault;
use super::pairs::{META, META_FORMAT, PAIRS, Pairs, durable};
use super::store::Store;
use super::table::RawSpan;
use super::txn::{Order, RawPair, ReadTxn, Source, TxnError};
use redb::backends::FileBackend;
use redb::{Builder, Database, ReadableDatabase};
use std::fs;
use std::path::{Path, PathBuf};

/// Cache of the new file while it is written, and again while it is verified.
const CACHE_BYTES: usize = 16 << 20;
/// Pairs read at once. With values of at most one transaction's size this bounds memory.
const PAGE_PAIRS: usize = 64;
/// Bytes per commit of the new file.
const COMMIT_BYTES: usize = 4 << 20;

/// What a verified copy contains.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BackupReport {
    /// Number of pairs.
    pub pairs_count: u64,
    /// Sum of their encoded keys and values.
    pub pairs_bytes: u64,
    /// See the module's documentation.
    pub digest: [u8; 32],
}

/// Why there is no copy. Nothing is left under the target's name.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// The target exists already.
    #[error("`{}` exists already", path.display())]
    Exists {
        /// The target.
        path: PathBuf,
    },
    /// The store to be copied could not be read.
    #[error("the store could not be read")]
    Read(#[source] TxnError),
    /// The file to restore could not be read.
    #[error("backup `{}` could not be read", path.display())]
    Open {
        /// The backup.
        path: PathBuf,
        /// Why.
        #[source]
        source: Fault,
    },
    /// The file to restore is a store, but no finished backup.
    #[error("`{}` is not a backup", path.display())]
    NotABackup {
        /// The file.
        path: PathBuf,
    },
    /// The backup is of another program's store.
    #[error("`{}` is a backup of kind `{found}`, not `{wanted}`", path.display())]
    OtherKind {
        /// The backup.
        path: PathBuf,
        /// Its kind.
        found: String,
        /// Our kind.
        wanted: &'static str,
    },
    /// The backup was written by a newer release.
    #[error("backup `{}` has version {found}, this release knows versions up to {known}", path.display())]
    Newer {
        /// The backup.
        path: PathBuf,
        /// Its version.
        found: u32,
        /// Our version.
        known: u32,
    },
    /// The copy could not be written.
    #[error("`{}` could not be written", path.display())]
    Write {
        /// The copy.
        path: PathBuf,
        /// Why.
        #[source]
        source: Fault,
    },
    /// The copy does not hold what was written.
    #[error(
        "the copy differs from its source: {} pairs were written and {} read back",
        written.pairs_count, found.pairs_count
    )]
    Differs {
        /// What was written.
        written: Box<BackupReport>,
        /// What was read back.
        found: Box<BackupReport>,
    },
}

/// Copies `store` into the new file `target`, and returns what it holds together with what `look`
/// saw on the same snapshot, such as the watermarks that this backup covers.
///
/// The snapshot is held until the copy is written, so the store's file may grow meanwhile.
///
/// # Errors
/// See [`BackupError`].
pub fn backup<T>(
    store: &Store,
    kind: StoreKind,
    target: &Path,
    look: impl FnOnce(&ReadTxn) -> Result<T, TxnError>,
) -> Result<(BackupReport, T), BackupError> {
    let snapshot = store.snapshot().map_err(BackupError::Read)?;
    let seen = look(&snapshot).map_err(BackupError::Read)?;
    let report = copy(&snapshot, kind, target)?;
    Ok((report, seen))
}

/// Makes the store of `dir`, which must have none, from the verified copy `source`.
///
/// # Errors
/// See [`BackupError`]; `Exists` when the directory holds a store.
pub fn restore(source: &Path, dir: &DataDir) -> Result<BackupReport, BackupError> {
    let open_error = |source: Fault, path: &Path| BackupError::Open { path: path.into(), source };
    let database =
        open_unwritten(&builder(), source).map_err(|err| open_error(err.into(), source))?;
    check_format(&database, source, dir.kind())?;
    let snapshot = read_all(&database).map_err(|fault| open_error(fault, source))?;
    copy(&snapshot, dir.kind(), &dir.path().join(STORE_FILE))
}

fn builder() -> Builder {
    let mut builder = Builder::new();
    builder.set_cache_size(CACHE_BYTES);
    builder
}

fn read_all(database: &Database) -> Result<ReadTxn, Fault> {
    let pairs = database.begin_read()?.open_table(PAIRS)?;
    Ok(ReadTxn::new(Box::new(Pairs(pairs))))
}

fn check_format(database: &Database, path: &Path, kind: StoreKind) -> Result<(), BackupError> {
    let read = || -> Result<Option<String>, Fault> {
        let meta = database.begin_read()?.open_table(META)?;
        let text = meta.get(META_FORMAT)?;
        Ok(text.map(|text| String::from_utf8_lossy(text.value()).into_owned()))
    };
    let path = || path.to_path_buf();
    let text = read().map_err(|source| BackupError::Open { path: path(), source })?;
    match text.as_deref().and_then(parse_format) {
        None => Err(BackupError::NotABackup { path: path() }),
        Some((found, _)) if found != kind.name => {
            Err(BackupError::OtherKind { path: path(), found: found.into(), wanted: kind.name })
        }
        Some((_, found)) if found > kind.version => {
            Err(BackupError::Newer { path: path(), found, known: kind.version })
        }
        Some(_) => Ok(()),
    }
}

/// Writes all pairs of `source` to a draft, verifies it and gives it its name.
fn copy(source: &ReadTxn, kind: StoreKind, target: &Path) -> Result<BackupReport, BackupError> {
    if target.exists() {
        return Err(BackupError::Exists { path: target.to_path_buf() });
    }
    let mut name = target.as_os_str().to_owned();
    name.push(".partial");
    let draft = PathBuf::from(name);
    let result = write_draft(source, kind, &draft).and_then(|written| {
        let found = summary(&draft).map_err(|fault| write_error(&draft, fault))?;
        if found != written {
            let (written, found) = (Box::new(written), Box::new(found));
            return Err(BackupError::Differs { written, found });
        }
        publish(&draft, target).map_err(|err| write_error(target, err))?;
        Ok(written)
    });
    result.inspect_err(|_| {
        // What is left of a failed copy helps nobody, and its space is needed.
        fs::remove_file(&draft).ok();
    })
}

fn write_error(path: &Path, fault: impl Into<Fault>) -> BackupError {
    BackupError::Write { path: path.to_path_buf(), source: fault.into() }
}

fn write_draft(
    source: &ReadTxn,
    kind: StoreKind,
    draft: &Path,
) -> Result<BackupReport, BackupError> {
    let failed = |fault: Fault| write_error(draft, fault);
    let create = || -> Result<Database, Fault> {
        Ok(builder().create_with_backend(FileBackend::new(private_file(draft)?)?)?)
    };
    let database = create().map_err(failed)?;
    let mut pages = Pages::new(source);
    while let Some(chunk) = pages.next_chunk().map_err(|fault| BackupError::Read(fault.into()))? {
        write_chunk(&database, &chunk).map_err(failed)?;
    }
    let finish = || -> Result<(), Fault> {
        let transaction = durable(database.begin_write()?);
        // A copy of an empty store has the table too.
        transaction.open_table(PAIRS)?;
        let format = format_text(kind);
        transaction.open_table(META)?.insert(META_FORMAT, format.as_bytes())?;
        transaction.commit()?;
        Ok(database.close()?)
    };
    finish().map_err(failed)?;
    Ok(pages.report())
}

fn write_chunk(database: &Database, chunk: &[RawPair]) -> Result<(), Fault> {
    let transaction = durable(database.begin_write()?);
    let mut table = transaction.open_table(PAIRS)?;
    for (key, value) in chunk {
        table.insert(key.as_slice(), value.as_slice())?;
    }
    drop(table);
    Ok(transaction.commit()?)
}

/// Reads a finished draft from the start, by a database that has cached nothing of it.
fn summary(draft: &Path) -> Result<BackupReport, Fault> {
    let database = open_unwritten(&builder(), draft)?;
    let snapshot = read_all(&database)?;
    let mut pages = Pages::new(&snapshot);
    while pages.next_chunk()?.is_some() {}
    Ok(pages.report())
}

/// Walks all pairs in order and sums them up.
struct Pages<'a> {
    source: &'a ReadTxn,
    rest: RawSpan,
    pairs_count: u64,
    pairs_bytes: u64,
    hasher: blake3::Hasher,
}

impl<'a> Pages<'a> {
    fn new(source: &'a ReadTxn) -> Self {
        let hasher = blake3::Hasher::new();
        Self { source, rest: RawSpan::default(), pairs_count: 0, pairs_bytes: 0, hasher }
    }

    /// Returns the next pairs, about `COMMIT_BYTES` of them; `None` at the end.
    fn next_chunk(&mut self) -> Result<Option<Vec<RawPair>>, Fault> {
        let mut chunk = Vec::new();
        let mut chunk_bytes = 0;
        while chunk_bytes < COMMIT_BYTES {
            let page = self.source.raw_scan(&self.rest, Order::Ascending, PAGE_PAIRS)?;
            let Some((last, _)) = page.last() else { break };
            self.rest = RawSpan::above(last);
            for (key, value) in &page {
                chunk_bytes += key.len() + value.len();
                self.pairs_count += 1;
                self.pairs_bytes += (key.len() + value.len()) as u64;
                self.hash(key);
                self.hash(value);
            }
            chunk.extend(page);
        }
        Ok((!chunk.is_empty()).then_some(chunk))
    }

    fn hash(&mut self, bytes: &[u8]) {
        // redb keeps values below 3 GiB, so the length always fits.
        let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        self.hasher.update(&length.to_le_bytes());
        self.hasher.update(bytes);
    }

    fn report(&self) -> BackupReport {
        BackupReport {
            pairs_count: self.pairs_count,
            pairs_bytes: self.pairs_bytes,
            digest: *self.hasher.finalize().as_bytes(),
        }
    }
}
