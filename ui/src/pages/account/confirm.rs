//! Proving that one is still there: before something that outlives the session, and before the account is
//! closed.

use crate::{
    i18n::t,
    net::{Device, ask_device, has_passkeys},
    parts::{
        Action, Field, Icon, Kind, Submit, Toasts, Tone, complaint, confirm, dialog, nothing,
        notice, shown,
    },
    reactive::effect,
    remote::{self, watch},
    session::Session,
    task::Task,
};
use mamba_wire::api::{
    account::{Account, Confirmation},
    auth::FinishPasskeySignIn,
    table,
};
use std::rc::Rc;
use sycamore::prelude::*;
use web_sys::SubmitEvent;

/// What is done with a proof.
type Run = Rc<dyn Fn(Task, Confirmation)>;

/// How a form that asks for a proof looks.
#[derive(Clone, Copy)]
struct Look {
    text: &'static str,
    label: &'static str,
    kind: Kind,
}

/// The content of the dialog that asks when the hub wants a proof; see `Session::confirm`.
#[component]
pub(crate) fn Confirm() -> View {
    let session = use_context::<Session>();
    let texts = &t().account;
    let look = Look { text: texts.confirm_text, label: texts.confirm_button, kind: Kind::Primary };
    asked(session.confirming, look, move |task, proof| {
        let call = session.call::<table::Confirm>((), (), proof);
        task.run(call, move |()| session.answer(true));
    })
}

/// The card that closes the account.
#[component]
pub(super) fn Close() -> View {
    let (session, toasts) = (use_context::<Session>(), use_context::<Toasts>());
    let texts = &t().account;
    let open = create_signal(false);
    let ask = dialog(open, texts.close, move || {
        let texts = &t().account;
        let look = Look { text: texts.close_text, label: texts.close, kind: Kind::Danger };
        asked(open, look, move |task, proof| {
            let call = session.call::<table::CloseAccount>((), (), proof);
            task.run(call, move |()| {
                toasts.done(t().account.closed);
                session.leave();
            });
        })
    });
    view! {
        section(class="card") {
            header { h2 { (texts.close) } }
            div(class="body") {
                p(class="muted") { (texts.close_about) }
                div(class="actions") {
                    Action(label=texts.close, kind=Kind::Danger, run=move || open.set(true))
                }
            }
        }
        (ask)
    }
}

/// Asks for a proof of those that the account can give.
fn asked(open: Signal<bool>, look: Look, run: impl Fn(Task, Confirmation) + 'static) -> View {
    let account = watch::<table::ShowAccount>(remote::NEVER_MS, || Some(((), ())));
    let run: Run = Rc::new(run);
    shown(account, move |it| {
        let it = it.get_clone_untracked();
        form(open, look, &it, run.clone())
    })
}

fn form(open: Signal<bool>, look: Look, account: &Account, run: Run) -> View {
    let text = || create_signal(String::new());
    let (password, code, task) = (text(), text(), Task::new());
    let (has_password, has_app) = (account.has_password, account.totp_since.is_some());
    let has_keys = account.passkeys > 0 && cfg!(target_arch = "wasm32") && has_passkeys();
    let with_key = run.clone();
    let submit = move |event: SubmitEvent| {
        event.prevent_default();
        let code = code.with_untracked(|it| it.trim().to_owned());
        let proof = if code.is_empty() {
            Confirmation::Password(password.get_clone_untracked())
        } else {
            Confirmation::Code(code)
        };
        run(task, proof);
    };
    let wrong = complaint(task.failure, &[]);
    // The page below has fields of the plain names.
    let password = if has_password {
        view! {
            Field(label=t().sign_in.password, name="proof", value=password, kind="password",
                autocomplete="current-password", autofocus=true)
        }
    } else {
        nothing()
    };
    let code = if has_app {
        let label = if has_password { t().account.confirm_code } else { t().sign_in.code };
        view! { Field(label=label, name="proof-code", value=code, autocomplete="one-time-code", optional=true) }
    } else {
        nothing()
    };
    let key = if has_keys { with_passkey(with_key) } else { nothing() };
    let footer = if has_password || has_app {
        confirm(open, view! { Submit(label=look.label, kind=look.kind, task=task) })
    } else if has_keys {
        nothing()
    } else {
        notice(Tone::Busy, t().account.confirm_none)
    };
    view! {
        form(on:submit=submit, novalidate=true) {
            p(class="muted") { (look.text) }
            (wrong) (password) (code) (key) (footer)
        }
    }
}

/// The button that asks the device.
fn with_passkey(run: Run) -> View {
    let session = use_context::<Session>();
    let (asking, giving) = (Task::new(), Task::new());
    let ask = move || {
        let run = run.clone();
        let call = async move {
            let begun = session.call::<table::BeginConfirm>((), (), ()).await?;
            let credential = ask_device(Device::Use, begun.options).await?;
            Ok(FinishPasskeySignIn { challenge: begun.challenge, credential })
        };
        asking.run(call, move |proof| run(giving, Confirmation::Passkey(proof)));
    };
    // One place tells what went wrong, of both.
    effect(move || {
        if let Some(failure) = giving.failure.get_clone() {
            asking.failure.set(Some(failure));
        }
    });
    let wrong = complaint(asking.failure, &[]);
    view! {
        (wrong)
        div(class="actions") {
            Action(label=t().account.confirm_passkey, picture=Icon::Key, task=asking, run=ask)
        }
    }
}
