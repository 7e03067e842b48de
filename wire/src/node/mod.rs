//! Pure: what can be asked of an edge at run time, through any door.
//!
//! One request per stream: the asker sends one [`Ask`] frame, the edge answers with
//! [`NodeReply`] frames. All requests have exactly one reply but [`NodeRequest::Console`], which goes
//! on with [`ConsoleEvent`] replies until either side ends the stream, and takes [`ConsoleInput`]
//! frames meanwhile, [`NodeRequest::Gauges`], which goes on until the asker ends it, and two steps of
//! [`NodeRequest::Move`], which carry [`moving::MoveChunk`] frames. The doors are the hub's QUIC link
//! and the node's local socket.

mod asking;
pub mod moving;

pub use asking::{Ask, Asker, Needs};

use crate::{
    frame::{CRITICAL, Frame, FrameError},
    link::v1::NodeState,
};
use mamba_core::{
    clock::UnixMs,
    desired::Order,
    error::Invalid,
    fact::{ActivityFact, Chain, Stream, UsageFact},
    ids::{InstanceId, NodeId, ServerId, TenantId, TransferId},
    lifecycle::{Observed, PowerAction, ServerState, install::InstallRecord},
    players::{Players, Query},
    seq::{Epoch, LineNumber, Seq},
    server::ServerSpec,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Most console lines in one reply.
pub const LINES_MAX: usize = 1_000;
/// Most bytes of console text in one reply.
pub const LINES_BYTES_MAX: usize = 256 * 1024;
/// Longest line that can be typed, in bytes.
pub const INPUT_BYTES_MAX: usize = 4_096;
/// Time between two gauges of a server: half a screen's patience, and two of them are one rate.
pub const GAUGES_MS: u64 = 2_000;
/// How far back a node remembers what a server used, moment by moment.
pub const RECENT_MS: u64 = 10 * 60_000;
/// Nothing is known between two moments, or gauges, that are further apart than this: no line may be
/// drawn from one to the other.
pub const RECENT_GAP_MS: u64 = 16_000;
/// Most moments in one reply: one every five seconds, and some ends of lines.
pub const MOMENTS_MAX: usize = 128;
/// Most facts in one reply.
pub const FACTS_MAX: usize = 500;

/// One request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum NodeRequest {
    /// The daemon and the machine: [`Answer::Status`].
    Status,
    /// All servers: [`Answer::Servers`].
    Servers,
    /// One server: [`Answer::Server`].
    Server(ServerId),
    /// Starts, stops, restarts or kills: [`Answer::Accepted`] when it is recorded on disk.
    Power {
        /// Which server.
        server: ServerId,
        /// What.
        action: PowerAction,
    },
    /// Follows a console and types into it: [`Answer::Console`] events.
    Console {
        /// Which server.
        server: ServerId,
        /// Where to begin.
        from: ConsoleFrom,
        /// Whether to go on with what comes. Otherwise the stream ends at the newest line.
        follow: bool,
    },
    /// Types one line into a console: [`Answer::Accepted`] when the process was handed it.
    Type {
        /// Which server.
        server: ServerId,
        /// The line without its end, at most [`INPUT_BYTES_MAX`].
        line: String,
    },
    /// Usage not yet pruned on this node, newest first: [`Answer::Usage`].
    Usage {
        /// Of one server, or of all.
        server: Option<ServerId>,
    },
    /// The outbox streams: [`Answer::Outbox`].
    Outbox,
    /// The link to the hub: [`Answer::Link`].
    Link,
    /// Activity facts kept on this node, newest first: [`Answer::Facts`].
    Facts {
        /// About one server, or all.
        server: Option<ServerId>,
    },
    /// Checks of engine, disk, clock, permissions and reachability: [`Answer::Doctor`].
    Doctor,
    /// The output of the newest run of a server's install script: [`Answer::InstallLog`].
    InstallLog {
        /// Which server.
        server: ServerId,
    },
    /// Ends a run of an install script: [`Answer::Accepted`] when it is recorded on disk.
    CancelInstall {
        /// Which server.
        server: ServerId,
    },
    /// Follows what a server uses: [`Answer::Gauges`] every [`GAUGES_MS`], as long as somebody asks.
    Gauges {
        /// Which server.
        server: ServerId,
        /// How its game is asked for its players, `None` when that is not known.
        query: Option<Query>,
    },
    /// One step of moving a server between nodes: [`Answer::Move`].
    Move {
        /// Which server.
        server: ServerId,
        /// Which hand-over.
        transfer: TransferId,
        /// What is to be done for it.
        step: moving::MoveStep,
    },
    /// Servers on their way from or to this node: [`Answer::Moves`].
    Moves,
    /// What a server used in the last minutes: [`Answer::Recent`].
    Recent {
        /// Which server.
        server: ServerId,
    },
}

