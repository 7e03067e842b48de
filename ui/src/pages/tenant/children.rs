//! Tenants that this one owns: customers of a reseller.

use super::{Tab, page::Seen, quota};
use crate::reactive::selector;
use crate::{
    i18n::t,
    parts::{
        Action, Field, Icon, Kind, Submit, Toasts, complaint, confirm, dialog, listed, listing,
        nothing,
    },
    remote::Pages,
    session::Session,
    task::Task,
    time::Age,
};
use mamba_core::{access::TenantRight, quota::Quota};
use mamba_wire::api::{
    PageQuery,
    params::TenantPath,
    table,
    tenant::{CreateChild, LimitTenant, Tenant},
};
use sycamore::prelude::*;
use web_sys::SubmitEvent;

/// The tab.
#[component(inline_props)]
pub(super) fn Children(seen: Seen) -> View {
    let pages = Pages::<Tenant>::open::<table::ListChildren>(move |after| {
        (seen.path(), PageQuery { after, limit: None })
    });
    let making = create_signal(false);
    let make = new_dialog(seen, pages, making);
    let may = selector(move || seen.may(TenantRight::ChildWrite));
    let none = (Icon::People, t().tenant.children_none, t().tenant.children_none_text);
    view! {
        div(class="toolbar") {
            p(class="muted grow") { (t().tenant.children_text) }
            (if may.get() { view! {
                Action(label=t().tenant.child_new, kind=Kind::Primary, picture=Icon::Plus, run=move || making.set(true))
            } } else { nothing() })
        }
        (listed(pages, none, move || {
            let rows = view! {
                Keyed(list=pages.items, key=|it: &Tenant| (it.tenant, it.name.clone(), quota::line(&it.quota)),
                    view=move |it| view! { Line(seen=seen, pages=pages, child=it) })
            };
            listing(&[t().tenant.name, t().tenant.quota, t().tenant.made, ""], rows)
        }))
        (make)
    }
}

#[component(inline_props)]
fn Line(seen: Seen, pages: Pages<Tenant>, child: Tenant) -> View {
    let limiting = create_signal(false);
    let limit = limit_dialog(pages, &child, limiting);
    let may = selector(move || seen.may(TenantRight::ChildWrite));
    let (to, quota, made_at) =
        (Tab::Overview.path(child.tenant), quota::line(&child.quota), child.made_at);
    let name = child.name;
    view! {
        tr {
            td(class="cut") { a(href=to) { (name) } }
            td(class="wrap muted") { (quota) }
            td(class="muted") { Age(at=made_at) }
            td(class="end") {
                (if may.get() {
                    view! { Action(label=t().tenant.quota_change, run=move || limiting.set(true)) }
                } else { nothing() })
                (limit)
            }
        }
    }
}

fn limit_dialog(pages: Pages<Tenant>, child: &Tenant, open: Signal<bool>) -> View {
    let (session, toasts) = (use_context::<Session>(), use_context::<Toasts>());
    let (quota, path) = (child.quota, TenantPath { tenant: child.tenant });
    dialog(open, child.name.clone(), move || {
        let (task, typed) = (Task::new(), quota::Typed::new(&quota));
        let path = path.clone();
        let submit = move |event: SubmitEvent| {
            event.prevent_default();
            let Some(quota) = typed.read() else { return };
            let call = session.call::<table::LimitTenant>(path.clone(), (), LimitTenant { quota });
            task.run(call, move |_| {
                toasts.done(t().general.saved);
                open.set(false);
                pages.again();
            });
        };
        let (wrong, fields) = (complaint(task.failure, &[]), typed.fields(task.failure));
        let footer = confirm(open, view! { Submit(label=t().general.save, task=task) });
        view! { form(on:submit=submit, novalidate=true) { (wrong) (fields) (footer) } }
    })
}

fn new_dialog(seen: Seen, pages: Pages<Tenant>, open: Signal<bool>) -> View {
    let (session, toasts) = (use_context::<Session>(), use_context::<Toasts>());
    dialog(open, t().tenant.child_new, move || {
        let text = || create_signal(String::new());
        let (task, name, owner) = (Task::new(), text(), text());
        let typed = quota::Typed::new(&Quota::default());
        let submit = move |event: SubmitEvent| {
            event.prevent_default();
            let Some(quota) = typed.read() else { return };
            let owner = owner.get_clone_untracked().trim().to_owned();
            let body = CreateChild { name: name.get_clone_untracked(), quota, owner };
            task.run(session.call::<table::CreateChild>(seen.path(), (), body), move |_| {
                toasts.done(t().tenant.child_made);
                open.set(false);
                pages.again();
            });
        };
        let fields = &["name", "owner"];
        let (wrong, limits) = (complaint(task.failure, fields), typed.fields(task.failure));
        let footer = confirm(open, view! { Submit(label=t().tenant.child_new, task=task) });
        view! {
            form(on:submit=submit, novalidate=true) {
                (wrong)
                Field(label=t().tenant.name, name="name", value=name, autofocus=true, failure=task.failure)
                Field(label=t().tenant.child_owner, name="owner", value=owner, kind="email", inputmode="email",
                    hint=t().tenant.child_owner_hint, failure=task.failure)
                (limits)
                (footer)
            }
        }
    })
}
