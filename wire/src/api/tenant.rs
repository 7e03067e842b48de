//! Pure: customers and their owners' accounts.

use super::{RequestBody, page::unfiltered, params::params};
use mamba_core::{
    clock::UnixMs,
    ids::TenantId,
    quota::{Amounts, Quota},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

params! {
    /// Which tenants. Filters that are missing let everything through.
    TenantQuery {
        /// With this text in the name, in any case.
        name: Option<String>,
        /// That this tenant owns.
        parent: Option<TenantId>,
        /// With this name in another system.
        external_id: Option<String>,
        /// `made` (default) or `name`; with `-` in front from the end.
        sort: Option<String>,
        /// Like [`super::PageQuery::after`].
        after: Option<String>,
        /// Like [`super::PageQuery::limit`].
        limit: Option<u32> where 1..=super::page::PAGE_ITEMS_MAX,
    }
}

unfiltered!(TenantQuery { name, parent, external_id, sort });

/// Body of [`super::table::CreateTenant`].
#[derive(Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateTenant {
    /// Name for people, 1 to 64 bytes.
    pub name: String,
    /// What it may use; without, nothing is limited.
    #[serde(default)]
    pub quota: Quota,
    /// Account that owns it.
    pub owner: NewOwner,
    /// Its name in another system, 1 to 128 bytes, which no other tenant of the hub has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub external_id: Option<String>,
}

/// Body of [`super::table::CreateChild`].
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateChild {
    /// Name for people, 1 to 64 bytes.
    pub name: String,
    /// What it may use, out of what the tenant above may; without, nothing is limited.
    #[serde(default)]
    pub quota: Quota,
    /// E-mail address that is invited to own it. The answer is the same whether it has an account or not.
    pub owner: String,
}

/// A new owner's account.
#[derive(Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NewOwner {
    /// E-mail address; no other account may have it.
    pub email: String,
    /// Password, 12 to 256 bytes.
    pub password: String,
}

/// Body of [`super::table::UpdateTenant`]: what is missing stays.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct UpdateTenant {
    /// New name, 1 to 64 bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Its name in another system; an empty text removes it. Only for administrators.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub external_id: Option<String>,
}

/// Body of [`super::table::LimitTenant`].
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LimitTenant {
    /// All limits; what is missing is not limited.
    pub quota: Quota,
}

params! {
    /// How a tenant is deleted.
    DeleteTenantQuery {
        /// Its name, typed by who deletes it.
        name: Option<String>,
    }
}

impl RequestBody for UpdateTenant {}
impl RequestBody for LimitTenant {}
impl RequestBody for CreateTenant {}
impl RequestBody for CreateChild {}

/// One tenant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Tenant {
    /// Its id.
    pub tenant: TenantId,
    /// Its name.
    pub name: String,
    /// The tenant that owns it; `null` when only the hub does.
    pub parent: Option<TenantId>,
    /// What it may use.
    pub quota: Quota,
    /// When it was made.
    pub made_at: UnixMs,
    /// Its name in another system.
    pub external_id: Option<String>,
}

/// What a tenant may use, and what of it is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct QuotaUse {
    /// What it may use.
    pub quota: Quota,
    /// What its servers take, and what it gave to tenants that it owns.
    pub used: Amounts,
}
