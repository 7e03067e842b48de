//! Wishes that wait for a node: what they are, when they become void, and how they are taken back. Nothing
//! here pretends: a wish is told as pending until the node took it over.

use super::page::Seen;
use crate::reactive::selector;
use crate::{
    i18n::{fill, t},
    parts::{Action, Icon, Kind, Toasts, icon, nothing},
    remote::Remote,
    session::Session,
    task::Task,
    time::{self, Ticking},
};
use mamba_core::{clock::UnixMs, ids::IntentId, lifecycle::PowerAction};
use mamba_wire::api::{
    Page,
    params::IntentPath,
    server::{Intent, IntentState},
    table,
};
use sycamore::prelude::*;

/// How long it is told that a wish was not fulfilled.
const REMEMBERED_MS: u64 = 60_000;

/// What is told of one wish. Its words change by the second, what one can do with it does not.
#[derive(Clone, Copy, PartialEq)]
struct Row {
    intent: IntentId,
    /// The action, when it can be taken back.
    open: Option<PowerAction>,
}

/// Wishes that wait, and what went wrong with those before.
#[component(inline_props)]
pub(super) fn Pending(seen: Seen, intents: Remote<Page<Intent>>) -> View {
    let ticking = use_context::<Ticking>().0;
    let rows = selector(move || {
        let now = ticking.get();
        let all = intents.value.get_clone();
        all.map_or_else(Vec::new, |page| told(&page.items, now))
    });
    view! {
        ul(class="intents", aria-label=t().servers.intents, hidden=rows.with(Vec::is_empty)) {
            Keyed(list=rows, key=|row: &Row| (row.intent, row.open.is_some()), view=move |row| line(seen, intents, row))
        }
    }
}

/// Returns what to tell of wishes, newest first: all that wait, and how the newest ended if not well.
fn told(intents: &[Intent], now: UnixMs) -> Vec<Row> {
    let is_open = |it: &Intent| it.state == IntentState::Pending && it.expires_at > now;
    let row = |it: &Intent| Row { intent: it.intent, open: is_open(it).then_some(it.action) };
    let is_newest = |index: usize| index == 0;
    let waits = |it: &Intent| {
        matches!(it.state, IntentState::Pending | IntentState::Sent) && it.expires_at > now
    };
    let all = intents.iter().enumerate();
    let told = all.filter(|(index, it)| waits(it) || is_newest(*index) && words(it, now).is_some());
    told.map(|(_, it)| row(it)).collect()
}

fn line(seen: Seen, intents: Remote<Page<Intent>>, row: Row) -> View {
    let (session, toasts) = (use_context::<Session>(), use_context::<Toasts>());
    let ticking = use_context::<Ticking>().0;
    let text = selector(move || {
        let now = ticking.get();
        let all = intents.value.get_clone()?;
        let intent = all.items.iter().find(|it| it.intent == row.intent)?;
        Some((words(intent, now)?, left(intent, now)))
    });
    let task = Task::new();
    let cancel = move || {
        let path = IntentPath { server: seen.id, intent: row.intent };
        let call = async move {
            let result = session.call::<table::CancelIntent>(path, (), ()).await;
            if let Err(failure) = &result {
                toasts.failed(failure);
            }
            // Whatever came of it, the list is another one now.
            intents.reload();
            result
        };
        task.run(call, move |_| toasts.done(t().servers.intent_taken_back));
    };
    let button = match row.open {
        Some(action) if seen.may(action.key()) => view! {
            Action(label=t().servers.take_back, kind=Kind::Plain, task=task, run=cancel)
        },
        Some(_) | None => nothing(),
    };
    view! {
        li(class="intent") {
            (icon(Icon::Info))
            span(role="status") { (text.with(|it| it.as_ref().map(|it| it.0.clone()).unwrap_or_default())) }
            span { (text.with(|it| it.as_ref().map(|it| it.1.clone()).unwrap_or_default())) }
            (button)
        }
    }
}

