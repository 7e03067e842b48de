//! The one owner of the database: runs batches of transactions, and reopens it after a failure.
//!
//! Nothing here reads a clock or waits. The writer thread, or a simulator, calls [`Engine::batch`]
//! for work and [`Engine::retry`] when [`Engine::retry_after`] has passed.
//!
//! After an I/O error redb refuses everything until it is reopened. So the engine drops the
//! database, gives up the ballast when the disk is full, reopens, and proves by a durable commit
//! that it can write. When it cannot, it opens the file without writing to it, so that reads go on.

use super::disk::Disk;
use super::fault::{ENGINE_FORMAT, Fault, guarded};
use super::follow::ChangedKey;
use super::health::{Shared, StoreHealth};
use super::pairs::{META, META_PROBE, PAIRS, Pairs, durable};
use super::txn::{Overlay, Source, Txn, TxnError, TxnLimits};
use crate::error::chain;
use redb::{Builder, Database, DatabaseError, WriteTransaction};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

/// Commands in one commit: enough to divide the price of an fsync away, few enough that the first
/// of them does not wait long.
pub(super) const BATCH_COMMANDS_MAX: usize = 512;
/// Bytes written in one commit. Above it the batch is closed: redb keeps a transaction's pages in
/// its cache, and an edge has 16 MiB of it.
const BATCH_BYTES_MAX: usize = 4 << 20;

/// Pause before the first reopening that follows a failed one; doubles up to the maximum.
const RETRY_MS_MIN: u64 = 100;
/// Longest pause: how long a cured disk may go unnoticed.
const RETRY_MS_MAX: u64 = 10_000;
/// How often a store without ballast tries to make it again.
const BALLAST_MS: u64 = 30_000;

/// Settings of a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoreOptions {
    /// Memory for pages. redb's own default is 1 GiB.
    pub cache_bytes: usize,
    /// Hard limits of one transaction.
    pub txn: TxnLimits,
    /// Runs each closure twice and drops what it did the first time, as a conflict on a distributed
    /// backend would. For tests of the callers.
    pub runs_twice: bool,
}

impl StoreOptions {
    /// For an edge, which may live in 100 MiB.
    pub const EDGE: Self = Self { cache_bytes: 16 << 20, txn: TxnLimits::EDGE, runs_twice: false };
    /// For a hub.
    pub const HUB: Self = Self { cache_bytes: 256 << 20, txn: TxnLimits::HUB, runs_twice: false };
}

/// Work that is run inside a batch and told how the batch ended.
pub(super) trait Job: Send {
    /// Runs the closure. Returns whether its writes are kept.
    fn run(&mut self, txn: &mut Txn<'_>) -> bool;
    /// The closure's writes are dropped for a reason of their own.
    fn reject(&mut self, err: TxnError);
    /// The closure panicked.
    fn panicked(&mut self);
    /// Tells the caller.
    fn finish(self: Box<Self>, end: &BatchEnd);
}

/// How a batch ended, for all of its jobs.
pub(super) enum BatchEnd {
    /// It is on disk.
    Committed,
    /// Nothing of it is, and nothing will be.
    NotApplied(Fault),
    /// The commit failed: it may be on disk or not.
    Unknown(Fault),
}

/// See the module's documentation.
pub(super) struct Engine {
    disk: Box<dyn Disk>,
    options: StoreOptions,
    shared: Arc<Shared>,
    /// Failed attempts since the store was last writable.
    attempts: u32,
    /// What the last attempt failed with; `None` while the store is writable.
    fault: Option<Fault>,
}

impl Engine {
    /// Opens the store on `disk`; degraded, when only reading is possible.
    pub(super) fn open(disk: Box<dyn Disk>, options: StoreOptions) -> Result<Self, Fault> {
        let shared = Arc::new(Shared::new());
        let mut engine = Self { disk, options, shared, attempts: 0, fault: None };
        match engine.reopen() {
            Ok(()) => Ok(engine),
            // Whoever owns the directory decides what becomes of such a file.
            Err(fault @ (Fault::Corrupt { .. } | Fault::Newer { .. })) => Err(fault),
            Err(_) if engine.is_readable() => Ok(engine),
            Err(fault) => Err(fault),
        }
    }

    pub(super) fn shared(&self) -> Arc<Shared> {
        Arc::clone(&self.shared)
    }

    /// Runs `first` and what `more` yields, commits once, and tells each job. Returns their number.
    pub(super) fn batch(
        &mut self,
        first: Box<dyn Job>,
        more: &mut dyn FnMut() -> Option<Box<dyn Job>>,
    ) -> usize {
        let mut jobs = vec![];
        let end = match &self.fault {
            Some(fault) => {
                jobs.push(first);
                BatchEnd::NotApplied(fault.clone())
            }
            None => {
                let batch = || self.run_batch(first, more, &mut jobs);
                catch_unwind(AssertUnwindSafe(batch)).unwrap_or_else(|_| {
                    BatchEnd::Unknown(Fault::corrupt("the storage engine panicked"))
                })
            }
        };
        if let (None, BatchEnd::NotApplied(fault) | BatchEnd::Unknown(fault)) = (&self.fault, &end)
        {
            let fault = fault.clone();
            self.recover(&fault);
        }
        let count = jobs.len();
        for job in jobs {
            job.finish(&end);
        }
        count
    }

