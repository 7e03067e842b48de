//! A tenant's name and end.

use super::page::Seen;
use crate::reactive::selector;
use crate::{
    i18n::{fill, t},
    nav::Place,
    parts::{Action, Field, Kind, Question, Submit, Toasts, ask, complaint, nothing},
    session::Session,
    task::Task,
};
use mamba_core::access::TenantRight;
use mamba_wire::api::{
    table,
    tenant::{DeleteTenantQuery, UpdateTenant},
};
use sycamore::{futures::spawn_local, prelude::*};
use web_sys::SubmitEvent;

/// The tab.
#[component(inline_props)]
pub(super) fn Settings(seen: Seen) -> View {
    let may_rename = selector(move || seen.may(TenantRight::TenantUpdate));
    let may_delete = selector(move || seen.may(TenantRight::TenantDelete));
    view! {
        (if may_rename.get() { view! { Name(seen=seen) } } else { nothing() })
        (if may_delete.get() { view! { Danger(seen=seen) } } else { nothing() })
    }
}

#[component(inline_props)]
fn Name(seen: Seen) -> View {
    let (session, toasts) = (use_context::<Session>(), use_context::<Toasts>());
    let name = create_signal(seen.name.get_clone_untracked());
    let task = Task::new();
    let submit = move |event: SubmitEvent| {
        event.prevent_default();
        let name = Some(name.get_clone_untracked());
        let body = UpdateTenant { name, ..UpdateTenant::default() };
        task.run(session.call::<table::UpdateTenant>(seen.path(), (), body), move |tenant| {
            toasts.done(t().general.saved);
            seen.remote.put(tenant);
            // Its name stands among one's memberships too.
            spawn_local(async move {
                session.renew().await;
            });
        });
    };
    let wrong = complaint(task.failure, &["name"]);
    view! {
        section(class="card") {
            header { h2 { (t().tenant.rename) } }
            form(class="body", on:submit=submit, novalidate=true) {
                (wrong)
                Field(label=t().tenant.name, name="name", value=name, failure=task.failure)
                div(class="actions") { Submit(label=t().general.save, task=task) }
            }
        }
    }
}

#[component(inline_props)]
fn Danger(seen: Seen) -> View {
    let (session, toasts) = (use_context::<Session>(), use_context::<Toasts>());
    let place = use_context::<Place>();
    let deleting = create_signal(false);
    let sure = move || {
        let name = seen.name.get_clone();
        let question = Question {
            title: t().tenant.delete.to_owned(),
            text: fill(t().tenant.delete_type, &[("name", &name)]),
            label: t().tenant.delete,
            typed: Some((t().tenant.rename, name.clone())),
        };
        ask(deleting, question, move |task| {
            let query = DeleteTenantQuery { name: Some(name.clone()) };
            task.run(session.call::<table::DeleteTenant>(seen.path(), query, ()), move |()| {
                toasts.done(t().tenant.deleted);
                deleting.set(false);
                place.go("/tenants");
                spawn_local(async move {
                    session.renew().await;
                });
            });
        })
    };
    view! {
        section(class="card", data-tone="bad") {
            header { h2 { (t().tenant.danger) } }
            div(class="body") {
                div(class="choice") {
                    p { (t().tenant.delete_text) }
                    Action(label=t().tenant.delete, kind=Kind::Danger, run=move || deleting.set(true))
                }
            }
        }
        (sure())
    }
}
