//! The address of the account: whether it is confirmed, and another.

use crate::{
    i18n::{fill, t},
    parts::{Badge, Field, Submit, Toasts, Tone, complaint, shown},
    remote::{self, watch},
    session::Session,
    task::Task,
};
use mamba_wire::api::{
    account::{Account, ChangeAddress},
    table,
};
use std::rc::Rc;
use sycamore::prelude::*;
use web_sys::SubmitEvent;

/// The card.
#[component]
pub(super) fn Address() -> View {
    let remote = watch::<table::ShowAccount>(remote::NEVER_MS, || Some(((), ())));
    shown(remote, |account| view! { Card(account=account) })
}

#[component(inline_props)]
fn Card(account: ReadSignal<Rc<Account>>) -> View {
    let (session, toasts) = (use_context::<Session>(), use_context::<Toasts>());
    let (now, is_verified) =
        account.with_untracked(|it| (it.email.clone(), it.email_verified_at.is_some()));
    let (email, password) = (create_signal(now.clone()), create_signal(String::new()));
    let task = Task::new();
    let submit = move |event: SubmitEvent| {
        event.prevent_default();
        let body = ChangeAddress {
            password: password.get_clone_untracked(),
            email: email.get_clone_untracked().trim().to_owned(),
        };
        task.run(session.call::<table::ChangeAddress>((), (), body), move |()| {
            toasts.done(t().account.address_sent);
            password.set(String::new());
        });
    };
    let (tone, word) = if is_verified {
        (Tone::Good, t().account.address_verified)
    } else {
        (Tone::Busy, t().account.address_unverified)
    };
    let text = fill(t().account.address_text, &[("email", &now)]);
    let wrong = complaint(task.failure, &["email"]);
    view! {
        section(class="card") {
            header { h2 { (t().account.address_title) } Badge(tone=tone, label=word) }
            form(class="body", on:submit=submit, novalidate=true) {
                p(class="muted") { (text) }
                (wrong)
                div(class="columns") {
                    Field(label=t().sign_in.email, name="email", value=email, kind="email", inputmode="email",
                        autocomplete="email", failure=task.failure)
                    Field(label=t().sign_in.password, name="password", value=password, kind="password",
                        autocomplete="current-password")
                }
                div(class="actions") { Submit(label=t().account.address_change, task=task) }
            }
        }
    }
}
