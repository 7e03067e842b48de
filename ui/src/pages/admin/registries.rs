//! Logins of image registries that every node pulls with.

use crate::{
    i18n::{fill, t},
    parts::{
        Action, Field, Icon, Kind, Question, Submit, Toasts, ask, complaint, confirm, dialog,
        nothing, shown, table,
    },
    remote::{self, Remote, watch},
    session::Session,
    task::Task,
    time::Age,
};
use mamba_core::access::AdminRight;
use mamba_wire::api::{
    Page,
    registry::{Registry, RegistryPath, SetRegistry},
    table,
};
use std::rc::Rc;
use sycamore::prelude::*;
use web_sys::SubmitEvent;

/// The card.
#[component]
pub(super) fn Registries() -> View {
    let session = use_context::<Session>();
    let may_write = session.may_admin(AdminRight::NodesWrite);
    let remote = watch::<table::ListRegistries>(remote::NEVER_MS, || Some(((), ())));
    let adding = create_signal(false);
    let adder = edit_dialog(remote, None, adding);
    let content = shown(remote, move |page| lines(remote, page, may_write));
    view! {
        section(class="card registries") {
            header {
                h2 { (t().admin.registries) }
                (if may_write { view! {
                    Action(label=t().admin.registry_add, kind=Kind::Quiet, picture=Icon::Plus,
                        run=move || adding.set(true))
                } } else { nothing() })
            }
            div(class="body") { p(class="muted") { (t().admin.registries_text) } }
            (content)
        }
        (adder)
    }
}

fn lines(
    remote: Remote<Page<Registry>>,
    page: ReadSignal<Rc<Page<Registry>>>,
    may_write: bool,
) -> View {
    view! {
        ({
            let items = page.get_clone().items.clone();
            if items.is_empty() {
                nothing()
            } else {
                let all: Vec<View> =
                    items.into_iter().map(|it| line(remote, it, may_write)).collect();
                let texts = &t().admin;
                let heads = [texts.registry, texts.registry_user, t().servers.changed, ""];
                table(texts.registries, &heads, all.into())
            }
        })
    }
}

fn line(remote: Remote<Page<Registry>>, registry: Registry, may_write: bool) -> View {
    let (session, toasts) = (use_context::<Session>(), use_context::<Toasts>());
    let (editing, deleting) = (create_signal(false), create_signal(false));
    let editor = edit_dialog(remote, Some(registry.clone()), editing);
    let Registry { registry: host, user, changed_at } = registry;
    let what = Question {
        title: t().admin.registry_delete.to_owned(),
        text: fill(t().admin.registry_delete_text, &[("host", &host)]),
        label: t().admin.delete,
        typed: None,
    };
    let name = host.clone();
    let sure = ask(deleting, what, move |task: Task| {
        let path = RegistryPath { registry: name.clone() };
        task.run(session.call::<table::DeleteRegistry>(path, (), ()), move |()| {
            toasts.done(t().general.saved);
            deleting.set(false);
            remote.reload();
        });
    });
    view! {
        tr {
            td { code { (host) } }
            td(class="wrap") { (user) }
            td(class="muted") { Age(at=changed_at) }
            td(class="end") {
                (if may_write { view! {
                    Action(label=t().admin.edit, kind=Kind::Quiet, run=move || editing.set(true))
                    Action(label=t().admin.delete, kind=Kind::Quiet, run=move || deleting.set(true))
                } } else { nothing() })
                (editor)
                (sure)
            }
        }
    }
}

/// Returns the dialog that sets a login. What is there already keeps its password where none is typed.
fn edit_dialog(
    remote: Remote<Page<Registry>>,
    known: Option<Registry>,
    open: Signal<bool>,
) -> View {
    let title = if known.is_some() { t().admin.registry_edit } else { t().admin.registry_add };
    dialog(open, title, move || form(remote, known.clone(), open))
}

fn form(remote: Remote<Page<Registry>>, known: Option<Registry>, open: Signal<bool>) -> View {
    let (session, toasts) = (use_context::<Session>(), use_context::<Toasts>());
    let is_known = known.is_some();
    let (host, user) = known.map(|it| (it.registry, it.user)).unwrap_or_default();
    let (host, user) = (create_signal(host), create_signal(user));
    let (password, task) = (create_signal(String::new()), Task::new());
    let submit = move |event: SubmitEvent| {
        event.prevent_default();
        let path = RegistryPath { registry: host.with_untracked(|it| it.trim().to_owned()) };
        let typed = password.get_clone_untracked();
        let body = SetRegistry {
            user: user.with_untracked(|it| it.trim().to_owned()),
            password: Some(typed).filter(|it| !it.is_empty()),
        };
        task.run(session.call::<table::SetRegistry>(path, (), body), move |_| {
            toasts.done(t().general.saved);
            open.set(false);
            remote.reload();
        });
    };
    let wrong = complaint(task.failure, &["host", "user", "password"]);
    let hint = if is_known { t().admin.registry_password_kept } else { "" };
    let footer = confirm(open, view! { Submit(label=t().general.save, task=task) });
    view! {
        form(on:submit=submit, novalidate=true) {
            (wrong)
            Field(label=t().admin.registry, name="host", value=host, disabled=is_known, autofocus=!is_known,
                hint=t().admin.registry_hint, failure=task.failure)
            Field(label=t().admin.registry_user, name="user", value=user, failure=task.failure)
            Field(label=t().admin.registry_password, name="password", kind="password", value=password,
                autocomplete="new-password", hint=hint, optional=is_known, failure=task.failure)
            (footer)
        }
    }
}
