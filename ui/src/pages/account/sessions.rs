//! Where one is signed in.

use crate::{
    i18n::t,
    parts::{Action, Badge, Kind, Toasts, Tone, listing, shown},
    remote::{self, Remote, watch},
    task::Task,
    time::Age,
};
use mamba_wire::api::{
    Page,
    account::{Session, SessionPath},
    table,
};
use std::rc::Rc;
use sycamore::prelude::*;

/// The card.
#[component]
pub(super) fn Sessions() -> View {
    let (session, toasts) = (use_context::<crate::session::Session>(), use_context::<Toasts>());
    let remote = watch::<table::ListSessions>(remote::NEVER_MS, || Some(((), ())));
    let task = Task::new();
    let end = move || {
        task.run(session.call::<table::EndOtherSessions>((), (), ()), move |()| {
            toasts.done(t().account.sessions_ended);
            remote.reload();
        });
    };
    view! {
        section(class="card") {
            header {
                h2 { (t().account.sessions) }
                Action(label=t().account.sessions_end, task=task, run=end)
            }
            (shown(remote, move |page| table(remote, page)))
        }
    }
}

fn table(remote: Remote<Page<Session>>, page: ReadSignal<Rc<Page<Session>>>) -> View {
    let items = create_memo(move || page.with(|it| it.items.clone()));
    let rows = view! { Indexed(list=items, view=move |it| view! { Line(remote=remote, it=it) }) };
    let texts = &t().account;
    listing(&[texts.device, texts.address, texts.used, ""], rows)
}

#[component(inline_props)]
fn Line(remote: Remote<Page<Session>>, it: Session) -> View {
    let session = use_context::<crate::session::Session>();
    let task = Task::new();
    let path = SessionPath { session: it.session };
    let end = move || {
        let call = session.call::<table::EndSession>(path.clone(), (), ());
        task.run(call, move |()| remote.reload());
    };
    let (device, address, used, is_this) =
        (it.device, it.address.to_string(), it.used_at, it.is_this);
    view! {
        tr {
            td(class="cut") { (device) }
            td { code { (address) } }
            td(class="muted") { Age(at=used) }
            td(class="end") {
                (if is_this {
                    view! { Badge(tone=Tone::Good, label=t().account.this_session) }
                } else {
                    let end = end.clone();
                    view! { Action(label=t().account.session_end, kind=Kind::Danger, task=task, run=end) }
                })
            }
        }
    }
}