    /// Reopens the store after `fault`, which a batch or a reader met.
    pub(super) fn recover(&mut self, fault: &Fault) {
        // If even the ballast cannot be given up there is none to count on.
        let is_full = matches!(fault, Fault::Full);
        let is_spent = is_full && !self.disk.free_ballast().unwrap_or(false);
        // Failing, it sets the health and leaves the rest to `retry`.
        if self.reopen().is_ok() && is_spent {
            self.set_health(StoreHealth::Full { can_write: false });
        }
    }

    /// After how long [`Engine::retry`] should be called, counted from the last call of anything
    /// that returned; `None` when all is well.
    pub(super) fn retry_after(&self) -> Option<Duration> {
        if !self.disk.is_writable() {
            return None;
        }
        if self.fault.is_some() {
            let doublings = self.attempts.saturating_sub(1).min(10);
            return Some(Duration::from_millis(RETRY_MS_MAX.min(RETRY_MS_MIN << doublings)));
        }
        let is_ok = *self.shared.health.borrow() == StoreHealth::Ok;
        (!is_ok).then_some(Duration::from_millis(BALLAST_MS))
    }

    /// Tries to get back to full health.
    pub(super) fn retry(&mut self) {
        if self.fault.is_some() {
            self.reopen().ok();
            return;
        }
        let is_spent = *self.shared.health.borrow() == StoreHealth::Full { can_write: false };
        match self.ballast_health() {
            // That there is no ballast says nothing about whether writes work again.
            StoreHealth::Full { .. } if is_spent => {}
            health => self.set_health(health),
        }
    }

    /// Closes the store for good.
    pub(super) fn close(&mut self) {
        self.fault = Some(Fault::Closed);
        self.shared.health.send_replace(StoreHealth::Closed);
        self.shared.set(Err(Fault::Closed));
    }

    /// How much longer a change takes on a simulated disk that is slow.
    pub(super) fn delay(&self) -> Duration {
        self.disk.delay()
    }

    fn is_readable(&self) -> bool {
        self.shared.begin_read().is_ok()
    }

    fn reopen(&mut self) -> Result<(), Fault> {
        self.shared.set(Err(Fault::Reopening));
        let opened = match self.open_writable() {
            Err(Fault::Full) if matches!(self.disk.free_ballast(), Ok(true)) => {
                self.open_writable()
            }
            opened => opened,
        };
        let fault = match opened {
            Ok(database) => {
                self.shared.set(Ok(database));
                self.fault = None;
                self.attempts = 0;
                let health = self.ballast_health();
                self.set_health(health);
                return Ok(());
            }
            Err(fault) => self.open_reading(fault),
        };
        self.attempts = self.attempts.saturating_add(1);
        self.fault = Some(fault.clone());
        if !self.shared.is_open() {
            self.shared.set(Err(fault.clone()));
        }
        self.set_health(self.degraded(&fault));
        Err(fault)
    }

    /// Opens for reading only, after `fault` kept it from being opened for writing. Returns the
    /// fault that says more.
    fn open_reading(&mut self, fault: Fault) -> Fault {
        match self.open_with(|disk, builder| disk.open_unwritten(builder)) {
            Ok(database) => {
                self.shared.set(Ok(database));
                fault
            }
            Err(damage @ (Fault::Corrupt { .. } | Fault::Newer { .. })) => damage,
            // Writing was not even tried.
            Err(other) if !self.disk.is_writable() => other,
            Err(_) => fault,
        }
    }

    /// The health of a store that can be written, by whether there is a ballast.
    fn ballast_health(&mut self) -> StoreHealth {
        match self.disk.make_ballast().map_err(Fault::from) {
            Ok(()) => StoreHealth::Ok,
            Err(Fault::Full) => StoreHealth::Full { can_write: true },
            Err(fault) => StoreHealth::NoBallast { error: chain(&fault) },
        }
    }

    fn degraded(&self, fault: &Fault) -> StoreHealth {
        match fault {
            Fault::Full => StoreHealth::Full { can_write: false },
            Fault::ReadOnly => StoreHealth::ReadOnly,
            Fault::Corrupt { what } => StoreHealth::Corrupt { what: what.clone() },
            Fault::Newer { .. } | Fault::Io(_) | Fault::Reopening | Fault::Closed => {
                StoreHealth::Failing { error: chain(fault), attempts: self.attempts }
            }
        }
    }

