//! Pure: what happens on a node and must reach the hub, once each.
//!
//! Facts travel in two streams with their own sequences, so that a flood of activity never delays
//! usage. A fact's stored and sent form is a version byte followed by postcard; released versions
//! are never edited.

use crate::{
    clock::UnixMs,
    desired::Order,
    ids::{EventId, NodeId, ServerId, TenantId},
    lifecycle::{Actor, Exit, PowerAction, Refused},
    seq::{Epoch, Seq},
    server::InstallFiles,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Most encoded bytes of one fact.
pub const FACT_BYTES_MAX: usize = 8 * 1024;
/// Console lines kept with a crash.
pub const CRASH_LINES_MAX: usize = 20;
/// Most bytes kept of each of them.
pub const CRASH_LINE_BYTES_MAX: usize = 256;

const _: () = assert!(CRASH_LINES_MAX * (CRASH_LINE_BYTES_MAX + 4) + 512 <= FACT_BYTES_MAX);

/// Which outbox a fact is in.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Stream {
    /// Measured usage: money.
    Usage,
    /// What happened and who did it.
    Activity,
}

impl Stream {
    /// Both, in the order in which they are served.
    pub const ALL: [Self; 2] = [Self::Usage, Self::Activity];
}

/// Hash over everything in a stream up to one fact: `chain_n = blake3(chain_{n-1} | epoch | n |
/// body)`, numbers as 8 bytes big endian; `chain_0` is 32 zero bytes.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(transparent)]
pub struct Chain(pub [u8; 32]);

impl Chain {
    /// Returns the hash after one more fact.
    #[must_use]
    pub fn then(self, epoch: Epoch, seq: Seq, body: &[u8]) -> Self {
        let mut hasher = blake3::Hasher::new();
        hasher.update(&self.0);
        hasher.update(&epoch.0.to_be_bytes());
        hasher.update(&seq.0.to_be_bytes());
        hasher.update(body);
        Self(*hasher.finalize().as_bytes())
    }
}

/// One measured span of one server: half-open `[from, to)`, never across a UTC hour.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct UsageFact {
    /// Who owned the server then.
    pub tenant: TenantId,
    /// Which server.
    pub server: ServerId,
    /// Start, by hub time as the node knew it.
    pub from: UnixMs,
    /// End, after `from`, in the same UTC hour or at its very end.
    pub to: UnixMs,
    /// What was measured, or why nothing was.
    pub body: UsageBody,
}

/// Content of a usage fact.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum UsageBody {
    /// Quantities for the span.
    Measured(Quantities),
    /// A span for which some meters are not billed, and why.
    Gap(GapReason),
    /// The node's calendar was stepped by this many milliseconds at `from`; bills nothing.
    ClockStep {
        /// New minus old time in milliseconds.
        by_ms: i64,
    },
}

/// What was used and allocated in one span, in stored units.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Quantities {
    /// Working set over time, byte-milliseconds.
    pub memory_used: u128,
    /// CPU time, microseconds.
    pub cpu_used: u128,
    /// Size of the data directory over time, byte-milliseconds.
    pub disk_used: u128,
    /// Bytes sent by the container.
    pub egress: u128,
    /// Memory limit over running time, byte-milliseconds.
    pub memory_allocated: u128,
    /// CPU limit over running time, microseconds.
    pub cpu_allocated: u128,
    /// Disk limit over the time the server exists, byte-milliseconds.
    pub disk_allocated: u128,
}

/// One of the seven measured quantities.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Meter {
    /// Memory used.
    MemoryUsed,
    /// CPU used.
    CpuUsed,
    /// Disk used.
    DiskUsed,
    /// Bytes sent.
    Egress,
    /// Memory allocated while running.
    MemoryAllocated,
    /// CPU allocated while running.
    CpuAllocated,
    /// Disk allocated while existing.
    DiskAllocated,
}

impl Meter {
    /// All seven, in the order of [`Quantities`].
    pub const ALL: [Self; 7] = [
        Self::MemoryUsed,
        Self::CpuUsed,
        Self::DiskUsed,
        Self::Egress,
        Self::MemoryAllocated,
        Self::CpuAllocated,
        Self::DiskAllocated,
    ];
}

impl Quantities {
    /// Returns the quantity of one meter.
    #[must_use]
    pub fn of(&self, meter: Meter) -> u128 {
        match meter {
            Meter::MemoryUsed => self.memory_used,
            Meter::CpuUsed => self.cpu_used,
            Meter::DiskUsed => self.disk_used,
            Meter::Egress => self.egress,
            Meter::MemoryAllocated => self.memory_allocated,
            Meter::CpuAllocated => self.cpu_allocated,
            Meter::DiskAllocated => self.disk_allocated,
        }
    }

    /// Returns the quantity of one meter for changing.
    pub fn of_mut(&mut self, meter: Meter) -> &mut u128 {
        match meter {
            Meter::MemoryUsed => &mut self.memory_used,
            Meter::CpuUsed => &mut self.cpu_used,
            Meter::DiskUsed => &mut self.disk_used,
            Meter::Egress => &mut self.egress,
            Meter::MemoryAllocated => &mut self.memory_allocated,
            Meter::CpuAllocated => &mut self.cpu_allocated,
            Meter::DiskAllocated => &mut self.disk_allocated,
        }
    }
}

