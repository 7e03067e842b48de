//! A tenant's quota with what is taken of it, and what the caller may do.

use super::{page::Seen, quota};
use crate::reactive::selector;
use crate::{
    i18n::{fill, t},
    parts::{Action, Submit, Toasts, complaint, confirm, dialog, nothing, shown},
    remote::{self, Remote, watch},
    session::Session,
    task::Task,
};
use mamba_core::access::{AdminRight, ServerKey, TenantRight};
use mamba_wire::api::{
    table,
    tenant::{LimitTenant, QuotaUse},
};
use sycamore::prelude::*;
use web_sys::SubmitEvent;

/// The tab.
#[component(inline_props)]
pub(super) fn Overview(seen: Seen) -> View {
    let session = use_context::<Session>();
    let remote = watch::<table::ShowQuota>(remote::RARELY_MS, move || Some((seen.path(), ())));
    let limiting = create_signal(false);
    // The tenant above may too: it does that in its own list.
    let may_limit = session.may_admin(AdminRight::TenantsWrite);
    let limit = limit_dialog(seen, remote, limiting);
    let may = selector(move || {
        let (tenant, server) = seen.rights.with(|it| (it.tenant.len(), it.server.len()));
        let tenant =
            fill(t().tenant.may_tenant, &[("n", &tenant), ("all", &TenantRight::ALL.len())]);
        let server = fill(t().tenant.may_server, &[("n", &server), ("all", &ServerKey::ALL.len())]);
        (tenant, server)
    });
    view! {
        div(class="toolbar") {
            p(class="muted grow") { (t().tenant.quota_text) }
            (if may_limit {
                view! { Action(label=t().tenant.quota_change, run=move || limiting.set(true)) }
            } else { nothing() })
        }
        (shown(remote, |shown| view! {
            ({
                let QuotaUse { quota, used } = *shown.get_clone();
                quota::bars(&quota, &used)
            })
        }))
        section(class="card") {
            header { h2 { (t().tenant.may_title) } }
            div(class="body") {
                p { (may.with(|it| it.0.clone())) }
                p { (may.with(|it| it.1.clone())) }
            }
        }
        (limit)
    }
}

fn limit_dialog(seen: Seen, remote: Remote<QuotaUse>, open: Signal<bool>) -> View {
    let (session, toasts) = (use_context::<Session>(), use_context::<Toasts>());
    dialog(open, t().tenant.quota_change, move || {
        let before = remote.value.with_untracked(|it| it.as_ref().map(|it| it.quota));
        let (task, typed) = (Task::new(), quota::Typed::new(&before.unwrap_or_default()));
        let submit = move |event: SubmitEvent| {
            event.prevent_default();
            let Some(quota) = typed.read() else { return };
            let body = LimitTenant { quota };
            task.run(session.call::<table::LimitTenant>(seen.path(), (), body), move |it| {
                toasts.done(t().general.saved);
                open.set(false);
                seen.remote.put(it);
                remote.reload();
            });
        };
        let (wrong, fields) = (complaint(task.failure, &[]), typed.fields(task.failure));
        let footer = confirm(open, view! { Submit(label=t().general.save, task=task) });
        view! { form(on:submit=submit, novalidate=true) { (wrong) (fields) (footer) } }
    })
}
