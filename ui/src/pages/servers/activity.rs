//! What happened to a server, in sentences.

use super::page::Seen;
use crate::{
    i18n::{fill, t},
    parts::{Action, Icon, Tone, empty, field_title, loading, nothing, notice},
    remote::Pages,
    session::Session,
    time::{self, Age},
};
use mamba_core::{
    fact::Activity,
    ids::UserId,
    lifecycle::{Actor, PowerAction},
};
use mamba_wire::api::{
    PageQuery, activity::ActivityItem, page::PAGE_ITEMS_DEFAULT, params::ServerPath, table,
};
use sycamore::prelude::*;

/// The tab.
#[component(inline_props)]
pub(super) fn Happened(seen: Seen) -> View {
    let id = seen.id;
    let pages = Pages::<ActivityItem>::open::<table::ListActivity>(move |after| {
        (ServerPath { server: id }, PageQuery { after, limit: Some(PAGE_ITEMS_DEFAULT) })
    });
    let items = pages.items;
    view! {
        (if items.with(Vec::is_empty) && pages.task.busy.get() {
            loading()
        } else if items.with(Vec::is_empty) {
            empty(Icon::Log, t().servers.activity_none, t().servers.activity_none_text, nothing())
        } else {
            view! {
                ol(class="timeline") {
                    Keyed(list=items, key=|it: &ActivityItem| it.event, view=line)
                }
            }
        })
        (match pages.task.failure.get_clone() {
            Some(failure) => notice(Tone::Bad, failure.text()),
            None => nothing(),
        })
        (if pages.has_more() {
            view! { div { Action(label=t().servers.older, task=pages.task, run=move || pages.more()) } }
        } else { nothing() })
    }
}

fn line(item: ActivityItem) -> View {
    let (tone, text) = sentence(&item.activity);
    let tone = tone.name();
    let late = item.received_at.since(item.at);
    let is_late = late > 60_000;
    let late = fill(t().servers.reported_late, &[("span", &time::span(late))]);
    let me = use_context::<Session>().me().map(|it| it.user);
    let by = actor(&item.actor, me);
    let lines = match &item.activity {
        Activity::Crashed { lines, .. } | Activity::InstallFailed { lines, .. } => lines.join("\n"),
        _ => String::new(),
    };
    let has_lines = !lines.is_empty();
    let at = item.at;
    view! {
        li(data-tone=tone) {
            p { (text) }
            pre(hidden=!has_lines) { (lines) }
            p(class="muted") {
                (by) " · " Age(at=at) span(hidden=!is_late) { " · " (late) }
            }
        }
    }
}

fn actor(actor: &Actor, me: Option<UserId>) -> String {
    let texts = &t().servers;
    match actor {
        Actor::Edge => texts.by_node.to_owned(),
        Actor::Operator(name) => fill(texts.by_operator, &[("name", name)]),
        Actor::User(user) if Some(*user) == me => texts.by_you.to_owned(),
        Actor::User(_) => texts.by_user.to_owned(),
        Actor::Hub => texts.by_hub.to_owned(),
    }
}

