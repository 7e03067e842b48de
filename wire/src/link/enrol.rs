//! Pure: messages of enrolment and renewal, ALPN `mamba-enrol/1`.
//!
//! One bidirectional stream per exchange, opened by the edge. TLS shows the edge that it talks to
//! its hub; the edge shows who it is by what it sends:
//!
//! ```text
//! edge                            hub
//! EnrolAsk::Enrol            ->                          first contact, with a join token
//!                            <-   EnrolAnswer::Enrolled | Refused
//! EnrolAsk::RenewStart       ->                          a known node, also after its certificate
//!                            <-   EnrolAnswer::Nonce     expired
//! EnrolAsk::Renew            ->
//!                            <-   EnrolAnswer::Renewed | Refused
//! ```
//! A token is bound to the first key that uses it: the same key may ask again while the token is
//! valid and gets the same node, so that a lost answer burns nothing. For any other key a used token
//! looks like an unknown one.

use crate::{
    frame::{CRITICAL, Frame, FrameError},
    link::token::JoinSecret,
};
use mamba_core::{clock::UnixMs, ids::NodeId};
use serde::{Deserialize, Serialize};

/// Most bytes of any message here.
pub const ENROL_BYTES_MAX: usize = 16 * 1024;
/// Longest name that an edge may propose, in bytes.
pub const NAME_BYTES_MAX: usize = 64;

/// An Ed25519 public key. A node's is the node: certificates only wrap it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PublicKey(pub [u8; 32]);

/// What the edge asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EnrolAsk {
    /// Become a node.
    Enrol(EnrolRequest),
    /// Get a nonce to sign.
    RenewStart(NodeId),
    /// Get a new certificate.
    Renew(RenewRequest),
}

/// Asks to become a node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EnrolRequest {
    /// From the join token.
    pub secret: JoinSecret,
    /// PKCS #10 in DER, signed by the node's key. Only the key is taken from it.
    pub csr: Vec<u8>,
    /// Name to show, for example the machine's host name. At most [`NAME_BYTES_MAX`].
    pub name_hint: String,
    /// The machine.
    pub machine: Machine,
}

/// What the hub is told of a machine that joins.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Machine {
    /// Version of the edge.
    pub software: String,
    /// Operating system and kernel.
    pub system: String,
    /// Processors.
    pub cpus: u32,
    /// Memory in bytes.
    pub memory_bytes: u64,
}

/// Asks for a new certificate for a known node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RenewRequest {
    /// Who asks.
    pub node: NodeId,
    /// PKCS #10 in DER, with the key that the hub knows.
    pub csr: Vec<u8>,
    /// Signature by the node's key over [`renewal_text`]. 64 bytes.
    pub signature: Vec<u8>,
}

/// Returns what a node signs to get a new certificate. The leading text keeps the signature from
/// meaning anything elsewhere.
#[must_use]
pub fn renewal_text(node: NodeId, nonce: &[u8; 32], csr: &[u8]) -> Vec<u8> {
    let mut text = b"mamba-renew/1\0".to_vec();
    text.extend_from_slice(&node.to_bytes());
    text.extend_from_slice(nonce);
    text.extend_from_slice(blake3::hash(csr).as_bytes());
    text
}

/// What the hub answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EnrolAnswer {
    /// The asker is a node now, or was already with this token and key.
    Enrolled(EnrolReply),
    /// To be signed; good for this stream only.
    Nonce([u8; 32]),
    /// A new certificate.
    Renewed(RenewReply),
    /// No.
    Refused(EnrolRefused),
}

/// Everything that a new node needs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EnrolReply {
    /// Who it is from now on.
    pub node: NodeId,
    /// Its certificate.
    pub renewal: RenewReply,
}

/// A certificate and what goes with it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RenewReply {
    /// DER, the node's own certificate first.
    pub certificate_chain: Vec<Vec<u8>>,
    /// End of the certificate, by hub time.
    pub valid_until: UnixMs,
    /// DER of the CA that signs the hub's certificates.
    pub hub_ca: Vec<u8>,
    /// Key that signs envelopes.
    pub envelope_key: PublicKey,
    /// The hub's time.
    pub now: UnixMs,
}

/// Why the hub does not hand out a certificate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum EnrolRefused {
    /// Unknown, used or expired; the hub does not tell which.
    #[error("join token is unknown, used or expired: make a new one with `mamba-hub node token`")]
    Token,
    /// Unknown node or wrong key; the hub does not tell which.
    #[error("hub does not know this node with this key")]
    Node,
    /// The node was revoked.
    #[error("node is revoked: enrol again with a new join token")]
    Revoked,
    /// The request breaks a rule.
    #[error("hub refused the request: {0}")]
    Invalid(String),
    /// The hub cannot do it now; worth trying again.
    #[error("hub is busy")]
    Busy,
}

macro_rules! frames {
    ($name:ident { $($kind:literal $variant:ident($body:ty);)+ }) => {
        impl $name {
            /// Encodes the frame.
            ///
            /// # Errors
            /// `TooLarge` when it does not fit.
            pub fn to_frame(&self) -> Result<Frame, FrameError> {
                match self {
                    $(Self::$variant(body) => Frame::new($kind, CRITICAL, body),)+
                }
            }

            /// Decodes a frame.
            ///
            /// # Errors
            /// `Malformed`, `TooLarge` above [`ENROL_BYTES_MAX`], or `UnknownCritical` for any other.
            pub fn from_frame(frame: &Frame) -> Result<Self, FrameError> {
                if frame.body.len() > ENROL_BYTES_MAX {
                    return Err(FrameError::TooLarge { bytes: frame.body.len() });
                }
                match frame.kind {
                    $($kind => frame.open::<$body>().map(Self::$variant),)+
                    kind => Err(FrameError::UnknownCritical { kind }),
                }
            }
        }
    };
}

frames! { EnrolAsk {
    301 Enrol(EnrolRequest);
    302 RenewStart(NodeId);
    303 Renew(RenewRequest);
} }

frames! { EnrolAnswer {
    311 Enrolled(EnrolReply);
    312 Nonce([u8; 32]);
    313 Renewed(RenewReply);
    314 Refused(EnrolRefused);
} }
