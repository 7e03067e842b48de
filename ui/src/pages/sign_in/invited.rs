//! An invitation in front of the door: who has no account makes one with the letter, others sign in first.

use super::{frame, reached, register::too_short};
use crate::{
    i18n::t,
    nav::{self, Place},
    parts::{Action, Field, Submit, complaint},
    session::Session,
    task::Task,
};
use mamba_wire::api::{
    auth::{Login, SignIn},
    member::RegisterInvited,
    table,
};
use sycamore::prelude::*;
use web_sys::SubmitEvent;

/// The page that an invitation's link opens for who is not signed in.
#[component]
pub(crate) fn Invited() -> View {
    let (session, place) = (use_context::<Session>(), use_context::<Place>());
    let token = nav::take_secret();
    if token.is_empty() {
        return reached(t().invitation.title, t().invitation.missing.to_owned());
    }
    let (token, password) = (create_signal(token), create_signal(String::new()));
    let task = Task::new();
    let submit = move |event: SubmitEvent| {
        event.prevent_default();
        let (token, password) = (token.get_clone_untracked(), password.get_clone_untracked());
        let call = async move {
            let body = RegisterInvited { token, password: password.clone() };
            let made = session.call::<table::RegisterInvited>((), (), body).await?;
            let login = Login { email: made.email, password };
            session.call::<table::Login>((), (), login).await
        };
        task.run(call, move |reply| {
            place.replace("/servers");
            if let SignIn::SignedIn(tokens) = reply {
                session.enter(tokens);
            }
        });
    };
    let sign_in = move || {
        nav::keep(token.get_clone_untracked());
        place.go("/sign-in?to=/invitation");
    };
    let problem = complaint(task.failure, &["password"]);
    frame(
        t().invitation.title,
        view! {
            Action(label=t().invitation.sign_in, run=sign_in)
            form(on:submit=submit, novalidate=true) {
                p(class="muted") { (t().invitation.register_text) }
                (problem)
                Field(label=t().sign_in.password, name="password", value=password, kind="password",
                    autocomplete="new-password", hint=t().sign_in.password_hint, failure=task.failure,
                    wrong=too_short(password))
                Submit(label=t().invitation.register, task=task)
            }
        },
    )
}
