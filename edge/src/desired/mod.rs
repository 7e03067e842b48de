//! Taking over what the hub wants: envelopes, and power actions from any door.
//!
//! An envelope is stored before anything acts on it; a bad one is refused for its server alone and
//! leaves the last good one in force. A power action is stored as a wish together with the fact that
//! reports it, exactly once per intent. Nothing here starts or stops anything: the supervisor follows
//! what is stored.

mod adopt;
mod power;

pub use adopt::{Adopter, Verify, desired_lines};
pub use power::{accept_intent, answered, record_power};

use mamba_core::{
    clock::UnixMs,
    fact::{Activity, ActivityFact},
    ids::{EventId, ServerId, TenantId},
    lifecycle::Actor,
};

/// Makes a fact about one server.
fn fact_about(
    event: EventId,
    at: UnixMs,
    about: (TenantId, ServerId),
    actor: Actor,
    body: Activity,
) -> ActivityFact {
    ActivityFact { event, at, about: Some(about), actor, body }
}

#[cfg(test)]
mod tests;
