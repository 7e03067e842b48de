//! The audit trail of a tenant.

use super::page::Seen;
use crate::{
    i18n::t,
    parts::{Choice, Known, trail},
    remote::{self, watch, watch_all},
    session::Session,
};
use mamba_core::access::TenantRight;
use mamba_wire::api::{PageQuery, page::PAGE_ITEMS_MAX, server::ServerQuery, table};
use sycamore::prelude::*;

/// The tab. Members have names as far as they may be seen and are among the first.
#[component(inline_props)]
pub(super) fn Audit(seen: Seen) -> View {
    let members = watch::<table::ListMembers>(remote::NEVER_MS, move || {
        let all = PageQuery { after: None, limit: Some(PAGE_ITEMS_MAX) };
        seen.may(TenantRight::MemberRead).then(|| (seen.path(), all))
    });
    let own = use_context::<Session>().me().map(|it| (it.user, it.email.clone()));
    let servers = watch::<table::ListServers>(remote::NEVER_MS, move || {
        let (tenant, limit) = (Some(seen.id), Some(PAGE_ITEMS_MAX));
        Some(((), ServerQuery { tenant, limit, ..ServerQuery::ALL }))
    });
    let tenants = watch_all::<table::ListTenants, _>(remote::NEVER_MS, None, true);
    let names = create_memo(move || {
        let users = members.value.with(|page| {
            let items = page.iter().flat_map(|it| &it.items);
            let known = items.map(|it| (it.user, it.email.clone()));
            known.chain(own.clone()).collect()
        });
        let (servers, tenants) = (servers.value.get_clone(), tenants.value.get_clone());
        let servers = servers.iter().flat_map(|it| &it.items);
        let tenants = tenants.iter().flat_map(|it| &it.items);
        Known { users, ..Known::default() }
            .with("/servers", servers.map(|it| (it.server.to_string(), it.name.clone())))
            .with("/tenants", tenants.map(|it| (it.tenant.to_string(), it.name.clone())))
    });
    let trail = trail::<table::ListAudit>(seen.path(), names, areas());
    view! { p(class="muted") { (t().tenant.audit_text) } (trail) }
}

/// Returns what of the trail one can look for: beginnings of names of events, and what they are called.
fn areas() -> Vec<Choice> {
    let texts = &t().tenant;
    let areas = [
        ("", texts.audit_all),
        ("member:", texts.event_member),
        ("role:", texts.event_role),
        ("tenant:", texts.event_tenant),
        ("server:", texts.event_server),
        ("server:power", texts.event_power),
        ("server:console", texts.event_console),
        ("server:subuser", texts.event_subuser),
    ];
    areas.map(|(value, label)| Choice::new(value, label)).to_vec()
}
