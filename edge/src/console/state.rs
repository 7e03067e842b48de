//! One server's console in memory: numbers lines, keeps the newest, wakes readers and the writer.

use super::{
    block::{Block, Ring},
    done::DoneMatcher,
    split::Splitter,
    writer::Mailbox,
};
use bytes::Bytes;
use mamba_core::{
    clock::{Clock, UnixMs},
    ids::ServerId,
    seq::LineNumber,
};
use mamba_wire::node::{ConsoleLine, LineSource};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::{mpsc, oneshot, watch};

/// Bytes waiting for the writer at which it is hurried.
const URGENT_BYTES: usize = 512 * 1024;
/// Most bytes waiting for the writer, per server. When a stalled disk lets more come together, the
/// waiting lines are missing in the history and counted as a gap there; the live console has them.
const PENDING_BYTES_MAX: usize = 4 << 20;

/// A console; lives as long as anybody uses it.
pub(super) struct Console {
    server: ServerId,
    clock: Arc<dyn Clock>,
    mailbox: Arc<Mailbox>,
    state: Mutex<State>,
    /// Number of the newest line.
    newest: watch::Sender<LineNumber>,
    input: Mutex<Option<mpsc::Sender<Bytes>>>,
}

struct State {
    /// Number of the next line.
    next: u64,
    /// Block being filled.
    open: Block,
    /// Blocks before it.
    ring: Ring,
    /// Blocks not yet taken by the writer.
    pending: Vec<Arc<Block>>,
    pending_bytes: usize,
    /// Whether the writer knows that there is something to take.
    is_marked: bool,
    /// Set when the server is deleted: nothing is stored any more.
    is_forgotten: bool,
    stdout: Splitter,
    stderr: Splitter,
    armed: Option<(DoneMatcher, oneshot::Sender<UnixMs>)>,
}

/// What is in memory from a number on.
pub(super) enum Found {
    /// Blocks that hold it, oldest first.
    Lines(Vec<Arc<Block>>),
    /// It is older than what is in memory, which begins with this number.
    Older(u64),
    /// It has not come yet.
    NotYet,
}

impl Console {
    /// Makes a console that goes on after these stored lines.
    pub(super) fn new(
        server: ServerId,
        clock: Arc<dyn Clock>,
        mailbox: Arc<Mailbox>,
        stored: Vec<Block>,
    ) -> Self {
        let next = stored.last().map_or(1, Block::end);
        let mut ring = Ring::default();
        stored.into_iter().for_each(|block| ring.push(Arc::new(block)));
        let state = State {
            next,
            open: Block { first: next, ..Block::default() },
            ring,
            pending: vec![],
            pending_bytes: 0,
            is_marked: false,
            is_forgotten: false,
            stdout: Splitter::default(),
            stderr: Splitter::default(),
            armed: None,
        };
        let newest = watch::Sender::new(LineNumber(next - 1));
        let state = Mutex::new(state);
        Self { server, clock, mailbox, state, newest, input: Mutex::new(None) }
    }

    /// Adds output of the game. Returns whether a line is unfinished.
    pub(super) fn push(self: &Arc<Self>, source: LineSource, bytes: &[u8]) -> bool {
        let now = self.clock.wall();
        let mut state = self.lock();
        let Some(splitter) = state.splitter(source) else {
            drop(state);
            self.say(source, &String::from_utf8_lossy(bytes));
            return false;
        };
        // Taken out so that the lines can be added while it works; put back below.
        let mut splitter = std::mem::take(splitter);
        splitter.push(bytes, &mut |line| state.add(now, source, line));
        if let Some(place) = state.splitter(source) {
            *place = splitter;
        }
        let has_partial = state.stdout.has_partial() || state.stderr.has_partial();
        self.publish(state);
        has_partial
    }

    /// Adds unfinished lines as they are.
    pub(super) fn end(self: &Arc<Self>) {
        let now = self.clock.wall();
        let mut state = self.lock();
        for source in [LineSource::Stdout, LineSource::Stderr] {
            let Some(place) = state.splitter(source) else { continue };
            let mut splitter = std::mem::take(place);
            splitter.end(&mut |line| state.add(now, source, line));
            if let Some(place) = state.splitter(source) {
                *place = splitter;
            }
        }
        self.publish(state);
    }

    /// Adds whole lines of our own or of somebody who types.
    pub(super) fn say(self: &Arc<Self>, source: LineSource, text: &str) {
        let now = self.clock.wall();
        let mut state = self.lock();
        // Through a splitter of its own, so that it is bounded and cut like any other line.
        let mut splitter = Splitter::default();
        splitter.push(text.as_bytes(), &mut |line| state.add(now, source, line));
        splitter.end(&mut |line| state.add(now, source, line));
        self.publish(state);
    }

    /// Adds lines that were printed before now, and goes on with these unfinished lines of standard
    /// output and error.
    pub(super) fn resume(
        self: &Arc<Self>,
        lines: &[(UnixMs, LineSource, Bytes)],
        [stdout, stderr]: [Splitter; 2],
    ) {
        let mut state = self.lock();
        for (at, source, text) in lines {
            state.add(*at, *source, text);
        }
        (state.stdout, state.stderr) = (stdout, stderr);
        self.publish(state);
    }

