//! A forgotten password: asking for a link, and what the link opens.

use super::{frame, reached, register::too_short};
use crate::{
    i18n::{fill, t},
    nav,
    parts::{Field, Submit, complaint},
    session::Session,
    task::Task,
};
use mamba_wire::api::{auth, table};
use sycamore::prelude::*;
use web_sys::SubmitEvent;

/// The page that sends a link.
#[component]
pub(crate) fn Forgot() -> View {
    let session = use_context::<Session>();
    let (sent, email) = (create_signal(false), create_signal(String::new()));
    let task = Task::new();
    let submit = move |event: SubmitEvent| {
        event.prevent_default();
        let body = auth::RequestReset { email: email.get_clone_untracked().trim().to_owned() };
        task.run(session.call::<table::RequestReset>((), (), body), move |()| sent.set(true));
    };
    let form = move || {
        let problem = complaint(task.failure, &["email"]);
        frame(
            t().sign_in.forgot_title,
            view! {
                form(on:submit=submit, novalidate=true) {
                    p(class="muted") { (t().sign_in.forgot_text) }
                    (problem)
                    Field(label=t().sign_in.email, name="email", value=email, kind="email",
                        autocomplete="username", inputmode="email", autofocus=true, failure=task.failure)
                    Submit(label=t().sign_in.forgot_button, task=task)
                }
                p(class="gate-links") { a(href="/sign-in") { (t().sign_in.back) } }
            },
        )
    };
    view! {
        (if sent.get() {
            let text = email.with_untracked(|it| fill(t().sign_in.forgot_sent_text, &[("email", it)]));
            reached(t().sign_in.forgot_sent, text)
        } else {
            form()
        })
    }
}

/// The page that the link opens.
#[component]
pub(crate) fn Reset() -> View {
    let session = use_context::<Session>();
    let secret = nav::take_secret();
    let (done, password) = (create_signal(false), create_signal(String::new()));
    let task = Task::new();
    if secret.is_empty() {
        return reached(t().sign_in.confirm_failed, t().sign_in.no_token.to_owned());
    }
    let secret = create_signal(secret);
    let submit = move |event: SubmitEvent| {
        event.prevent_default();
        let body = auth::ResetPassword {
            token: secret.get_clone_untracked(),
            password: password.get_clone_untracked(),
        };
        task.run(session.call::<table::ResetPassword>((), (), body), move |()| {
            session.leave();
            done.set(true);
        });
    };
    let form = move || {
        let problem = complaint(task.failure, &["password"]);
        frame(
            t().sign_in.reset_title,
            view! {
                form(on:submit=submit, novalidate=true) {
                    (problem)
                    Field(label=t().sign_in.new_password, name="password", value=password, kind="password",
                        autocomplete="new-password", autofocus=true, hint=t().sign_in.password_hint,
                        failure=task.failure, wrong=too_short(password))
                    Submit(label=t().sign_in.reset_button, task=task)
                }
            },
        )
    };
    view! {
        (if done.get() {
            reached(t().sign_in.reset_done, t().sign_in.reset_done_text.to_owned())
        } else {
            form()
        })
    }
}
