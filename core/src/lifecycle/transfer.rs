//! Pure: the hand-over of a server from one node to another, decided step by step.
//!
//! The hub records the phase; what each phase waits for is seen on the two nodes, so that a hub that
//! was killed, or that lost a node, asks again and goes on. One commit of the hub decides: before it
//! the server belongs to its source, and every failure or cancel lets it run there again; after it the
//! server belongs to its target, and the source may only put its copy into the trash, which it is told
//! once the target has confirmed that wish and data are there.
//!
//! | phase | is over when | if it fails |
//! |---|---|---|
//! | preparing | the target has the image, room, and a place for the data | ended, nothing was stopped |
//! | stopping | the source holds a wish that forbids to run, and no process is left | cancel only |
//! | copying | the target has every chunk on its disk | again from the chunk that it has |
//! | sealing | both count the same digest; the hub commits | copied again, a few times |
//! | arriving | the target holds the wish to exist and its data | waits, for it owns the server |
//! | leaving | the source's copy is in its trash | waits |
//!
//! Between `stopping` and the end of `arriving` no node may run the server for a while; at no time may
//! two. The source's meters end with its process, the target's begin with its wish, and the leases of
//! both meet at the commit.

use crate::error::Invalid;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Copies that are begun from nothing before a transfer fails: the data of a stopped server does not
/// change, so a second difference is no accident.
pub const COPIES_MAX: u32 = 3;

/// How far a transfer is.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// The target makes itself ready; the server runs on.
    Preparing,
    /// The source stops the server.
    Stopping,
    /// The data goes from source to target.
    Copying,
    /// Both count what they have, and the hub decides.
    Sealing,
    /// The server belongs to the target, which takes it over.
    Arriving,
    /// The source puts its copy into the trash.
    Leaving,
    /// The hub came back from a backup that is older than the transfer and asks the target who owns
    /// the server.
    Lost,
    /// The server lives on the target.
    Done,
    /// Somebody cancelled it; the server lives on the source.
    Cancelled,
    /// It could not be done; the server lives on the source.
    Failed,
}

impl Phase {
    /// Whether nothing follows.
    #[must_use]
    pub fn is_ended(self) -> bool {
        match self {
            Self::Done | Self::Cancelled | Self::Failed => true,
            Self::Preparing
            | Self::Stopping
            | Self::Copying
            | Self::Sealing
            | Self::Arriving
            | Self::Leaving
            | Self::Lost => false,
        }
    }

    /// Whether the server still belongs to its source, so that the transfer may be given up.
    #[must_use]
    pub fn is_of_source(self) -> bool {
        match self {
            Self::Preparing | Self::Stopping | Self::Copying | Self::Sealing => true,
            // Nobody knows who owns a lost one; the others are decided.
            Self::Lost
            | Self::Arriving
            | Self::Leaving
            | Self::Done
            | Self::Cancelled
            | Self::Failed => false,
        }
    }

    /// Whether the source must not run the server, as long as it belongs to it.
    #[must_use]
    pub fn is_frozen(self) -> bool {
        match self {
            Self::Stopping | Self::Copying | Self::Sealing | Self::Lost => true,
            Self::Preparing
            | Self::Arriving
            | Self::Leaving
            | Self::Done
            | Self::Cancelled
            | Self::Failed => false,
        }
    }
}

/// What the hub knows of the two nodes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// Whether the source has a session.
    pub source_up: bool,
    /// Whether the target has a session.
    pub target_up: bool,
    /// Whether the source said, under the wish that forbids to run, that no process is left.
    pub source_rests: bool,
    /// Whether the target holds the wish that makes the server its own.
    pub target_holds: bool,
    /// Whether the source said that its copy is in the trash.
    pub source_cleared: bool,
}

/// What the hub does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Nothing, and why.
    Wait(Waiting),
    /// Measure the data at the source, have the target prepare, then forbid the source to run.
    Prepare,
    /// Record that the source rests.
    Rested,
    /// Move chunks until the target has all.
    Copy,
    /// Compare both sides, then commit.
    Seal,
    /// Have the target confirm, then release the source.
    Confirm,
    /// Record that all is over.
    Finish,
    /// Ask the target whether it has the server, and let the source go on if not.
    Settle,
    /// Nothing, for ever.
    Ended,
}

/// What a transfer waits for.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Waiting {
    /// The source has no session.
    SourceOffline,
    /// The target has no session.
    TargetOffline,
    /// The server's process to end.
    ServerStopping,
    /// The target to take over the wish.
    TargetTakingOver,
    /// The source to clear its copy away.
    SourceClearing,
}

