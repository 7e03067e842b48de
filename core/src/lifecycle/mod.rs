//! Pure: what is seen of a server on its node, and what to do next about it.

pub mod crash;
pub mod power;
pub mod install;
pub mod plan;
pub mod transfer;

use crate::{
    access::ServerKey,
    clock::UnixMs,
    desired::Order,
    error::Invalid,
    ids::{ServerId, UserId},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What somebody may ask of a server's process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum PowerAction {
    /// Run it.
    Start,
    /// Ask it to stop; kill it after its grace period.
    Stop,
    /// Stop, then start. Starts it when it was stopped.
    Restart,
    /// End it now. Always wins, also over a start or stop in progress.
    Kill,
}

impl PowerAction {
    /// Returns the key that one must hold to ask for it, and to take it back.
    #[must_use]
    pub const fn key(self) -> ServerKey {
        match self {
            Self::Start => ServerKey::ControlStart,
            Self::Stop | Self::Kill => ServerKey::ControlStop,
            Self::Restart => ServerKey::ControlRestart,
        }
    }
}

/// Who caused something.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Actor {
    /// The edge by itself: crash restart, boot, entitlement.
    Edge,
    /// Somebody with access to the node's local socket, by the name of the operating system's user.
    Operator(String),
    /// A user, through the hub.
    User(UserId),
    /// The hub by itself.
    Hub,
}

/// Whether a server's process is wanted. Owned by the edge: changed by power actions from any door,
/// kept across restarts of daemon and machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PowerWish {
    /// Whether it should run.
    pub running: bool,
    /// Who said so.
    pub by: Actor,
    /// When, by the node's calendar.
    pub at: UnixMs,
}

/// Where a server is in its life.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum ServerState {
    /// No process.
    Offline,
    /// Image, network, files and container are being made ready.
    Preparing,
    /// The process runs and has not yet said that it is ready.
    Starting,
    /// The process runs and is ready.
    Running,
    /// Asked to stop, not yet ended.
    Stopping,
    /// Its install script runs, or is about to.
    Installing,
}

/// Why a server that exists does not run, or not as wanted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum NotRunning {
    /// Never asked to run.
    NotWanted,
    /// Somebody stopped it.
    Stopped {
        /// Who.
        by: Actor,
        /// When.
        at: UnixMs,
    },
    /// It ended by itself with exit code 0, and its policy counts that as a stop.
    Ended {
        /// When.
        at: UnixMs,
    },
    /// It crashed and will be started again.
    RestartDue {
        /// When the next start is due.
        at: UnixMs,
        /// Crashes inside the policy's window.
        crashes: u32,
    },
    /// It crashed too often; somebody has to start it.
    GaveUp {
        /// Crashes inside the policy's window.
        crashes: u32,
    },
    /// It crashed and its policy says not to restart.
    CrashedNoRestart,
    /// The hub suspended it.
    Suspended,
    /// The entitlement to run ended.
    EntitlementEnded {
        /// When, by hub time.
        at: UnixMs,
    },
    /// What is wanted may not be acted upon before a time.
    NotBefore {
        /// That time, by hub time.
        at: UnixMs,
    },
    /// It waits for other servers' starts to finish.
    Queued,
    /// A step of starting it failed; it is tried again.
    StepFailed {
        /// Which step, for example `pull image`.
        step: String,
        /// What went wrong, in one line.
        error: String,
        /// When it is tried again.
        retry_at: UnixMs,
    },
    /// The container engine does not answer.
    EngineUnreachable {
        /// What went wrong, in one line.
        error: String,
    },
    /// Its install script ended without success; somebody has to have it installed again.
    InstallFailed {
        /// What went wrong, in one line.
        error: String,
        /// When.
        at: UnixMs,
    },
    /// Somebody ended its install script; somebody has to have it installed again.
    InstallCancelled {
        /// When.
        at: UnixMs,
    },
    /// It is being moved to another node.
    Moving,
}

/// How a process ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Exit {
    /// Exit code; 128 plus the signal's number when a signal ended it.
    pub code: i64,
    /// Whether the kernel ended it because its memory limit was reached.
    pub oom_killed: bool,
    /// When, by the node's calendar.
    pub at: UnixMs,
}

/// What a node says about one of its servers. Only the newest matters.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Observed {
    /// Which server.
    pub server: ServerId,
    /// Rank of the wish that the node acts upon. `None` when the server is only known as a
    /// container without a wish.
    pub applied: Option<Order>,
    /// A newer wish that the node refused, and why. The one in `applied` stays in force.
    pub refused: Option<Refused>,
    /// Where it is in its life.
    pub state: ServerState,
    /// Since when, by the node's calendar.
    pub since: UnixMs,
    /// Why it does not run as wanted. `None` when it does.
    pub not_running: Option<NotRunning>,
    /// Whether its process is wanted.
    pub wish: PowerWish,
    /// Start of the present process, by the node's calendar. `None` without one.
    pub started_at: Option<UnixMs>,
    /// How the last process ended. `None` before the first end.
    pub last_exit: Option<Exit>,
    /// Crashes since the server was made.
    pub crashes: u64,
    /// Whether the running process was started from an older wish than the one in force.
    pub restart_pending: bool,
    /// The newest run of its install script. `None` before the first.
    pub install: Option<install::InstallRecord>,
}

/// A wish that a node did not take over.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Refused {
    /// Its rank.
    pub order: Order,
    /// What was wrong with it.
    pub error: Invalid,
}
