//! SSH keys, for SFTP.

use crate::{
    i18n::t,
    parts::{
        Action, Field, Icon, Kind, Submit, TextArea, Toasts, complaint, confirm, dialog, empty,
        listing, nothing, shown,
    },
    remote::{self, Remote, watch},
    session::Session,
    task::Task,
    time::Age,
};
use mamba_wire::api::{
    Page,
    account::{AddSshKey, KeyPath, SshKey},
    table,
};
use std::rc::Rc;
use sycamore::prelude::*;
use web_sys::SubmitEvent;

/// The card.
#[component]
pub(super) fn SshKeys() -> View {
    let remote = watch::<table::ListSshKeys>(remote::NEVER_MS, || Some(((), ())));
    let adding = create_signal(false);
    let add = add_dialog(remote, adding);
    view! {
        section(class="card") {
            header {
                h2 { (t().account.ssh_keys) }
                Action(label=t().account.ssh_add, picture=Icon::Plus, run=move || adding.set(true))
            }
            (shown(remote, move |page| table(remote, page)))
        }
        (add)
    }
}

fn table(remote: Remote<Page<SshKey>>, page: ReadSignal<Rc<Page<SshKey>>>) -> View {
    let items = create_memo(move || page.with(|it| it.items.clone()));
    view! {
        (if items.with(Vec::is_empty) {
            empty(Icon::Key, t().account.ssh_none, t().account.ssh_none_text, nothing())
        } else {
            let rows =
                view! { Indexed(list=items, view=move |it| view! { Line(remote=remote, it=it) }) };
            let texts = &t().account;
            listing(&[t().servers.name, texts.fingerprint, texts.added, ""], rows)
        })
    }
}

#[component(inline_props)]
fn Line(remote: Remote<Page<SshKey>>, it: SshKey) -> View {
    let session = use_context::<Session>();
    let task = Task::new();
    let path = KeyPath { key: it.key };
    let remove = move || {
        let call = session.call::<table::RemoveSshKey>(path.clone(), (), ());
        task.run(call, move |()| remote.reload());
    };
    let (name, fingerprint, made) = (it.name, it.fingerprint, it.made_at);
    view! {
        tr {
            td { (name) }
            td { code { (fingerprint) } }
            td(class="muted") { Age(at=made) }
            td(class="end") {
                Action(label=t().servers.remove, kind=Kind::Danger, task=task, run=remove)
            }
        }
    }
}

fn add_dialog(remote: Remote<Page<SshKey>>, open: Signal<bool>) -> View {
    let (session, toasts) = (use_context::<Session>(), use_context::<Toasts>());
    dialog(open, t().account.ssh_add, move || {
        let (name, key, task) =
            (create_signal(String::new()), create_signal(String::new()), Task::new());
        let submit = move |event: SubmitEvent| {
            event.prevent_default();
            let body = AddSshKey {
                name: name.get_clone_untracked(),
                public_key: key.get_clone_untracked().trim().to_owned(),
            };
            task.run(session.call::<table::AddSshKey>((), (), body), move |_| {
                toasts.done(t().general.saved);
                open.set(false);
                remote.reload();
            });
        };
        let wrong = complaint(task.failure, &["name", "public_key"]);
        let footer = confirm(open, view! { Submit(label=t().account.ssh_add, task=task) });
        view! {
            form(on:submit=submit, novalidate=true) {
                (wrong)
                Field(label=t().servers.name, name="name", value=name, autofocus=true, failure=task.failure)
                TextArea(label=t().account.public_key, name="public_key", value=key,
                    hint=t().account.public_key_hint, failure=task.failure)
                (footer)
            }
        }
    })
}
