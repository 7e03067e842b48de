//! A reader of one console: history first, then what comes, at its own speed.

use super::{
    block::Batch,
    state::{Console, Found},
    writer::Command,
};
use futures_util::FutureExt;
use mamba_core::seq::LineNumber;
use mamba_wire::node::{ConsoleEvent, ConsoleFrom};
use std::sync::Arc;
use tokio::sync::{oneshot, watch};

/// Reads one console. Holds no lines of its own: a slow reader costs nothing and stalls nobody, it
/// is served from the disk, and told a [`ConsoleEvent::Gap`] for what is gone from there too.
pub struct ConsoleReader {
    console: Arc<Console>,
    newest: watch::Receiver<LineNumber>,
    /// Number of the next line to tell.
    next: u64,
    /// Whether lines gone before the first told one are left out without a gap.
    is_quiet: bool,
    is_caught_up: bool,
    /// A read from disk under way.
    reading: Option<oneshot::Receiver<Batch>>,
    /// Lines that come after a gap that was just told.
    ready: Option<Batch>,
}

impl ConsoleReader {
    pub(super) fn new(console: Arc<Console>, from: ConsoleFrom) -> Self {
        let newest = console.watch();
        let end = newest.borrow().0 + 1;
        let (next, is_quiet) = match from {
            ConsoleFrom::Last(count) => (end.saturating_sub(u64::from(count)).max(1), true),
            // A number from before the last lines were lost in a crash: go on with what comes.
            ConsoleFrom::Line(line) => (line.0.clamp(1, end), false),
        };
        Self { console, newest, next, is_quiet, is_caught_up: false, reading: None, ready: None }
    }

    /// Waits for the next event. Lines and gaps together tell every number from the first told one
    /// on exactly once, in order. [`ConsoleEvent::CaughtUp`] comes once, when everything that was
    /// kept is told. Never ends.
    ///
    /// Dropping the future loses nothing.
    pub async fn next(&mut self) -> ConsoleEvent {
        loop {
            if let Some(batch) = self.ready.take() {
                return self.tell(batch);
            }
            // Before looking, so that a line that comes after it wakes.
            self.newest.borrow_and_update();
            match self.console.find(self.next) {
                Found::Lines(blocks) => {
                    self.reading = None;
                    let mut batch = Batch::default();
                    for block in &blocks {
                        if !batch.add(block, self.next) {
                            break;
                        }
                    }
                    return self.tell(batch);
                }
                Found::Older(_) => {
                    let batch = self.read().await;
                    // Looked at again: the memory went on while the disk was read.
                    let Found::Older(first) = self.console.find(self.next) else { continue };
                    if batch.lines.is_empty() || batch.first.0 > first {
                        if let Some(gap) = self.skip_to(first) {
                            return gap;
                        }
                        continue;
                    }
                    let gap = self.skip_to(batch.first.0);
                    self.ready = Some(batch);
                    if let Some(gap) = gap {
                        return gap;
                    }
                }
                Found::NotYet if self.is_caught_up => {
                    // The sender lives as long as the console that this reader holds.
                    drop(self.newest.changed().await);
                }
                Found::NotYet => {
                    self.is_caught_up = true;
                    self.is_quiet = false;
                    return ConsoleEvent::CaughtUp;
                }
            }
        }
    }

    /// Returns the next event if there is one now. `None` too while old lines are on their way
    /// from the disk.
    pub fn try_next(&mut self) -> Option<ConsoleEvent> {
        self.next().now_or_never()
    }

    async fn read(&mut self) -> Batch {
        let reading = self.reading.get_or_insert_with(|| {
            let (reply, reading) = oneshot::channel();
            let (server, from) = (self.console.server(), self.next);
            self.console.mailbox().send(Command::Read { server, from, reply });
            reading
        });
        // The writer ends with the daemon: what it does not answer is not there.
        let batch = reading.await.unwrap_or_default();
        self.reading = None;
        batch
    }

    /// Goes on at `to` and returns the gap to tell, if it is one.
    fn skip_to(&mut self, to: u64) -> Option<ConsoleEvent> {
        let first = LineNumber(std::mem::replace(&mut self.next, to));
        let count = to - first.0;
        (count > 0 && !self.is_quiet).then_some(ConsoleEvent::Gap { first, count })
    }

    fn tell(&mut self, batch: Batch) -> ConsoleEvent {
        self.is_quiet = false;
        self.next = batch.first.0 + batch.lines.len() as u64;
        ConsoleEvent::Lines { first: batch.first, lines: batch.lines }
    }
}
