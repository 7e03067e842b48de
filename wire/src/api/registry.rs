//! Pure: logins of image registries that every node pulls with.

use super::{RequestBody, params::params};
use mamba_core::clock::UnixMs;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

params! {
    /// Names a registry.
    RegistryPath {
        /// Which, by the exact host that images name, for example `ghcr.io` or `localhost:5000`.
        registry: String,
    }
}

/// The login for one registry. Its password is told to nodes and to nobody else.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Registry {
    /// The exact host that images name.
    pub registry: String,
    /// Name of the account there.
    pub user: String,
    /// When it was changed last.
    pub changed_at: UnixMs,
}

/// Body of [`super::table::SetRegistry`].
#[derive(Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SetRegistry {
    /// Name of the account there, 1 to 255 bytes.
    pub user: String,
    /// Password or token, at most 8192 bytes; that of before stays without.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password: Option<String>,
}

impl RequestBody for SetRegistry {}