/// Where a console reader begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ConsoleFrom {
    /// So many lines before the newest.
    Last(u32),
    /// This line; when it is gone, a gap is told and the oldest kept line follows.
    Line(LineNumber),
}

/// One reply.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum NodeReply {
    /// It worked.
    Ok(Box<Answer>),
    /// It did not.
    Err(NodeError),
}

/// Content of a reply.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Answer {
    /// To [`NodeRequest::Status`].
    Status(Status),
    /// To [`NodeRequest::Servers`], by name then id.
    Servers(Vec<ServerLine>),
    /// To [`NodeRequest::Server`].
    Server(Box<ServerDetail>),
    /// To [`NodeRequest::Power`].
    Accepted,
    /// To [`NodeRequest::Console`], many.
    Console(ConsoleEvent),
    /// To [`NodeRequest::Usage`], at most [`FACTS_MAX`].
    Usage(Vec<UsageFact>),
    /// To [`NodeRequest::Outbox`], one per stream.
    Outbox(Vec<OutboxLine>),
    /// To [`NodeRequest::Link`].
    Link(LinkStatus),
    /// To [`NodeRequest::Facts`], at most [`FACTS_MAX`].
    Facts(Vec<ActivityFact>),
    /// To [`NodeRequest::Doctor`].
    Doctor(Vec<Check>),
    /// To [`NodeRequest::InstallLog`].
    InstallLog(InstallLog),
    /// To [`NodeRequest::Gauges`], many.
    Gauges(Gauges),
    /// To [`NodeRequest::Move`].
    Move(moving::MoveAnswer),
    /// To [`NodeRequest::Moves`], by server.
    Moves(Vec<moving::MoveLine>),
    /// To [`NodeRequest::Recent`], oldest first, at most [`MOMENTS_MAX`] of the last [`RECENT_MS`]. Empty
    /// when the server did not run then, or the daemon did not.
    Recent(Vec<Moment>),
}

/// Why a request was not served.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema, thiserror::Error)]
pub enum NodeError {
    /// No such server on this node.
    #[error("server {0} is not on this node")]
    NoSuchServer(ServerId),
    /// The request breaks a rule.
    #[error("{0}")]
    Invalid(Invalid),
    /// Who asks does not hold what that needs; nothing was done.
    #[error("{0}")]
    Forbidden(Needs),
    /// It may not be done now, and why: suspended, entitlement ended, being deleted.
    #[error("{0}")]
    NotAllowed(String),
    /// There is no process to type into.
    #[error("server is not running")]
    NotRunning,
    /// The node cannot store anything now; nothing was done. Worth trying again.
    #[error("node cannot write to its disk: {0}")]
    StoreUnavailable(String),
    /// Too many at once; worth trying again.
    #[error("node is busy")]
    Busy,
    /// The node does not know this request.
    #[error("node does not know this request")]
    Unsupported,
    /// The log of an install script cannot be read.
    #[error("log of the install script cannot be read: {0}")]
    LogUnreadable(String),
    /// Data of a server cannot be read or written, or has no room here.
    #[error("data of the server: {0}")]
    Data(String),
}

