//! The audit trail of a tenant.

use super::page::Seen;
use crate::{
    i18n::t,
    parts::{Choice, trail},
    remote::{self, watch},
    session::Session,
};
use mamba_core::access::TenantRight;
use mamba_wire::api::{PageQuery, page::PAGE_ITEMS_MAX, table};
use std::collections::BTreeMap;
use sycamore::prelude::*;

/// The tab. Members have names as far as they may be seen and are among the first.
#[component(inline_props)]
pub(super) fn Audit(seen: Seen) -> View {
    let members = watch::<table::ListMembers>(remote::NEVER_MS, move || {
        let all = PageQuery { after: None, limit: Some(PAGE_ITEMS_MAX) };
        seen.may(TenantRight::MemberRead).then(|| (seen.path(), all))
    });
    let own = use_context::<Session>().me().map(|it| (it.user, it.email.clone()));
    let names = create_memo(move || {
        members.value.with(|page| {
            let items = page.iter().flat_map(|it| &it.items);
            let known = items.map(|it| (it.user, it.email.clone()));
            known.chain(own.clone()).collect::<BTreeMap<_, _>>()
        })
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
