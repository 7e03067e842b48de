//! The permission table as it is shown.

use crate::api::{Api, ApiError, Context, Handle, Served};
use mamba_core::access::{AdminRight, ServerKey, TenantRight, about_group};
use mamba_wire::api::{
    permission::{PermissionGroup, PermissionKey, Permissions},
    table,
};

impl Handle<table::ListPermissions> for Api {
    async fn handle(
        &self,
        _context: Context,
        (): (),
        (): (),
        (): (),
    ) -> Result<Served<Permissions>, ApiError> {
        let server =
            ServerKey::ALL.iter().map(|it| (it.group(), it.name(), it.description(), it.is_read()));
        let tenant = TenantRight::ALL
            .iter()
            .map(|it| (it.group(), it.name(), it.description(), it.is_read()));
        let admin = AdminRight::ALL
            .iter()
            .map(|it| (it.group(), it.name(), it.description(), it.is_read()));
        Ok(Served::Json(Permissions {
            server: grouped(server),
            tenant: grouped(tenant),
            admin: grouped(admin),
        }))
    }
}

/// A key: its group, its name, what it allows, whether it only lets look.
type Key = (&'static str, &'static str, &'static str, bool);

/// Puts keys of one group together, in the order in which groups come first.
fn grouped(keys: impl Iterator<Item = Key>) -> Vec<PermissionGroup> {
    let mut groups: Vec<PermissionGroup> = Vec::new();
    for (group, key, description, is_read) in keys {
        let at = groups.iter().position(|it| it.group == group).unwrap_or(groups.len());
        if at == groups.len() {
            let description = about_group(group).to_owned();
            groups.push(PermissionGroup { group: group.to_owned(), description, keys: Vec::new() });
        }
        let (key, description) = (key.to_owned(), description.to_owned());
        groups[at].keys.push(PermissionKey { key, description, is_read });
    }
    groups
}