/// Decides what to do next.
#[must_use]
pub fn next(phase: Phase, seen: Seen) -> Step {
    let both = |step| match (seen.source_up, seen.target_up) {
        (false, _) => Step::Wait(Waiting::SourceOffline),
        (true, false) => Step::Wait(Waiting::TargetOffline),
        (true, true) => step,
    };
    match phase {
        Phase::Preparing => both(Step::Prepare),
        Phase::Stopping if seen.source_rests => Step::Rested,
        Phase::Stopping if !seen.source_up => Step::Wait(Waiting::SourceOffline),
        Phase::Stopping => Step::Wait(Waiting::ServerStopping),
        Phase::Copying => both(Step::Copy),
        Phase::Sealing => both(Step::Seal),
        Phase::Arriving if !seen.target_up => Step::Wait(Waiting::TargetOffline),
        Phase::Arriving if !seen.target_holds => Step::Wait(Waiting::TargetTakingOver),
        Phase::Arriving => Step::Confirm,
        Phase::Leaving if seen.source_cleared => Step::Finish,
        Phase::Leaving if !seen.source_up => Step::Wait(Waiting::SourceOffline),
        Phase::Leaving => Step::Wait(Waiting::SourceClearing),
        Phase::Lost if !seen.target_up => Step::Wait(Waiting::TargetOffline),
        Phase::Lost => Step::Settle,
        Phase::Done | Phase::Cancelled | Phase::Failed => Step::Ended,
    }
}

/// How a step went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Went {
    /// As it should.
    Well,
    /// Not now: a node went away, or cannot store anything. Why, for people.
    NotNow(String),
    /// A node says that it cannot be done. Why, for people.
    Refused(String),
    /// Source and target count different digests.
    Differs,
}

/// What follows from how a step went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Then {
    /// The next phase.
    Go(Phase),
    /// The same step again, later.
    Again(String),
    /// The copy is thrown away and made again.
    CopyAgain,
    /// The transfer is given up, and why.
    GiveUp(String),
}

/// Decides what follows a step. `copies` counts the copies that were begun so far.
#[must_use]
pub fn after(phase: Phase, went: Went, copies: u32) -> Then {
    match went {
        Went::Well => Then::Go(following(phase)),
        Went::NotNow(why) => Then::Again(why),
        // Who owns the server cannot give it up: somebody has to look.
        Went::Refused(why) if !phase.is_of_source() => Then::Again(why),
        Went::Refused(why) => Then::GiveUp(why),
        Went::Differs if copies >= COPIES_MAX => {
            Then::GiveUp(format!("data on the two nodes differed after {copies} copies"))
        }
        Went::Differs => Then::CopyAgain,
    }
}

fn following(phase: Phase) -> Phase {
    match phase {
        Phase::Preparing => Phase::Stopping,
        Phase::Stopping => Phase::Copying,
        Phase::Copying => Phase::Sealing,
        Phase::Sealing => Phase::Arriving,
        Phase::Arriving => Phase::Leaving,
        Phase::Leaving => Phase::Done,
        Phase::Lost => Phase::Failed,
        ended @ (Phase::Done | Phase::Cancelled | Phase::Failed) => ended,
    }
}

/// Deepest place in a server's folder that is moved. Real games stay below 30.
pub const DEPTH_MAX: usize = 256;
/// Longest name of a file on the file systems that we know.
const NAME_BYTES_MAX: usize = 255;
/// Longest path that is moved: what a Linux program can name at once.
const PATH_BYTES_MAX: usize = 4_096;

