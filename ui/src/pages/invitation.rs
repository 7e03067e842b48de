//! Accepting an invitation.

use crate::{
    i18n::{fill, t},
    nav::{self, Place},
    parts::{Action, Kind, Toasts, Tone, complaint, head, nothing, notice},
    session::Session,
    task::Task,
};
use mamba_wire::api::{member::AnswerInvitation, table};
use sycamore::prelude::*;

/// The page that an invitation's link opens.
#[component]
pub(crate) fn Invitation() -> View {
    let (session, toasts) = (use_context::<Session>(), use_context::<Toasts>());
    let place = use_context::<Place>();
    let token = nav::take_secret();
    let head = head(Vec::new(), t().invitation.title, nothing());
    if token.is_empty() {
        return view! { (head) (notice(Tone::Bad, t().invitation.missing)) };
    }
    let token = create_signal(token);
    let task = Task::new();
    let answer = move |is_accepted: bool| {
        let body = AnswerInvitation { token: token.get_clone_untracked() };
        let call = async move {
            if is_accepted {
                session.call::<table::AcceptInvitation>((), (), body).await
            } else {
                session.call::<table::DeclineInvitation>((), (), body).await
            }
        };
        task.run(call, move |()| {
            let texts = &t().invitation;
            toasts.done(if is_accepted { texts.accepted } else { texts.declined });
            // What this account may do has changed.
            sycamore::futures::spawn_local(async move {
                session.renew().await;
            });
            place.replace("/servers");
        });
    };
    let email = session.me().map(|it| it.email.clone()).unwrap_or_default();
    let text = fill(t().invitation.text, &[("email", &email)]);
    let wrong = complaint(task.failure, &[]);
    view! {
        (head)
        section(class="card") {
            div(class="body") {
                p { (text) }
                (wrong)
                div(class="actions") {
                    Action(label=t().invitation.accept, kind=Kind::Primary, task=task, run=move || answer(true))
                    Action(label=t().invitation.decline, run=move || answer(false))
                }
            }
        }
    }
}
