//! What can be done with several servers at once, and what came of it for each.

use super::fleet::Row;
use crate::{
    i18n::{fill, t},
    parts::{Action, Icon, IconButton, Kind, Toasts, Tone, badge},
    reactive::selector,
    session::Session,
    task::Task,
};
use mamba_core::{ids::ServerId, lifecycle::PowerAction};
use mamba_wire::api::{params::ServerPath, server::Power, table};
use std::collections::BTreeSet;
use sycamore::prelude::*;

/// What came of one wish.
#[derive(Clone, PartialEq)]
struct Outcome {
    server: ServerId,
    name: String,
    /// Why it was not recorded.
    why: Option<String>,
}

/// What can be done with the servers in `acted`: those that are chosen and in the list as it is filtered.
#[component(inline_props)]
pub(super) fn Bulk(chosen: Signal<BTreeSet<ServerId>>, acted: ReadSignal<Vec<Row>>) -> View {
    let (session, toasts) = (use_context::<Session>(), use_context::<Toasts>());
    let count = selector(move || acted.with(Vec::len));
    let hidden = selector(move || chosen.with(BTreeSet::len).saturating_sub(count.get()));
    let text = selector(move || {
        let (count, hidden) = (count.get(), hidden.get());
        let text = if hidden == 0 { t().servers.selected } else { t().servers.selected_cut };
        fill(text, &[("n", &count), ("hidden", &hidden)])
    });
    let is_none = selector(move || count.get() == 0);
    let is_choosing = selector(move || chosen.with(|it| !it.is_empty()));
    let task = Task::new();
    let outcomes = create_signal(Vec::<Outcome>::new());
    let title = create_signal(String::new());
    let act = move |action: PowerAction, label: &'static str| {
        let all: Vec<(ServerId, String)> = acted.with_untracked(|rows| {
            let named = |row: &Row| (row.id, row.server.with_untracked(|it| it.name.clone()));
            rows.iter().map(named).collect()
        });
        let asking = async move {
            let mut told = Vec::new();
            for (server, name) in all {
                let body = Power { action, expires_in_ms: None };
                let path = ServerPath { server };
                let result = session.call::<table::Power>(path, (), body).await;
                told.push(Outcome { server, name, why: result.err().map(|it| it.text()) });
            }
            Ok(told)
        };
        task.run(asking, move |told: Vec<Outcome>| {
            let recorded = told.iter().filter(|it| it.why.is_none());
            let count = recorded.clone().count();
            // What failed stays chosen: one may try it again.
            chosen.update(|chosen| {
                for it in recorded {
                    chosen.remove(&it.server);
                }
            });
            let counts = [("action", &label as _), ("n", &count as _), ("all", &told.len() as _)];
            let text = fill(t().servers.bulk_told, &counts);
            if count == told.len() {
                toasts.done(text.clone());
            }
            title.set(text);
            outcomes.set(told);
        });
    };
    let texts = &t().servers;
    let button = move |label: &'static str, picture: Icon, action: PowerAction| {
        view! { Action(label=label, picture=picture, task=task, disabled=is_none, run=move || act(action, label)) }
    };
    let start = button(texts.start, Icon::Play, PowerAction::Start);
    let stop = button(texts.stop, Icon::Stop, PowerAction::Stop);
    let restart = button(texts.restart, Icon::Restart, PowerAction::Restart);
    let report = report(title, outcomes);
    view! {
        div(class="bulk", hidden=!is_choosing.get()) {
            span(class="muted", role="status") { (text.get_clone()) }
            (start) (stop) (restart)
            Action(label=t().general.cancel, kind=Kind::Quiet, run=move || chosen.set(BTreeSet::new()))
        }
        (report)
    }
}

/// Returns what came of each wish, until somebody closes it.
fn report(title: Signal<String>, outcomes: Signal<Vec<Outcome>>) -> View {
    let is_none = selector(move || outcomes.with(Vec::is_empty));
    let line = |it: Outcome| {
        let Outcome { server, name, why } = it;
        let to = format!("/servers/{server}");
        let said = match &why {
            None => badge(Tone::Good, t().servers.bulk_recorded),
            Some(_) => badge(Tone::Bad, t().servers.bulk_refused),
        };
        let why = why.unwrap_or_default();
        view! { li { a(href=to) { (name) } " " (said) " " span(class="muted") { (why) } } }
    };
    view! {
        section(class="card bulk-report", hidden=is_none.get(), aria-label=t().servers.bulk_title) {
            header {
                h2 { (title.get_clone()) }
                IconButton(label=t().general.close, picture=Icon::Close, run=move || outcomes.set(Vec::new()))
            }
            ul(class="body") { Indexed(list=outcomes, view=line) }
        }
    }
}
