//! Consoles of all servers: numbered lines in memory and on disk, readers, input.
//!
//! Lines of one server are numbered from 1 for ever. The newest are in memory, shared by all
//! readers; 2 to 4 MiB per server are on disk (`record` has the format), written at most 40 ms
//! later by one thread, so that they survive stop, crash and a restart of the daemon. No game waits
//! for a reader or for the disk: a slow reader is served from the disk and told what is gone, and a
//! full disk pauses the history while the live console goes on.

mod block;
mod catch_up;
mod done;
mod history;
mod pump;
mod reader;
mod record;
mod split;
mod state;
mod writer;

pub use catch_up::catch_up;
pub use done::{DoneError, DoneMatcher};
pub use pump::pump;
pub use reader::ConsoleReader;
pub use split::LINE_BYTES_MAX;
pub use writer::ConsoleError;

use bytes::Bytes;
use history::History;
use mamba_core::{
    clock::{Clock, UnixMs},
    error::{Invalid, chain},
    ids::ServerId,
    seq::LineNumber,
};
use mamba_wire::node::{ConsoleFrom, ConsoleLine, INPUT_BYTES_MAX, LineSource, NodeError};
use state::Console;
use std::{
    collections::BTreeMap,
    fs::DirBuilder,
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread::JoinHandle,
    time::Duration,
};
use tokio::sync::{mpsc, oneshot};
use writer::{Command, Mailbox, Store, Writer, folder};

/// Longest wait for a game that does not read its input.
const INPUT_WAIT: Duration = Duration::from_secs(2);

/// Handle to all consoles of a node. Clones share them; the last one dropped writes what there is
/// and waits for it, some milliseconds.
#[derive(Clone)]
pub struct Consoles {
    shared: Arc<Shared>,
}

struct Shared {
    dir: PathBuf,
    clock: Arc<dyn Clock>,
    mailbox: Arc<Mailbox>,
    /// Bounded by the servers of the node.
    consoles: Mutex<BTreeMap<ServerId, Arc<Console>>>,
    /// `None` when everything is done in place.
    thread: Option<JoinHandle<()>>,
}

impl Consoles {
    /// Opens the consoles in a folder, made with mode 0700 when missing, and starts their writer.
    ///
    /// Blocks while it reads the newest segment of each server. A server whose history cannot be
    /// read is logged and begins a new one.
    ///
    /// # Errors
    /// `OpenFolder` and `StartWriter`; nothing was changed.
    pub fn open(dir: &Path, clock: Arc<dyn Clock>) -> Result<Self, ConsoleError> {
        let (mut shared, writer) = Shared::load(dir, clock)?;
        let mailbox = Arc::clone(&shared.mailbox);
        let thread = std::thread::Builder::new().name("console-writer".to_owned());
        let thread = thread.spawn(move || writer.run(&mailbox));
        shared.thread = Some(thread.map_err(ConsoleError::StartWriter)?);
        Ok(Self { shared: Arc::new(shared) })
    }

    /// As [`Consoles::open`], without a thread: lines are written with the next command. For
    /// simulations, where the order of two threads would be chance.
    ///
    /// # Errors
    /// `OpenFolder`.
    #[cfg(any(test, feature = "test-support"))]
    pub fn in_place(dir: &Path, clock: Arc<dyn Clock>) -> Result<Self, ConsoleError> {
        let (shared, writer) = Shared::load(dir, clock)?;
        shared.mailbox.work_in_place(writer);
        Ok(Self { shared: Arc::new(shared) })
    }

    /// Returns where a server's output goes.
    #[must_use]
    pub fn sink(&self, server: ServerId) -> ConsoleSink {
        ConsoleSink { console: self.console(server) }
    }

    /// Follows a server's console. Readers are independent of each other and of the game.
    #[must_use]
    pub fn reader(&self, server: ServerId, from: ConsoleFrom) -> ConsoleReader {
        ConsoleReader::new(self.console(server), from)
    }

    /// Sets or takes away the input of a server's process.
    pub fn set_input(&self, server: ServerId, input: Option<mpsc::Sender<Bytes>>) {
        self.console(server).set_input(input);
    }

    /// Types a line into a server for somebody: shows it in the console and hands it to the
    /// process. The caller records who it was.
    ///
    /// # Errors
    /// `Invalid` for a line that is too long or holds a control character other than a tab;
    /// `NotRunning` without a process; `Busy` when it has not read its input for two seconds.
    /// Nothing was typed or shown then.
    pub async fn input(&self, server: ServerId, line: &str) -> Result<(), NodeError> {
        if line.chars().any(|char| char.is_control() && char != '\t') {
            let rule = "must be one line without control characters";
            return Err(NodeError::Invalid(Invalid::new("line", rule)));
        }
        self.command(server, line).await
    }

    /// Types a line of a blueprint, which may be a control character, for example as stop command.
    ///
    /// # Errors
    /// As [`Consoles::input`], but only line ends and NUL are `Invalid`.
    pub async fn command(&self, server: ServerId, line: &str) -> Result<(), NodeError> {
        if line.len() > INPUT_BYTES_MAX || line.contains(['\n', '\r', '\0']) {
            let rule = format!("must be one line of at most {INPUT_BYTES_MAX} bytes");
            return Err(NodeError::Invalid(Invalid::new("line", rule)));
        }
        let console = self.console(server);
        let input = console.input().ok_or(NodeError::NotRunning)?;
        let place = tokio::time::timeout(INPUT_WAIT, input.reserve()).await;
        let place = place.map_err(|_| NodeError::Busy)?.map_err(|_| NodeError::NotRunning)?;
        console.say(LineSource::Input, line);
        place.send(Bytes::from(format!("{line}\n")));
        Ok(())
    }

