//! The writer thread: takes commands from a bounded queue and runs them in batches.

use super::engine::{Engine, Job};
use super::fault::Fault;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

/// Commands that may wait. At 512 per commit of 5 ms the last waits 40 ms; callers beyond that wait
/// for a place.
const QUEUE_COMMANDS_MAX: usize = 4_096;
/// How long a batch waits for more commands, when the one before had several: then there are
/// several callers, and the others are about to come. A lone caller never waits.
const LINGER: Duration = Duration::from_millis(2);

enum Command {
    Run(Box<dyn Job>, OwnedSemaphorePermit),
    /// A reader met a failure.
    Recover(Fault),
    Close(oneshot::Sender<()>),
}

/// The way into the writer thread. The thread ends when the last one is dropped, or at `close`.
pub(super) struct Queue {
    /// Bounds the channel, which itself is not bounded, so that callers can wait without a thread.
    places: Arc<Semaphore>,
    commands: mpsc::Sender<Command>,
    /// Set while a `Recover` waits in the queue: readers add at most one command to it.
    recovering: Arc<AtomicBool>,
}

impl Queue {
    /// Starts the thread.
    pub(super) fn start(engine: Engine) -> Result<Self, Fault> {
        let (commands, receiver) = mpsc::channel();
        let recovering = Arc::new(AtomicBool::new(false));
        let writer = Writer { engine, receiver, recovering: Arc::clone(&recovering) };
        std::thread::Builder::new().name("store".into()).spawn(move || writer.run())?;
        Ok(Self { places: Arc::new(Semaphore::new(QUEUE_COMMANDS_MAX)), commands, recovering })
    }

    /// Waits for a place and puts the job into the queue. Cancelled before, nothing was queued.
    pub(super) async fn push(&self, job: Box<dyn Job>) -> Result<(), Fault> {
        let place = Arc::clone(&self.places).acquire_owned().await.map_err(|_| Fault::Closed)?;
        self.commands.send(Command::Run(job, place)).map_err(|_| Fault::Closed)
    }

    /// Asks for a reopening. Nothing waits for it.
    pub(super) fn recover(&self, fault: Fault) {
        if !self.recovering.swap(true, Ordering::AcqRel) {
            // A thread that is gone has nothing to recover.
            self.commands.send(Command::Recover(fault)).ok();
        }
    }

    /// Waits until everything queued before is done and the database is closed.
    pub(super) async fn close(&self) {
        let (done, closed) = oneshot::channel();
        if self.commands.send(Command::Close(done)).is_ok() {
            closed.await.ok();
        }
    }
}

struct Writer {
    engine: Engine,
    receiver: mpsc::Receiver<Command>,
    recovering: Arc<AtomicBool>,
}

impl Writer {
    fn run(mut self) {
        let mut held = None;
        let mut is_busy = false;
        let mut alarm = Alarm::default();
        loop {
            alarm.arm(self.engine.retry_after());
            let command = match held.take().map_or_else(|| self.wait(alarm.at), Ok) {
                Ok(command) => Some(command),
                Err(RecvTimeoutError::Timeout) => None,
                Err(RecvTimeoutError::Disconnected) => break,
            };
            if alarm.at.is_some_and(|at| at <= now()) {
                self.engine.retry();
                alarm = Alarm::default();
            }
            match command {
                None => {}
                Some(Command::Run(job, place)) => {
                    is_busy = self.batch(job, place, is_busy, &mut held) > 1;
                }
                Some(Command::Recover(fault)) => {
                    self.recovering.store(false, Ordering::Release);
                    self.engine.recover(&fault);
                }
                Some(Command::Close(done)) => {
                    self.engine.close();
                    // With the engine goes its hold on the data directory.
                    drop(self.engine);
                    // The caller may have left; the store is closed all the same.
                    done.send(()).ok();
                    return;
                }
            }
        }
        self.engine.close();
    }

    fn wait(&self, until: Option<Instant>) -> Result<Command, RecvTimeoutError> {
        match until {
            None => self.receiver.recv().map_err(|_| RecvTimeoutError::Disconnected),
            Some(until) => self.receiver.recv_timeout(until.saturating_duration_since(now())),
        }
    }

    /// Runs one batch that starts with `job`. A command that is no job ends the batch and is left
    /// in `held`. Places are given back after the commit, so the queue's bound counts work in hand.
    fn batch(
        &mut self,
        job: Box<dyn Job>,
        place: OwnedSemaphorePermit,
        lingers: bool,
        held: &mut Option<Command>,
    ) -> usize {
        let mut places = vec![place];
        let until = lingers.then(|| now() + LINGER);
        let receiver = &self.receiver;
        let mut more = || {
            let next = match until {
                None => receiver.try_recv().ok(),
                Some(until) => receiver.recv_timeout(until.saturating_duration_since(now())).ok(),
            };
            match next? {
                Command::Run(job, place) => {
                    places.push(place);
                    Some(job)
                }
                other => {
                    *held = Some(other);
                    None
                }
            }
        };
        self.engine.batch(job, &mut more)
    }
}

/// When to retry: set once for each wait that the engine asks for, so that a stream of commands
/// does not put it off.
#[derive(Default)]
struct Alarm {
    at: Option<Instant>,
    after: Option<Duration>,
}

impl Alarm {
    fn arm(&mut self, after: Option<Duration>) {
        if self.after != after {
            *self = Self { at: after.map(|after| now() + after), after };
        }
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "the writer thread waits on real time only; \
    simulations run the engine inline, without this thread"
)]
fn now() -> Instant {
    Instant::now()
}
