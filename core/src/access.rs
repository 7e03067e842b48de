//! Pure: who may do what. The one permission table.

use crate::ids::TenantId;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What somebody may do with what a tenant owns.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Right {
    /// See servers, their state and their intents.
    ServerRead,
    /// Start, stop, restart and kill.
    ServerPower,
    /// Change name and variables.
    ServerUpdate,
    /// Delete.
    ServerDelete,
    /// Read the console.
    ConsoleRead,
    /// Type into the console.
    ConsoleWrite,
    /// See what happened.
    ActivityRead,
    /// See what was used.
    UsageRead,
}

/// Part that an account plays.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Runs the hub: may do everything, for every tenant.
    Admin,
    /// Owns one tenant: may do everything with what that tenant owns, and nothing else.
    Owner(TenantId),
}

impl Role {
    /// Whether this role has a right over what `tenant` owns.
    #[must_use]
    pub fn may(self, _right: Right, tenant: TenantId) -> bool {
        match self {
            Self::Admin => true,
            Self::Owner(own) => own == tenant,
        }
    }

    /// Returns the tenant that this role is confined to, `None` when it sees all.
    #[must_use]
    pub fn confined_to(self) -> Option<TenantId> {
        match self {
            Self::Admin => None,
            Self::Owner(tenant) => Some(tenant),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_owner_has_no_rights_over_another_tenant() {
        let (own, other) = (TenantId::from_bytes([1; 16]), TenantId::from_bytes([2; 16]));
        for (role, tenant, expected) in [
            (Role::Admin, own, true),
            (Role::Admin, other, true),
            (Role::Owner(own), own, true),
            (Role::Owner(own), other, false),
        ] {
            assert_eq!(role.may(Right::ServerRead, tenant), expected, "{role:?} {tenant}");
        }
    }
}
