//! A server's name, limits and end.

use super::{
    give::give_dialog,
    install::{has_script, reinstall_dialog},
    limits::{Amounts, LimitFields, Wanted, kept_limits},
    mounts::Mounts,
    moving::Moving,
    page::Seen,
    remake::Remake,
};
use crate::reactive::selector;
use crate::{
    change::changed,
    i18n::{fill, t},
    nav::Place,
    parts::{Action, Field, Kind, Submit, Toasts, complaint, confirm, dialog, nothing},
    session::Session,
    task::Task,
};
use mamba_core::access::{AdminRight, ServerKey, TenantRight};
use mamba_wire::api::{
    params::ServerPath,
    server::{DeleteQuery, SuspendQuery, UpdateLimits, UpdateServer},
    table,
};
use sycamore::prelude::*;
use web_sys::SubmitEvent;

/// The tab.
#[component(inline_props)]
pub(super) fn Settings(seen: Seen) -> View {
    let session = use_context::<Session>();
    let is_admin = session.may_admin(AdminRight::ServersWrite);
    let may_look = session.may_admin(AdminRight::ServersRead);
    let may_mount = session.may_admin(AdminRight::MountsWrite);
    let may_rename = seen.may(ServerKey::SettingsRename);
    let may_delete = seen.may_tenant(TenantRight::ServerDelete);
    let may_reinstall = seen.may(ServerKey::SettingsReinstall);
    view! {
        (if may_rename { view! { Name(seen=seen) } } else { nothing() })
        (if is_admin { view! { Limit(seen=seen) } } else { nothing() })
        (if is_admin { view! { Remake(seen=seen) } } else { nothing() })
        (if may_mount { view! { Mounts(seen=seen) } } else { nothing() })
        (if may_look { view! { Moving(seen=seen) } } else { nothing() })
        (if is_admin || may_delete || may_reinstall {
            view! { Danger(seen=seen, is_admin=is_admin, may_delete=may_delete) }
        } else { nothing() })
    }
}

#[component(inline_props)]
fn Name(seen: Seen) -> View {
    let (session, toasts) = (use_context::<Session>(), use_context::<Toasts>());
    let stored = seen.server.with_untracked(|it| (it.name.clone(), it.description.clone()));
    let (name, about) = (stored.0, stored.1.unwrap_or_default());
    // What the form showed when it was sent last, or began.
    let before = create_signal((name.clone(), about.clone()));
    let (name, about) = (create_signal(name), create_signal(about));
    let task = Task::new();
    let submit = move |event: SubmitEvent| {
        event.prevent_default();
        let (old_name, old_about) = before.get_clone_untracked();
        let typed = (name.get_clone_untracked(), about.get_clone_untracked());
        let name = changed(&old_name, typed.0.clone());
        let description = changed(&old_about, typed.1.clone());
        if name.is_none() && description.is_none() {
            return toasts.done(t().general.unchanged);
        }
        let body = UpdateServer { name, description, ..UpdateServer::default() };
        let path = ServerPath { server: seen.id };
        task.run(session.call::<table::UpdateServer>(path, (), body), move |server| {
            toasts.done(t().general.saved);
            before.set(typed);
            seen.remote.put(server);
        });
    };
    let wrong = complaint(task.failure, &["name", "description"]);
    view! {
        section(class="card") {
            header { h2 { (t().servers.settings_name) } }
            form(class="body", on:submit=submit, novalidate=true) {
                (wrong)
                div(class="columns") {
                    Field(label=t().servers.name, name="name", value=name, failure=task.failure)
                    Field(label=t().servers.description, name="description", value=about, optional=true,
                        failure=task.failure)
                }
                div(class="actions") { Submit(label=t().general.save, task=task) }
            }
        }
    }
}

#[component(inline_props)]
fn Limit(seen: Seen) -> View {
    let (session, toasts) = (use_context::<Session>(), use_context::<Toasts>());
    let shown = seen.server.with_untracked(|it| Wanted {
        limits: it.limits,
        ports: it.allocation_limit,
        backups: it.backup_limit,
    });
    // What the form showed when it was sent last, or began.
    let before = create_signal(shown);
    let amounts = Amounts::new(&shown);
    let task = Task::new();
    let submit = move |event: SubmitEvent| {
        event.prevent_default();
        let Some(typed) = amounts.read() else { return };
        let old = before.get_untracked();
        if typed == old {
            return toasts.done(t().general.unchanged);
        }
        let now = seen.server.with_untracked(|it| it.limits);
        let body = UpdateLimits {
            limits: kept_limits(&old.limits, typed.limits, &now),
            allocation_limit: changed(&old.ports, typed.ports),
            backup_limit: changed(&old.backups, typed.backups),
        };
        let path = ServerPath { server: seen.id };
        task.run(session.call::<table::UpdateLimits>(path, (), body), move |server| {
            toasts.done(t().servers.limits_saved);
            before.set(typed);
            seen.remote.put(server);
        });
    };
    let wrong = complaint(task.failure, &[]);
    view! {
        section(class="card") {
            header { h2 { (t().servers.limits) } }
            form(class="body", on:submit=submit, novalidate=true) {
                (wrong)
                LimitFields(amounts=amounts, failure=task.failure)
                div(class="actions") {
                    Submit(label=t().general.save, task=task)
                    span(class="muted") { (t().servers.startup_hint) }
                }
            }
        }
    }
}