/// The daemon and the machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Status {
    /// Version of the program.
    pub software: String,
    /// Who it is, `None` before enrolment.
    pub node: Option<NodeId>,
    /// This run of the daemon.
    pub instance: InstanceId,
    /// When it came up, by the node's calendar.
    pub started_at: UnixMs,
    /// Its calendar now.
    pub now: UnixMs,
    /// The machine.
    pub state: NodeState,
    /// The link to the hub.
    pub link: LinkStatus,
    /// Servers by state: how many exist, how many run.
    pub servers: u32,
    /// How many of them have a process.
    pub running: u32,
}

/// One server in a list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ServerLine {
    /// Its name.
    pub name: String,
    /// Who owns it.
    pub tenant: TenantId,
    /// What is seen of it.
    pub observed: Observed,
}

/// One server, everything that is known here.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ServerDetail {
    /// Who owns it.
    pub tenant: TenantId,
    /// Rank of the wish in force.
    pub order: Order,
    /// What is wanted, `None` when it is being deleted.
    pub spec: Option<ServerSpec>,
    /// What is seen of it.
    pub observed: Observed,
    /// Id of its container, `None` without one.
    pub container: Option<String>,
    /// Newest console line.
    pub last_line: LineNumber,
    /// Bytes of its data directory when they were counted last, and when.
    pub disk: Option<(u64, UnixMs)>,
}

/// One outbox stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct OutboxLine {
    /// Which.
    pub stream: Stream,
    /// Which filling of its table.
    pub epoch: Epoch,
    /// Oldest kept fact.
    pub first_retained: Seq,
    /// Sequence of the next fact.
    pub next: Seq,
    /// Everything up to this is in the hub's custody.
    pub acked: Seq,
    /// Everything up to this is in the hub's backup and may be pruned.
    pub backed_up: Seq,
    /// Bytes of the kept facts.
    pub bytes: u64,
    /// When the oldest fact without an ack was made. `None` without any.
    pub oldest_unacked_at: Option<UnixMs>,
    /// Chain hash of `next - 1`.
    pub chain_head: Chain,
}

/// The link to the hub.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LinkStatus {
    /// The hub's address as configured, `None` before enrolment.
    pub hub: Option<String>,
    /// Whether a session is up.
    pub up: bool,
    /// Since when it is so. `None` when it never was up in this run.
    pub since: Option<UnixMs>,
    /// When the hub was heard last, kept across restarts.
    pub last_heard: Option<UnixMs>,
    /// What went wrong last.
    pub last_error: Option<String>,
    /// Failed dials in a row.
    pub failures: u32,
    /// When it dials next.
    pub next_dial: Option<UnixMs>,
    /// End of the present certificate.
    pub certificate_until: Option<UnixMs>,
    /// Round trip time of the session in microseconds.
    pub rtt_us: Option<u64>,
}

/// One finding of the doctor.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Check {
    /// What was looked at.
    pub name: String,
    /// Whether it is good.
    pub level: CheckLevel,
    /// What was seen, and what to do about it.
    pub text: String,
}

/// How good a finding is.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum CheckLevel {
    /// Good.
    Ok,
    /// Works, but needs attention.
    Warn,
    /// Does not work.
    Fail,
}

/// The output of an install script.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct InstallLog {
    /// The run. `None` when there was none; then there are no lines.
    pub run: Option<InstallRecord>,
    /// Whether the beginning is not kept any more.
    pub is_cut: bool,
    /// Lines, oldest first, secrets masked. The edge's own are among them.
    pub lines: Vec<ConsoleLine>,
}

