//! Which mails one gets.

use crate::{
    i18n::t,
    parts::{Toasts, complaint, shown},
    remote::{self, watch},
    session::Session,
    task::Task,
};
use mamba_wire::api::{account, table};
use sycamore::prelude::*;

/// The card.
#[component]
pub(super) fn Letters() -> View {
    let remote = watch::<table::ShowAccount>(remote::NEVER_MS, || Some(((), ())));
    shown(remote, |account| {
        let letters = account.with_untracked(|it| it.letters);
        view! { Card(letters=letters) }
    })
}

/// A box is set at once, and set back when the hub says no.
#[component(inline_props)]
fn Card(letters: account::Letters) -> View {
    let (session, toasts) = (use_context::<Session>(), use_context::<Toasts>());
    let (known, chosen) = (create_signal(letters), create_signal(letters));
    let task = Task::new();
    let choose = move |next: account::Letters| {
        chosen.set(next);
        let call = async move {
            let answer = session.call::<table::ChooseLetters>((), (), next).await;
            if answer.is_err() {
                chosen.set(known.get_untracked());
            }
            answer
        };
        task.restart(call, move |it| {
            known.set(it);
            chosen.set(it);
            toasts.done(t().general.saved);
        });
    };
    let wrong = complaint(task.failure, &[]);
    let access = move |_| {
        let now = chosen.get_untracked();
        choose(account::Letters { access: !now.access, ..now });
    };
    let servers = move |_| {
        let now = chosen.get_untracked();
        choose(account::Letters { servers: !now.servers, ..now });
    };
    view! {
        section(class="card") {
            header { h2 { (t().account.letters) } }
            div(class="body") {
                p(class="muted") { (t().account.letters_text) }
                (wrong)
                label(class="check") {
                    input(r#type="checkbox", name="access", prop:checked=chosen.get().access, on:change=access)
                    span { (t().account.letters_access) }
                }
                label(class="check") {
                    input(r#type="checkbox", name="servers", prop:checked=chosen.get().servers, on:change=servers)
                    span { (t().account.letters_servers) }
                }
            }
        }
    }
}
