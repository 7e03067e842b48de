//! Pure: proofs of what a caller may touch. A handler takes one of these and never a raw id, so that
//! it cannot forget to check.
//!
//! Only the code that authenticates makes them: the session check of the API, the certificate check
//! of the link, and the operator's local door.

use crate::{
    access::ServerKeys,
    audit::{Door, Origin},
    ids::{NodeId, TenantId, UserId},
    lifecycle::Actor,
};

/// The caller may act on everything that one tenant owns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TenantScope {
    tenant: TenantId,
    actor: Actor,
    origin: Origin,
    keys: ServerKeys,
}

impl TenantScope {
    /// Grants a user access to a tenant. Called after membership, or being an admin, was checked.
    #[must_use]
    pub fn granted(tenant: TenantId, user: UserId) -> Self {
        let (actor, origin) = (Actor::User(user), Origin::default());
        Self { tenant, actor, origin, keys: ServerKeys::NONE }
    }

    /// Says which keys the caller has for the server that this is about. A node asks for them again.
    #[must_use]
    pub fn with_keys(self, keys: ServerKeys) -> Self {
        Self { keys, ..self }
    }

    /// The keys for the server that this is about.
    #[must_use]
    pub fn keys(&self) -> ServerKeys {
        self.keys
    }

    /// The tenant.
    #[must_use]
    pub fn tenant(&self) -> TenantId {
        self.tenant
    }

    /// Says from where, for the audit trail.
    #[must_use]
    pub fn from(self, origin: Origin) -> Self {
        Self { origin, ..self }
    }

    /// From where.
    #[must_use]
    pub fn origin(&self) -> Origin {
        self.origin
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
    origin: Origin,
}

impl AdminScope {
    /// Grants a user everything. Called after being an admin was checked.
    #[must_use]
    pub fn granted(user: UserId) -> Self {
        Self { actor: Actor::User(user), origin: Origin::default() }
    }

    /// Grants everything to whoever may use the hub's local socket or data directory, by the name
    /// of the operating system's user.
    #[must_use]
    pub fn operator(name: String) -> Self {
        let origin = Origin { door: Door::Local, ..Origin::default() };
        Self { actor: Actor::Operator(name), origin }
    }

    /// Narrows it to one tenant. It holds no keys for a server.
    #[must_use]
    pub fn tenant(&self, tenant: TenantId) -> TenantScope {
        let (actor, origin) = (self.actor.clone(), self.origin);
        TenantScope { tenant, actor, origin, keys: ServerKeys::NONE }
    }

    /// Says from where, for the audit trail.
    #[must_use]
    pub fn from(self, origin: Origin) -> Self {
        Self { origin, ..self }
    }

    /// From where.
    #[must_use]
    pub fn origin(&self) -> Origin {
        self.origin
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