/// What a server uses just now. `None` is not known: it has no process, or was seen only once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Gauges {
    /// Which server.
    pub server: ServerId,
    /// When it was looked at, by the node's calendar.
    pub at: UnixMs,
    /// Its state at that time.
    pub state: ServerState,
    /// Working set in bytes.
    pub memory_bytes: Option<u64>,
    /// CPU since the look before, in thousandths of a core.
    pub cpu_millicores: Option<u64>,
    /// Bytes sent per second since the look before.
    pub sent_bytes_per_s: Option<u64>,
    /// Bytes of its data when they were counted last, and when that was.
    pub disk: Option<(u64, UnixMs)>,
    /// Who plays, as the game said lately.
    pub players: Option<Players>,
}

/// What a server used at one time. `None` is not known; with nothing known it had no process from then on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Moment {
    /// When it was looked at, by the node's calendar as it is at the time of the answer.
    pub at: UnixMs,
    /// Working set in bytes.
    pub memory_bytes: Option<u64>,
    /// CPU since the moment before, in thousandths of a core.
    pub cpu_millicores: Option<u64>,
    /// Bytes sent per second since the moment before.
    pub sent_bytes_per_s: Option<u64>,
    /// Bytes of its data as they were counted last.
    pub disk_bytes: Option<u64>,
}

/// What a console reader is told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ConsoleEvent {
    /// Lines in order, without gaps inside.
    Lines {
        /// Number of the first one.
        first: LineNumber,
        /// Text without line ends, invalid UTF-8 replaced.
        lines: Vec<ConsoleLine>,
    },
    /// Lines that this reader does not get: it was too slow or they are gone.
    Gap {
        /// First one missed.
        first: LineNumber,
        /// How many.
        count: u64,
    },
    /// Everything kept was sent; what follows is live.
    CaughtUp,
    /// An input was refused.
    InputRefused(NodeError),
}

/// One line of a console.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ConsoleLine {
    /// When it came, by the node's calendar.
    pub at: UnixMs,
    /// Where it came from.
    pub source: LineSource,
    /// Text without line end.
    pub text: String,
}

/// Where a console line came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum LineSource {
    /// The game's standard output.
    Stdout,
    /// The game's standard error.
    Stderr,
    /// Somebody typed it.
    Input,
    /// The edge says something: started, stopped, lines lost.
    Edge,
    /// The output of its install script.
    Install,
}

/// A line typed into a console.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ConsoleInput {
    /// The line without its end, at most [`INPUT_BYTES_MAX`].
    pub line: String,
}

const REQUEST: u16 = 201;
const REPLY: u16 = 202;
const INPUT: u16 = 203;

impl NodeRequest {
    /// Whether it carries so much that everything else goes before it.
    #[must_use]
    pub fn is_bulk(&self) -> bool {
        matches!(self, Self::Move { .. })
    }
}

impl NodeReply {
    /// Encodes the reply.
    ///
    /// # Errors
    /// `TooLarge` when it does not fit.
    pub fn to_frame(&self) -> Result<Frame, FrameError> {
        Frame::new(REPLY, CRITICAL, self)
    }

    /// Decodes a reply.
    ///
    /// # Errors
    /// When the frame is another or malformed.
    pub fn from_frame(frame: &Frame) -> Result<Self, FrameError> {
        expect(frame, REPLY)?.open()
    }
}

impl ConsoleInput {
    /// Encodes the input.
    ///
    /// # Errors
    /// `TooLarge` when it does not fit.
    pub fn to_frame(&self) -> Result<Frame, FrameError> {
        Frame::new(INPUT, CRITICAL, self)
    }

    /// Decodes an input.
    ///
    /// # Errors
    /// When the frame is another or malformed.
    pub fn from_frame(frame: &Frame) -> Result<Self, FrameError> {
        expect(frame, INPUT)?.open()
    }
}

pub(crate) fn expect(frame: &Frame, kind: u16) -> Result<&Frame, FrameError> {
    if frame.kind == kind {
        Ok(frame)
    } else {
        Err(FrameError::UnknownCritical { kind: frame.kind })
    }
}
