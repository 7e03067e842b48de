//! Asking for an account.

use super::{PASSWORD_BYTES_MIN, frame, reached};
use crate::reactive::selector;
use crate::{
    i18n::{fill, t},
    parts::{Field, Submit, complaint},
    session::Session,
    task::Task,
};
use mamba_wire::api::{auth, table};
use sycamore::prelude::*;
use web_sys::SubmitEvent;

/// The page.
#[component]
pub(crate) fn Register() -> View {
    let session = use_context::<Session>();
    let sent = create_signal(false);
    let (email, password) = (create_signal(String::new()), create_signal(String::new()));
    let task = Task::new();
    let submit = move |event: SubmitEvent| {
        event.prevent_default();
        let body = auth::Register {
            email: email.get_clone_untracked().trim().to_owned(),
            password: password.get_clone_untracked(),
        };
        task.run(session.call::<table::Register>((), (), body), move |()| sent.set(true));
    };
    let form = move || {
        let problem = complaint(task.failure, &["email", "password"]);
        frame(
            t().sign_in.register_title,
            view! {
                form(on:submit=submit, novalidate=true) {
                    (problem)
                    Field(label=t().sign_in.email, name="email", value=email, kind="email",
                        autocomplete="username", inputmode="email", autofocus=true, failure=task.failure)
                    Field(label=t().sign_in.password, name="password", value=password, kind="password",
                        autocomplete="new-password", hint=t().sign_in.password_hint, failure=task.failure,
                        wrong=too_short(password))
                    Submit(label=t().sign_in.register_button, task=task)
                }
                p(class="gate-links") {
                    span { (t().sign_in.have_account) " " a(href="/sign-in") { (t().sign_in.title) } }
                }
            },
        )
    };
    view! {
        (if sent.get() {
            let text = email.with_untracked(|it| fill(t().sign_in.register_sent_text, &[("email", it)]));
            reached(t().sign_in.register_sent, text)
        } else {
            form()
        })
    }
}

/// Says while a password is typed that it is too short.
pub(super) fn too_short(password: Signal<String>) -> ReadSignal<Option<String>> {
    selector(move || {
        let is_short = password.with(|it| (1..PASSWORD_BYTES_MIN).contains(&it.len()));
        is_short.then(|| t().sign_in.password_hint.to_owned())
    })
}
