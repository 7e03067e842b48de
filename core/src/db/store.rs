//! The store's handle: write closures go to the one writer, read closures run where they are called.

use super::dir::DataDir;
use super::disk::{Disk, FileDisk};
use super::engine::{BatchEnd, Engine, Job, StoreOptions};
use super::fault::Fault;
use super::follow::Follower;
use super::health::{Shared, StoreHealth};
use super::table::TableDef;
use super::txn::{ReadTxn, Txn, TxnError};
use super::writer::Queue;
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{oneshot, watch};

/// Why a write did not happen, or may not have.
#[derive(Clone, Debug, thiserror::Error)]
pub enum WriteError<E> {
    /// The closure returned an error. Nothing of it was applied.
    #[error("the change was refused")]
    Refused(#[source] E),
    /// The closure wrote too much. Nothing of it was applied; trying again is useless.
    #[error("the change was not applied")]
    TooLarge(#[source] TxnError),
    /// The closure panicked. Nothing of it was applied; trying again is useless.
    #[error("the change panicked")]
    Panicked,
    /// The storage failed before the commit. Nothing was applied; it may be tried again.
    #[error("the change was not stored")]
    NotApplied(#[source] Fault),
    /// Others kept changing what the closure read. Nothing was applied; it may be tried again.
    /// A backend with one writer, such as redb, never says this.
    #[error("the change met too many others")]
    Conflict,
    /// The storage failed in the commit. The change may be stored or not, and must be such that
    /// doing it again does no harm.
    #[error("it is unknown whether the change was stored")]
    Unknown(#[source] Fault),
}

impl<E> WriteError<E> {
    /// Whether the same write may succeed later.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::NotApplied(_) | Self::Conflict | Self::Unknown(_) => true,
            Self::Refused(_) | Self::TooLarge(_) | Self::Panicked => false,
        }
    }
}

/// Writes that go along with others: see [`riding`].
pub type Rider = Arc<dyn Fn(&mut Txn<'_>) -> Result<(), TxnError> + Send + Sync>;

tokio::task_local! {
    static RIDER: Rider;
}

/// Runs `work`, and `rider` in every transaction that `work` itself asks for with [`Store::write`]:
/// what the rider writes becomes true exactly when the change does. A refused change takes the
/// rider's writes with it, and a rider that fails refuses the change with `TooLarge`. It may run
/// more than once. Work that other tasks do is left alone.
pub async fn riding<F: Future>(rider: Rider, work: F) -> F::Output {
    RIDER.scope(rider, work).await
}

/// Cheap to clone; all clones talk to the one owner of the database.
#[derive(Clone)]
pub struct Store {
    shared: Arc<Shared>,
    door: Door,
}

#[derive(Clone)]
enum Door {
    Thread(Arc<Queue>),
    Inline(Arc<Inline>),
}

/// A store without a thread.
struct Inline {
    /// Held for a whole change: one after the other, in the order in which they came.
    turn: tokio::sync::Mutex<()>,
    engine: Mutex<Engine>,
}

impl Inline {
    /// Runs one change. Cancelled, it may be made all the same, as on the thread.
    async fn run(&self, call: Box<dyn Job>) {
        let _turn = self.turn.lock().await;
        let delay = lock(&self.engine).delay() / 2;
        wait(delay).await;
        {
            let mut engine = lock(&self.engine);
            if engine.retry_after().is_some() {
                engine.retry();
            }
            engine.batch(call, &mut || None);
        }
        wait(delay).await;
    }
}

async fn wait(delay: Duration) {
    if !delay.is_zero() {
        tokio::time::sleep(delay).await;
    }
}

impl Store {
    /// Opens the store in `dir`, or makes it, and starts its writer thread. Blocks for some
    /// milliseconds. A store that can be read but not written is opened too, and its health says
    /// why.
    ///
    /// # Errors
    /// When it can be neither read nor made: `Corrupt`, `Newer`, or what the disk says.
    pub fn open(dir: &DataDir, ballast_bytes: u64, options: StoreOptions) -> Result<Self, Fault> {
        Self::start(FileDisk::new(dir.clone(), ballast_bytes), options)
    }

    /// As [`Store::open`], on any disk.
    ///
    /// # Errors
    /// As [`Store::open`].
    pub fn start(disk: impl Disk, options: StoreOptions) -> Result<Self, Fault> {
        let engine = Engine::open(Box::new(disk), options)?;
        let shared = engine.shared();
        Ok(Self { shared, door: Door::Thread(Arc::new(Queue::start(engine)?)) })
    }

    /// Opens a store without a thread: [`Store::write`] runs and commits where it is called, and
    /// a failed disk is tried again at each write. For simulations, and to look at the store of a
    /// stopped daemon (then `dir` comes from [`DataDir::peek`]).
    ///
    /// # Errors
    /// As [`Store::open`].
    pub fn inline(disk: impl Disk, options: StoreOptions) -> Result<Self, Fault> {
        let engine = Engine::open(Box::new(disk), options)?;
        let shared = engine.shared();
        let inline = Inline { turn: tokio::sync::Mutex::new(()), engine: Mutex::new(engine) };
        Ok(Self { shared, door: Door::Inline(Arc::new(inline)) })
    }

    /// Runs `change` and returns its result when its writes are durable.
    ///
    /// `change` runs on the writer thread, must not block, and may run more than once, so it
    /// captures what it needs and changes nothing but `txn`. It sees everything that was written
    /// before it, also what is not durable yet: therefore its errors too are told after the commit.
    /// Other closures share the commit; one that fails takes nothing of the others with it.
    ///
    /// Cancelled before a place in the queue was free (4,096 of them), nothing happens. Cancelled
    /// later, the change may still be made.
    ///
    /// # Errors
    /// See [`WriteError`]; only `Unknown` leaves open whether the change was made.
    pub async fn write<T, E, F>(&self, change: F) -> Result<T, WriteError<E>>
    where
        F: FnMut(&mut Txn<'_>) -> Result<T, E> + Send + 'static,
        T: Send + 'static,
        E: Send + 'static,
    {
        let (reply, done) = oneshot::channel();
        let rider = RIDER.try_with(Arc::clone).ok();
        let call = Box::new(Call { change, rider, state: State::New, reply });
        match &self.door {
            Door::Thread(queue) => queue.push(call).await.map_err(WriteError::NotApplied)?,
            Door::Inline(inline) => inline.run(call).await,
        }
        // Only a thread that has ended drops a call without an answer, and it commits nothing then.
        done.await.unwrap_or(Err(WriteError::NotApplied(Fault::Closed)))
    }

    /// Runs `look` on a snapshot of what is durable, on the caller's thread.
    ///
    /// Keep it short: it reads the disk, and an open snapshot makes the file grow. Never wait for
    /// anything inside.
    ///
    /// # Errors
    /// What `look` returns, or the failure of the storage.
    pub fn read<T, E: From<TxnError>>(
        &self,
        look: impl FnOnce(&ReadTxn) -> Result<T, E>,
    ) -> Result<T, E> {
        let txn = self.snapshot()?;
        let result = look(&txn);
        if let Some(fault) = txn.fault() {
            self.recover(fault);
        }
        result
    }

    /// Returns a snapshot that the caller keeps, for a long copy. See [`Store::read`] for the price.
    pub(super) fn snapshot(&self) -> Result<ReadTxn, TxnError> {
        self.shared.begin_read().map_err(|fault| {
            // While it is not open, the engine knows, and tries again in its own time.
            if self.shared.is_open() {
                self.recover(fault.clone());
            }
            TxnError::Storage(fault)
        })
    }

    /// Grows with each commit before anybody is told of it, and when the database was opened anew: between
    /// two looks that see the same number, snapshots show the same. Wakes whoever waits for a commit.
    #[must_use]
    pub fn subscribe(&self) -> watch::Receiver<u64> {
        self.shared.revision()
    }

    /// Follows tables: which of their keys commits change from now on.
    #[must_use]
    pub fn follow(&self, tables: &[TableDef]) -> Follower {
        self.shared.followers.follow(tables)
    }

    /// How the disk is doing, now and later.
    #[must_use]
    pub fn health(&self) -> watch::Receiver<StoreHealth> {
        self.shared.health.subscribe()
    }

    /// Finishes what is queued and closes the database; afterwards everything fails with `Closed`.
    /// A store with a thread has then also let go of its [`DataDir`]. Cancelled, it closes all the
    /// same.
    pub async fn close(&self) {
        match &self.door {
            Door::Thread(queue) => queue.close().await,
            Door::Inline(inline) => lock(&inline.engine).close(),
        }
    }

    fn recover(&self, fault: Fault) {
        match &self.door {
            Door::Thread(queue) => queue.recover(fault),
            Door::Inline(inline) => lock(&inline.engine).recover(&fault),
        }
    }
}

fn lock(engine: &Mutex<Engine>) -> MutexGuard<'_, Engine> {
    engine.lock().unwrap_or_else(PoisonError::into_inner)
}

/// One call of [`Store::write`] on its way through a batch.
struct Call<F, T, E> {
    change: F,
    rider: Option<Rider>,
    state: State<T, E>,
    reply: oneshot::Sender<Result<T, WriteError<E>>>,
}

enum State<T, E> {
    New,
    Ran(Result<T, E>),
    Rejected(TxnError),
    Panicked,
}

impl<F, T, E> Job for Call<F, T, E>
where
    F: FnMut(&mut Txn<'_>) -> Result<T, E> + Send,
    T: Send,
    E: Send,
{
    fn run(&mut self, txn: &mut Txn<'_>) -> bool {
        let result = (self.change)(txn);
        let is_kept = result.is_ok();
        if is_kept
            && let Some(rider) = &self.rider
            && let Err(err) = rider(txn)
        {
            self.state = State::Rejected(err);
            return false;
        }
        self.state = State::Ran(result);
        is_kept
    }

    fn reject(&mut self, err: TxnError) {
        self.state = State::Rejected(err);
    }

    fn panicked(&mut self) {
        self.state = State::Panicked;
    }

    fn finish(self: Box<Self>, end: &BatchEnd) {
        let result = match (end, self.state) {
            (BatchEnd::NotApplied(fault), _) => Err(WriteError::NotApplied(fault.clone())),
            (_, State::Rejected(err)) => Err(WriteError::TooLarge(err)),
            (_, State::Panicked) => Err(WriteError::Panicked),
            (_, State::New) => Err(WriteError::NotApplied(Fault::Reopening)),
            (BatchEnd::Committed, State::Ran(result)) => result.map_err(WriteError::Refused),
            // It was refused for what may not exist, and wrote nothing.
            (BatchEnd::Unknown(fault), State::Ran(Err(_))) => {
                Err(WriteError::NotApplied(fault.clone()))
            }
            (BatchEnd::Unknown(fault), State::Ran(Ok(_))) => {
                Err(WriteError::Unknown(fault.clone()))
            }
        };
        // The caller may have been cancelled.
        self.reply.send(result).ok();
    }
}
