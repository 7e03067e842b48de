//! Pure: the permission table, for programs that show it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Everything that can be allowed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Permissions {
    /// With one server: for sub-users, and in roles.
    pub server: Vec<PermissionGroup>,
    /// With one tenant: in roles.
    pub tenant: Vec<PermissionGroup>,
    /// With the installation: for administrators.
    pub admin: Vec<PermissionGroup>,
}

/// Keys about one subject.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PermissionGroup {
    /// What its keys have before the dot.
    pub group: String,
    /// What it is about, in one sentence.
    pub description: String,
    /// Its keys, in the order of the table.
    pub keys: Vec<PermissionKey>,
}

/// One key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PermissionKey {
    /// Its name, for example `control.start`.
    pub key: String,
    /// What it allows, in one sentence.
    pub description: String,
    /// Whether it only lets look.
    pub is_read: bool,
}
