//! All tenants that somebody sees.

use super::{Tab, members::role_name};
use crate::{
    i18n::t,
    parts::{Badge, Icon, Tone, head, listed, listing, nothing},
    remote::Pages,
    session::Session,
    time::Age,
};
use mamba_wire::api::{PageQuery, page::PAGE_ITEMS_MAX, table, tenant::Tenant};
use sycamore::prelude::*;

/// The page.
#[component]
pub(super) fn List() -> View {
    let pages = Pages::<Tenant>::open::<table::ListTenants>(move |after| {
        ((), PageQuery { after, limit: Some(PAGE_ITEMS_MAX) }.into())
    });
    let head = head(Vec::new(), t().tenant.title, nothing());
    let none = (Icon::People, t().tenant.none, t().tenant.none_text);
    view! {
        (head)
        p(class="muted") { (t().tenant.choose) }
        (listed(pages, none, move || {
            let rows = view! { Keyed(list=pages.items, key=|it: &Tenant| it.tenant, view=line) };
            listing(&[t().tenant.name, t().tenant.your_role, t().tenant.made], rows)
        }))
    }
}

fn line(tenant: Tenant) -> View {
    let me = use_context::<Session>().me();
    let own = me.and_then(|me| me.tenants.iter().find(|it| it.tenant == tenant.tenant).cloned());
    let badge = own.map(|it| view! { Badge(tone=Tone::Calm, label=role_name(it.role)) });
    let (to, made_at) = (Tab::Overview.path(tenant.tenant), tenant.made_at);
    let (name, is_below) = (tenant.name, tenant.parent.is_some());
    view! {
        tr {
            td(class="cut") {
                a(href=to) { (name) }
                span(class="tag", hidden=!is_below) { (t().tenant.below) }
            }
            td { (badge) }
            td(class="muted") { Age(at=made_at) }
        }
    }
}