/// Returns when a wish that waits becomes void. Apart from the words, so that it is not read aloud each
/// second.
fn left(intent: &Intent, now: UnixMs) -> String {
    match intent.state {
        IntentState::Pending | IntentState::Sent if intent.expires_at > now => {
            let left = time::span(intent.expires_at.since(now));
            fill(t().servers.intent_void, &[("left", &left)])
        }
        _ => String::new(),
    }
}

/// Returns what to say of a wish; nothing once it is settled well, or a minute after it was not.
fn words(intent: &Intent, now: UnixMs) -> Option<String> {
    let texts = &t().servers;
    let action = match intent.action {
        PowerAction::Start => texts.start,
        PowerAction::Stop => texts.stop,
        PowerAction::Restart => texts.restart,
        PowerAction::Kill => texts.kill,
    };
    let is_over = intent.expires_at <= now;
    let is_recent = now.since(intent.state_at.max(intent.expires_at.min(now))) < REMEMBERED_MS;
    match &intent.state {
        IntentState::Pending if !is_over => {
            Some(fill(texts.intent_pending, &[("action", &action)]))
        }
        IntentState::Sent if !is_over => Some(fill(texts.intent_sent, &[("action", &action)])),
        IntentState::Pending | IntentState::Sent | IntentState::Expired if is_recent => {
            Some(fill(texts.intent_expired, &[("action", &action)]))
        }
        IntentState::Refused(why) if is_recent => {
            Some(fill(texts.intent_refused, &[("action", &action), ("why", why)]))
        }
        IntentState::Pending
        | IntentState::Sent
        | IntentState::Applied
        | IntentState::Expired
        | IntentState::Cancelled
        | IntentState::Refused(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mamba_core::ids::{ServerId, UserId};

    fn intent(n: u8, state: IntentState, expires_at: u64) -> Intent {
        Intent {
            intent: IntentId::from_bytes([n; 16]),
            server: ServerId::from_bytes([0; 16]),
            action: PowerAction::Start,
            by: UserId::from_bytes([0; 16]),
            given_at: UnixMs(1_000),
            expires_at: UnixMs(expires_at),
            state,
            state_at: UnixMs(1_000),
        }
    }

    #[test]
    fn a_wish_is_told_until_it_is_settled() {
        let now = UnixMs(10_000);
        let says = |state, expires_at| {
            let intent = intent(1, state, expires_at);
            (words(&intent, now).unwrap_or_default(), left(&intent, now))
        };
        let (text, left) = says(IntentState::Pending, 61_000);
        assert!(text.contains("waits") && left.contains("51 s"), "{text} {left}");
        let (text, left) = says(IntentState::Sent, 61_000);
        assert!(text.contains("handed") && left.contains("51 s"), "{text} {left}");
        let (text, left) = says(IntentState::Pending, 5_000);
        assert!(text.contains("in time") && left.is_empty(), "{text} {left}");
        assert!(says(IntentState::Refused("no".into()), 5_000).0.contains("no"));
        for settled in [IntentState::Applied, IntentState::Cancelled] {
            assert_eq!(says(settled, 61_000), (String::new(), String::new()));
        }
    }

    #[test]
    fn all_that_wait_are_told_and_only_those_that_the_node_does_not_have_can_be_taken_back() {
        let now = UnixMs(10_000);
        let all = [
            intent(4, IntentState::Expired, 9_000),
            intent(3, IntentState::Pending, 61_000),
            intent(2, IntentState::Sent, 61_000),
            intent(1, IntentState::Expired, 9_000),
            intent(0, IntentState::Applied, 61_000),
        ];
        let rows: Vec<(IntentId, bool)> =
            told(&all, now).iter().map(|row| (row.intent, row.open.is_some())).collect();
        let id = |n: u8| IntentId::from_bytes([n; 16]);
        assert_eq!(rows, [(id(4), false), (id(3), true), (id(2), false)]);
        assert!(told(&all[3..], UnixMs(100_000)).is_empty(), "after a minute it is forgotten");
    }
}
