//! The dialogs that make an account, change it, have it set a new password, and delete it.

use super::users::replace;
use crate::{
    change::changed,
    i18n::{fill, t},
    parts::{
        Action, Field, Kind, Question, Submit, Toasts, ask, complaint, confirm, dialog, nothing,
    },
    remote::Pages,
    session::Session,
    task::Task,
};
use mamba_wire::api::{
    table,
    user::{CreateUser, UpdateUser, User, UserPath},
};
use sycamore::prelude::*;
use web_sys::SubmitEvent;

/// What is typed and ticked.
#[derive(Clone, Copy)]
struct Form {
    email: Signal<String>,
    is_verified: Signal<bool>,
    task: Task,
}

impl Form {
    fn new(email: &str, is_verified: bool) -> Self {
        let (email, is_verified) = (create_signal(email.to_owned()), create_signal(is_verified));
        Self { email, is_verified, task: Task::new() }
    }

    fn email(self) -> String {
        self.email.with_untracked(|it| it.trim().to_owned())
    }

    /// The fields, with what more belongs to them.
    fn fields(self, more: View) -> View {
        let wrong = complaint(self.task.failure, &["email", "password"]);
        let flip = move |_| self.is_verified.set(!self.is_verified.get_untracked());
        view! {
            (wrong)
            Field(label=t().sign_in.email, name="email", value=self.email, kind="email", inputmode="email",
                autofocus=true, failure=self.task.failure)
            (more)
            label(class="check") {
                input(r#type="checkbox", name="is_verified", prop:checked=self.is_verified.get(), on:change=flip)
                span { (t().admin.user_verified) }
            }
        }
    }
}

/// Returns the dialog that makes an account.
pub(super) fn make_dialog(pages: Pages<User>, open: Signal<bool>) -> View {
    let (session, toasts) = (use_context::<Session>(), use_context::<Toasts>());
    dialog(open, t().admin.user_new, move || {
        let (form, password) = (Form::new("", false), create_signal(String::new()));
        let submit = move |event: SubmitEvent| {
            event.prevent_default();
            let body = CreateUser {
                email: form.email(),
                password: Some(password.get_clone_untracked()).filter(|it| !it.is_empty()),
                is_verified: form.is_verified.get_untracked(),
                external_id: None,
            };
            form.task.run(session.call::<table::CreateUser>((), (), body), move |_| {
                toasts.done(t().admin.user_made);
                open.set(false);
                pages.again();
            });
        };
        let fields = form.fields(view! {
            Field(label=t().sign_in.password, name="password", value=password, kind="password",
                autocomplete="new-password", optional=true, hint=t().admin.user_password_hint,
                failure=form.task.failure)
        });
        let footer = confirm(open, view! { Submit(label=t().admin.user_make, task=form.task) });
        view! { form(on:submit=submit, novalidate=true) { (fields) (footer) } }
    })
}

/// Returns the dialogs that change an account: address and mark, a new password, the end.
pub(super) fn edit_dialogs(pages: Pages<User>, user: &User, open: Signal<bool>) -> View {
    let (resetting, deleting) = (create_signal(false), create_signal(false));
    let (session, toasts) = (use_context::<Session>(), use_context::<Toasts>());
    let (id, email, is_verified) =
        (user.user, user.email.clone(), user.email_verified_at.is_some());
    let title = fill(t().admin.user_edit, &[("email", &user.email)]);
    let edit = dialog(open, title, move || {
        let form = Form::new(&email, is_verified);
        let before = email.clone();
        let submit = move |event: SubmitEvent| {
            event.prevent_default();
            let is_verified = changed(&is_verified, form.is_verified.get_untracked());
            let email = changed(&before, form.email());
            let body = UpdateUser { email, is_verified, ..UpdateUser::default() };
            if body.email.is_none() && body.is_verified.is_none() {
                return open.set(false);
            }
            let call = session.call::<table::UpdateUser>(UserPath { user: id }, (), body);
            form.task.run(call, move |changed| {
                toasts.done(t().general.saved);
                open.set(false);
                replace(pages, changed);
            });
        };
        let instead = move |other: Signal<bool>| {
            move || {
                open.set(false);
                other.set(true);
            }
        };
        let fields = form.fields(nothing());
        let footer = confirm(open, view! { Submit(label=t().general.save, task=form.task) });
        view! {
            form(on:submit=submit, novalidate=true) {
                (fields)
                div(class="actions") {
                    Action(label=t().admin.user_reset, kind=Kind::Quiet, run=instead(resetting))
                    Action(label=t().admin.user_delete, kind=Kind::Danger, run=instead(deleting))
                }
                (footer)
            }
        }
    });
    let (reset, delete) =
        (reset_dialog(pages, user, resetting), delete_dialog(pages, user, deleting));
    view! { (edit) (reset) (delete) }
}

fn reset_dialog(pages: Pages<User>, user: &User, open: Signal<bool>) -> View {
    let (session, toasts) = (use_context::<Session>(), use_context::<Toasts>());
    let (texts, id) = (&t().admin, user.user);
    let what = Question {
        title: texts.user_reset_sure.to_owned(),
        text: fill(texts.user_reset_text, &[("email", &user.email)]),
        label: texts.user_reset,
        typed: None,
    };
    ask(open, what, move |task| {
        let call = session.call::<table::RequireReset>(UserPath { user: id }, (), ());
        task.run(call, move |changed| {
            toasts.done(t().admin.user_reset_done);
            open.set(false);
            replace(pages, changed);
        });
    })
}

fn delete_dialog(pages: Pages<User>, user: &User, open: Signal<bool>) -> View {
    let (session, toasts) = (use_context::<Session>(), use_context::<Toasts>());
    let (texts, id) = (&t().admin, user.user);
    let what = Question {
        title: texts.user_delete_sure.to_owned(),
        text: fill(texts.user_delete_text, &[("email", &user.email)]),
        label: texts.user_delete,
        typed: Some((texts.type_email, user.email.clone())),
    };
    ask(open, what, move |task| {
        let call = session.call::<table::DeleteUser>(UserPath { user: id }, (), ());
        task.run(call, move |()| {
            toasts.done(t().admin.deleted);
            open.set(false);
            pages.items.update(|all| all.retain(|it| it.user != id));
        });
    })
}
