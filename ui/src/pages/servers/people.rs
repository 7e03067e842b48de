//! Sub-users: people who may do something with one server.

use super::page::Seen;
use crate::reactive::selector;
use crate::{
    i18n::{fill, t},
    parts::{
        Action, Copyable, Field, Icon, Kind, Submit, Toasts, choose_keys, chosen_keys, complaint,
        confirm, dialog, empty, matrix, nothing, shown,
    },
    remote::{self, Remote, watch},
    session::Session,
    task::Task,
    time::Age,
};
use mamba_core::access::ServerKey;
use mamba_wire::api::{
    Page, PageQuery,
    member::{InviteSubUser, SubUser, SubUserPath, UpdateSubUser},
    page::PAGE_ITEMS_MAX,
    params::ServerPath,
    table,
};
use std::{collections::BTreeSet, rc::Rc};
use sycamore::{prelude::*, web::window};
use web_sys::SubmitEvent;

/// The tab.
#[component(inline_props)]
pub(super) fn People(seen: Seen) -> View {
    let id = seen.id;
    let remote = watch::<table::ListSubUsers>(remote::RARELY_MS, move || {
        Some((ServerPath { server: id }, PageQuery { after: None, limit: Some(PAGE_ITEMS_MAX) }))
    });
    let inviting = create_signal(false);
    let invite = invite_dialog(seen, inviting);
    let may_invite = seen.may(ServerKey::UserCreate);
    view! {
        div(class="toolbar") {
            p(class="muted grow") { (t().servers.people_text) }
            (if may_invite { view! {
                Action(label=t().servers.invite, kind=Kind::Primary, picture=Icon::Plus,
                    run=move || inviting.set(true))
            } } else { nothing() })
        }
        (shown(remote, move |page| list(seen, remote, page)))
        (invite)
    }
}

fn list(seen: Seen, remote: Remote<Page<SubUser>>, page: ReadSignal<Rc<Page<SubUser>>>) -> View {
    let items = selector(move || page.with(|it| it.items.clone()));
    view! {
        (if items.with(Vec::is_empty) {
            empty(Icon::People, t().servers.people_none, t().servers.people_none_text, nothing())
        } else { view! {
            div(class="table-wrap", tabindex="0", role="group", aria-label=t().general.table) {
                table {
                    thead { tr {
                        th(scope="col") { (t().sign_in.email) }
                        th(scope="col") { (t().servers.rights) }
                        th(scope="col") { (t().servers.changed) }
                        th(scope="col") { span(class="sr") { (t().servers.actions) } }
                    } }
                    tbody { Indexed(list=items, view=move |user| view! {
                        Line(seen=seen, remote=remote, user=user)
                    }) }
                }
            }
        } })
    }
}

#[component(inline_props)]
fn Line(seen: Seen, remote: Remote<Page<SubUser>>, user: SubUser) -> View {
    let (session, toasts) = (use_context::<Session>(), use_context::<Toasts>());
    let path = SubUserPath { server: seen.id, user: user.user };
    let (editing, removing) = (create_signal(false), create_signal(false));
    let edit = edit_dialog(remote, path.clone(), &user, editing);
    let email = user.email.clone();
    let text = fill(t().servers.remove_user_text, &[("email", &email)]);
    let remove = dialog(removing, t().servers.remove_user, move || {
        let task = Task::new();
        let path = path.clone();
        let run = move || {
            task.run(session.call::<table::RemoveSubUser>(path.clone(), (), ()), move |()| {
                toasts.done(t().general.saved);
                removing.set(false);
                remote.reload();
            });
        };
        let wrong = complaint(task.failure, &[]);
        let button =
            view! { Action(label=t().servers.remove, kind=Kind::Danger, task=task, run=run) };
        let (footer, text) = (confirm(removing, button), text.clone());
        view! { div(class="body") { p { (text) } (wrong) (footer) } }
    });
    let count = fill(t().servers.rights_count, &[("n", &user.keys.len())]);
    let (may_update, may_remove, since) =
        (seen.may(ServerKey::UserUpdate), seen.may(ServerKey::UserDelete), user.since);
    view! {
        tr {
            td { (email) }
            td(class="num") { (count) }
            td(class="muted") { Age(at=since) }
            td(class="end") {
                div(class="actions end") {
                    (if may_update { view! {
                        Action(label=t().servers.edit, run=move || editing.set(true))
                    } } else { nothing() })
                    (if may_remove { view! {
                        Action(label=t().servers.remove, kind=Kind::Danger, run=move || removing.set(true))
                    } } else { nothing() })
                }
                (edit) (remove)
            }
        }
    }
}

fn edit_dialog(
    remote: Remote<Page<SubUser>>,
    path: SubUserPath,
    user: &SubUser,
    open: Signal<bool>,
) -> View {
    let (session, toasts) = (use_context::<Session>(), use_context::<Toasts>());
    let (keys, email) = (user.keys.clone(), user.email.clone());
    dialog(open, email, move || {
        let (task, chosen) = (Task::new(), choose_keys(&keys));
        let path = path.clone();
        let submit = move |event: SubmitEvent| {
            event.prevent_default();
            let body = UpdateSubUser { keys: chosen_keys(chosen) };
            task.run(session.call::<table::UpdateSubUser>(path.clone(), (), body), move |_| {
                toasts.done(t().general.saved);
                open.set(false);
                remote.reload();
            });
        };
        let wrong = complaint(task.failure, &[]);
        let footer = confirm(open, view! { Submit(label=t().general.save, task=task) });
        let boxes = matrix(chosen);
        view! { form(on:submit=submit, novalidate=true) { (wrong) (boxes) (footer) } }
    })
}

fn invite_dialog(seen: Seen, open: Signal<bool>) -> View {
    let session = use_context::<Session>();
    dialog(open, t().servers.invite_title, move || {
        let (task, email) = (Task::new(), create_signal(String::new()));
        let chosen = choose_keys(&BTreeSet::from([
            ServerKey::ControlReadConsole,
            ServerKey::ControlStart,
            ServerKey::ControlStop,
            ServerKey::ControlRestart,
        ]));
        let made = create_signal(None::<String>);
        let submit = move |event: SubmitEvent| {
            event.prevent_default();
            let mut keys = chosen_keys(chosen);
            keys.insert(ServerKey::WebsocketConnect);
            let email = email.get_clone_untracked().trim().to_owned();
            let path = ServerPath { server: seen.id };
            let body = InviteSubUser { email, keys };
            task.run(session.call::<table::InviteSubUser>(path, (), body), move |it| {
                made.set(Some(it.token));
            });
        };
        let form = move || {
            let wrong = complaint(task.failure, &["email"]);
            let boxes = matrix(chosen);
            let footer = confirm(open, view! { Submit(label=t().servers.invite, task=task) });
            view! {
                form(on:submit=submit, novalidate=true) {
                    (wrong)
                    Field(label=t().sign_in.email, name="email", value=email, kind="email", inputmode="email",
                        autofocus=true, failure=task.failure)
                    (boxes)
                    (footer)
                }
            }
        };
        view! {
            (match made.get_clone() {
                Some(token) => invited(&token),
                None => form(),
            })
        }
    })
}

/// Returns the link that accepts an invitation: it is shown once.
fn invited(token: &str) -> View {
    let origin = window().location().origin().unwrap_or_default();
    let link = format!("{origin}/invitation#{token}");
    view! {
        div(class="body") { p { (t().servers.invite_made) } Copyable(text=link) }
    }
}