    /// The time as new lines are marked with it.
    pub(super) fn now(&self) -> UnixMs {
        self.clock.wall()
    }

    /// Watches new lines of the game until one matches or the receiver is dropped.
    pub(super) fn arm(&self, matcher: DoneMatcher) -> oneshot::Receiver<UnixMs> {
        let (sender, receiver) = oneshot::channel();
        self.lock().armed = Some((matcher, sender));
        receiver
    }

    /// Forgets every line and stores nothing from now on; numbers go on.
    pub(super) fn forget(&self) {
        let mut state = self.lock();
        state.is_forgotten = true;
        state.ring = Ring::default();
        state.pending = vec![];
        state.open = Block { first: state.next, ..Block::default() };
    }

    /// Takes the lines that the writer has not seen. `None` when there are none.
    pub(super) fn take_pending(&self) -> Option<Vec<Arc<Block>>> {
        let mut state = self.lock();
        state.is_marked = false;
        state.seal();
        state.pending_bytes = 0;
        let blocks = std::mem::take(&mut state.pending);
        (!blocks.is_empty()).then_some(blocks)
    }

    /// Finds lines in memory from a number on.
    pub(super) fn find(&self, from: u64) -> Found {
        let state = self.lock();
        if from >= state.next {
            return Found::NotYet;
        }
        let first = state.ring.first().unwrap_or(state.open.first);
        if from < first {
            return Found::Older(first);
        }
        let mut blocks = state.ring.from(from);
        if blocks.last().map_or(from, |last| last.end()) >= state.open.first {
            blocks.push(Arc::new(state.open.clone()));
        }
        Found::Lines(blocks)
    }

    /// Returns up to `count` newest lines that are in memory, oldest first.
    pub(super) fn last_lines(&self, count: usize) -> Vec<ConsoleLine> {
        let state = self.lock();
        let mut lines: Vec<ConsoleLine> = vec![];
        let open = Arc::new(state.open.clone());
        let ring = state.ring.all();
        drop(state);
        for block in std::iter::once(&open).chain(ring.iter().rev()) {
            for index in (0..block.marks.len()).rev() {
                if lines.len() == count {
                    break;
                }
                lines.push(block.line(index));
            }
        }
        lines.reverse();
        lines
    }

    pub(super) fn newest(&self) -> LineNumber {
        *self.newest.borrow()
    }

    pub(super) fn watch(&self) -> watch::Receiver<LineNumber> {
        self.newest.subscribe()
    }

    pub(super) fn set_input(&self, input: Option<mpsc::Sender<Bytes>>) {
        *self.input.lock().unwrap_or_else(PoisonError::into_inner) = input;
    }

    pub(super) fn input(&self) -> Option<mpsc::Sender<Bytes>> {
        self.input.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn server(&self) -> ServerId {
        self.server
    }

    pub(super) fn mailbox(&self) -> &Mailbox {
        &self.mailbox
    }

    /// Tells writer and readers about new lines.
    fn publish(self: &Arc<Self>, mut state: MutexGuard<'_, State>) {
        let newest = LineNumber(state.next - 1);
        let has_new = state.open.first < state.next || !state.pending.is_empty();
        let must_mark = has_new && !state.is_forgotten && !state.is_marked;
        state.is_marked |= must_mark;
        let must_hurry = state.pending_bytes >= URGENT_BYTES;
        drop(state);
        if must_mark {
            self.mailbox.mark(self.server, self);
        }
        if must_hurry {
            self.mailbox.hurry();
        }
        self.newest.send_if_modified(|it| std::mem::replace(it, newest.max(*it)) < newest);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn splitter(&mut self, source: LineSource) -> Option<&mut Splitter> {
        match source {
            LineSource::Stdout => Some(&mut self.stdout),
            LineSource::Stderr => Some(&mut self.stderr),
            LineSource::Input | LineSource::Edge | LineSource::Install => None,
        }
    }

    fn add(&mut self, now: UnixMs, source: LineSource, text: &[u8]) {
        self.open.push(now, source, text);
        self.next += 1;
        if let Some((matcher, _)) = &self.armed
            && matches!(source, LineSource::Stdout | LineSource::Stderr)
            && matcher.is_match(self.open.text_of(self.open.marks.len() - 1))
            && let Some((_, sender)) = self.armed.take()
        {
            // Nobody waits any more when the game was stopped while it started.
            if sender.send(now).is_err() {
                tracing::debug!("start-up is seen and nobody waits for it");
            }
        }
        if self.open.is_full() {
            self.seal();
        }
    }

    /// Closes the open block: it goes to ring and writer.
    fn seal(&mut self) {
        if self.open.marks.is_empty() {
            return;
        }
        let open = Block { first: self.next, ..Block::default() };
        let mut block = std::mem::replace(&mut self.open, open);
        block.text.shrink_to_fit();
        block.marks.shrink_to_fit();
        let block = Arc::new(block);
        if !self.is_forgotten {
            if self.pending_bytes > PENDING_BYTES_MAX {
                self.pending.clear();
                self.pending_bytes = 0;
            }
            self.pending_bytes += block.bytes();
            self.pending.push(Arc::clone(&block));
        }
        self.ring.push(block);
    }
}
