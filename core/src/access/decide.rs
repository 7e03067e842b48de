//! Pure: compares what a caller is allowed with what it wants.

use super::{
    held::ServerKeys,
    keys::{AdminRight, ServerKey, TenantRight},
    role::Rights,
};
use crate::ids::{ServerId, TenantId};
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

/// What a caller is allowed, and where.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Access {
    /// Over the installation.
    pub admin: BTreeSet<AdminRight>,
    /// In the tenants it is a member of.
    pub tenants: BTreeMap<TenantId, Rights>,
    /// With servers of tenants it is no member of.
    pub servers: BTreeMap<ServerId, Grant>,
}

/// What a sub-user is allowed with one server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    /// Who owns the server.
    pub tenant: TenantId,
    /// The keys.
    pub keys: BTreeSet<ServerKey>,
}

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Wanted {
    /// With the installation.
    Admin(AdminRight),
    /// With a tenant.
    Tenant(TenantRight),
    /// With a server.
    Server(ServerKey),
}

/// With what it is to be done. A lineage is the tenant itself, the tenant that owns it, and so on.
#[derive(Clone, Copy, Debug)]
pub enum Object<'a> {
    /// The installation.
    Hub,
    /// A tenant.
    Tenant(&'a [TenantId]),
    /// A server and its tenant's lineage.
    Server(ServerId, &'a [TenantId]),
}

/// What comes of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It may be done.
    Allowed,
    /// For this caller there is no such thing.
    NotFound,
    /// It may be seen, but this key is missing.
    Forbidden(Wanted),
}

impl fmt::Display for Wanted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Admin(right) => right.name(),
            Self::Tenant(right) => right.name(),
            Self::Server(key) => key.name(),
        })
    }
}

impl Access {
    /// Decides. A key with an object of another kind than its own, other than a tenant's right over
    /// one of its servers, is never allowed.
    #[must_use]
    pub fn decide(&self, wanted: Wanted, object: Object<'_>) -> Verdict {
        let (is_visible, is_allowed) = match (object, wanted) {
            (_, Wanted::Admin(right)) => (true, self.has(right)),
            (Object::Hub, Wanted::Tenant(right)) => (true, self.has(right.included_in())),
            (Object::Hub, Wanted::Server(key)) => (true, self.has(admin_for(key))),
            (Object::Tenant(lineage), wanted) => {
                let rights = self.in_tenant(lineage);
                let is_visible = rights.is_some() || self.has(AdminRight::TenantsRead);
                let is_allowed = match wanted {
                    Wanted::Tenant(right) => self.may_with_tenant(right, rights.as_ref()),
                    Wanted::Admin(_) | Wanted::Server(_) => false,
                };
                (is_visible || is_allowed, is_allowed)
            }
            (Object::Server(server, lineage), wanted) => {
                let keys = self.with_server(server, lineage);
                let is_allowed = match wanted {
                    Wanted::Server(key) => keys.contains(key),
                    Wanted::Tenant(right) => {
                        self.may_with_tenant(right, self.in_tenant(lineage).as_ref())
                    }
                    Wanted::Admin(_) => false,
                };
                (!keys.is_empty(), !keys.is_empty() && is_allowed)
            }
        };
        match (is_visible, is_allowed) {
            (_, true) => Verdict::Allowed,
            (true, false) => Verdict::Forbidden(wanted),
            (false, false) => Verdict::NotFound,
        }
    }

    /// Whether it has a right over the installation, itself or as part of `write`.
    #[must_use]
    pub fn has(&self, right: AdminRight) -> bool {
        self.admin.contains(&right) || self.admin.contains(&right.write())
    }

    /// Returns what it may do in a tenant as a member, or as who administers a tenant above; `None`
    /// when it is neither. Nobody may do more below than above.
    #[must_use]
    pub fn in_tenant(&self, lineage: &[TenantId]) -> Option<Rights> {
        let mut found: Option<Rights> = None;
        for (index, tenant) in lineage.iter().enumerate() {
            let Some(held) = self.tenants.get(tenant) else { continue };
            let passed = match index {
                0 => held.clone(),
                _ if held.tenant.contains(&TenantRight::ChildWrite) => held.clone(),
                _ if held.tenant.contains(&TenantRight::ChildRead) => held.read_only(),
                _ => continue,
            };
            found.get_or_insert_default().add(&passed);
        }
        found.filter(|rights| !rights.is_empty())
    }

    /// Returns the keys for one server.
    #[must_use]
    pub fn with_server(&self, server: ServerId, lineage: &[TenantId]) -> ServerKeys {
        let as_admin = ServerKey::ALL.iter().copied().filter(|key| self.has(admin_for(*key)));
        let as_member = self.in_tenant(lineage).into_iter().flat_map(|rights| rights.server);
        let grant = self.servers.get(&server).filter(|it| lineage.first() == Some(&it.tenant));
        let as_guest = grant.into_iter().flat_map(|grant| grant.keys.iter().copied());
        as_admin.chain(as_member).chain(as_guest).collect()
    }

    /// Returns everything that it may do in a tenant, as an administrator of the hub too.
    #[must_use]
    pub fn rights_over(&self, lineage: &[TenantId]) -> Rights {
        let mut rights = self.in_tenant(lineage).unwrap_or_default();
        let all = Rights::all();
        rights.tenant.extend(all.tenant.into_iter().filter(|it| self.has(it.included_in())));
        rights.server.extend(all.server.into_iter().filter(|it| self.has(admin_for(*it))));
        rights
    }

    /// Returns a key in `given` that this caller does not have in the tenant, and so cannot give.
    #[must_use]
    pub fn lacks(&self, lineage: &[TenantId], given: &Rights) -> Option<Wanted> {
        let own = self.rights_over(lineage);
        let tenant = given.tenant.difference(&own.tenant).next();
        let server = given.server.difference(&own.server).next();
        tenant.map(|it| Wanted::Tenant(*it)).or(server.map(|it| Wanted::Server(*it)))
    }

    /// Confines it, as an API key does: to these rights, and to one tenant if there is one. Where
    /// nothing is left of them there is nothing to see either.
    #[must_use]
    pub fn narrowed(
        self,
        admin: &BTreeSet<AdminRight>,
        rights: &Rights,
        tenant: Option<TenantId>,
    ) -> Self {
        let is_within = |it: TenantId| tenant.is_none_or(|only| only == it);
        let held = |right: &AdminRight| self.has(*right);
        let admin = admin.iter().copied().filter(|it| tenant.is_none() && held(it)).collect();
        let tenants = self.tenants.into_iter().filter(|(it, _)| is_within(*it));
        let servers = self.servers.into_iter().filter(|(_, it)| is_within(it.tenant));
        let tenants = tenants.map(|(it, held)| (it, held.and(rights)));
        let servers = servers.map(|(it, grant)| {
            let keys = grant.keys.intersection(&rights.server).copied().collect();
            (it, Grant { keys, ..grant })
        });
        Self {
            admin,
            tenants: tenants.filter(|(_, held)| !held.is_empty()).collect(),
            servers: servers.filter(|(_, grant)| !grant.keys.is_empty()).collect(),
        }
    }

    fn may_with_tenant(&self, right: TenantRight, rights: Option<&Rights>) -> bool {
        self.has(right.included_in()) || rights.is_some_and(|it| it.tenant.contains(&right))
    }
}

/// The right over the installation that includes a key for every server.
fn admin_for(key: ServerKey) -> AdminRight {
    if key.is_read() { AdminRight::ServersRead } else { AdminRight::ServersWrite }
}