    fn set_health(&self, health: StoreHealth) {
        self.shared.health.send_if_modified(|old| {
            let is_new = *old != health;
            *old = health;
            is_new
        });
    }

    /// Opens the database and proves that it takes a durable commit.
    fn open_writable(&mut self) -> Result<Database, Fault> {
        if !self.disk.is_writable() {
            return Err(Fault::ReadOnly);
        }
        let database = self.open_with(|disk, builder| disk.open(builder))?;
        guarded(|| {
            let probe = durable(database.begin_write()?);
            probe.open_table(PAIRS)?;
            probe.open_table(META)?.insert(META_PROBE, [].as_slice())?;
            Ok(probe.commit()?)
        })?;
        Ok(database)
    }

    /// Opens with the right settings.
    fn open_with(
        &mut self,
        open: impl FnOnce(&mut dyn Disk, &Builder) -> Result<Database, DatabaseError>,
    ) -> Result<Database, Fault> {
        let mut builder = Builder::new();
        builder.set_cache_size(self.options.cache_bytes);
        guarded(|| open(&mut *self.disk, &builder).map_err(|err| newer_format(err.into())))
    }

    fn run_batch(
        &self,
        first: Box<dyn Job>,
        more: &mut dyn FnMut() -> Option<Box<dyn Job>>,
        jobs: &mut Vec<Box<dyn Job>>,
    ) -> BatchEnd {
        jobs.push(first);
        let transaction = match self.shared.begin_write() {
            Ok(transaction) => transaction,
            Err(fault) => return BatchEnd::NotApplied(fault),
        };
        match self.run_jobs(&transaction, more, jobs) {
            Err(fault) => BatchEnd::NotApplied(fault),
            Ok((0, _)) => BatchEnd::Committed,
            Ok((_, changed)) => {
                let committed = transaction.commit();
                // Also when it failed: it may be stored, and whoever looks again finds out.
                self.shared.followers.tell(changed);
                self.shared.move_revision();
                match committed {
                    Ok(()) => BatchEnd::Committed,
                    Err(err) => BatchEnd::Unknown(err.into()),
                }
            }
        }
    }

    /// Runs the jobs over the batch's table. Returns the number of bytes written, and the keys of
    /// which somebody wants to hear.
    fn run_jobs(
        &self,
        transaction: &WriteTransaction,
        more: &mut dyn FnMut() -> Option<Box<dyn Job>>,
        jobs: &mut Vec<Box<dyn Job>>,
    ) -> Result<(usize, Vec<ChangedKey>), Fault> {
        let mut pairs = Pairs(transaction.open_table(PAIRS)?);
        let (mut bytes, mut changed) = (0, Vec::new());
        while let Some(job) = jobs.last_mut() {
            for (key, value) in self.run_job(&mut **job, &pairs)? {
                bytes += key.len() + value.as_ref().map_or(0, Vec::len);
                changed.extend(self.shared.followers.note(&key));
                match value {
                    Some(value) => pairs.0.insert(key.as_slice(), value.as_slice())?,
                    None => pairs.0.remove(key.as_slice())?,
                };
            }
            if jobs.len() >= BATCH_COMMANDS_MAX || bytes >= BATCH_BYTES_MAX {
                break;
            }
            match more() {
                Some(job) => jobs.push(job),
                None => break,
            }
        }
        Ok((bytes, changed))
    }

    /// Runs one job on an overlay of its own, so that one that fails leaves nothing behind.
    fn run_job(&self, job: &mut dyn Job, pairs: &dyn Source) -> Result<Overlay, Fault> {
        for _ in 0..usize::from(self.options.runs_twice) {
            let mut dropped = Txn::new(pairs, self.options.txn);
            catch_unwind(AssertUnwindSafe(|| job.run(&mut dropped))).ok();
        }
        let mut txn = Txn::new(pairs, self.options.txn);
        let is_kept = catch_unwind(AssertUnwindSafe(|| job.run(&mut txn)));
        match (is_kept, txn.finish()) {
            (_, Err(TxnError::Storage(fault))) => Err(fault),
            (Err(_), _) => {
                job.panicked();
                Ok(Overlay::new())
            }
            (Ok(true), Ok(overlay)) => Ok(overlay),
            (Ok(true), Err(err)) => {
                job.reject(err);
                Ok(Overlay::new())
            }
            (Ok(false), _) => Ok(Overlay::new()),
        }
    }
}

/// redb says only by a sentence that a file has a newer format.
fn newer_format(fault: Fault) -> Fault {
    if let Fault::Corrupt { what } = &fault
        && what.starts_with("Expected file format version")
        && let Some(found) = what.rsplit(' ').next().and_then(|word| word.parse().ok())
        && found > ENGINE_FORMAT
    {
        return Fault::Newer { found, known: ENGINE_FORMAT };
    }
    fault
}
