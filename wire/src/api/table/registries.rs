//! Pure: logins of image registries that every node pulls with.

use super::prelude::*;
use crate::api::registry::{self, Registry, RegistryPath};

endpoints! {
    /// Logins of image registries that every node pulls with.
    REGISTRIES "registries" for_each_registry_endpoint;

    /// Lists logins of image registries, without their passwords.
    ListRegistries: Get "/api/v1/registries", Permission::Admin(AdminRight::NodesRead), 200,
        ((), (), ()) -> Page<Registry>;
    /// Sets the login for the registry of exactly this host, and tells every node.
    SetRegistry: Put "/api/v1/registries/{registry}", Permission::Admin(AdminRight::NodesWrite), 200,
        (RegistryPath, (), registry::SetRegistry) -> Registry, [Conflict];
    /// Forgets the login for a registry, here and on the nodes.
    DeleteRegistry: Delete "/api/v1/registries/{registry}", Permission::Admin(AdminRight::NodesWrite), 204,
        (RegistryPath, (), ()) -> ();
}
