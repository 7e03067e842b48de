//! Carries out one action. Decides nothing: does the steps, each with a deadline, says how it went.

use super::{
    Parts,
    start::{ENGINE_MS_MAX, Session, StartPlan, Started, arm, start},
};
use crate::{
    console::{DoneMatcher, catch_up},
    runtime::{ContainerId, PullProgress, Runtime, RuntimeError},
    store::Trash,
};
use mamba_core::{
    clock::UnixMs,
    db::WriteError,
    error::chain,
    fact::{ActivityFact, CRASH_LINE_BYTES_MAX, CRASH_LINES_MAX},
    ids::ServerId,
    lifecycle::{Exit, crash::Cause, install::InstallRecord},
    server::{Limits, ServerSpec, Signal, StopMethod},
};
use mamba_wire::node::LineSource;
use std::{future::Future, sync::Arc, time::Duration};
use tokio::{
    runtime::{Handle, RuntimeFlavor},
    sync::{Semaphore, mpsc, oneshot},
};

/// Longest that an abort waits for a call under hold: an engine that answers at all makes a container
/// within a second or two, and a kill must not wait for one that hangs.
const HOLD_MS_MAX: u64 = 3_000;
/// Longest fetch of an image: the largest known ones have 2 GiB, which a line of 20 Mbit/s brings in
/// this time.
const FETCH_MS_MAX: u64 = 900_000;
/// Longest move to the trash: one rename.
const TRASH_MS_MAX: u64 = 60_000;
/// Longest purge: millions of files.
const PURGE_MS_MAX: u64 = 3_600_000;
/// Longest wait for the store to take the record of a deletion. A disk in order needs milliseconds.
const RECORD_MS_MAX: u64 = 10_000;
/// Longest wait for the last lines of a process that ended.
const DRAIN_MS_MAX: u64 = 2_000;
/// Stored lines in which the word that a game is ready is looked for: its whole start-up.
const STORED_LINES: usize = 2_000;
/// Lines of the engine's log in which it is looked for.
const LOG_LINES_MAX: u32 = 20_000;
/// Notes of the progress of a fetch that may wait; more are skipped.
const PROGRESS_MAX: usize = 4;

/// What became of an operation.
pub(super) enum Outcome {
    /// It was aborted; what it did is unknown.
    Aborted,
    Fetched {
        image: String,
        result: Result<(), StepError>,
    },
    Started(Result<Box<Started>, StepError>),
    Asked(Result<(), StepError>),
    Killed(Result<(), StepError>),
    Attached {
        container: ContainerId,
        result: Result<Session, StepError>,
    },
    Updated {
        limits: Limits,
        result: Result<(), StepError>,
    },
    Ended {
        exit: Option<Exit>,
        cause: Cause,
        lines: Vec<String>,
    },
    /// A run of the install script was made or ended: what is kept of it.
    Installed(Result<InstallRecord, StepError>),
    Removed(Result<(), StepError>),
    Disposed(Result<Trash, StepError>),
}

/// A step that failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct StepError {
    pub(super) step: &'static str,
    pub(super) error: String,
    /// Whether it failed because the engine does not answer.
    pub(super) is_unreachable: bool,
}

impl StepError {
    pub(super) fn new(step: &'static str, error: String) -> Self {
        Self { step, error, is_unreachable: false }
    }

    pub(super) fn engine(step: &'static str, err: &RuntimeError) -> Self {
        let is_unreachable = matches!(err, RuntimeError::Unreachable(_));
        Self { step, error: chain(err), is_unreachable }
    }

    pub(super) fn timed_out(step: &'static str, ms: u64) -> Self {
        Self::new(step, format!("not finished after {ms} ms"))
    }
}

/// Runs one call of the engine with a deadline.
pub(super) async fn runtime_step<T>(
    step: &'static str,
    ms: u64,
    call: impl Future<Output = Result<T, RuntimeError>>,
) -> Result<T, StepError> {
    match tokio::time::timeout(Duration::from_millis(ms), call).await {
        Ok(result) => result.map_err(|err| StepError::engine(step, &err)),
        Err(_) => Err(StepError::timed_out(step, ms)),
    }
}

