//! Roles: the built-in ones, and those that a tenant makes from the table of rights.

use super::{
    members::{role_name, role_text},
    page::Seen,
};
use crate::reactive::selector;
use crate::{
    i18n::{fill, t},
    parts::{
        Action, Badge, Field, Icon, Kind, Picked, Question, Submit, Toasts, Tone, ask, complaint,
        confirm, dialog, listing, nothing, shown,
    },
    remote::{self, Remote, watch},
    session::Session,
    task::Task,
};
use mamba_core::{
    access::{Role, TenantRight},
    ids::RoleId,
};
use mamba_wire::api::{
    Page,
    member::{RoleItem, RolePath, WriteRole},
    table,
};
use std::rc::Rc;
use sycamore::prelude::*;
use web_sys::SubmitEvent;

/// The tab.
#[component(inline_props)]
pub(super) fn Roles(seen: Seen) -> View {
    let remote = watch::<table::ListRoles>(remote::RARELY_MS, move || Some((seen.path(), ())));
    let making = create_signal(false);
    let make = write_dialog(seen, remote, None, making);
    let may = selector(move || seen.may(TenantRight::RoleWrite));
    view! {
        div(class="toolbar") {
            p(class="muted grow") { (t().tenant.roles_text) }
            (if may.get() { view! {
                Action(label=t().tenant.role_new, kind=Kind::Primary, picture=Icon::Plus, run=move || making.set(true))
            } } else { nothing() })
        }
        (shown(remote, move |page| list(seen, remote, page)))
        (make)
    }
}

fn list(seen: Seen, remote: Remote<Page<RoleItem>>, page: ReadSignal<Rc<Page<RoleItem>>>) -> View {
    let items = selector(move || page.with(|it| it.items.clone()));
    let rows = view! {
        Indexed(list=items, view=move |it| view! { Line(seen=seen, remote=remote, role=it) })
    };
    listing(&[t().tenant.name, t().servers.rights, ""], rows)
}

#[component(inline_props)]
fn Line(seen: Seen, remote: Remote<Page<RoleItem>>, role: RoleItem) -> View {
    let counts = fill(
        t().tenant.rights_count,
        &[("tenant", &role.rights.tenant.len()), ("server", &role.rights.server.len())],
    );
    let about = role_text(role.role);
    let Role::Custom(id) = role.role else {
        let name = role_name(role.role);
        return view! {
            tr {
                td { (name) p(class="hint") { (about) } }
                td(class="muted num") { (counts) }
                td(class="end") { Badge(tone=Tone::Calm, label=t().tenant.built_in) }
            }
        };
    };
    let (editing, deleting) = (create_signal(false), create_signal(false));
    let name = role.name.clone();
    let delete = delete_dialog(seen, remote, id, &name, deleting);
    let edit = write_dialog(seen, remote, Some((id, role)), editing);
    let may = selector(move || seen.may(TenantRight::RoleWrite));
    view! {
        tr {
            td { (name) p(class="hint") { (about) } }
            td(class="muted num") { (counts) }
            td(class="end") {
                (if may.get() { view! { div(class="actions end") {
                    Action(label=t().general.edit, run=move || editing.set(true))
                    Action(label=t().general.remove, kind=Kind::Danger, run=move || deleting.set(true))
                } } } else { nothing() })
                (edit) (delete)
            }
        }
    }
}

fn delete_dialog(
    seen: Seen,
    remote: Remote<Page<RoleItem>>,
    role: RoleId,
    name: &str,
    open: Signal<bool>,
) -> View {
    let (session, toasts) = (use_context::<Session>(), use_context::<Toasts>());
    let path = RolePath { tenant: seen.id, role };
    let question = Question {
        title: t().tenant.role_delete.to_owned(),
        text: fill(t().tenant.role_delete_text, &[("name", &name)]),
        label: t().tenant.role_delete,
        typed: None,
    };
    ask(open, question, move |task| {
        task.run(session.call::<table::DeleteRole>(path.clone(), (), ()), move |()| {
            toasts.done(t().tenant.role_deleted);
            open.set(false);
            remote.reload();
        });
    })
}

/// Returns the dialog that makes a role, or changes one.
fn write_dialog(
    seen: Seen,
    remote: Remote<Page<RoleItem>>,
    old: Option<(RoleId, RoleItem)>,
    open: Signal<bool>,
) -> View {
    let title = if old.is_some() { t().tenant.role_edit } else { t().tenant.role_new };
    let old = old.map(|(id, item)| (id, Rc::new(item)));
    dialog(open, title, move || write_form(seen, remote, old.clone(), open))
}

fn write_form(
    seen: Seen,
    remote: Remote<Page<RoleItem>>,
    old: Option<(RoleId, Rc<RoleItem>)>,
    open: Signal<bool>,
) -> View {
    let (session, toasts) = (use_context::<Session>(), use_context::<Toasts>());
    let rights = old.as_ref().map(|(_, it)| it.rights.clone()).unwrap_or_default();
    let name = create_signal(old.as_ref().map(|(_, it)| it.name.clone()).unwrap_or_default());
    let id = old.map(|(id, _)| id);
    let picked = Picked::new(&rights);
    let task = Task::new();
    let submit = move |event: SubmitEvent| {
        event.prevent_default();
        let body = WriteRole { name: name.get_clone_untracked(), rights: picked.read() };
        let call = async move {
            match id {
                Some(role) => {
                    let path = RolePath { tenant: seen.id, role };
                    session.call::<table::UpdateRole>(path, (), body).await
                }
                None => session.call::<table::CreateRole>(seen.path(), (), body).await,
            }
        };
        task.run(call, move |_| {
            toasts.done(t().tenant.role_saved);
            open.set(false);
            remote.reload();
        });
    };
    let wrong = complaint(task.failure, &["name"]);
    // What one does not have cannot be given; what a role has already stays in sight.
    let mut offered = seen.rights.with_untracked(|it| (**it).clone());
    offered.add(&rights);
    let boxes = picked.boxes(&offered);
    let footer = confirm(open, view! { Submit(label=t().general.save, task=task) });
    view! {
        form(on:submit=submit, novalidate=true) {
            (wrong)
            Field(label=t().tenant.name, name="name", value=name, autofocus=true, failure=task.failure)
            (boxes)
            (footer)
        }
    }
}
