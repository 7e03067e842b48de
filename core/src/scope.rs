//! Pure: proofs of what a caller may touch. A handler takes one of these and never a raw id, so that
//! it cannot forget to check.
//!
//! Only the code that authenticates makes them: the session check of the API, the certificate check
//! of the link, and the operator's local door.

use crate::{
    ids::{NodeId, TenantId, UserId},
    lifecycle::Actor,
};

/// The caller may act on everything that one tenant owns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TenantScope {
    tenant: TenantId,
    actor: Actor,
}

impl TenantScope {
    /// Grants a user access to a tenant. Called after membership, or being an admin, was checked.
    #[must_use]
    pub fn granted(tenant: TenantId, user: UserId) -> Self {
        Self { tenant, actor: Actor::User(user) }
    }

    /// The tenant.
    #[must_use]
    pub fn tenant(&self) -> TenantId {
        self.tenant
    }

    /// Who acts.
    #[must_use]
    pub fn actor(&self) -> &Actor {
        &self.actor
    }
}

/// The caller may act on the whole installation: nodes, allocations, every tenant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdminScope {
    actor: Actor,
}

impl AdminScope {
    /// Grants a user everything. Called after being an admin was checked.
    #[must_use]
    pub fn granted(user: UserId) -> Self {
        Self { actor: Actor::User(user) }
    }

    /// Grants everything to whoever may use the hub's local socket or data directory, by the name
    /// of the operating system's user.
    #[must_use]
    pub fn operator(name: String) -> Self {
        Self { actor: Actor::Operator(name) }
    }

    /// Narrows it to one tenant.
    #[must_use]
    pub fn tenant(&self, tenant: TenantId) -> TenantScope {
        TenantScope { tenant, actor: self.actor.clone() }
    }

    /// Who acts.
    #[must_use]
    pub fn actor(&self) -> &Actor {
        &self.actor
    }
}

/// The caller is one node and may speak only of what is placed on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct NodeScope {
    node: NodeId,
}

impl NodeScope {
    /// Grants a peer the voice of a node. Called after its certificate and key were checked.
    #[must_use]
    pub fn granted(node: NodeId) -> Self {
        Self { node }
    }

    /// The node.
    #[must_use]
    pub fn node(&self) -> NodeId {
        self.node
    }
}