/// Waits for the store with a deadline. After it the write may still be made; everything that is
/// written here can be written twice.
pub(super) async fn store_step<T, E: std::error::Error + 'static>(
    step: &'static str,
    ms: u64,
    write: impl Future<Output = Result<T, WriteError<E>>>,
) -> Result<T, StepError> {
    match tokio::time::timeout(Duration::from_millis(ms), write).await {
        Ok(result) => result.map_err(|err| StepError::new(step, chain(&err))),
        Err(_) => Err(StepError::timed_out(step, ms)),
    }
}

/// Runs something that blocks, away from the runtime's threads. After the deadline, or cancelled, it
/// goes on in the background; everything that runs here can be done twice.
///
/// A runtime with a single thread is a simulator's: there it runs in place, because the order in which
/// another thread ends would be chance.
pub(super) async fn blocking<T, E>(
    step: &'static str,
    ms: u64,
    work: impl FnOnce() -> Result<T, E> + Send + 'static,
) -> Result<T, StepError>
where
    T: Send + 'static,
    E: std::error::Error + Send + 'static,
{
    if Handle::current().runtime_flavor() == RuntimeFlavor::CurrentThread {
        return work().map_err(|err| StepError::new(step, chain(&err)));
    }
    let work = tokio::task::spawn_blocking(work);
    match tokio::time::timeout(Duration::from_millis(ms), work).await {
        Ok(Ok(result)) => result.map_err(|err| StepError::new(step, chain(&err))),
        Ok(Err(panic)) => Err(StepError::new(step, chain(&panic))),
        Err(_) => Err(StepError::timed_out(step, ms)),
    }
}

/// Keeps an operation from being cut off in the middle of a call that the engine would go on with:
/// whoever looks next would not see yet what it makes, and what nobody looks for stays for ever.
#[derive(Clone, Debug)]
pub(super) struct Hold(Arc<Semaphore>);

impl Hold {
    pub(super) fn new() -> Self {
        Self(Arc::new(Semaphore::new(1)))
    }

    /// Makes a call that is not cut off within [`HOLD_MS_MAX`]. It has a deadline of its own.
    pub(super) async fn whole<T>(&self, call: impl Future<Output = T>) -> T {
        // Never closed; the one permit is free, for operations make one call at a time.
        let _permit = self.0.acquire().await;
        call.await
    }

    /// Waits until no such call is under way, or for too long.
    async fn let_go(&self) {
        // Both ends mean the same: the operation is cut off now.
        tokio::time::timeout(Duration::from_millis(HOLD_MS_MAX), self.0.acquire()).await.ok();
    }
}

/// Ends early when `cancel` is used or dropped, after the call that is under hold.
pub(super) async fn cancellable(
    cancel: oneshot::Receiver<()>,
    hold: Hold,
    operation: impl Future<Output = Outcome>,
) -> Outcome {
    let cancelled = async {
        // Dropped is the same as used.
        cancel.await.ok();
        hold.let_go().await;
    };
    tokio::select! {
        biased;
        () = cancelled => Outcome::Aborted,
        outcome = operation => outcome,
    }
}

/// Makes sure that an image is here.
pub(super) async fn fetch<R: Runtime>(parts: Parts<R>, server: ServerId, image: String) -> Outcome {
    let (progress, mut seen) = mpsc::channel::<PullProgress>(PROGRESS_MAX);
    let sink = parts.consoles.sink(server);
    let told = async {
        let mut last_tenth = 0;
        while let Some(now) = seen.recv().await {
            let tenth = now.done.saturating_mul(10).checked_div(now.total).unwrap_or(0);
            if tenth > last_tenth {
                last_tenth = tenth;
                sink.say(&format!("image {}: {} %", image, tenth * 10));
            }
        }
        // The fetch holds the other end; it decides when this is over.
        std::future::pending::<()>().await;
    };
    let call = parts.runtime.ensure_image(&image, progress);
    let result = tokio::select! {
        biased;
        result = runtime_step("pull image", FETCH_MS_MAX, call) => result,
        () = told => Ok(()),
    };
    Outcome::Fetched { image, result }
}

/// Starts a server.
pub(super) async fn run_start<R: Runtime>(parts: Parts<R>, plan: StartPlan, hold: Hold) -> Outcome {
    Outcome::Started(start(parts, plan, &hold).await)
}