/// Why a span was not, or not wholly, measured.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum GapReason {
    /// The daemon was away while the container ran; counters were continued, gauges not.
    Recovered,
    /// The machine was down or restarted.
    Reboot,
    /// The calendar was set.
    Clock,
    /// The node lost its store.
    DiskLoss,
    /// The server was suspended.
    Suspended,
}

/// One thing that happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ActivityFact {
    /// Its id, given on the node: a second copy is recognised by it.
    pub event: EventId,
    /// When, by the node's calendar.
    pub at: UnixMs,
    /// The server it is about, with its owner. `None` when it is about the node.
    pub about: Option<(TenantId, ServerId)>,
    /// Who caused it.
    pub actor: Actor,
    /// What it was.
    pub body: Activity,
}

/// Kinds of activity. New ones are added at the end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Activity {
    /// The daemon came up.
    EdgeStarted {
        /// Its version.
        version: String,
        /// Whether the machine was started since the daemon ran last.
        after_reboot: bool,
    },
    /// A power action was accepted.
    Power {
        /// Which.
        action: PowerAction,
    },
    /// The process runs.
    Started,
    /// The game said that it is ready.
    Ready {
        /// Milliseconds from the start of the process.
        after_ms: u64,
    },
    /// A container that ran while the daemon was away was taken over.
    Adopted,
    /// The process ended as asked.
    Stopped {
        /// How.
        exit: Exit,
        /// Whether the grace period passed and it was killed.
        killed: bool,
    },
    /// The process ended by itself with exit code 0 and its policy counts that as a stop.
    Ended {
        /// How.
        exit: Exit,
    },
    /// The process ended by itself and that counts as a crash.
    Crashed {
        /// How.
        exit: Exit,
        /// Crashes inside the policy's window.
        crashes: u32,
        /// Last console lines, oldest first.
        lines: Vec<String>,
    },
    /// It crashed too often and stays down.
    GaveUp {
        /// Crashes inside the policy's window.
        crashes: u32,
    },
    /// A step of starting it failed.
    StepFailed {
        /// Which.
        step: String,
        /// What went wrong.
        error: String,
    },
    /// A line was typed into the console.
    ConsoleCommand {
        /// The line, cut at [`CRASH_LINE_BYTES_MAX`].
        line: String,
    },
    /// What is wanted of it changed and the node took it over.
    Applied {
        /// The generation.
        generation: u64,
    },
    /// What is wanted of it was refused by the node.
    Refused(Refused),
    /// It was stopped because the hub suspended it or its entitlement ended.
    StoppedByHub {
        /// True for a suspension, false for an ended entitlement.
        suspended: bool,
    },
    /// It was deleted and its data moved to the trash.
    Deleted,
    /// Its data was purged from the trash.
    Purged,
    /// The node's calendar was stepped.
    ClockStep {
        /// New minus old time in milliseconds.
        by_ms: i64,
    },
    /// The hub recorded that it shall exist. Made at the hub, like those below.
    Created,
    /// What is wanted of it was changed at the hub.
    Changed {
        /// The new generation.
        generation: u64,
        /// What was changed, for example `limits`.
        fields: Vec<String>,
    },
    /// A power action was recorded for the node.
    PowerAsked {
        /// Which.
        action: PowerAction,
    },
    /// Its deletion was recorded.
    DeletionAsked {
        /// Not carried out before this, by hub time.
        not_before: UnixMs,
    },
    /// The outbox of a node was at its cap: activity before this fact was not kept. Made at a node.
    Lost {
        /// How many facts.
        count: u64,
    },
    /// A run of its install script began.
    InstallBegun {
        /// Rank of the wish that asked for it.
        asked: Order,
    },
    /// Its install script ended with code 0.
    Installed {
        /// Rank of the wish that asked for it.
        asked: Order,
        /// Milliseconds since it began.
        took_ms: u64,
    },
    /// Its install script ended without success.
    InstallFailed {
        /// Rank of the wish that asked for it.
        asked: Order,
        /// Exit code, when the script ended by itself.
        code: Option<i64>,
        /// What went wrong, in one line.
        error: String,
        /// Last lines of its output, oldest first.
        lines: Vec<String>,
    },
    /// Its install script was ended by somebody.
    InstallCancelled {
        /// Rank of the wish that asked for it.
        asked: Order,
    },
    /// A run of its install script was asked for at the hub.
    ReinstallAsked {
        /// What becomes of the files that are there.
        files: InstallFiles,
    },
    /// The end of its install script was asked for.
    InstallCancelAsked,
    /// A power action was taken back before the node had it.
    PowerCancelled {
        /// Which.
        action: PowerAction,
    },
    /// Its move to another node was recorded. Made at the hub, like the three below.
    TransferAsked {
        /// Where to.
        to: NodeId,
    },
    /// It belongs to another node from now on.
    Transferred {
        /// Where it was.
        from: NodeId,
        /// Where it is.
        to: NodeId,
    },
    /// Its move was cancelled; it stays where it is.
    TransferCancelled,
    /// Its move was given up; it stays where it is.
    TransferFailed {
        /// Why, in one line.
        error: String,
    },
    /// It lives on another node; what was left of it on this one was moved to the trash.
    Left,
    /// It belongs to another tenant from now on. The last that its former one is told of it; made at
    /// the hub, like the next.
    GivenAway,
    /// It belongs to this tenant from now on.
    TakenOver,
}

