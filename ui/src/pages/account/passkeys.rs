//! Passkeys: added on a device, renamed, removed.

use crate::reactive::selector;
use crate::{
    i18n::{fill, t},
    net::{Device, ask_device, has_passkeys},
    parts::{
        Action, Field, Icon, Kind, Question, Submit, Toasts, Tone, ask, complaint, confirm, dialog,
        empty, listing, nothing, notice, rename, shown,
    },
    remote::{self, Remote, watch},
    session::Session,
    task::Task,
    time::Age,
};
use mamba_wire::api::{
    Page,
    account::{AddPasskey, KeyPath, Passkey, Proof, Rename},
    table,
};
use std::rc::Rc;
use sycamore::{futures::spawn_local, prelude::*};
use web_sys::SubmitEvent;

/// The card.
#[component]
pub(super) fn Passkeys() -> View {
    let remote = watch::<table::ListPasskeys>(remote::NEVER_MS, || Some(((), ())));
    let adding = create_signal(false);
    let add = add_dialog(remote, adding);
    let can = cfg!(target_arch = "wasm32") && has_passkeys();
    view! {
        section(class="card") {
            header {
                h2 { (t().account.passkeys) }
                (if can { view! {
                    Action(label=t().account.passkey_add, picture=Icon::Plus, run=move || adding.set(true))
                } } else { nothing() })
            }
            div(class="body") {
                p(class="muted") { (t().account.passkeys_text) }
                (if can { nothing() } else { notice(Tone::Calm, t().account.passkeys_cannot) })
            }
            (shown(remote, move |page| list(remote, page)))
        }
        (add)
    }
}

fn list(remote: Remote<Page<Passkey>>, page: ReadSignal<Rc<Page<Passkey>>>) -> View {
    let items = selector(move || page.with(|it| it.items.clone()));
    view! {
        (if items.with(Vec::is_empty) {
            empty(Icon::Key, t().account.passkeys_none, t().account.passkeys_none_text, nothing())
        } else {
            let rows = view! {
                Indexed(list=items, view=move |it| view! { Line(remote=remote, passkey=it) })
            };
            let texts = &t().account;
            listing(&[t().servers.name, texts.added, texts.used, ""], rows)
        })
    }
}

#[component(inline_props)]
fn Line(remote: Remote<Page<Passkey>>, passkey: Passkey) -> View {
    let (renaming, removing) = (create_signal(false), create_signal(false));
    let (rename, remove) =
        (rename_dialog(remote, &passkey, renaming), remove_dialog(remote, &passkey, removing));
    let Passkey { name, made_at, used_at, .. } = passkey;
    let used = used_at.map_or_else(|| view! { (t().account.never) }, |at| view! { Age(at=at) });
    view! {
        tr {
            td(class="cut") { (name) }
            td(class="muted") { Age(at=made_at) }
            td(class="muted") { (used) }
            td(class="end") {
                div(class="actions end") {
                    Action(label=t().account.passkey_rename, run=move || renaming.set(true))
                    Action(label=t().general.remove, kind=Kind::Danger, run=move || removing.set(true))
                }
                (rename) (remove)
            }
        }
    }
}

fn remove_dialog(remote: Remote<Page<Passkey>>, passkey: &Passkey, open: Signal<bool>) -> View {
    let (session, toasts) = (use_context::<Session>(), use_context::<Toasts>());
    let path = KeyPath { key: passkey.key };
    let question = Question {
        title: t().account.passkey_remove.to_owned(),
        text: fill(t().account.passkey_remove_text, &[("name", &passkey.name)]),
        label: t().account.passkey_remove,
        typed: None,
    };
    ask(open, question, move |task| {
        task.run(session.call::<table::RemovePasskey>(path.clone(), (), ()), move |()| {
            toasts.done(t().account.passkey_removed);
            open.set(false);
            remote.reload();
        });
    })
}

fn rename_dialog(remote: Remote<Page<Passkey>>, passkey: &Passkey, open: Signal<bool>) -> View {
    let (session, toasts) = (use_context::<Session>(), use_context::<Toasts>());
    let path = KeyPath { key: passkey.key };
    rename(open, t().account.passkey_rename, passkey.name.clone(), move |task, name| {
        let call = session.call::<table::RenamePasskey>(path.clone(), (), Rename { name });
        task.run(call, move |_| {
            toasts.done(t().general.saved);
            open.set(false);
            remote.reload();
        });
    })
}

fn add_dialog(remote: Remote<Page<Passkey>>, open: Signal<bool>) -> View {
    let (session, toasts) = (use_context::<Session>(), use_context::<Toasts>());
    dialog(open, t().account.passkey_add, move || {
        let text = || create_signal(String::new());
        let (name, password, task) = (text(), text(), Task::new());
        let submit = move |event: SubmitEvent| {
            event.prevent_default();
            let proof = Proof { password: password.get_clone_untracked() };
            let name = name.get_clone_untracked();
            let call = async move {
                let begun = session.call::<table::BeginPasskey>((), (), proof).await?;
                let credential = ask_device(Device::Make, begun.options).await?;
                let body = AddPasskey { challenge: begun.challenge, name, credential };
                session.call::<table::AddPasskey>((), (), body).await
            };
            task.run(call, move |_| {
                toasts.done(t().account.passkey_added);
                open.set(false);
                remote.reload();
                // A session that could only set this up becomes a whole one.
                spawn_local(async move {
                    session.renew().await;
                });
            });
        };
        let wrong = complaint(task.failure, &["name"]);
        let footer = confirm(open, view! { Submit(label=t().account.passkey_add, task=task) });
        view! {
            form(on:submit=submit, novalidate=true) {
                (wrong)
                Field(label=t().servers.name, name="name", value=name, autofocus=true, failure=task.failure)
                Field(label=t().sign_in.password, name="password", value=password, kind="password",
                    autocomplete="current-password", hint=t().account.prove)
                (footer)
            }
        }
    })
}