/// Asks a process to stop; does not wait for its end.
pub(super) async fn ask_to_stop<R: Runtime>(
    parts: Parts<R>,
    server: ServerId,
    container: ContainerId,
    method: StopMethod,
) -> Outcome {
    let runtime = &*parts.runtime;
    let typed = match &method {
        StopMethod::Command(line) => parts.consoles.command(server, line).await.is_ok(),
        StopMethod::Signal(_) | StopMethod::Runtime => false,
    };
    let result = match method {
        StopMethod::Command(_) if typed => Ok(()),
        StopMethod::Signal(signal) => {
            runtime_step("stop", ENGINE_MS_MAX, runtime.signal(&container, signal)).await
        }
        // Without a console the image's own signal is the next best.
        StopMethod::Command(_) | StopMethod::Runtime => {
            runtime_step("stop", ENGINE_MS_MAX, runtime.stop_signal(&container)).await
        }
    };
    Outcome::Asked(result)
}

/// Ends a process.
pub(super) async fn kill<R: Runtime>(parts: Parts<R>, container: ContainerId) -> Outcome {
    let call = parts.runtime.signal(&container, Signal::Kill);
    Outcome::Killed(runtime_step("kill", ENGINE_MS_MAX, call).await)
}

/// Attaches to a process that runs already, with what it printed meanwhile. `unready` is set when it
/// has not said that it is ready: its wish, and when it was started by the machine's clock.
pub(super) async fn attach<R: Runtime>(
    parts: Parts<R>,
    server: ServerId,
    container: ContainerId,
    unready: Option<(Arc<ServerSpec>, UnixMs)>,
) -> Outcome {
    let result = async {
        let ready = match unready {
            Some((spec, started_at)) => {
                watch_ready(&parts, server, &container, &spec, started_at).await?
            }
            None => None,
        };
        let sink = parts.consoles.sink(server);
        let call = catch_up(&*parts.runtime, &container, &sink);
        let attached = runtime_step("attach console", ENGINE_MS_MAX, call).await?;
        Ok(Session { attached, ready })
    };
    let result = result.await;
    Outcome::Attached { container, result }
}

/// Watches for the word that a game is ready, which it may have said before: an earlier run of the
/// daemon may have stored it and not have come to record it, or nobody was there to hear it.
async fn watch_ready<R: Runtime>(
    parts: &Parts<R>,
    server: ServerId,
    container: &ContainerId,
    spec: &ServerSpec,
    started_at: UnixMs,
) -> Result<Option<oneshot::Receiver<UnixMs>>, StepError> {
    // First, so that nothing is missed between the log and the console.
    let Some(armed) = arm(parts, server, spec) else { return Ok(None) };
    let Ok(matcher) = DoneMatcher::new(&spec.done) else { return Ok(Some(armed)) };
    let stored = parts.consoles.last_lines(server, STORED_LINES);
    let mut said = stored.iter().any(|line| {
        line.at >= started_at && is_of_game(line.source) && matcher.is_match(&line.text)
    });
    if !said {
        let call = parts.runtime.logs_since(container, started_at, LOG_LINES_MAX);
        let kept = runtime_step("read log", ENGINE_MS_MAX, call).await?;
        said = kept.iter().any(|line| matcher.is_match(&String::from_utf8_lossy(&line.text)));
    }
    if !said {
        return Ok(Some(armed));
    }
    let (sender, ready) = oneshot::channel();
    // The receiver is at hand.
    sender.send(parts.clock.wall()).ok();
    Ok(Some(ready))
}

fn is_of_game(source: LineSource) -> bool {
    matches!(source, LineSource::Stdout | LineSource::Stderr)
}

/// Sets the limits of a running container.
pub(super) async fn update<R: Runtime>(
    parts: Parts<R>,
    container: ContainerId,
    limits: Limits,
) -> Outcome {
    let call = parts.runtime.update(&container, limits);
    let result = runtime_step("update limits", ENGINE_MS_MAX, call).await;
    Outcome::Updated { limits, result }
}

/// Waits for the last lines of a process that ended.
pub(super) async fn collect_end<R: Runtime>(
    parts: Parts<R>,
    server: ServerId,
    drained: Option<oneshot::Receiver<()>>,
    exit: Option<Exit>,
    cause: Cause,
) -> Outcome {
    if let Some(drained) = drained {
        // Both ends are as good: it is drained, or it takes too long.
        tokio::time::timeout(Duration::from_millis(DRAIN_MS_MAX), drained).await.ok();
    }
    // Twice as many, because lines of people and of the edge are left out.
    let lines = parts.consoles.last_lines(server, 2 * CRASH_LINES_MAX);
    let mut lines: Vec<String> = lines
        .into_iter()
        .filter(|line| is_of_game(line.source))
        .map(|line| cut(line.text, CRASH_LINE_BYTES_MAX))
        .collect();
    lines.drain(..lines.len().saturating_sub(CRASH_LINES_MAX));
    Outcome::Ended { exit, cause, lines }
}

