//! Changing the password.

use crate::{
    i18n::t,
    parts::{Field, Submit, Toasts, complaint},
    session::Session,
    task::Task,
};
use mamba_wire::api::{account::ChangePassword, table};
use sycamore::prelude::*;
use web_sys::SubmitEvent;

/// The card.
#[component]
pub(super) fn Password() -> View {
    let (session, toasts) = (use_context::<Session>(), use_context::<Toasts>());
    let (old, new, task) =
        (create_signal(String::new()), create_signal(String::new()), Task::new());
    let submit = move |event: SubmitEvent| {
        event.prevent_default();
        let body = ChangePassword {
            password: old.get_clone_untracked(),
            new_password: new.get_clone_untracked(),
        };
        task.run(session.call::<table::ChangePassword>((), (), body), move |()| {
            toasts.done(t().account.password_changed);
            old.set(String::new());
            new.set(String::new());
        });
    };
    let wrong = complaint(task.failure, &["new_password"]);
    view! {
        section(class="card") {
            header { h2 { (t().account.password) } }
            form(class="body", on:submit=submit, novalidate=true) {
                (wrong)
                div(class="columns") {
                    Field(label=t().account.password_now, name="password", value=old, kind="password",
                        autocomplete="current-password")
                    Field(label=t().sign_in.new_password, name="new_password", value=new, kind="password",
                        autocomplete="new-password", hint=t().sign_in.password_hint, failure=task.failure)
                }
                div(class="actions") { Submit(label=t().account.password_change, task=task) }
            }
        }
    }
}