/// Splits a path below a server's folder into its names, when it can mean nothing outside of it.
///
/// # Errors
/// Names the rule.
pub fn names_of(path: &[u8]) -> Result<Vec<&[u8]>, Invalid> {
    let bad = |rule: &str| Err(Invalid::new("path", rule));
    if path.is_empty() || path.len() > PATH_BYTES_MAX {
        return bad("must have 1 to 4096 bytes");
    }
    let names: Vec<&[u8]> = path.split(|byte| *byte == b'/').collect();
    if names.len() >= DEPTH_MAX {
        return bad("must be less than 256 names deep");
    }
    let fits = |name: &&[u8]| {
        !name.is_empty()
            && name.len() <= NAME_BYTES_MAX
            && **name != *b"."
            && **name != *b".."
            && !name.contains(&0)
    };
    if names.iter().all(fits) { Ok(names) } else { bad("must stay below the server's folder") }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Phase; 10] = [
        Phase::Preparing,
        Phase::Stopping,
        Phase::Copying,
        Phase::Sealing,
        Phase::Arriving,
        Phase::Leaving,
        Phase::Lost,
        Phase::Done,
        Phase::Cancelled,
        Phase::Failed,
    ];

    fn seen(text: &str) -> Seen {
        let has = |word| text.split(' ').any(|it| it == word);
        Seen {
            source_up: has("source"),
            target_up: has("target"),
            source_rests: has("rests"),
            target_holds: has("holds"),
            source_cleared: has("cleared"),
        }
    }

    #[test]
    fn each_phase_waits_for_what_it_needs() {
        use Waiting::{
            ServerStopping, SourceClearing, SourceOffline, TargetOffline, TargetTakingOver,
        };
        for (phase, text, step) in [
            (Phase::Preparing, "source", Step::Wait(TargetOffline)),
            (Phase::Preparing, "target", Step::Wait(SourceOffline)),
            (Phase::Preparing, "source target", Step::Prepare),
            (Phase::Stopping, "target", Step::Wait(SourceOffline)),
            (Phase::Stopping, "source", Step::Wait(ServerStopping)),
            (Phase::Stopping, "rests", Step::Rested),
            (Phase::Copying, "source rests", Step::Wait(TargetOffline)),
            (Phase::Copying, "target rests", Step::Wait(SourceOffline)),
            (Phase::Copying, "source target rests", Step::Copy),
            (Phase::Sealing, "source", Step::Wait(TargetOffline)),
            (Phase::Sealing, "source target", Step::Seal),
            (Phase::Arriving, "source holds", Step::Wait(TargetOffline)),
            (Phase::Arriving, "target", Step::Wait(TargetTakingOver)),
            (Phase::Arriving, "target holds", Step::Confirm),
            (Phase::Leaving, "target", Step::Wait(SourceOffline)),
            (Phase::Leaving, "source", Step::Wait(SourceClearing)),
            (Phase::Leaving, "cleared", Step::Finish),
            (Phase::Lost, "source", Step::Wait(TargetOffline)),
            (Phase::Lost, "target", Step::Settle),
            (Phase::Done, "source target", Step::Ended),
        ] {
            assert_eq!(next(phase, seen(text)), step, "{phase:?} {text}");
        }
    }

    #[test]
    fn the_source_is_given_the_server_back_only_before_the_commit() {
        for phase in ALL {
            let then = after(phase, Went::Refused("no".into()), 1);
            match phase.is_of_source() {
                true => assert_eq!(then, Then::GiveUp("no".into()), "{phase:?}"),
                false => assert_eq!(then, Then::Again("no".into()), "{phase:?}"),
            }
            assert_eq!(after(phase, Went::NotNow("x".into()), 1), Then::Again("x".into()));
        }
        assert!(!Phase::Arriving.is_of_source() && !Phase::Lost.is_of_source());
    }

    #[test]
    fn every_phase_leads_to_an_end() {
        for first in ALL {
            let mut phase = first;
            for _ in 0..ALL.len() {
                if let Then::Go(next) = after(phase, Went::Well, 1) {
                    phase = next;
                }
            }
            assert!(phase.is_ended(), "{first:?} ends as {phase:?}");
        }
    }

    #[test]
    fn a_copy_that_differs_is_made_again_a_few_times() {
        assert_eq!(after(Phase::Sealing, Went::Differs, 1), Then::CopyAgain);
        assert_eq!(after(Phase::Sealing, Went::Differs, COPIES_MAX - 1), Then::CopyAgain);
        let end = after(Phase::Sealing, Went::Differs, COPIES_MAX);
        assert!(matches!(end, Then::GiveUp(why) if why.contains("3 copies")));
    }

    #[test]
    fn hostile_paths_are_refused() {
        let long = [b'a'; NAME_BYTES_MAX + 1];
        let deep = vec!["d"; DEPTH_MAX].join("/");
        let wide = vec!["abcdefg"; 600].join("/");
        for path in [
            b"".as_slice(),
            b"/etc/passwd",
            b"..",
            b"a/../../b",
            b"a//b",
            b"a/",
            b"./a",
            b"a\0b",
            &long,
            deep.as_bytes(),
            wide.as_bytes(),
        ] {
            assert!(names_of(path).is_err(), "{}", path.escape_ascii());
        }
        let odd = b"world/...\xff\\ \n/a:b";
        assert_eq!(names_of(odd).unwrap(), [b"world".as_slice(), b"...\xff\\ \n", b"a:b"]);
    }
}
