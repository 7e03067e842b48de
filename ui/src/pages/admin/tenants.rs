//! Customers: made, limited, renamed, deleted.

use super::{
    cut,
    quota::{QuotaDraft, fields, words},
};
use crate::{
    i18n::{fill, t},
    parts::{
        Action, Field, Icon, Kind, Question, Submit, Toasts, Tone, ask, complaint, confirm, dialog,
        empty, head, icon, nothing, notice, rename, shown, table,
    },
    reactive::selector,
    remote::{self, Remote, watch_all},
    session::Session,
    task::Task,
    time::Age,
};
use mamba_core::{access::AdminRight, quota::Quota};
use mamba_wire::api::{
    Page,
    params::TenantPath,
    table,
    tenant::{CreateTenant, DeleteTenantQuery, LimitTenant, NewOwner, Tenant, UpdateTenant},
};
use std::rc::Rc;
use sycamore::prelude::*;
use web_sys::SubmitEvent;

/// The page.
#[component]
pub(super) fn Tenants() -> View {
    let session = use_context::<Session>();
    let may_write = session.may_admin(AdminRight::TenantsWrite);
    let list = watch_all::<table::ListTenants, _>(remote::NEVER_MS, None, true);
    let making = create_signal(false);
    let make = make_dialog(list, making);
    let button = move || {
        if may_write {
            view! {
                Action(label=t().admin.tenant_new, kind=Kind::Primary, picture=Icon::Plus,
                    run=move || making.set(true))
            }
        } else {
            nothing()
        }
    };
    let head = head(Vec::new(), t().admin.tenants, button());
    let found = shown(list, move |page| {
        let is_empty = selector(move || page.with(|it| it.items.is_empty()));
        view! {
            (if is_empty.get() {
                empty(Icon::People, t().admin.tenants_none, t().admin.tenants_none_text, button())
            } else {
                view! { Found(list=list, page=page, may_write=may_write) }
            })
        }
    });
    view! { (head) (found) (make) }
}

