//! Pure: what the hub wants of a node's servers, and which of two wishes wins.
//!
//! A wish travels as an [`Envelope`], encoded once and signed as bytes ([`SignedEnvelope`]); its hash
//! is BLAKE3 over those bytes. Envelopes of one server are ordered by [`Order`]: the incarnation of
//! the hub's database first, then the generation. Absence of an envelope never means deletion: only
//! a tombstone does.

use crate::{
    clock::UnixMs,
    ids::{NodeId, ServerId, TenantId, TransferId},
    seq::{Generation, Incarnation},
    server::ServerSpec,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Most bytes of one encoded envelope: a spec at all its limits is far smaller than a frame.
pub const ENVELOPE_BYTES_MAX: usize = 256 * 1024;

/// Rank of one wish among the wishes for the same server.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    JsonSchema,
)]
pub struct Order {
    /// Life of the hub's database that made it.
    pub incarnation: Incarnation,
    /// Change of this server within that life.
    pub generation: Generation,
}

/// BLAKE3 of an envelope's encoded bytes.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(transparent)]
pub struct EnvelopeHash(pub [u8; 32]);

/// One wish for one server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Envelope {
    /// Who owns the server.
    pub tenant: TenantId,
    /// The node it is meant for; another node refuses it.
    pub node: NodeId,
    /// The server it is about.
    pub server: ServerId,
    /// Its rank.
    pub order: Order,
    /// Which of the server's homes the node is.
    pub home: Home,
    /// Not acted upon before this, by hub time.
    pub not_before: UnixMs,
    /// Set by an operator who knows that this stops or deletes many servers at once.
    pub force: bool,
    /// What is wanted.
    pub body: Wish,
}

/// One of the nodes on which a server lives, and one of the tenants that own it, in the course of time.
/// A wish of fewer moves or owners is taken by nobody who holds one of more, whatever their ranks:
/// where a server lives and whose it is does not follow from what was wanted of it last.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
pub struct Home {
    /// How often the server was moved before it lived there.
    pub moves: u32,
    /// Since when it lives there, by hub time; 0 where it was made.
    pub since: UnixMs,
    /// How often it changed hands before it belonged to its tenant.
    pub owners: u32,
    /// Since when it belongs to that one, by hub time; 0 to whom it was made for.
    pub owned_since: UnixMs,
}

impl Home {
    /// Whether it is from before what another one says.
    #[must_use]
    pub fn is_before(&self, other: &Self) -> bool {
        self.moves < other.moves || self.owners < other.owners
    }
}

/// What is wanted of a server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Wish {
    /// It exists, so.
    Exist(Box<ServerSpec>),
    /// It is deleted: stopped, its data moved to the trash and purged after `retain_ms`.
    Deleted {
        /// How long the data is kept in the trash.
        retain_ms: u64,
    },
    /// It exists, so, and may not run: it is being moved to another node. Its data stays as it is.
    Leaving {
        /// What it is.
        spec: Box<ServerSpec>,
        /// Which hand-over.
        transfer: TransferId,
        /// Where to.
        to: NodeId,
    },
    /// It lives on another node now: what is left of it here is moved to the trash and purged after
    /// `retain_ms`.
    Moved {
        /// Where it lives.
        to: NodeId,
        /// How long the data is kept in the trash.
        retain_ms: u64,
    },
}

impl Wish {
    /// Returns what the server is, when it exists on the node.
    #[must_use]
    pub fn spec(&self) -> Option<&ServerSpec> {
        match self {
            Self::Exist(spec) | Self::Leaving { spec, .. } => Some(spec),
            Self::Deleted { .. } | Self::Moved { .. } => None,
        }
    }

    /// Returns how long data is kept that has no place on the node any more, `None` when it has.
    #[must_use]
    pub fn retain_ms(&self) -> Option<u64> {
        match self {
            Self::Deleted { retain_ms } | Self::Moved { retain_ms, .. } => Some(*retain_ms),
            Self::Exist(_) | Self::Leaving { .. } => None,
        }
    }
}

/// An envelope as it travels and is stored: the exact bytes that were signed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SignedEnvelope {
    /// Postcard of an [`Envelope`].
    pub bytes: Vec<u8>,
    /// Ed25519 over `bytes` by the hub's envelope key. 64 bytes.
    pub signature: Vec<u8>,
}

impl SignedEnvelope {
    /// Returns the hash that identifies the content.
    #[must_use]
    pub fn hash(&self) -> EnvelopeHash {
        EnvelopeHash(*blake3::hash(&self.bytes).as_bytes())
    }

