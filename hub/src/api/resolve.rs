//! Who may do what with which object: the store is asked, `core::access` decides.

use super::{Api, ApiError};
use crate::{identity::Caller, store::SERVER_TENANTS, tenants::lineage};
use mamba_core::{
    access::{Object, ServerKeys, Verdict, Wanted},
    db::Snapshot,
    ids::{ServerId, TenantId},
    scope::TenantScope,
};
use mamba_wire::api::{Code, Row};

/// What a request is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum About {
    /// The installation.
    Hub,
    /// A tenant.
    Tenant(TenantId),
    /// A server.
    Server(ServerId),
}

impl About {
    /// Returns what the path of a request names. What cannot be an id is left to the handler, which
    /// refuses it by name.
    pub(super) fn of_path(path: &[(String, String)]) -> Option<Self> {
        let get = |name: &str| path.iter().find(|(its, _)| its == name).map(|(_, value)| value);
        if let Some(server) = get("server") {
            return server.parse().ok().map(Self::Server);
        }
        if let Some(tenant) = get("tenant") {
            return tenant.parse().ok().map(Self::Tenant);
        }
        Some(Self::Hub)
    }
}

impl Api {
    /// Checks the row's permission over what the path names, and returns the scope of its tenant.
    ///
    /// # Errors
    /// As [`Api::allow`].
    pub(super) fn admit(
        &self,
        caller: &Caller,
        row: &Row,
        path: &[(String, String)],
    ) -> Result<Option<TenantScope>, ApiError> {
        let about = About::of_path(path);
        match (row.permission.wanted(), about) {
            (None, _) => Ok(None),
            (Some(wanted @ Wanted::Admin(_)), None) => self.allow(caller, wanted, About::Hub),
            // A list holds only what the caller may see.
            (Some(Wanted::Tenant(_) | Wanted::Server(_)), None | Some(About::Hub)) => Ok(None),
            (Some(wanted), Some(about)) => self.allow(caller, wanted, about),
        }
    }

    /// Checks that a caller may do something, and returns the scope of the object's tenant.
    ///
    /// # Errors
    /// `NotFound` when there is no such thing for this caller, `Forbidden` with the missing key.
    pub(crate) fn allow(
        &self,
        caller: &Caller,
        wanted: Wanted,
        about: About,
    ) -> Result<Option<TenantScope>, ApiError> {
        let (what, tenant) = match about {
            About::Hub => ("object", None),
            About::Tenant(tenant) => ("tenant", Some(tenant)),
            About::Server(server) => {
                let owner = self.hub().read(|view| Ok(view.get(SERVER_TENANTS, &server)?))?;
                ("server", owner.map(|owner| owner.0))
            }
        };
        let above = match tenant {
            Some(tenant) => self.hub().read(|view| Ok(lineage(view, tenant)?))?,
            None => Vec::new(),
        };
        let object = match about {
            About::Hub => Object::Hub,
            About::Tenant(_) => Object::Tenant(&above),
            About::Server(server) => Object::Server(server, &above),
        };
        let keys = || match about {
            About::Hub | About::Tenant(_) => ServerKeys::NONE,
            About::Server(server) => caller.access.with_server(server, &above),
        };
        match caller.access.decide(wanted, object) {
            Verdict::Allowed if about == About::Hub => Ok(None),
            Verdict::Allowed if !above.is_empty() => {
                let scope = |tenant| TenantScope::granted(tenant, caller.user).with_keys(keys());
                Ok(tenant.map(scope))
            }
            Verdict::Forbidden(key) if above.is_empty() && !matches!(key, Wanted::Admin(_)) => {
                Err(ApiError::not_found(what))
            }
            Verdict::Forbidden(key) => {
                Err(ApiError::new(Code::Forbidden, format!("this needs the right `{key}`")))
            }
            Verdict::Allowed | Verdict::NotFound => Err(ApiError::not_found(what)),
        }
    }
}