/// Returns an event in a sentence, and how bad it is.
fn sentence(activity: &Activity) -> (Tone, String) {
    let texts = &t().servers;
    let calm = |text: &str| (Tone::Calm, text.to_owned());
    match activity {
        Activity::Power { action } => {
            (Tone::Calm, fill(texts.did_power, &[("action", &action_name(*action))]))
        }
        Activity::PowerAsked { action } => {
            (Tone::Calm, fill(texts.did_power_asked, &[("action", &action_name(*action))]))
        }
        Activity::PowerCancelled { action } => {
            (Tone::Calm, fill(texts.did_power_cancelled, &[("action", &action_name(*action))]))
        }
        Activity::Started => calm(texts.did_started),
        Activity::Ready { after_ms } => {
            (Tone::Good, fill(texts.did_ready, &[("span", &time::span(*after_ms))]))
        }
        Activity::Adopted => calm(texts.did_adopted),
        Activity::Stopped { killed: true, .. } => (Tone::Busy, texts.did_killed.to_owned()),
        Activity::Stopped { .. } => calm(texts.did_stopped),
        Activity::Ended { .. } => calm(texts.did_ended),
        Activity::Crashed { exit, .. } if exit.oom_killed => {
            (Tone::Bad, texts.did_memory.to_owned())
        }
        Activity::Crashed { exit, .. } => {
            (Tone::Bad, fill(texts.did_crashed, &[("code", &exit.code)]))
        }
        Activity::GaveUp { crashes } => (Tone::Bad, fill(texts.did_gave_up, &[("n", crashes)])),
        Activity::StepFailed { step, error } => {
            (Tone::Bad, fill(texts.did_step, &[("step", step), ("error", error)]))
        }
        Activity::ConsoleCommand { line } => (Tone::Calm, fill(texts.did_typed, &[("line", line)])),
        Activity::Applied { .. } => calm(texts.did_applied),
        Activity::Refused(refused) => {
            (Tone::Bad, fill(texts.did_refused, &[("error", &refused.error)]))
        }
        Activity::StoppedByHub { .. } => (Tone::Busy, texts.did_stopped_by_hub.to_owned()),
        Activity::InstallBegun { .. } => calm(texts.did_install_begun),
        Activity::Installed { took_ms, .. } => {
            (Tone::Good, fill(texts.did_installed, &[("span", &time::span(*took_ms))]))
        }
        Activity::InstallFailed { error, .. } => {
            (Tone::Bad, fill(texts.did_install_failed, &[("error", error)]))
        }
        Activity::InstallCancelled { .. } => (Tone::Busy, texts.did_install_cancelled.to_owned()),
        Activity::ReinstallAsked { .. } => calm(texts.did_reinstall_asked),
        Activity::InstallCancelAsked => calm(texts.did_install_cancel_asked),
        Activity::Deleted => calm(texts.did_deleted),
        Activity::Purged => calm(texts.did_purged),
        Activity::Created => (Tone::Good, texts.did_created.to_owned()),
        Activity::Changed { fields, .. } => {
            let fields = fields.iter().map(|it| field_title(it)).collect::<Vec<_>>().join(", ");
            (Tone::Calm, fill(texts.did_changed, &[("fields", &fields)]))
        }
        Activity::GivenAway => calm(texts.did_give_away),
        Activity::TakenOver => (Tone::Good, texts.did_take_over.to_owned()),
        Activity::TransferAsked { .. } => (Tone::Busy, texts.did_transfer_asked.to_owned()),
        Activity::Transferred { .. } => (Tone::Good, texts.did_transferred.to_owned()),
        Activity::TransferCancelled => calm(texts.did_transfer_cancelled),
        Activity::TransferFailed { error } => {
            (Tone::Bad, fill(texts.did_transfer_failed, &[("error", error)]))
        }
        Activity::Left => calm(texts.did_left),
        Activity::DeletionAsked { .. } => (Tone::Busy, texts.did_delete_asked.to_owned()),
        Activity::Lost { count } => (Tone::Bad, fill(texts.did_lost, &[("n", count)])),
        Activity::EdgeStarted { .. } => calm(texts.did_edge_started),
        Activity::ClockStep { .. } => calm(texts.did_clock),
    }
}

fn action_name(action: PowerAction) -> &'static str {
    let texts = &t().servers;
    match action {
        PowerAction::Start => texts.start,
        PowerAction::Stop => texts.stop,
        PowerAction::Restart => texts.restart,
        PowerAction::Kill => texts.kill,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_is_told_in_the_words_of_the_settings() {
        let told = |fields: &[&str]| {
            let fields = fields.iter().map(ToString::to_string).collect();
            sentence(&Activity::Changed { generation: 3, fields }).1
        };
        let both = told(&["auto_start", "allocation_limit"]);
        assert_eq!(both, "Changed: When the node starts, Ports its owner may take");
        assert_eq!(told(&["of_tomorrow"]), "Changed: of tomorrow");
    }
}
