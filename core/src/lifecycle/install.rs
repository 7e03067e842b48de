//! Pure: what became of the runs of a server's install script, and what is next.

use super::Actor;
use crate::{clock::UnixMs, desired::Order, server::Install};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Runs in progress on one node at once: each may use a core, a gigabyte and all of the disk's speed.
pub const INSTALLS_MAX: usize = 2;
/// Attempts at the steps before the script runs, and at a script that was ended from outside, after
/// which a run has failed.
pub const INSTALL_ATTEMPTS_MAX: u32 = 5;
/// Beginning of the name of each step of a run, so that a failure of another step is not counted.
pub const INSTALL_STEP: &str = "install: ";

/// The newest run of a server's install script on its node. Stored there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct InstallRecord {
    /// Rank of the wish that asked for it.
    pub asked: Order,
    /// When it began, by the node's calendar.
    pub begun_at: UnixMs,
    /// Who on the node asked to end it.
    pub cancel: Option<Actor>,
    /// How it ended; `None` while its container may exist.
    pub end: Option<InstallEnd>,
}

#[cfg(feature = "db")]
crate::record!(InstallRecord, 1);

/// How a run ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct InstallEnd {
    /// When, by the node's calendar.
    pub at: UnixMs,
    /// How.
    pub outcome: InstallOutcome,
}

/// How a run ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum InstallOutcome {
    /// The script ended with code 0.
    Installed,
    /// It did not.
    Failed {
        /// Exit code, when the script ended by itself.
        code: Option<i64>,
        /// What went wrong, in one line.
        error: String,
    },
    /// Somebody ended it.
    Cancelled,
}

/// Where a server stands with its install script.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage<'a> {
    /// Nothing is to be done: there is no script, or its run went well.
    Ready,
    /// A run is to be made, or taken up again.
    Due {
        /// Which.
        asked: Order,
        /// Whether it has begun.
        has_begun: bool,
    },
    /// A run is to be ended.
    Ending {
        /// Which.
        asked: Order,
    },
    /// The last run ended without success, and nobody asked for another.
    Failed(&'a InstallEnd),
}

/// Compares what is wanted with what became of it.
#[must_use]
pub fn stage<'a>(wanted: Option<&Install>, record: Option<&'a InstallRecord>) -> Stage<'a> {
    let Some(wanted) = wanted else {
        return match record {
            Some(InstallRecord { asked, end: None, .. }) => Stage::Ending { asked: *asked },
            Some(_) | None => Stage::Ready,
        };
    };
    // A run that was asked for later than what is wanted counts: the hub went back.
    let Some(record) = record.filter(|record| record.asked >= wanted.asked) else {
        return match wanted.cancelled {
            true => Stage::Ending { asked: wanted.asked },
            false => Stage::Due { asked: wanted.asked, has_begun: false },
        };
    };
    let asked = record.asked;
    match &record.end {
        None if wanted.cancelled || record.cancel.is_some() => Stage::Ending { asked },
        None if asked > wanted.asked => Stage::Ending { asked },
        None => Stage::Due { asked, has_begun: true },
        Some(InstallEnd { outcome: InstallOutcome::Installed, .. }) => Stage::Ready,
        Some(end) => Stage::Failed(end),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        seq::{Generation, Incarnation},
        server::InstallFiles,
    };

    fn order(incarnation: u32, generation: u64) -> Order {
        Order { incarnation: Incarnation(incarnation), generation: Generation(generation) }
    }

    fn install(asked: Order, cancelled: bool) -> Install {
        Install {
            asked,
            image: "debian:12".into(),
            entrypoint: "sh".into(),
            script: "true".into(),
            files: InstallFiles::Keep,
            secrets: Default::default(),
            cancelled,
        }
    }

    fn record(asked: Order, end: Option<InstallOutcome>) -> InstallRecord {
        let end = end.map(|outcome| InstallEnd { at: UnixMs(9), outcome });
        InstallRecord { asked, begun_at: UnixMs(1), cancel: None, end }
    }

    #[test]
    fn what_is_wanted_and_what_became_of_it_say_what_is_next() {
        let (old, new) = (order(1, 3), order(2, 1));
        let failed = || InstallOutcome::Failed { code: Some(2), error: "no".into() };
        let due = |asked, has_begun| Stage::Due { asked, has_begun };
        let ran = |asked, end| Some(record(asked, end));
        let end = InstallEnd { at: UnixMs(9), outcome: failed() };
        let gone = InstallEnd { at: UnixMs(9), outcome: InstallOutcome::Cancelled };
        for (wanted, record, expected) in [
            (None, None, Stage::Ready),
            (None, ran(old, Some(failed())), Stage::Ready),
            (None, ran(old, None), Stage::Ending { asked: old }),
            (Some((old, false)), None, due(old, false)),
            (Some((old, true)), None, Stage::Ending { asked: old }),
            (Some((old, false)), ran(old, None), due(old, true)),
            (Some((old, true)), ran(old, None), Stage::Ending { asked: old }),
            (Some((old, false)), ran(old, Some(InstallOutcome::Installed)), Stage::Ready),
            (Some((old, true)), ran(old, Some(InstallOutcome::Installed)), Stage::Ready),
            (Some((old, false)), ran(old, Some(failed())), Stage::Failed(&end)),
            (Some((old, true)), ran(old, Some(InstallOutcome::Cancelled)), Stage::Failed(&gone)),
            (Some((new, false)), ran(old, None), due(new, false)),
            (Some((new, false)), ran(old, Some(failed())), due(new, false)),
            (Some((new, false)), ran(old, Some(InstallOutcome::Installed)), due(new, false)),
            (Some((old, false)), ran(new, Some(InstallOutcome::Installed)), Stage::Ready),
            (Some((old, false)), ran(new, None), Stage::Ending { asked: new }),
        ] {
            let wanted = wanted.map(|(asked, cancelled)| install(asked, cancelled));
            assert_eq!(stage(wanted.as_ref(), record.as_ref()), expected, "{wanted:?} {record:?}");
        }
    }

    #[test]
    fn a_cancel_on_the_node_ends_a_run() {
        let mut record = record(order(1, 1), None);
        record.cancel = Some(Actor::Operator("me".into()));
        let wanted = install(order(1, 1), false);
        let expected = Stage::Ending { asked: order(1, 1) };
        assert_eq!(stage(Some(&wanted), Some(&record)), expected);
    }
}
