//! The thread that owns the files of all consoles: writes new lines in batches, reads old ones.

use super::{
    block::Batch,
    history::{History, Rotation},
    state::Console,
};
use mamba_core::{
    clock::{BootMs, Clock},
    error::chain,
    ids::ServerId,
};
use std::{
    collections::BTreeMap,
    io,
    path::{Path, PathBuf},
    sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError},
    time::Duration,
};
use tokio::sync::oneshot;

/// Time in which new lines are collected before they are written: a kill of the daemon loses at
/// most this much, which the container engine's own log gives back.
const COLLECT: Duration = Duration::from_millis(40);
/// Wait after a failed write before that server's history is tried again.
const RETRY_MS: u64 = 1_000;
/// Least time between synchronisations of one server's full segments: a game that floods its
/// console fills ten segments a second and would make the disk wait for each.
const SYNC_MS: u64 = 10_000;

/// Why old lines could not be had or dropped.
#[derive(Debug, thiserror::Error)]
pub enum ConsoleError {
    /// The folder of the consoles cannot be made or listed.
    #[error("console folder `{path}` cannot be opened")]
    OpenFolder {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The operating system gave no thread.
    #[error("console writer cannot be started")]
    StartWriter(#[source] io::Error),
    /// Files of a server could not be removed.
    #[error("console history of server {server} cannot be removed")]
    Forget {
        /// Which.
        server: ServerId,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The daemon is going down.
    #[error("console writer has ended")]
    Closed,
}

/// What the thread is asked.
pub(super) enum Command {
    /// Read lines from a number on.
    Read { server: ServerId, from: u64, reply: oneshot::Sender<Batch> },
    /// Drop everything stored of a server.
    Forget { server: ServerId, reply: oneshot::Sender<io::Result<()>> },
    /// Answer when everything before is written.
    Flush { reply: oneshot::Sender<()> },
}

/// Where the thread gets its work.
#[derive(Default)]
pub(super) struct Mailbox {
    mail: Mutex<Mail>,
    wake: Condvar,
    /// Does what is asked at once, where it is asked, when there is no thread.
    in_place: OnceLock<Mutex<Writer>>,
}

#[derive(Default)]
struct Mail {
    /// Consoles with lines to write; bounded by the number of servers.
    dirty: BTreeMap<ServerId, Arc<Console>>,
    /// Bounded by the readers and callers, each of which waits for one reply.
    commands: Vec<Command>,
    is_urgent: bool,
    is_closed: bool,
}

impl Mailbox {
    /// Lets a writer work in here. New lines stay in memory until the next command.
    #[cfg(any(test, feature = "test-support"))]
    pub(super) fn work_in_place(&self, writer: Writer) {
        assert!(self.in_place.set(Mutex::new(writer)).is_ok(), "a mailbox has one writer");
    }

    /// Asks that a console's new lines be written soon.
    pub(super) fn mark(&self, server: ServerId, console: &Arc<Console>) {
        self.lock().dirty.insert(server, Arc::clone(console));
        self.wake.notify_one();
    }

    /// Asks that everything marked be written now.
    pub(super) fn hurry(&self) {
        self.lock().is_urgent = true;
        self.wake.notify_one();
    }

    /// Hands over a command. It is dropped, and its reply with it, when the thread has ended.
    pub(super) fn send(&self, command: Command) {
        {
            let mut mail = self.lock();
            if mail.is_closed {
                return;
            }
            mail.commands.push(command);
        }
        self.wake.notify_one();
        self.work();
    }

    /// Tells the thread to write what there is and end.
    pub(super) fn close(&self) {
        self.lock().is_closed = true;
        self.wake.notify_one();
        self.work();
    }

    /// Does everything that there is to do, without a thread.
    fn work(&self) {
        if let Some(writer) = self.in_place.get() {
            let mail = self.lock().take();
            writer.lock().unwrap_or_else(PoisonError::into_inner).work(mail);
        }
    }

    /// Waits for work, and a little longer so that it comes in batches.
    fn take(&self) -> Mail {
        let idle =
            |mail: &mut Mail| mail.dirty.is_empty() && mail.commands.is_empty() && !mail.is_closed;
        let mail = self.wake.wait_while(self.lock(), idle).unwrap_or_else(PoisonError::into_inner);
        let calm = |mail: &mut Mail| mail.commands.is_empty() && !mail.is_urgent && !mail.is_closed;
        let waited = self.wake.wait_timeout_while(mail, COLLECT, calm);
        let (mut mail, _) = waited.unwrap_or_else(PoisonError::into_inner);
        mail.take()
    }

    fn lock(&self) -> MutexGuard<'_, Mail> {
        self.mail.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Mail {
    /// Takes everything out but that it is closed.
    fn take(&mut self) -> Self {
        let is_closed = self.is_closed;
        Self { is_closed, ..std::mem::replace(self, Self { is_closed, ..Self::default() }) }
    }
}

/// State of the thread.
pub(super) struct Writer {
    pub(super) dir: PathBuf,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) stores: BTreeMap<ServerId, Store>,
}

/// One server's history and how writing to it goes.
pub(super) struct Store {
    pub(super) history: History,
    /// Set while writing fails: when it is tried again.
    retry_at: Option<BootMs>,
    /// Whether lines were written since the last synchronisation.
    is_unsynced: bool,
    synced_at: Option<BootMs>,
}

impl Store {
    pub(super) fn new(history: History) -> Self {
        Self { history, retry_at: None, is_unsynced: false, synced_at: None }
    }

    fn sync(&mut self, server: ServerId) {
        if std::mem::take(&mut self.is_unsynced)
            && let Err(err) = self.history.sync()
        {
            tracing::warn!(%server, error = chain(&err), "console history is not synchronised");
        }
    }
}

impl Writer {
    /// Works until the mailbox is closed, then writes and synchronises what there is.
    pub(super) fn run(mut self, mailbox: &Mailbox) {
        while self.work(mailbox.take()) {}
    }

    /// Does what was asked. Returns whether more may come.
    fn work(&mut self, mail: Mail) -> bool {
        for (server, console) in mail.dirty {
            self.write(server, &console);
        }
        for command in mail.commands {
            self.serve(command);
        }
        if mail.is_closed {
            self.sync();
        }
        !mail.is_closed
    }

    fn write(&mut self, server: ServerId, console: &Console) {
        let Some(blocks) = console.take_pending() else { return };
        let now = self.clock.boot();
        let store = self
            .stores
            .entry(server)
            .or_insert_with(|| Store::new(History::new(folder(&self.dir, server))));
        // The lines are dropped from the history, not from the live console: keeping them would
        // fill the memory instead of the disk.
        if store.retry_at.is_some_and(|at| now < at) {
            return;
        }
        match store.history.append(&blocks) {
            Ok(rotation) => {
                store.is_unsynced = true;
                let is_due = store.synced_at.is_none_or(|at| now.since(at) >= SYNC_MS);
                if rotation == Rotation::Rotated && is_due {
                    store.synced_at = Some(now);
                    store.sync(server);
                }
                if store.retry_at.take().is_some() {
                    tracing::info!(%server, "console history goes on");
                }
            }
            Err(err) => {
                if store.retry_at.replace(now.plus(RETRY_MS)).is_none() {
                    tracing::warn!(%server, error = chain(&err), "console history is paused");
                }
            }
        }
    }

    fn serve(&mut self, command: Command) {
        // A reply that nobody waits for any more is no failure.
        match command {
            Command::Read { server, from, reply } => {
                let read = self.stores.get_mut(&server).map(|store| store.history.read(from));
                let batch = read.transpose().unwrap_or_else(|err| {
                    tracing::warn!(%server, error = chain(&err), "console history cannot be read");
                    None
                });
                drop(reply.send(batch.unwrap_or_default()));
            }
            Command::Forget { server, reply } => {
                self.stores.remove(&server);
                let removed = match std::fs::remove_dir_all(folder(&self.dir, server)) {
                    Err(err) if err.kind() == io::ErrorKind::NotFound => Ok(()),
                    other => other,
                };
                drop(reply.send(removed));
            }
            Command::Flush { reply } => drop(reply.send(())),
        }
    }

    fn sync(&mut self) {
        for (server, store) in &mut self.stores {
            store.sync(*server);
        }
    }
}

/// Folder of one server's segments.
pub(super) fn folder(dir: &Path, server: ServerId) -> PathBuf {
    dir.join(server.to_string())
}
