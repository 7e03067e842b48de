//! Pure: signing in and out.

use super::RequestBody;
use mamba_core::{
    access::{Administration, Role},
    clock::UnixMs,
    ids::{SessionId, TenantId, UserId},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Body of [`super::table::Login`].
#[derive(Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Login {
    /// E-mail address, in any case.
    pub email: String,
    /// Password.
    pub password: String,
}

/// Body of [`super::table::Refresh`].
#[derive(Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Refresh {
    /// The newest refresh token of the session. An older one ends the session: somebody copied it.
    pub refresh_token: String,
}

impl RequestBody for Login {}
impl RequestBody for Refresh {}

/// What a client holds while it is signed in.
#[derive(Clone, Serialize, Deserialize, JsonSchema)]
pub struct Tokens {
    /// Goes into `authorization: Bearer ..`.
    pub access_token: String,
    /// End of the access token.
    pub access_until: UnixMs,
    /// Gives the next pair, once.
    pub refresh_token: String,
    /// End of the session unless it is refreshed before.
    pub refresh_until: UnixMs,
    /// Who is signed in.
    pub me: Me,
}

/// Who is signed in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Me {
    /// The account.
    pub user: UserId,
    /// Its e-mail address.
    pub email: String,
    /// Its part in running the hub: `"none"`, `"root"` or `{"some": [rights]}`.
    pub admin: Administration,
    /// Tenants that it is a member of, oldest first.
    pub tenants: Vec<Membership>,
    /// This session.
    pub session: SessionId,
}

/// A tenant that somebody is a member of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Membership {
    /// The tenant.
    pub tenant: TenantId,
    /// Its name.
    pub name: String,
    /// The member's part.
    pub role: Role,
}
