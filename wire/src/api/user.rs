//! Pure: accounts, as administrators see them.

use super::{RequestBody, auth::Membership, page::unfiltered, params::params};
use mamba_core::{access::Administration, clock::UnixMs, ids::UserId};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

params! {
    /// Names an account.
    UserPath {
        /// Which.
        user: UserId,
    }

    /// Which accounts.
    UserQuery {
        /// Only those with this in their address, in any case.
        email: Option<String>,
        /// With this name in another system.
        external_id: Option<String>,
        /// `made` (default) or `email`; with `-` in front from the end.
        sort: Option<String>,
        /// Like [`super::PageQuery::after`].
        after: Option<String>,
        /// Like [`super::PageQuery::limit`].
        limit: Option<u32> where 1..=super::page::PAGE_ITEMS_MAX,
    }
}

unfiltered!(UserQuery { email, external_id, sort });

/// Body of [`super::table::SetAdministration`].
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SetAdministration {
    /// Its part in running the hub from now on.
    pub admin: Administration,
}

impl RequestBody for SetAdministration {}

/// Body of [`super::table::CreateUser`].
#[derive(Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateUser {
    /// E-mail address, in any case.
    pub email: String,
    /// Its first password; without one a letter goes to the address, with a link that sets it.
    #[serde(default)]
    pub password: Option<String>,
    /// Whether the address counts as proved to be its owner's.
    #[serde(default)]
    pub is_verified: bool,
    /// Its name in another system, 1 to 128 bytes, which no other account of the hub has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub external_id: Option<String>,
}

impl RequestBody for CreateUser {}

/// Body of [`super::table::UpdateUser`]: what is missing stays.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct UpdateUser {
    /// Its address from now on; the one before is told. A new address is not proved, unless the next
    /// field says so.
    #[serde(default)]
    pub email: Option<String>,
    /// Whether the address counts as proved to be its owner's.
    #[serde(default)]
    pub is_verified: Option<bool>,
    /// Its name in another system; an empty text removes it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub external_id: Option<String>,
}

impl RequestBody for UpdateUser {}

/// One account.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct User {
    /// Its id.
    pub user: UserId,
    /// E-mail address.
    pub email: String,
    /// Its part in running the hub.
    pub admin: Administration,
    /// When it was made.
    pub made_at: UnixMs,
    /// When its owner proved to read mail there; `null` when not yet.
    pub email_verified_at: Option<UnixMs>,
    /// Since when signing in takes an authenticator app; `null` when it does not.
    pub totp_since: Option<UnixMs>,
    /// Passkeys that it has.
    pub passkeys: u32,
    /// Places where it is signed in.
    pub sessions: u32,
    /// When its newest session was used last, to a quarter of an hour; `null` without one.
    pub used_at: Option<UnixMs>,
    /// Since when it is locked; `null` when it is not.
    pub locked_at: Option<UnixMs>,
    /// Its name in another system.
    pub external_id: Option<String>,
    /// Tenants that it is a member of, oldest first.
    pub tenants: Vec<Membership>,
}
