//! The second factor: an authenticator app and recovery codes.

use crate::{
    i18n::{fill, t},
    parts::{
        Action, Badge, Copyable, Field, Kind, Submit, Toasts, Tone, complaint, confirm, dialog, qr,
        shown,
    },
    remote::{self, Remote, watch},
    session::Session,
    task::Task,
};
use mamba_wire::api::{
    account::{Account, ConfirmTotp, FullProof, NewTotp, Proof},
    table,
};
use std::rc::Rc;
use sycamore::{futures::spawn_local, prelude::*};
use web_sys::SubmitEvent;

/// The card.
#[component]
pub(super) fn Factor() -> View {
    let remote = watch::<table::ShowAccount>(remote::NEVER_MS, || Some(((), ())));
    shown(remote, move |account| view! { Card(remote=remote, account=account) })
}

#[component(inline_props)]
fn Card(remote: Remote<Account>, account: ReadSignal<Rc<Account>>) -> View {
    let is_on = create_memo(move || account.with(|it| it.totp_since.is_some()));
    let left = create_memo(move || {
        let left = account.with(|it| it.recovery_codes_left);
        fill(t().account.codes_left, &[("n", &left)])
    });
    let (adding, removing, renewing) =
        (create_signal(false), create_signal(false), create_signal(false));
    let add = set_up(remote, adding);
    let (remove, renew) = (remove_dialog(remote, removing), renew_dialog(remote, renewing));
    view! {
        section(class="card") {
            header {
                h2 { (t().account.factor) }
                (if is_on.get() {
                    view! { Badge(tone=Tone::Good, label=t().account.factor_on) }
                } else {
                    view! { Badge(tone=Tone::Calm, label=t().account.factor_off) }
                })
            }
            div(class="body") {
                p(class="muted") { (t().account.factor_text) }
                (if is_on.get() { view! {
                    p { (left.get_clone()) }
                    div(class="actions") {
                        Action(label=t().account.codes_renew, run=move || renewing.set(true))
                        Action(label=t().account.factor_remove, kind=Kind::Danger, run=move || removing.set(true))
                    }
                } } else { view! {
                    div(class="actions") {
                        Action(label=t().account.factor_add, kind=Kind::Primary, run=move || adding.set(true))
                    }
                } })
            }
        }
        (add) (remove) (renew)
    }
}

fn remove_dialog(remote: Remote<Account>, removing: Signal<bool>) -> View {
    let (toasts, session) = (use_context::<Toasts>(), use_context::<Session>());
    dialog(removing, t().account.factor_remove, move || {
        let (proof, task) = (ProofFields::new(), Task::new());
        let submit = move |event: SubmitEvent| {
            event.prevent_default();
            task.run(session.call::<table::RemoveTotp>((), (), proof.read()), move |()| {
                toasts.done(t().account.factor_removed);
                removing.set(false);
                remote.reload();
            });
        };
        let fields = proof.view(task);
        let button =
            view! { Submit(label=t().account.factor_remove, kind=Kind::Danger, task=task) };
        let footer = confirm(removing, button);
        view! { form(on:submit=submit, novalidate=true) { (fields) (footer) } }
    })
}

fn renew_dialog(remote: Remote<Account>, renewing: Signal<bool>) -> View {
    let session = use_context::<Session>();
    dialog(renewing, t().account.codes_renew, move || {
        let (proof, task) = (ProofFields::new(), Task::new());
        let made = create_signal(None::<Vec<String>>);
        let submit = move |event: SubmitEvent| {
            event.prevent_default();
            task.run(session.call::<table::RenewRecoveryCodes>((), (), proof.read()), move |it| {
                made.set(Some(it.codes));
                remote.reload();
            });
        };
        let form = move || {
            let fields = proof.view(task);
            let button = view! { Submit(label=t().account.codes_renew, task=task) };
            let footer = confirm(renewing, button);
            view! { form(on:submit=submit, novalidate=true) { (fields) (footer) } }
        };
        view! { (match made.get_clone() { Some(codes) => recovery(&codes), None => form() }) }
    })
}

