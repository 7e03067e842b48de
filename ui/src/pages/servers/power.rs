//! Power: what is asked for. What became of it is told by `pending`.

use super::{page::Seen, pending::Pending};
use crate::reactive::selector;
use crate::{
    i18n::t,
    parts::{self, Action, Icon, Kind, Toasts, dialog},
    remote::{self, watch_told},
    session::Session,
    task::Task,
};
use mamba_core::{
    access::ServerKey,
    lifecycle::{PowerAction, ServerState},
};
use mamba_wire::api::{
    PageQuery,
    feed::Topic,
    params::ServerPath,
    server::{Intent, Power},
    table,
};
use sycamore::prelude::*;

/// Newest wishes that are looked at: those before are long settled.
const INTENTS_LOOKED_AT: u32 = 10;

/// The buttons, and what is pending.
#[component(inline_props)]
pub(super) fn Powers(seen: Seen) -> View {
    let (session, toasts) = (use_context::<Session>(), use_context::<Toasts>());
    let id = seen.id;
    let intents =
        watch_told::<table::ListIntents>(remote::OFTEN_MS, Topic::Server(id), move || {
            Some((
                ServerPath { server: id },
                PageQuery { after: None, limit: Some(INTENTS_LOOKED_AT) },
            ))
        });
    let task = Task::new();
    let ask = move |action: PowerAction| {
        let body = Power { action, expires_in_ms: None };
        task.run(
            async move {
                let result =
                    session.call::<table::Power>(ServerPath { server: id }, (), body).await;
                if let Err(failure) = &result {
                    toasts.failed(failure);
                }
                result
            },
            move |_: Intent| {
                intents.reload();
                seen.remote.reload();
            },
        );
    };
    let server = seen.server;
    let state = selector(move || {
        server.with(|it| it.observed.as_ref().map_or(ServerState::Offline, |it| it.state))
    });
    let is_closed = selector(move || server.with(|it| it.suspended || it.deleted_at.is_some()));
    let is_down = selector(move || state.get() == ServerState::Offline);
    let no_start = selector(move || !is_down.get() || is_closed.get());
    let no_restart = selector(move || is_down.get() || is_closed.get());
    let may = |key| selector(move || seen.may(key));
    let (may_start, may_stop, may_restart) =
        (may(ServerKey::ControlStart), may(ServerKey::ControlStop), may(ServerKey::ControlRestart));
    let killing = create_signal(false);
    let sure = dialog(killing, t().servers.kill_title, move || {
        let button = view! {
            Action(label=t().servers.kill, kind=Kind::Danger, run=move || {
                killing.set(false);
                ask(PowerAction::Kill);
            })
        };
        let footer = parts::confirm(killing, button);
        view! { div(class="body") { p { (t().servers.kill_text) } (footer) } }
    });
    view! {
        Pending(seen=seen, intents=intents)
        (if may_start.get() { view! {
            Action(label=t().servers.start, picture=Icon::Play, kind=Kind::Primary, task=task, disabled=no_start,
                run=move || ask(PowerAction::Start))
        } } else { parts::nothing() })
        (if may_restart.get() { view! {
            Action(label=t().servers.restart, picture=Icon::Restart, task=task, disabled=no_restart,
                run=move || ask(PowerAction::Restart))
        } } else { parts::nothing() })
        (if may_stop.get() { view! {
            Action(label=t().servers.stop, picture=Icon::Stop, task=task, disabled=is_down,
                run=move || ask(PowerAction::Stop))
            Action(label=t().servers.kill, kind=Kind::Danger, disabled=is_down, run=move || killing.set(true))
        } } else { parts::nothing() })
        (sure)
    }
}
