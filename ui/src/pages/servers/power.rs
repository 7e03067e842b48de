//! Power: what is asked for, and what became of it. Nothing here pretends: a wish is shown as pending until
//! the node took it over, and with the time after which it does nothing any more.

use super::page::Seen;
use crate::reactive::selector;
use crate::{
    i18n::{fill, t},
    parts::{self, Action, Icon, Kind, Toasts, dialog, icon},
    remote::{self, watch},
    session::Session,
    task::Task,
    time::{self, Ticking},
};
use mamba_core::{
    access::ServerKey,
    lifecycle::{PowerAction, ServerState},
};
use mamba_wire::api::{
    PageQuery,
    params::ServerPath,
    server::{Intent, IntentState, Power},
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
    let intents = watch::<table::ListIntents>(remote::OFTEN_MS, move || {
        Some((ServerPath { server: id }, PageQuery { after: None, limit: Some(INTENTS_LOOKED_AT) }))
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
    let (may_start, may_stop, may_restart) = (
        seen.may(ServerKey::ControlStart),
        seen.may(ServerKey::ControlStop),
        seen.may(ServerKey::ControlRestart),
    );
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
        Waiting(intents=intents)
        (if may_start { view! {
            Action(label=t().servers.start, picture=Icon::Play, kind=Kind::Primary, task=task, disabled=no_start,
                run=move || ask(PowerAction::Start))
        } } else { parts::nothing() })
        (if may_restart { view! {
            Action(label=t().servers.restart, picture=Icon::Restart, task=task, disabled=no_restart,
                run=move || ask(PowerAction::Restart))
        } } else { parts::nothing() })
        (if may_stop { view! {
            Action(label=t().servers.stop, picture=Icon::Stop, task=task, disabled=is_down,
                run=move || ask(PowerAction::Stop))
            Action(label=t().servers.kill, kind=Kind::Danger, disabled=is_down, run=move || killing.set(true))
        } } else { parts::nothing() })
        (sure)
    }
}

/// The newest wish while it waits, or what went wrong with it.
#[component(inline_props)]
fn Waiting(intents: remote::Remote<mamba_wire::api::Page<Intent>>) -> View {
    let ticking = use_context::<Ticking>().0;
    let text = selector(move || {
        let now = ticking.get();
        intents.value.with(|page| words(page.as_ref()?.items.first()?, now))
    });
    view! {
        span(class="intent", role="status", hidden=text.with(Option::is_none)) {
            (icon(Icon::Info)) (text.get_clone().unwrap_or_default())
        }
    }
}

/// Returns what to say of a wish; nothing once it is settled well, or a minute after it was not.
fn words(intent: &Intent, now: mamba_core::clock::UnixMs) -> Option<String> {
    const REMEMBERED_MS: u64 = 60_000;
    let texts = &t().servers;
    let action = match intent.action {
        PowerAction::Start => texts.start,
        PowerAction::Stop => texts.stop,
        PowerAction::Restart => texts.restart,
        PowerAction::Kill => texts.kill,
    };
    let is_recent = now.since(intent.state_at) < REMEMBERED_MS;
    match &intent.state {
        IntentState::Pending | IntentState::Sent if intent.expires_at > now => {
            let left = time::span(intent.expires_at.since(now));
            Some(fill(texts.intent_pending, &[("action", &action), ("left", &left)]))
        }
        IntentState::Pending | IntentState::Sent | IntentState::Expired if is_recent => {
            Some(fill(texts.intent_expired, &[("action", &action)]))
        }
        IntentState::Refused(why) if is_recent => {
            Some(fill(texts.intent_refused, &[("action", &action), ("why", why)]))
        }
        IntentState::Pending
        | IntentState::Sent
        | IntentState::Cancelled
        | IntentState::Applied
        | IntentState::Expired
        | IntentState::Refused(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mamba_core::{
        clock::UnixMs,
        ids::{IntentId, ServerId, UserId},
    };

    #[test]
    fn a_wish_is_told_until_it_is_settled() {
        let intent = |state, expires_at| Intent {
            intent: IntentId::from_bytes([0; 16]),
            server: ServerId::from_bytes([0; 16]),
            action: PowerAction::Start,
            by: UserId::from_bytes([0; 16]),
            given_at: UnixMs(1_000),
            expires_at: UnixMs(expires_at),
            state,
            state_at: UnixMs(1_000),
        };
        let now = UnixMs(10_000);
        let says = |intent: &Intent| words(intent, now).unwrap_or_default();
        assert!(says(&intent(IntentState::Pending, 61_000)).contains("51 s"));
        assert!(says(&intent(IntentState::Pending, 5_000)).contains("in time"));
        assert!(says(&intent(IntentState::Refused("no".into()), 5_000)).contains("no"));
        assert_eq!(says(&intent(IntentState::Applied, 61_000)), "");
    }
}