/// Removes a container.
pub(super) async fn remove<R: Runtime>(parts: Parts<R>, container: ContainerId) -> Outcome {
    let call = parts.runtime.remove(&container);
    Outcome::Removed(runtime_step("remove container", ENGINE_MS_MAX, call).await)
}

/// Moves a deleted server's data to the trash and records it.
pub(super) async fn trash<R: Runtime>(
    parts: Parts<R>,
    server: ServerId,
    stamp: UnixMs,
    record: Trash,
    fact: ActivityFact,
) -> Outcome {
    let data = parts.data.clone();
    let mut moved =
        blocking("move to trash", TRASH_MS_MAX, move || data.to_trash(server, stamp)).await;
    if moved.is_ok() {
        // A server that is made again after all begins with its install script.
        let data = parts.data.clone();
        let forget = move || data.forget_installs(server);
        moved = blocking("forget installs", TRASH_MS_MAX, forget).await;
    }
    Outcome::Disposed(dispose(parts, server, moved, record, fact).await)
}

/// Deletes a deleted server's data and console for good and records it.
pub(super) async fn purge<R: Runtime>(
    parts: Parts<R>,
    server: ServerId,
    stamp: UnixMs,
    record: Trash,
    fact: ActivityFact,
) -> Outcome {
    let data = parts.data.clone();
    let mut purged = blocking("purge data", PURGE_MS_MAX, move || data.purge(server, stamp)).await;
    if purged.is_ok() {
        let forgotten = parts.consoles.forget(server).await;
        purged = forgotten.map_err(|err| StepError::new("purge console", chain(&err)));
    }
    Outcome::Disposed(dispose(parts, server, purged, record, fact).await)
}

async fn dispose<R: Runtime>(
    parts: Parts<R>,
    server: ServerId,
    done: Result<(), StepError>,
    record: Trash,
    fact: ActivityFact,
) -> Result<Trash, StepError> {
    done?;
    let write = parts.store.save_trash(server, record, vec![fact], parts.calendar.certain());
    store_step("record deletion", RECORD_MS_MAX, write).await.map(|()| record)
}

/// Cuts a text to so many bytes, between two characters.
fn cut(mut text: String, bytes_max: usize) -> String {
    let end = (0..=bytes_max.min(text.len())).rev().find(|&at| text.is_char_boundary(at));
    text.truncate(end.unwrap_or(0));
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use mamba_core::db::TxnError;

    #[tokio::test(start_paused = true)]
    async fn a_store_that_never_answers_fails_the_step() {
        let never = std::future::pending::<Result<(), WriteError<TxnError>>>();
        let err = store_step("assign network", 10_000, never).await.unwrap_err();
        assert_eq!(err, StepError::timed_out("assign network", 10_000));
    }

    /// Runs one call and something after it, cut off after 1 s; returns after how many seconds that was
    /// over, and whether the call was done by then.
    async fn cut_off_after_1_s(call_s: u64, is_held: bool) -> (u64, bool) {
        let (hold, done) = (Hold::new(), std::sync::atomic::AtomicBool::new(false));
        let from = tokio::time::Instant::now();
        let call = async {
            tokio::time::sleep(Duration::from_secs(call_s)).await;
            done.store(true, std::sync::atomic::Ordering::Relaxed);
        };
        let operation = async {
            if is_held {
                hold.whole(call).await
            } else {
                call.await
            }
            std::future::pending::<Outcome>().await
        };
        let (cancel, cancelled) = oneshot::channel();
        let cut = async {
            tokio::time::sleep(Duration::from_secs(1)).await;
            drop(cancel);
        };
        let (outcome, ()) = tokio::join!(cancellable(cancelled, hold.clone(), operation), cut);
        assert!(matches!(outcome, Outcome::Aborted));
        (from.elapsed().as_secs(), done.load(std::sync::atomic::Ordering::Relaxed))
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_under_hold_is_not_cut_off_unless_it_hangs() {
        assert_eq!(cut_off_after_1_s(2, false).await, (1, false));
        assert_eq!(cut_off_after_1_s(2, true).await, (2, true));
        assert_eq!(cut_off_after_1_s(60, true).await, (4, false));
    }
}
