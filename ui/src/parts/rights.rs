//! Rights over tenants and servers, to be chosen.

use super::{Chosen, Tick, choose_keys, chosen_keys, ticks};
use crate::i18n::t;
use mamba_core::access::{Rights, ServerKey, TenantRight};
use std::collections::BTreeSet;
use sycamore::prelude::*;

/// Rights that are chosen.
#[derive(Clone, Copy)]
pub(crate) struct Picked {
    tenant: Chosen,
    server: Chosen,
}

impl Picked {
    /// Begins with these.
    pub(crate) fn new(rights: &Rights) -> Self {
        let tenant: BTreeSet<_> = rights.tenant.iter().map(|it| it.name()).collect();
        Self { tenant: create_signal(tenant), server: choose_keys(&rights.server) }
    }

    /// Returns them.
    pub(crate) fn read(self) -> Rights {
        let tenant = self.tenant.get_clone_untracked();
        Rights {
            tenant: tenant.iter().filter_map(|it| it.parse().ok()).collect(),
            server: chosen_keys(self.server),
        }
    }

    /// Returns boxes for those that are offered.
    pub(crate) fn boxes(self, offered: &Rights) -> View {
        let tenant = TenantRight::ALL.iter().filter(|it| offered.tenant.contains(it));
        let tenant =
            tenant.map(|it| Tick { name: it.name(), about: it.description(), group: it.group() });
        let server = ServerKey::ALL.iter().filter(|it| offered.server.contains(it));
        let server = server.copied().map(Tick::of_key);
        let (tenant, server) =
            (ticks(tenant.collect(), self.tenant), ticks(server.collect(), self.server));
        view! {
            h3 { (t().tenant.rights_tenant) } (tenant)
            h3 { (t().tenant.rights_server) } (server)
        }
    }
}