    /// Returns up to `count` newest lines that are in memory, oldest first: all that was printed
    /// since the process started, or at least its last 256 KiB.
    #[must_use]
    pub fn last_lines(&self, server: ServerId, count: usize) -> Vec<ConsoleLine> {
        self.console(server).last_lines(count)
    }

    /// Returns the number of the newest line, 0 when there was none.
    #[must_use]
    pub fn last_number(&self, server: ServerId) -> LineNumber {
        self.console(server).newest()
    }

    /// Deletes everything of a server, for its purge. Harmless when there is nothing. A sink or
    /// reader made before is cut off from what comes later.
    ///
    /// # Errors
    /// `Forget` when files are left, worth trying again; `Closed` at the end of the daemon.
    pub async fn forget(&self, server: ServerId) -> Result<(), ConsoleError> {
        if let Some(console) = self.shared.lock().remove(&server) {
            console.forget();
        }
        let (reply, done) = oneshot::channel();
        self.shared.mailbox.send(Command::Forget { server, reply });
        let done = done.await.map_err(|_| ConsoleError::Closed)?;
        done.map_err(|source| ConsoleError::Forget { server, source })
    }

    /// Returns when every line pushed before has been written, or could not be.
    ///
    /// # Errors
    /// `Closed` at the end of the daemon.
    pub async fn flush(&self) -> Result<(), ConsoleError> {
        let (reply, done) = oneshot::channel();
        self.shared.mailbox.send(Command::Flush { reply });
        done.await.map_err(|_| ConsoleError::Closed)
    }

    fn console(&self, server: ServerId) -> Arc<Console> {
        let shared = &self.shared;
        let console = || {
            let (clock, mailbox) = (Arc::clone(&shared.clock), Arc::clone(&shared.mailbox));
            Arc::new(Console::new(server, clock, mailbox, vec![]))
        };
        Arc::clone(shared.lock().entry(server).or_insert_with(console))
    }
}

impl std::fmt::Debug for Consoles {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Consoles").field("dir", &self.shared.dir).finish_non_exhaustive()
    }
}

impl Shared {
    /// Reads what is on the disk.
    fn load(dir: &Path, clock: Arc<dyn Clock>) -> Result<(Self, Writer), ConsoleError> {
        let failed = |source| ConsoleError::OpenFolder { path: dir.to_owned(), source };
        DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(failed)?;
        let mailbox = Arc::new(Mailbox::default());
        let (mut consoles, mut stores) = (BTreeMap::new(), BTreeMap::new());
        for entry in std::fs::read_dir(dir).map_err(failed)? {
            let name = entry.map_err(failed)?.file_name();
            let Some(server) = name.to_str().and_then(|name| name.parse::<ServerId>().ok()) else {
                continue;
            };
            match History::load(folder(dir, server)) {
                Ok((history, stored)) => {
                    let (clock, mailbox) = (Arc::clone(&clock), Arc::clone(&mailbox));
                    let console = Console::new(server, clock, mailbox, stored);
                    consoles.insert(server, Arc::new(console));
                    stores.insert(server, Store::new(history));
                }
                Err(err) => {
                    tracing::warn!(%server, error = chain(&err), "console history is lost");
                }
            }
        }
        let writer = Writer { dir: dir.to_owned(), clock: Arc::clone(&clock), stores };
        let (dir, consoles) = (dir.to_owned(), Mutex::new(consoles));
        Ok((Self { dir, clock, mailbox, consoles, thread: None }, writer))
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<ServerId, Arc<Console>>> {
        self.consoles.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.mailbox.close();
        if self.thread.take().is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("console writer panicked");
        }
    }
}

/// Where the output of one server goes.
#[derive(Clone)]
pub struct ConsoleSink {
    console: Arc<Console>,
}

impl ConsoleSink {
    /// Adds a chunk of the game's output. Returns whether its last line is unfinished: then
    /// [`ConsoleSink::end`] should follow when nothing more comes for a while, so that prompts show.
    ///
    /// Never waits.
    pub fn push(&self, source: LineSource, bytes: &[u8]) -> bool {
        self.console.push(source, bytes)
    }

    /// Shows unfinished lines as they are.
    pub fn end(&self) {
        self.console.end();
    }

    /// Adds a line of the edge.
    pub fn say(&self, text: &str) {
        self.console.say(LineSource::Edge, text);
    }

    /// Adds a line of the server's install script.
    pub fn install(&self, text: &str) {
        self.console.say(LineSource::Install, text);
    }

    /// Watches the game's output from now on and tells when a line matches. Replaces an earlier
    /// watch, whose receiver then fails; so does dropping the console.
    pub fn arm(&self, matcher: DoneMatcher) -> oneshot::Receiver<UnixMs> {
        self.console.arm(matcher)
    }
}

#[cfg(test)]
mod tests;