#[component(inline_props)]
fn Found(list: Remote<Page<Tenant>>, page: ReadSignal<Rc<Page<Tenant>>>, may_write: bool) -> View {
    let text = create_signal(String::new());
    let rows = create_memo(move || {
        let text = text.with(|it| it.trim().to_lowercase());
        page.with(|it| {
            let fits = |it: &&Tenant| it.name.to_lowercase().contains(&text);
            it.items.iter().filter(fits).cloned().collect::<Vec<_>>()
        })
    });
    let is_cut = selector(move || page.with(|it| it.next.is_some()));
    let magnifier = icon(Icon::Search);
    let lines = view! {
        Indexed(list=rows, view=move |it| view! {
            Line(list=list, page=page, tenant=it, may_write=may_write)
        })
    };
    let texts = &t().admin;
    let heads = [t().servers.name, texts.above, texts.quota, texts.made, ""];
    let found = table(texts.tenants, &heads, lines);
    view! {
        div(class="toolbar") {
            label(class="search") {
                (magnifier) span(class="sr") { (t().admin.tenants_search) }
                input(r#type="search", placeholder=t().admin.tenants_search, bind:value=text)
            }
        }
        (if is_cut.get() { notice(Tone::Calm, cut()) } else { nothing() })
        (found)
    }
}

#[component(inline_props)]
fn Line(
    list: Remote<Page<Tenant>>,
    page: ReadSignal<Rc<Page<Tenant>>>,
    tenant: Tenant,
    may_write: bool,
) -> View {
    let (renaming, limiting, deleting) =
        (create_signal(false), create_signal(false), create_signal(false));
    let dialogs = View::from(vec![
        rename_dialog(list, &tenant, renaming),
        limit_dialog(list, &tenant, limiting),
        delete_dialog(list, &tenant, deleting),
    ]);
    let parent = tenant.parent.and_then(|parent| {
        page.with_untracked(|it| {
            it.items.iter().find(|it| it.tenant == parent).map(|it| it.name.clone())
        })
    });
    let parent = parent.unwrap_or_else(|| "–".to_owned());
    let to = format!("/tenants/{}", tenant.tenant);
    let (name, quota, made) = (tenant.name, words(&tenant.quota), tenant.made_at);
    view! {
        tr {
            td(class="cut") { a(href=to) { (name) } }
            td(class="muted cut") { (parent) }
            td(class="wrap") { (quota) }
            td(class="muted") { Age(at=made) }
            td(class="end") {
                (if may_write { view! {
                    div(class="actions end") {
                        Action(label=t().admin.quota, kind=Kind::Quiet, run=move || limiting.set(true))
                        Action(label=t().admin.rename, kind=Kind::Quiet, run=move || renaming.set(true))
                        Action(label=t().admin.delete, kind=Kind::Quiet, run=move || deleting.set(true))
                    }
                } } else { nothing() })
                (dialogs)
            }
        }
    }
}

fn rename_dialog(list: Remote<Page<Tenant>>, tenant: &Tenant, open: Signal<bool>) -> View {
    let (session, toasts) = (use_context::<Session>(), use_context::<Toasts>());
    let id = tenant.tenant;
    rename(open, t().admin.rename, tenant.name.clone(), move |task, name| {
        let path = TenantPath { tenant: id };
        let body = UpdateTenant { name: Some(name), ..UpdateTenant::default() };
        task.run(session.call::<table::UpdateTenant>(path, (), body), move |_| {
            toasts.done(t().general.saved);
            open.set(false);
            list.reload();
        });
    })
}

fn limit_dialog(list: Remote<Page<Tenant>>, tenant: &Tenant, open: Signal<bool>) -> View {
    let (session, toasts) = (use_context::<Session>(), use_context::<Toasts>());
    let (id, quota) = (tenant.tenant, tenant.quota);
    let title = fill(t().admin.quota_of, &[("name", &tenant.name)]);
    dialog(open, title, move || {
        let (draft, task) = (QuotaDraft::new(&quota), Task::new());
        let submit = move |event: SubmitEvent| {
            event.prevent_default();
            let Some(quota) = draft.read() else { return };
            let (path, body) = (TenantPath { tenant: id }, LimitTenant { quota });
            task.run(session.call::<table::LimitTenant>(path, (), body), move |_| {
                toasts.done(t().general.saved);
                open.set(false);
                list.reload();
            });
        };
        let (wrong, fields) = (complaint(task.failure, &[]), fields(draft, task.failure));
        let footer = confirm(open, view! { Submit(label=t().general.save, task=task) });
        view! {
            form(on:submit=submit, novalidate=true) {
                p(class="muted") { (t().admin.quota_text) } (wrong) (fields) (footer)
            }
        }
    })
}

fn delete_dialog(list: Remote<Page<Tenant>>, tenant: &Tenant, open: Signal<bool>) -> View {
    let (session, toasts) = (use_context::<Session>(), use_context::<Toasts>());
    let (id, name) = (tenant.tenant, tenant.name.clone());
    let what = Question {
        title: t().admin.tenant_delete.to_owned(),
        text: fill(t().admin.tenant_delete_sure, &[("name", &name)]),
        label: t().admin.tenant_delete,
        typed: Some((t().admin.type_name, name.clone())),
    };
    ask(open, what, move |task| {
        let query = DeleteTenantQuery { name: Some(name.clone()) };
        let call = session.call::<table::DeleteTenant>(TenantPath { tenant: id }, query, ());
        task.run(call, move |()| {
            toasts.done(t().admin.deleted);
            open.set(false);
            list.reload();
        });
    })
}

fn make_dialog(list: Remote<Page<Tenant>>, open: Signal<bool>) -> View {
    let (session, toasts) = (use_context::<Session>(), use_context::<Toasts>());
    dialog(open, t().admin.tenant_new, move || {
        let text = || create_signal(String::new());
        let (name, email, password) = (text(), text(), text());
        let (draft, task) = (QuotaDraft::new(&Quota::default()), Task::new());
        let submit = move |event: SubmitEvent| {
            event.prevent_default();
            let Some(quota) = draft.read() else { return };
            let typed = |it: Signal<String>| it.with_untracked(|it| it.trim().to_owned());
            let owner = NewOwner { email: typed(email), password: password.get_clone_untracked() };
            let body = CreateTenant { name: typed(name), quota, owner, external_id: None };
            task.run(session.call::<table::CreateTenant>((), (), body), move |_| {
                toasts.done(t().admin.tenant_made);
                open.set(false);
                list.reload();
            });
        };
        let wrong = complaint(task.failure, &["name", "owner.email", "owner.password"]);
        let fields = fields(draft, task.failure);
        let footer = confirm(open, view! { Submit(label=t().admin.tenant_make, task=task) });
        let texts = &t().admin;
        view! {
            form(on:submit=submit, novalidate=true) {
                (wrong)
                Field(label=t().servers.name, name="name", value=name, autofocus=true, failure=task.failure)
                Field(label=texts.owner_email, name="owner.email", value=email, kind="email", inputmode="email",
                    failure=task.failure)
                Field(label=texts.owner_password, name="owner.password", value=password, kind="password",
                    autocomplete="new-password", hint=texts.owner_password_hint, failure=task.failure)
                h3 { (texts.quota) }
                (fields)
                (footer)
            }
        }
    })
}
