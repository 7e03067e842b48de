//! QUIC, certificates and signatures: everything between a session and the network.
//!
//! TLS 1.3 only, Ed25519 only, no 0-RTT, no resumption: a resumed session would bring back an
//! identity that nobody has checked again. The hub shows a certificate for the fixed name
//! [`SERVER_NAME`] under the *hub CA*; nodes show certificates with the name `mamba://node/<uuid>`
//! under the *node CA*. Addresses are in no certificate, because they change.

pub mod frames;
pub mod keys;
pub mod authority;
pub mod tls;
pub mod endpoint;

/// Name in the hub's certificate.
pub const SERVER_NAME: &str = "hub.mamba";
