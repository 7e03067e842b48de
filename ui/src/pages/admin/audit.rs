//! The audit trail of the installation.

use crate::{
    i18n::t,
    parts::{Known, head, nothing, trail},
    remote::{self, watch, watch_all},
    session::Session,
};
use mamba_core::access::AdminRight;
use mamba_wire::api::{PageQuery, page::PAGE_ITEMS_MAX, server::ServerQuery, table};
use sycamore::prelude::*;

/// The page. Accounts have names as far as they may be seen and are among the first.
#[component]
pub(super) fn HubTrail() -> View {
    let session = use_context::<Session>();
    let sees_users = session.may_admin(AdminRight::UsersRead);
    let users = watch::<table::ListUsers>(remote::NEVER_MS, move || {
        let page = PageQuery { after: None, limit: Some(PAGE_ITEMS_MAX) };
        sees_users.then_some(((), page.into()))
    });
    let own = session.me().map(|it| (it.user, it.email.clone()));
    let servers = watch::<table::ListServers>(remote::NEVER_MS, || {
        Some(((), ServerQuery { limit: Some(PAGE_ITEMS_MAX), ..ServerQuery::ALL }))
    });
    let tenants = watch_all::<table::ListTenants, _>(remote::NEVER_MS, None, true);
    let sees_nodes = session.may_admin(AdminRight::NodesRead);
    let nodes = watch_all::<table::ListNodes, _>(remote::NEVER_MS, None, sees_nodes);
    let names = create_memo(move || {
        let users = users.value.with(|page| {
            let items = page.iter().flat_map(|it| &it.items);
            let known = items.map(|it| (it.user, it.email.clone()));
            known.chain(own.clone()).collect()
        });
        let (servers, tenants, nodes) =
            (servers.value.get_clone(), tenants.value.get_clone(), nodes.value.get_clone());
        let servers = servers.iter().flat_map(|it| &it.items);
        let tenants = tenants.iter().flat_map(|it| &it.items);
        let nodes = nodes.iter().flat_map(|it| &it.items);
        Known { users, ..Known::default() }
            .with("/servers", servers.map(|it| (it.server.to_string(), it.name.clone())))
            .with("/tenants", tenants.map(|it| (it.tenant.to_string(), it.name.clone())))
            .with("/admin/nodes", nodes.map(|it| (it.node.to_string(), it.name.clone())))
    });
    let head = head(Vec::new(), t().admin.audit, nothing());
    let trail = trail::<table::ListHubAudit>((), names, Vec::new());
    view! { (head) p(class="muted") { (t().admin.audit_text) } (trail) }
}
