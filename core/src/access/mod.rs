//! Pure: who may do what. The one permission table, for hub, edge and user interface.
//!
//! Three tables of keys ([`ServerKey`], [`TenantRight`], [`AdminRight`]) say what can be allowed.
//! [`Access`] says what an account, or an API key of it, is allowed and where; [`Access::decide`] is
//! the only place that compares the two. What a caller may not see answers as if it did not exist;
//! what it may see but not do names the key that is missing.

mod keys;
mod role;
mod decide;
mod held;
#[cfg(test)]
mod tests;

pub use decide::{Access, Grant, Object, Verdict, Wanted};
pub use held::ServerKeys;
pub use keys::{AdminRight, ServerKey, TenantRight, UnknownKey, about_group};
pub use role::{Rights, Role};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// Tenants above a tenant: a provider, its resellers, theirs, and nobody below those.
pub const TENANT_DEPTH_MAX: usize = 4;

/// An account's part in running the hub.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Administration {
    /// None.
    #[default]
    None,
    /// These rights.
    Some(BTreeSet<AdminRight>),
    /// All rights that there are and will be.
    Root,
}

impl Administration {
    /// Returns the rights.
    #[must_use]
    pub fn rights(&self) -> BTreeSet<AdminRight> {
        match self {
            Self::None => BTreeSet::new(),
            Self::Some(rights) => rights.clone(),
            Self::Root => AdminRight::ALL.iter().copied().collect(),
        }
    }

    /// Whether whoever has `access`, as root or not, may give this part or take it away: what is root's
    /// only root gives and takes, and every other right only who has it.
    #[must_use]
    pub fn is_within(&self, access: &Access, is_root: bool) -> bool {
        match self {
            Self::None => true,
            Self::Some(rights) => rights.iter().all(|right| access.has(*right)),
            Self::Root => is_root,
        }
    }

    /// Whether it is any part at all.
    #[must_use]
    pub fn is_admin(&self) -> bool {
        match self {
            Self::None => false,
            Self::Some(rights) => !rights.is_empty(),
            Self::Root => true,
        }
    }
}
