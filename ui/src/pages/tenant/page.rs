//! One tenant: its head with the way to others, and its tabs.

use super::{
    Tab, api_keys::ApiKeys, audit::Audit, children::Children, members::Members, overview::Overview,
    roles::Roles, settings::Settings, usage::Used,
};
use crate::reactive::selector;
use crate::{
    i18n::t,
    nav::Place,
    parts::{self, Choice, Crumb, Select, head, nothing, refused, shown},
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
    /// Its name, kept fresh.
    pub(super) name: ReadSignal<String>,
    /// What the caller may do.
    pub(super) rights: ReadSignal<Rc<Rights>>,
    /// It, for who may read it, and to be told of a change.
    pub(super) remote: Remote<Tenant>,
}

impl Seen {
    /// Names it in a path.
    pub(super) fn path(self) -> TenantPath {
        TenantPath { tenant: self.id }
    }

    /// Whether the caller may see something of a tab.
    fn may_open(self, tab: Tab) -> bool {
        tab.wants().iter().any(|it| self.may(*it))
    }

    /// Whether the caller has a right over it.
    pub(super) fn may(self, right: TenantRight) -> bool {
        self.rights.with(|it| it.tenant.contains(&right))
    }
}

/// The page. Who may not read the tenant knows its name as a member, and sees what else the role allows.
#[component(inline_props)]
pub(super) fn Page(id: TenantId, tab: ReadSignal<Tab>) -> View {
    let session = use_context::<Session>();
    let path = move || Some((TenantPath { tenant: id }, ()));
    let rights = watch::<table::ShowRights>(remote::RARELY_MS, path);
    let is_hidden = selector(move || {
        let hides = |it: &Rc<Rights>| !it.tenant.contains(&TenantRight::TenantRead);
        rights.value.with(|it| it.as_ref().is_some_and(hides))
    });
    let remote =
        watch::<table::ShowTenant>(remote::RARELY_MS, move || path().filter(|_| !is_hidden.get()));
    let name = selector(move || {
        let known = remote.value.with(|it| it.as_ref().map(|it| it.name.clone()));
        let own = || Some(session.me()?.tenants.iter().find(|it| it.tenant == id)?.name.clone());
        known.or_else(own).unwrap_or_default()
    });
    shown(rights, move |rights| {
        let seen = Seen { id, name, rights, remote };
        view! {
            (if is_hidden.get() {
                view! { Whole(seen=seen, tab=tab) }
            } else {
                shown(remote, move |_| view! { Whole(seen=seen, tab=tab) })
            })
        }
    })
}

#[component(inline_props)]
fn Whole(seen: Seen, tab: ReadSignal<Tab>) -> View {
    let place = use_context::<Place>();
    let may_see = selector(move || seen.may_open(tab.get()));
    // Nobody chose the first tab who came by a link to the tenant.
    crate::reactive::effect(move || {
        let other = || Tab::ALL.into_iter().find(|it| seen.may_open(*it));
        if tab.get() == Tab::Overview
            && !may_see.get()
            && let Some(other) = other()
        {
            untrack(|| place.replace(&other.path(seen.id)));
        }
    });
    view! {
        ({
            let crumbs = vec![Crumb::new(t().tenant.title, "/tenants")];
            head(crumbs, seen.name.get_clone(), view! { Switch(seen=seen, tab=tab) })
        })
        (tabs(seen, tab.get()))
        (match (may_see.get(), tab.get()) {
            (false, _) => refused(),
            (true, Tab::Overview) => view! { Overview(seen=seen) },
            (true, Tab::Members) => view! { Members(seen=seen) },
            (true, Tab::Roles) => view! { Roles(seen=seen) },
            (true, Tab::ApiKeys) => view! { ApiKeys(seen=seen) },
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
        .filter(|tab| *tab == here || seen.may_open(*tab))
        .map(|tab| (tab.path(seen.id), tab.title(), tab == here))
        .collect();
    parts::menu(t().tenant.parts, links)
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
        all.push((seen.id, seen.name.get_clone_untracked()));
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
