//! Says what is played: a line per step with its time, and the counts at the end.

use mamba_core::error::chain;
use std::{error::Error, future::Future, path::PathBuf, pin::Pin, time::Duration};
use tokio::time::Instant;

/// Why a step failed, in words for the person who reads the output.
pub(crate) type Failure = Box<dyn Error + Send + Sync>;
/// What a step gives.
pub(crate) type Played<T = ()> = Result<T, Failure>;

/// Net under every step; waits inside have shorter deadlines that say what they waited for.
const STEP_MAX: Duration = Duration::from_secs(240);
/// Time between two looks of [`until`].
const LOOK_EVERY: Duration = Duration::from_millis(150);
/// Lines of each daemon's log that are shown with a failure.
const LOG_LINES: usize = 12;

/// A step failed on which the rest of its act depends.
#[derive(Debug)]
pub(crate) struct Stopped;

/// The lines and the counts.
pub(crate) struct Report {
    started: Instant,
    passed: u32,
    failed: u32,
    logs: Vec<PathBuf>,
}

impl Report {
    pub(crate) fn new() -> Self {
        Self { started: Instant::now(), passed: 0, failed: 0, logs: Vec::new() }
    }

    /// Begins an act: its heading, and whose logs are shown with its failures.
    pub(crate) fn act(&mut self, title: &str, logs: Vec<PathBuf>) {
        self.logs = logs;
        self.say(&format!("-- {title}"));
    }

    /// Prints one line with the time since the beginning.
    #[expect(clippy::print_stdout, reason = "this program talks to a person")]
    pub(crate) fn say(&self, text: &str) {
        println!("[{:6.1} s] {text}", self.started.elapsed().as_secs_f64());
    }

    /// Plays a step that the rest of the act needs, and prints its text behind its name. The step is
    /// boxed, for steps hold whole daemons, and an act would be as large as its largest step.
    pub(crate) fn step<T>(
        &mut self,
        name: &str,
        step: impl Future<Output = Played<(T, String)>>,
    ) -> impl Future<Output = Result<T, Stopped>> {
        self.play(name, Box::pin(step))
    }

    /// Plays a step that nothing else depends on.
    pub(crate) fn check(
        &mut self,
        name: &str,
        step: impl Future<Output = Played<String>>,
    ) -> impl Future<Output = ()> {
        let step = Box::pin(step);
        async move {
            let step = async { step.await.map(|text| ((), text)) };
            // The failure is counted and printed; the act goes on.
            self.step(name, step).await.unwrap_or(());
        }
    }

    async fn play<T>(
        &mut self,
        name: &str,
        step: Pin<Box<impl Future<Output = Played<(T, String)>>>>,
    ) -> Result<T, Stopped> {
        let from = Instant::now();
        let played = tokio::time::timeout(STEP_MAX, step)
            .await
            .unwrap_or_else(|_| Err(format!("did not end within {} s", STEP_MAX.as_secs()).into()));
        let took = from.elapsed().as_secs_f64();
        match played {
            Ok((value, text)) => {
                self.passed += 1;
                let text = if text.is_empty() { text } else { format!(": {text}") };
                self.say(&format!("ok     {took:5.1} s  {name}{text}"));
                Ok(value)
            }
            Err(failure) => {
                self.failed += 1;
                self.say(&format!("FAILED {took:5.1} s  {name}: {}", chain(failure.as_ref())));
                self.show_logs();
                Err(Stopped)
            }
        }
    }

    /// Prints the counts; true when nothing failed.
    #[expect(clippy::print_stdout, reason = "this program talks to a person")]
    pub(crate) fn finish(&self) -> bool {
        println!("{} passed, {} failed", self.passed, self.failed);
        self.failed == 0 && self.passed > 0
    }

    fn show_logs(&self) {
        for log in &self.logs {
            let Ok(text) = std::fs::read(log) else { continue };
            let text = String::from_utf8_lossy(&text);
            let lines: Vec<&str> = text.lines().collect();
            self.say(&format!("       end of {}:", log.display()));
            for line in lines.iter().skip(lines.len().saturating_sub(LOG_LINES)) {
                self.say(&format!("         {line}"));
            }
        }
    }
}

/// Looks again and again until `look` gives a value. Its error says what it saw instead; the last
/// one is part of the failure after `within`.
pub(crate) async fn until<T>(
    within: Duration,
    mut look: impl AsyncFnMut() -> Played<T>,
) -> Played<T> {
    let from = Instant::now();
    loop {
        let seen = match tokio::time::timeout(within, look()).await {
            Ok(Ok(value)) => return Ok(value),
            Ok(Err(seen)) => seen,
            Err(_) => "no answer at all".into(),
        };
        if from.elapsed() >= within {
            let seen = chain(seen.as_ref());
            return Err(format!("after {} s: {seen}", within.as_secs()).into());
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// Fails with the text unless the condition holds.
pub(crate) fn ensure(holds: bool, otherwise: impl FnOnce() -> String) -> Played {
    if holds { Ok(()) } else { Err(otherwise().into()) }
}

/// Whole seconds.
pub(crate) const fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}