    /// Decodes the content. Says nothing about the signature.
    ///
    /// # Errors
    /// When the bytes are not one whole envelope or too many.
    pub fn open(&self) -> Result<Envelope, EnvelopeError> {
        if self.bytes.len() > ENVELOPE_BYTES_MAX {
            return Err(EnvelopeError::TooLarge { bytes: self.bytes.len() });
        }
        match postcard::take_from_bytes(&self.bytes) {
            Ok((envelope, [])) => Ok(envelope),
            Ok((_, [_, ..])) | Err(_) => Err(EnvelopeError::Malformed),
        }
    }
}

impl Envelope {
    /// Encodes it for signing.
    ///
    /// # Errors
    /// When it is larger than [`ENVELOPE_BYTES_MAX`].
    pub fn encode(&self) -> Result<Vec<u8>, EnvelopeError> {
        let bytes = postcard::to_stdvec(self).map_err(|_| EnvelopeError::Malformed)?;
        if bytes.len() > ENVELOPE_BYTES_MAX {
            return Err(EnvelopeError::TooLarge { bytes: bytes.len() });
        }
        Ok(bytes)
    }
}

/// Why bytes are not an envelope.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EnvelopeError {
    /// Not one whole envelope.
    #[error("envelope is malformed")]
    Malformed,
    /// Over the limit.
    #[error("envelope of {bytes} bytes is over the limit of {ENVELOPE_BYTES_MAX}")]
    TooLarge {
        /// Its size.
        bytes: usize,
    },
}

/// What the holder of one wish does with another for the same server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is newer: store it, then act.
    Adopt,
    /// It is the one already held: acknowledge again.
    Same,
    /// It is from an older life of the hub: refuse and say so.
    HubRollback,
    /// It is older: refuse.
    Stale,
    /// Same rank, other content: refuse and raise an alarm.
    Conflict,
}

/// Compares a wish that arrived with the one that is held.
#[must_use]
pub fn judge(held: Option<(Order, EnvelopeHash)>, got: (Order, EnvelopeHash)) -> Verdict {
    let Some(held) = held else { return Verdict::Adopt };
    match got.0.cmp(&held.0) {
        std::cmp::Ordering::Greater => Verdict::Adopt,
        std::cmp::Ordering::Equal if got.1 == held.1 => Verdict::Same,
        std::cmp::Ordering::Equal => Verdict::Conflict,
        std::cmp::Ordering::Less if got.0.incarnation < held.0.incarnation => Verdict::HubRollback,
        std::cmp::Ordering::Less => Verdict::Stale,
    }
}

/// Whether one delta may stop or delete `ending` of a node's `total` servers without an operator's
/// force flag: at most 5, or a fifth when that is more. A larger one is far more likely a mistake.
#[must_use]
pub fn is_within_mass_limit(total: usize, ending: usize) -> bool {
    ending <= (total / 5).max(5)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(incarnation: u32, generation: u64, content: u8) -> (Order, EnvelopeHash) {
        let order =
            Order { incarnation: Incarnation(incarnation), generation: Generation(generation) };
        (order, EnvelopeHash([content; 32]))
    }

    #[test]
    fn incarnation_then_generation_decide() {
        for (held, got, expected) in [
            (None, at(1, 1, 0), Verdict::Adopt),
            (Some(at(1, 1, 0)), at(1, 2, 1), Verdict::Adopt),
            (Some(at(1, 9, 0)), at(2, 1, 1), Verdict::Adopt),
            (Some(at(1, 2, 0)), at(1, 2, 0), Verdict::Same),
            (Some(at(1, 2, 0)), at(1, 2, 1), Verdict::Conflict),
            (Some(at(1, 2, 0)), at(1, 1, 0), Verdict::Stale),
            (Some(at(2, 1, 0)), at(1, 9, 0), Verdict::HubRollback),
        ] {
            assert_eq!(judge(held, got), expected, "{held:?} {got:?}");
        }
    }

    #[test]
    fn a_large_share_of_a_node_needs_force() {
        for (total, ending, expected) in
            [(3, 3, true), (6, 6, false), (20, 5, true), (100, 20, true), (100, 21, false)]
        {
            assert_eq!(is_within_mass_limit(total, ending), expected, "{ending} of {total}");
        }
    }

    #[test]
    fn an_envelope_with_bytes_behind_it_is_malformed() {
        let envelope = Envelope {
            tenant: TenantId::from_bytes([1; 16]),
            node: NodeId::from_bytes([2; 16]),
            server: ServerId::from_bytes([3; 16]),
            order: Order::default(),
            home: Home::default(),
            not_before: UnixMs(0),
            force: false,
            body: Wish::Deleted { retain_ms: 1 },
        };
        let mut bytes = envelope.encode().unwrap();
        let signed = SignedEnvelope { bytes: bytes.clone(), signature: vec![] };
        assert_eq!(signed.open(), Ok(envelope));
        bytes.push(0);
        let signed = SignedEnvelope { bytes, signature: vec![] };
        assert_eq!(signed.open(), Err(EnvelopeError::Malformed));
    }
}