/// Password and code, for what needs both again.
#[derive(Clone, Copy)]
struct ProofFields {
    password: Signal<String>,
    code: Signal<String>,
}

impl ProofFields {
    fn new() -> Self {
        Self { password: create_signal(String::new()), code: create_signal(String::new()) }
    }

    fn read(self) -> FullProof {
        FullProof {
            password: self.password.get_clone_untracked(),
            code: self.code.get_clone_untracked().trim().to_owned(),
        }
    }

    fn view(self, task: Task) -> View {
        let wrong = complaint(task.failure, &[]);
        view! {
            (wrong)
            Field(label=t().sign_in.password, name="password", value=self.password, kind="password",
                autocomplete="current-password", autofocus=true)
            Field(label=t().sign_in.code, name="code", value=self.code, autocomplete="one-time-code")
        }
    }
}

/// Where setting up is.
#[derive(Clone)]
enum Step {
    Password,
    Scan(NewTotp),
    Codes(Vec<String>),
}

fn set_up(remote: Remote<Account>, open: Signal<bool>) -> View {
    let session = use_context::<Session>();
    dialog(open, t().account.factor_add, move || {
        let step = create_signal(Step::Password);
        view! {
            (match step.get_clone() {
                Step::Password => prove(session, open, step),
                Step::Scan(new) => scan(session, remote, open, step, new),
                Step::Codes(codes) => recovery(&codes),
            })
        }
    })
}

fn prove(session: Session, open: Signal<bool>, step: Signal<Step>) -> View {
    let (password, task) = (create_signal(String::new()), Task::new());
    let submit = move |event: SubmitEvent| {
        event.prevent_default();
        let body = Proof { password: password.get_clone_untracked() };
        task.run(session.call::<table::BeginTotp>((), (), body), move |it| {
            step.set(Step::Scan(it))
        });
    };
    let wrong = complaint(task.failure, &[]);
    let footer = confirm(open, view! { Submit(label=t().account.next, task=task) });
    view! {
        form(on:submit=submit, novalidate=true) {
            p(class="muted") { (t().account.prove) }
            (wrong)
            Field(label=t().sign_in.password, name="password", value=password, kind="password",
                autocomplete="current-password", autofocus=true)
            (footer)
        }
    }
}

fn scan(
    session: Session,
    remote: Remote<Account>,
    open: Signal<bool>,
    step: Signal<Step>,
    new: NewTotp,
) -> View {
    let (code, task) = (create_signal(String::new()), Task::new());
    let (picture, secret) = (qr(&new.url, t().account.qr), new.secret);
    let setup = new.setup;
    let submit = move |event: SubmitEvent| {
        event.prevent_default();
        let code = code.get_clone_untracked().trim().to_owned();
        let body = ConfirmTotp { setup: setup.clone(), code };
        task.run(session.call::<table::ConfirmTotp>((), (), body), move |it| {
            step.set(Step::Codes(it.codes));
            remote.reload();
            // A session that could only set this up becomes a whole one.
            spawn_local(async move {
                session.renew().await;
            });
        });
    };
    let wrong = complaint(task.failure, &[]);
    let footer = confirm(open, view! { Submit(label=t().account.factor_confirm, task=task) });
    view! {
        form(on:submit=submit, novalidate=true) {
            p(class="muted") { (t().account.scan) }
            (picture)
            Copyable(text=secret)
            (wrong)
            Field(label=t().sign_in.code, name="code", value=code, autocomplete="one-time-code",
                inputmode="numeric", autofocus=true)
            (footer)
        }
    }
}

/// Returns recovery codes: they are shown once.
fn recovery(codes: &[String]) -> View {
    let text = codes.join("\n");
    view! {
        div(class="body codes") { p { (t().account.codes_text) } Copyable(text=text) }
    }
}
