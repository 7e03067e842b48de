//! Pure: both halves of the link protocol. They own no socket and read no clock.
//!
//! Frames, answers of the store and the time go in; frames, questions to the store and the next
//! deadline come out. A thin shell on each side moves bytes and runs the questions. Both halves are
//! here, so that one test can join them although edge and hub never import each other.
//!
//! What holds, whatever is cut, repeated or lost between two sessions:
//! - the hub takes facts of one stream and epoch strictly in order, and asks its store for custody
//!   of one batch at a time;
//! - an ack is sent only after the store has said that it committed;
//! - at most [`crate::link::v1::BATCHES_IN_FLIGHT_MAX`] batches per stream are on the way;
//! - usage facts are packed ([`crate::link::v1::PackedFacts`]) and come out byte for byte as they went
//!   in, which their chain hash shows;
//! - who breaks the protocol is told why and the session ends; nothing else does.

mod compare;
mod pack;
mod state;
mod edge;
mod hub;
mod wishes;
#[cfg(test)]
mod tests;

pub use compare::{Comparison, Delta, StreamRecord, compare, desired_delta};
pub use edge::{EdgeAsk, EdgeOut, EdgeSession, Own};
pub use hub::{HubAsk, HubOut, HubSession, Now};
pub use pack::BadPack;
pub use state::StateDelta;
pub use wishes::Wanted;

use crate::{frame::FrameError, link::v1::Goodbye};
use mamba_core::{
    fact::{Chain, Stream},
    seq::{Epoch, Seq},
};

/// The hub pings this often; with its time in it, that also keeps the edge's calendar true. An exchange is
/// three packets, 228 bytes with their headers, and all that an idle link carries: it comes as seldom as a
/// NAT entry of 30 s allows.
pub const PING_MS: u64 = 25_000;
/// Silence after which a session is given up: two pings and a little more. The transport notices a dead path by
/// itself; this notices a peer that is alive below and dead above.
pub const SILENCE_MS: u64 = 60_000;
/// Longest time from the start of a session to the hello and to the welcome.
pub const GREETING_MS: u64 = 15_000;
/// Intents and envelopes without an answer are sent again after this.
pub const RESEND_MS: u64 = 30_000;

/// Which QUIC stream a frame of the edge goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Lane {
    /// Everything but facts and state.
    Control,
    /// Facts of one stream.
    Facts(Stream),
    /// State reports.
    State,
}

/// Consecutive facts of one stream as the edge's store gives them out: at least one, at most
/// [`crate::link::v1::BATCH_FACTS_MAX`] with [`crate::link::v1::BATCH_BYTES_MAX`] bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    /// Which filling of the table.
    pub epoch: Epoch,
    /// Sequence of the first fact.
    pub first: Seq,
    /// Chain hash before the first fact.
    pub chain_before: Chain,
    /// Encoded facts in order.
    pub bodies: Vec<Vec<u8>>,
    /// Chain hash of the last one.
    pub chain: Chain,
}

/// How the other side broke the protocol.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProtocolError {
    /// A frame that cannot be read.
    #[error("bad frame")]
    Frame(#[from] FrameError),
    /// Packed facts that cannot be unpacked.
    #[error("bad batch of facts")]
    Packed(#[from] BadPack),
    /// A good frame at the wrong time or on the wrong stream.
    #[error("`{frame}` does not belong here: {why}")]
    Unexpected {
        /// Its name.
        frame: &'static str,
        /// Why not.
        why: &'static str,
    },
    /// More than a limit allows.
    #[error("`{frame}` is over a limit: {limit}")]
    OverLimit {
        /// Its name.
        frame: &'static str,
        /// Which limit.
        limit: &'static str,
    },
    /// Facts that do not follow those before.
    #[error("facts of {stream:?} do not follow those before")]
    Gap {
        /// Which stream.
        stream: Stream,
    },
}

/// Why a session is over.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum End {
    /// The peer broke the protocol.
    #[error("peer broke the protocol")]
    Protocol(#[from] ProtocolError),
    /// The peer says nothing any more.
    #[error("nothing was heard for {} s", ms / 1_000)]
    Silent {
        /// How long, in milliseconds.
        ms: u64,
    },
    /// The hub ended it.
    #[error("hub ended the session: {0:?}")]
    Goodbye(Goodbye),
    /// A stream began a new epoch; the next hello tells the hub.
    #[error("outbox stream {0:?} began a new epoch")]
    Forked(Stream),
    /// The connection is gone.
    #[error("connection was lost: {0}")]
    Lost(String),
    /// Our own store cannot go on.
    #[error("store cannot go on: {0}")]
    Store(String),
}

impl End {
    /// Returns the code with which the connection is closed.
    #[must_use]
    pub fn close_code(&self) -> u32 {
        match self {
            Self::Protocol(_) => 1,
            Self::Goodbye(_) => 2,
            Self::Forked(_) => 3,
            Self::Store(_) => 4,
            Self::Lost(_) => 5,
            Self::Silent { .. } => 6,
        }
    }
}

/// Reads the first frame of a stream that the edge opened.
///
/// # Errors
/// When it is another frame.
pub fn lane_of(frame: &crate::frame::Frame) -> Result<Lane, ProtocolError> {
    use crate::link::v1::{EdgeFrame, LaneOpen};
    match EdgeFrame::from_frame(frame)? {
        Some(EdgeFrame::LaneOpen(LaneOpen::Control)) => Ok(Lane::Control),
        Some(EdgeFrame::LaneOpen(LaneOpen::State)) => Ok(Lane::State),
        Some(EdgeFrame::LaneOpen(LaneOpen::Facts(stream))) => Ok(Lane::Facts(stream)),
        _ => Err(ProtocolError::Unexpected { frame: "first frame", why: "must be LaneOpen" }),
    }
}