#[component(inline_props)]
fn Danger(seen: Seen, is_admin: bool, may_delete: bool) -> View {
    let (session, toasts) = (use_context::<Session>(), use_context::<Toasts>());
    let is_suspended = selector(move || seen.server.with(|it| it.suspended));
    let is_deleted = selector(move || seen.server.with(|it| it.deleted_at.is_some()));
    let task = Task::new();
    let suspend = move || {
        let path = ServerPath { server: seen.id };
        let on = !is_suspended.get();
        let call = async move {
            if on {
                let query = SuspendQuery { force: None };
                session.call::<table::SuspendServer>(path, query, ()).await
            } else {
                session.call::<table::UnsuspendServer>(path, (), ()).await
            }
        };
        task.run(call, move |server| {
            toasts.done(t().general.saved);
            seen.remote.put(server);
        });
    };
    let wrong = complaint(task.failure, &[]);
    let (deleting, reinstalling, giving) =
        (create_signal(false), create_signal(false), create_signal(false));
    let sure = delete_dialog(seen, deleting);
    let sure_again = reinstall_dialog(seen, reinstalling);
    let giver = give_dialog(seen, giving);
    let may_reinstall = seen.may(ServerKey::SettingsReinstall);
    let has_script = selector(move || seen.server.with(|it| has_script(it)));
    view! {
        section(class="card", data-tone="bad") {
            header { h2 { (t().servers.danger) } }
            div(class="body") {
                (wrong)
                (if is_admin { view! {
                    div(class="choice") {
                        p { (t().servers.suspend_text) }
                        (if is_suspended.get() {
                            view! { Action(label=t().servers.unsuspend, task=task, run=suspend) }
                        } else {
                            view! { Action(label=t().servers.suspend, kind=Kind::Danger, task=task, run=suspend) }
                        })
                    }
                } } else { nothing() })
                (if may_reinstall && has_script.get() && !is_deleted.get() { view! {
                    div(class="choice") {
                        p { (t().servers.reinstall_text) }
                        Action(label=t().servers.reinstall, kind=Kind::Danger, run=move || reinstalling.set(true))
                    }
                } } else { nothing() })
                (if may_delete && !is_deleted.get() { view! {
                    div(class="choice") {
                        p { (t().servers.give_text) }
                        Action(label=t().servers.give, kind=Kind::Danger, run=move || giving.set(true))
                    }
                    div(class="choice") {
                        p { (t().servers.delete_text) }
                        Action(label=t().servers.delete, kind=Kind::Danger, run=move || deleting.set(true))
                    }
                } } else { nothing() })
            }
        }
        (sure)
        (sure_again)
        (giver)
    }
}

fn delete_dialog(seen: Seen, open: Signal<bool>) -> View {
    let (session, toasts) = (use_context::<Session>(), use_context::<Toasts>());
    let place = use_context::<Place>();
    dialog(open, t().servers.delete, move || {
        let name = seen.server.with_untracked(|it| it.name.clone());
        let (typed, task) = (create_signal(String::new()), Task::new());
        let text = fill(t().servers.delete_sure, &[("name", &name)]);
        let submit = move |event: SubmitEvent| {
            event.prevent_default();
            if typed.with_untracked(|it| *it != name) {
                return;
            }
            let query = DeleteQuery { after_ms: None, retain_ms: None, force: None };
            let path = ServerPath { server: seen.id };
            task.run(session.call::<table::DeleteServer>(path, query, ()), move |_| {
                toasts.done(t().servers.deleted);
                open.set(false);
                place.go("/servers");
            });
        };
        let wrong = complaint(task.failure, &[]);
        let footer =
            confirm(open, view! { Submit(label=t().servers.delete, kind=Kind::Danger, task=task) });
        view! {
            form(on:submit=submit, novalidate=true) {
                p { (text) }
                (wrong)
                Field(label=t().servers.delete_type, name="confirm", value=typed, autofocus=true)
                (footer)
            }
        }
    })
}