impl Activity {
    /// Whether only the hub makes this kind, so that a node which sends it lies.
    #[must_use]
    pub fn is_made_at_hub(&self) -> bool {
        matches!(
            self,
            Self::Created
                | Self::Changed { .. }
                | Self::PowerAsked { .. }
                | Self::PowerCancelled { .. }
                | Self::DeletionAsked { .. }
                | Self::ReinstallAsked { .. }
                | Self::InstallCancelAsked
                | Self::TransferAsked { .. }
                | Self::Transferred { .. }
                | Self::TransferCancelled
                | Self::TransferFailed { .. }
                | Self::GivenAway
                | Self::TakenOver
        )
    }
}

/// Why bytes are not a fact.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FactError {
    /// Nothing there.
    #[error("fact is empty")]
    Empty,
    /// Written by a newer program.
    #[error("fact has version {found}, known are versions up to {known}")]
    Newer {
        /// Its version.
        found: u8,
        /// The newest one known.
        known: u8,
    },
    /// Not what its version says.
    #[error("fact of version {version} is malformed")]
    Malformed {
        /// Its version.
        version: u8,
    },
    /// Over [`FACT_BYTES_MAX`].
    #[error("fact of {bytes} bytes is over the limit of {FACT_BYTES_MAX}")]
    TooLarge {
        /// Its size.
        bytes: usize,
    },
}

const VERSION: u8 = 1;

macro_rules! encoded {
    ($($name:ident),+) => { $(
        impl $name {
            /// Returns the stored and sent form.
            ///
            /// # Errors
            /// `TooLarge` when it is over [`FACT_BYTES_MAX`].
            pub fn encode(&self) -> Result<Vec<u8>, FactError> {
                let bytes = postcard::to_extend(self, vec![VERSION])
                    .map_err(|_| FactError::Malformed { version: VERSION })?;
                if bytes.len() > FACT_BYTES_MAX {
                    return Err(FactError::TooLarge { bytes: bytes.len() });
                }
                Ok(bytes)
            }

            /// Reads the stored and sent form of any released version.
            ///
            /// # Errors
            /// When the bytes are not exactly one fact of a known version.
            pub fn decode(bytes: &[u8]) -> Result<Self, FactError> {
                if bytes.len() > FACT_BYTES_MAX {
                    return Err(FactError::TooLarge { bytes: bytes.len() });
                }
                match bytes.split_first() {
                    None => Err(FactError::Empty),
                    Some((&VERSION, body)) => match postcard::take_from_bytes(body) {
                        Ok((fact, [])) => Ok(fact),
                        Ok((_, [_, ..])) | Err(_) => Err(FactError::Malformed { version: VERSION }),
                    },
                    Some((&found, _)) if found > VERSION => {
                        Err(FactError::Newer { found, known: VERSION })
                    }
                    Some((&version, _)) => Err(FactError::Malformed { version }),
                }
            }
        }
    )+ };
}

encoded!(UsageFact, ActivityFact);

#[cfg(test)]
mod tests {
    use super::*;

    fn usage() -> UsageFact {
        UsageFact {
            tenant: TenantId::from_bytes([1; 16]),
            server: ServerId::from_bytes([2; 16]),
            from: UnixMs(1_000),
            to: UnixMs(2_000),
            body: UsageBody::Measured(Quantities { cpu_used: 7, ..Quantities::default() }),
        }
    }

    #[test]
    fn facts_round_trip() {
        let bytes = usage().encode().unwrap();
        assert_eq!(UsageFact::decode(&bytes), Ok(usage()));
    }

    #[test]
    fn bad_bytes_are_told_apart() {
        let mut bytes = usage().encode().unwrap();
        assert_eq!(UsageFact::decode(&[]), Err(FactError::Empty));
        assert_eq!(UsageFact::decode(&[1, 2]), Err(FactError::Malformed { version: 1 }));
        bytes.push(0);
        assert_eq!(UsageFact::decode(&bytes), Err(FactError::Malformed { version: 1 }));
        bytes[0] = 2;
        assert_eq!(UsageFact::decode(&bytes), Err(FactError::Newer { found: 2, known: 1 }));
    }

    #[test]
    fn each_part_of_a_fact_changes_the_chain() {
        let base = Chain::default().then(Epoch(1), Seq(1), b"a");
        assert_ne!(base, Chain::default().then(Epoch(2), Seq(1), b"a"));
        assert_ne!(base, Chain::default().then(Epoch(1), Seq(2), b"a"));
        assert_ne!(base, Chain::default().then(Epoch(1), Seq(1), b"b"));
        assert_ne!(base, base.then(Epoch(1), Seq(1), b"a"));
    }
}
