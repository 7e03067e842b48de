//! What a fake process does.

use crate::runtime::OutputSource;
use mamba_core::server::Signal;

/// One thing that a fake process does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Act {
    /// Prints a line.
    Print(OutputSource, String),
    /// Ends with this code.
    Exit(i64),
    /// Is ended by the kernel over its memory limit.
    Oom,
}

/// What a fake process does in its life. Times are milliseconds after the cause.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Script {
    /// After its start.
    pub boot: Vec<(u64, Act)>,
    /// After a line was typed that equals the text.
    pub answers: Vec<(String, Vec<(u64, Act)>)>,
    /// After a signal. SIGKILL always ends it at once with 137; others do nothing when not listed.
    pub signals: Vec<(Signal, Vec<(u64, Act)>)>,
}

impl Script {
    /// A well-behaved game: says `ready` after 50 ms, answers `ping` with `pong`, ends with code 0
    /// in 100 ms after the line `stop`, SIGINT or SIGTERM.
    #[must_use]
    pub fn game() -> Self {
        let end = |after| vec![(50, Self::line("saving")), (after, Act::Exit(0))];
        Self {
            boot: vec![(50, Self::line("ready"))],
            answers: vec![
                ("ping".to_owned(), vec![(1, Self::line("pong"))]),
                ("stop".to_owned(), end(100)),
            ],
            signals: vec![(Signal::Int, end(100)), (Signal::Term, end(100))],
        }
    }

    /// A game that ends by itself some time after it was ready.
    #[must_use]
    pub fn crash(after_ms: u64, end: Act) -> Self {
        let mut it = Self::game();
        it.boot.push((after_ms, end));
        it
    }

    /// A game that is ready and then ignores everything but SIGKILL.
    #[must_use]
    pub fn deaf() -> Self {
        Self { boot: vec![(50, Self::line("ready"))], ..Self::default() }
    }

    /// An install script that says something and ends with this code after so many milliseconds.
    #[must_use]
    pub fn install(after_ms: u64, code: i64) -> Self {
        let boot = vec![(10, Self::line("installing")), (after_ms, Act::Exit(code))];
        Self { boot, ..Self::default() }
    }

    fn line(text: &str) -> Act {
        Act::Print(OutputSource::Stdout, text.to_owned())
    }
}
