//! One tenant: its head with the way to others, and its tabs.

use super::{
    Tab, audit::Audit, children::Children, members::Members, overview::Overview, roles::Roles,
    settings::Settings, usage::Used,
};
use crate::reactive::selector;
use crate::{
    i18n::t,
    nav::Place,
    parts::{self, Choice, Crumb, Select, head, nothing, shown},
    remote::{self, Remote, watch},
    session::Session,
};
use mamba_core::{
    access::{Rights, TenantRight},
    ids::TenantId,
};
use mamba_wire::api::{params::TenantPath, table, tenant::Tenant};
use std::rc::Rc;
use sycamore::prelude::*;

/// What every tab gets.
#[derive(Clone, Copy)]
pub(super) struct Seen {
    /// Which tenant.
    pub(super) id: TenantId,
    /// It, kept fresh.
    pub(super) tenant: ReadSignal<Rc<Tenant>>,
    /// What the caller may do.
    pub(super) rights: ReadSignal<Rc<Rights>>,
    /// To be told of a change.
    pub(super) remote: Remote<Tenant>,
}

impl Seen {
    /// Names it in a path.
    pub(super) fn path(self) -> TenantPath {
        TenantPath { tenant: self.id }
    }

    /// Whether the caller has a right over it.
    pub(super) fn may(self, right: TenantRight) -> bool {
        self.rights.with(|it| it.tenant.contains(&right))
    }
}

/// The page.
#[component(inline_props)]
pub(super) fn Page(id: TenantId, tab: ReadSignal<Tab>) -> View {
    let path = move || Some((TenantPath { tenant: id }, ()));
    let remote = watch::<table::ShowTenant>(remote::RARELY_MS, path);
    let rights = watch::<table::ShowRights>(remote::RARELY_MS, path);
    shown(remote, move |tenant| {
        shown(rights, move |rights| {
            let seen = Seen { id, tenant, rights, remote };
            view! { Whole(seen=seen, tab=tab) }
        })
    })
}

#[component(inline_props)]
fn Whole(seen: Seen, tab: ReadSignal<Tab>) -> View {
    let name = selector(move || seen.tenant.with(|it| it.name.clone()));
    let may_see = selector(move || tab.get().wants().iter().any(|it| seen.may(*it)));
    view! {
        ({
            let crumbs = vec![Crumb::new(t().tenant.title, "/tenants")];
            head(crumbs, name.get_clone(), view! { Switch(seen=seen, tab=tab) })
        })
        (tabs(seen, tab.get()))
        (match (may_see.get(), tab.get()) {
            (false, _) => refused(),
            (true, Tab::Overview) => view! { Overview(seen=seen) },
            (true, Tab::Members) => view! { Members(seen=seen) },
            (true, Tab::Roles) => view! { Roles(seen=seen) },
            (true, Tab::Usage) => view! { Used(seen=seen) },
            (true, Tab::Audit) => view! { Audit(seen=seen) },
            (true, Tab::Children) => view! { Children(seen=seen) },
            (true, Tab::Settings) => view! { Settings(seen=seen) },
        })
    }
}

fn tabs(seen: Seen, here: Tab) -> View {
    let links = Tab::ALL
        .into_iter()
        .filter(|tab| *tab == here || tab.wants().iter().any(|it| seen.may(*it)))
        .map(|tab| (tab.path(seen.id), tab.title(), tab == here))
        .collect();
    parts::menu(t().tenant.parts, links)
}

fn refused() -> View {
    parts::empty(parts::Icon::Key, t().general.not_allowed, t().general.not_allowed_text, nothing())
}

/// Leads to the same tab of another tenant; nothing for who belongs to one only.
#[component(inline_props)]
fn Switch(seen: Seen, tab: ReadSignal<Tab>) -> View {
    let (session, place) = (use_context::<Session>(), use_context::<Place>());
    let mut all: Vec<(TenantId, String)> = session
        .me()
        .map(|me| me.tenants.iter().map(|it| (it.tenant, it.name.clone())).collect())
        .unwrap_or_default();
    if all.iter().all(|(id, _)| *id != seen.id) {
        all.push((seen.id, seen.tenant.with_untracked(|it| it.name.clone())));
    }
    if all.len() < 2 {
        return nothing();
    }
    let choices: Vec<Choice> =
        all.into_iter().map(|(id, name)| Choice::new(id.to_string(), name)).collect();
    let choices = create_signal(choices);
    let chosen = create_signal(seen.id.to_string());
    crate::reactive::effect(move || {
        let next = chosen.with(|it| it.parse::<TenantId>().ok()).filter(|it| *it != seen.id);
        if let Some(next) = next {
            place.go(&untrack(|| tab.get()).path(next));
        }
    });
    view! { div(class="switch") { Select(label=t().tenant.switch, name="switch", value=chosen, choices=*choices) } }
}
