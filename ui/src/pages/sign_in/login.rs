//! Signing in, with a second factor where the account has one.

use super::{frame, visit};
use crate::reactive::selector;
use crate::{
    i18n::t,
    net::{Device, ask_device, has_passkeys, typed_early},
    parts::{Action, Field, Icon, Submit, complaint, nothing},
    session::Session,
    task::Task,
};
use mamba_wire::api::{
    auth::{self, BeginPasskeySignIn, FinishPasskeySignIn, SignIn},
    table,
};
use sycamore::prelude::*;
use web_sys::SubmitEvent;

/// The page.
#[component]
pub(crate) fn Login() -> View {
    // Goes into the second step.
    let challenge = create_signal(None::<String>);
    let has_challenge = selector(move || challenge.with(Option::is_some));
    view! {
        (if has_challenge.get() { second(challenge) } else { first(challenge) })
    }
}

fn first(challenge: Signal<Option<String>>) -> View {
    let session = use_context::<Session>();
    // `index.html` shows this form until the panel is here: nothing that was done with it is lost.
    let typed = typed_early();
    let (email, password) = (create_signal(typed.email()), create_signal(typed.password()));
    let is_at_password = typed.is_at_password();
    let task = Task::new();
    let send = move || {
        let body = auth::Login {
            email: email.get_clone_untracked().trim().to_owned(),
            password: password.get_clone_untracked(),
        };
        task.run(session.call::<table::Login>((), (), body), move |reply| match reply {
            SignIn::SignedIn(tokens) => session.enter(tokens),
            SignIn::SecondFactor(needed) => challenge.set(Some(needed.challenge)),
        });
    };
    if typed.is_sent() {
        send();
    }
    let submit = move |event: SubmitEvent| {
        event.prevent_default();
        send();
    };
    let problem = complaint(task.failure, &[]);
    frame(
        t().sign_in.title,
        view! {
            form(on:submit=submit, novalidate=true) {
                (problem)
                Field(label=t().sign_in.email, name="email", value=email, kind="email", autocomplete="username",
                    inputmode="email", autofocus=!is_at_password)
                Field(label=t().sign_in.password, name="password", value=password, kind="password",
                    autocomplete="current-password", autofocus=is_at_password)
                Submit(label=t().sign_in.button, task=task)
            }
            Passkey(email=email)
            (visit::places())
            p(class="gate-links") {
                a(href="/forgot-password") { (t().sign_in.forgot) }
                span { (t().sign_in.no_account) " " a(href="/register") { (t().sign_in.register) } }
            }
        },
    )
}

/// Signs in with a passkey of the address that is typed; nothing where the browser cannot.
#[component(inline_props)]
fn Passkey(email: Signal<String>) -> View {
    let session = use_context::<Session>();
    if !cfg!(target_arch = "wasm32") || !has_passkeys() {
        return nothing();
    }
    let task = Task::new();
    let is_asked = create_signal(false);
    let run = move || {
        let email = email.get_clone_untracked().trim().to_owned();
        is_asked.set(email.is_empty());
        if email.is_empty() {
            return;
        }
        let call = async move {
            let body = BeginPasskeySignIn { email };
            let begun = session.call::<table::BeginPasskeySignIn>((), (), body).await?;
            let credential = ask_device(Device::Use, begun.options).await?;
            let body = FinishPasskeySignIn { challenge: begun.challenge, credential };
            session.call::<table::FinishPasskeySignIn>((), (), body).await
        };
        task.run(call, move |tokens| session.enter(tokens));
    };
    let problem = complaint(task.failure, &[]);
    view! {
        div(class="gate-places") {
            Action(label=t().sign_in.passkey, picture=Icon::Key, task=task, run=run)
            p(class="field-error", role="alert", hidden=!is_asked.get()) { (t().sign_in.passkey_email) }
            (problem)
        }
    }
}

pub(super) fn second(challenge: Signal<Option<String>>) -> View {
    let session = use_context::<Session>();
    let code = create_signal(String::new());
    let task = Task::new();
    let submit = move |event: SubmitEvent| {
        event.prevent_default();
        let body = auth::SecondFactor {
            challenge: challenge.get_clone_untracked().unwrap_or_default(),
            code: code.get_clone_untracked().trim().to_owned(),
        };
        task.run(session.call::<table::SecondFactor>((), (), body), move |tokens| {
            session.enter(tokens);
        });
    };
    let problem = complaint(task.failure, &[]);
    frame(
        t().sign_in.factor_title,
        view! {
            form(on:submit=submit, novalidate=true) {
                p(class="muted") { (t().sign_in.factor_text) }
                (problem)
                Field(label=t().sign_in.code, name="code", value=code, autocomplete="one-time-code", autofocus=true)
                Submit(label=t().sign_in.verify, task=task)
            }
            p(class="gate-links") {
                button(r#type="button", class="link", on:click=move |_| challenge.set(None)) {
                    (t().sign_in.other_account)
                }
            }
        },
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_seen_before_the_panel_says_what_the_panel_will_say() {
        const PAGE: &str = include_str!("../../../js/index.html");
        let (sign_in, shell) = PAGE.split_once("data-door=\"inside\"").unwrap();
        let (texts, general, public) = (&t().sign_in, &t().general, &t().public);
        let of_sign_in = [
            texts.title,
            texts.email,
            texts.password,
            texts.button,
            texts.passkey,
            texts.forgot,
            texts.no_account,
            texts.register,
            texts.tagline,
            public.status,
            public.terms,
            public.privacy,
            public.refund,
            public.aup,
            public.dmca,
        ];
        let servers = &t().servers;
        let of_shell = [
            t().palette.open,
            general.servers,
            general.tenants,
            general.account,
            general.loading,
            servers.title,
            servers.search,
            servers.selection,
            servers.name,
            servers.state,
            servers.link,
            servers.game,
            servers.address,
            servers.memory,
            servers.changed,
        ];
        for (part, texts) in [(sign_in, &of_sign_in[..]), (shell, &of_shell[..])] {
            let mut rest = part;
            for text in texts {
                let (_, after) = rest.split_once(&format!(">{text}")).expect(text);
                rest = after;
            }
        }
    }
}
