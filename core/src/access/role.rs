//! Pure: roles: names for sets of rights in one tenant.

use super::keys::{ServerKey, TenantRight};
use crate::ids::RoleId;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// What a role allows in one tenant: with the tenant itself and with each of its servers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Rights {
    /// Rights over the tenant.
    #[serde(default)]
    pub tenant: BTreeSet<TenantRight>,
    /// Keys for each of its servers.
    #[serde(default)]
    pub server: BTreeSet<ServerKey>,
}

/// Part that a member plays in a tenant.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Everything. A tenant always has at least one.
    Owner,
    /// Everything but deleting the tenant.
    Admin,
    /// Plans, invoices and means of payment; no servers.
    Billing,
    /// Runs servers for others: power, console, backups; changes no settings.
    Support,
    /// Looks and touches nothing.
    Viewer,
    /// One that the tenant made.
    Custom(RoleId),
}

impl Role {
    /// Those that every tenant has.
    pub const BUILT_IN: [Self; 5] =
        [Self::Owner, Self::Admin, Self::Billing, Self::Support, Self::Viewer];

    /// Returns what a built-in role allows; `None` for the tenant's own, which its record tells.
    #[must_use]
    pub fn rights(self) -> Option<Rights> {
        Some(match self {
            Self::Owner => Rights::all(),
            Self::Admin => {
                let mut rights = Rights::all();
                rights.tenant.remove(&TenantRight::TenantDelete);
                rights
            }
            Self::Billing => Rights {
                tenant: [TenantRight::TenantRead, TenantRight::BillingRead].into(),
                server: BTreeSet::new(),
            },
            Self::Support => {
                let mut rights = Rights::all().read_only();
                rights.tenant.remove(&TenantRight::BillingRead);
                rights.server.extend([
                    ServerKey::ControlConsole,
                    ServerKey::ControlStart,
                    ServerKey::ControlStop,
                    ServerKey::ControlRestart,
                    ServerKey::FileReadContent,
                    ServerKey::BackupCreate,
                ]);
                rights
            }
            Self::Viewer => Rights {
                tenant: [TenantRight::TenantRead].into(),
                server: Rights::all().read_only().server,
            },
            Self::Custom(_) => return None,
        })
    }
}

impl Rights {
    /// Everything.
    #[must_use]
    pub fn all() -> Self {
        Self {
            tenant: TenantRight::ALL.iter().copied().collect(),
            server: ServerKey::ALL.iter().copied().collect(),
        }
    }

    /// Whether nothing is allowed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.tenant.is_empty() && self.server.is_empty()
    }

    /// Returns what of it only lets look.
    #[must_use]
    pub fn read_only(&self) -> Self {
        Self {
            tenant: self.tenant.iter().copied().filter(|it| it.is_read()).collect(),
            server: self.server.iter().copied().filter(|it| it.is_read()).collect(),
        }
    }

    /// Returns what both allow.
    #[must_use]
    pub fn and(&self, other: &Self) -> Self {
        Self {
            tenant: self.tenant.intersection(&other.tenant).copied().collect(),
            server: self.server.intersection(&other.server).copied().collect(),
        }
    }

    /// Adds what another allows.
    pub fn add(&mut self, other: &Self) {
        self.tenant.extend(&other.tenant);
        self.server.extend(&other.server);
    }
}
