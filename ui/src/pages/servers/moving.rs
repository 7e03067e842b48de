//! Its move to another node: begun, followed, cancelled, and how the last one ended. For administrators.

use super::page::Seen;
use crate::reactive::{effect, selector};
use crate::{
    i18n::{fill, t},
    parts::{
        Action, Choice, Icon, Kind, Select, Submit, Toasts, Tone, complaint, confirm, dialog,
        empty, gauge, loading, nothing, notice, size,
    },
    remote::{self, Remote, watch},
    session::Session,
    task::Task,
    time,
};
use mamba_core::{
    access::AdminRight,
    ids::NodeId,
    lifecycle::transfer::{Phase, Waiting},
};
use mamba_wire::api::{
    Page, PageQuery,
    node::Node,
    page::PAGE_ITEMS_MAX,
    params::ServerPath,
    table,
    transfer::{StartTransfer, Transfer},
};
use sycamore::prelude::*;
use web_sys::SubmitEvent;

/// All nodes, for choosing and for their names.
const ALL: PageQuery = PageQuery { after: None, limit: Some(PAGE_ITEMS_MAX) };

/// What stands in the card.
#[derive(Clone, Copy, PartialEq)]
enum Now {
    Loading,
    Failed,
    /// It stays, or has arrived.
    Idle,
    /// It is on its way; whether that can still be cancelled.
    Moving {
        may_cancel: bool,
    },
}

/// The card.
#[component(inline_props)]
pub(super) fn Moving(seen: Seen) -> View {
    let session = use_context::<Session>();
    let id = seen.id;
    // Of a server that stays there is nothing to ask; of one that arrived it is still told.
    let is_moved = create_signal(false);
    effect(move || {
        if seen.server.with(|it| it.moving_to.is_some()) {
            is_moved.set(true);
        }
    });
    let newest = watch::<table::ShowTransfer>(remote::OFTEN_MS, move || {
        is_moved.get().then_some((ServerPath { server: id }, ()))
    });
    let knows_nodes = session.may_admin(AdminRight::NodesRead);
    let nodes = watch::<table::ListNodes>(remote::NEVER_MS, move || {
        knows_nodes.then_some(((), ALL.into()))
    });
    let now = selector(move || now(is_moved.get(), newest));
    // A server that has arrived has another node and address.
    let phase = selector(move || newest.value.with(|it| it.as_ref().map(|it| it.phase)));
    effect(move || {
        if phase.get().is_some_and(Phase::is_ended) {
            seen.remote.reload();
        }
    });
    let open = create_signal(false);
    let chooser = start_dialog(seen, (newest, nodes), open);
    let is_kept = selector(move || seen.server.with(|it| it.deleted_at.is_none()));
    let may_start = session.may_admin(AdminRight::ServersWrite);
    view! {
        section(class="card") {
            header { h2 { (t().servers.move_title) } }
            div(class="body") {
                (match now.get() {
                    Now::Loading => loading(),
                    Now::Failed => failed(newest),
                    Now::Moving { may_cancel } => on_its_way(seen, (newest, nodes), may_cancel && may_start),
                    Now::Idle => {
                        let last = ended(newest, nodes);
                        view! {
                            (last)
                            p { (t().servers.move_text) }
                            (if may_start && is_kept.get() {
                                view! { div(class="actions") { Action(label=t().servers.move_start, run=move || open.set(true)) } }
                            } else { nothing() })
                        }
                    }
                })
            }
        }
        (chooser)
    }
}

fn now(is_moved: bool, newest: Remote<Transfer>) -> Now {
    let moving = newest.value.with(|it| {
        let open = it.as_ref().filter(|it| !it.phase.is_ended())?;
        Some(Now::Moving { may_cancel: open.phase.is_of_source() })
    });
    let is_failed = newest.failure.with(Option::is_some) && newest.value.with(Option::is_none);
    match moving {
        Some(moving) => moving,
        None if !is_moved || newest.value.with(Option::is_some) => Now::Idle,
        None if is_failed => Now::Failed,
        None => Now::Loading,
    }
}

fn failed(newest: Remote<Transfer>) -> View {
    let text = newest.failure.with_untracked(|it| it.as_ref().map(|it| it.text()));
    let told = notice(Tone::Bad, text.unwrap_or_default());
    view! {
        (told)
        div(class="actions") { Action(label=t().general.again, run=move || newest.reload()) }
    }
}

/// How far it is, and what holds it up.
fn on_its_way(
    seen: Seen,
    (newest, nodes): (Remote<Transfer>, Remote<Page<Node>>),
    may_cancel: bool,
) -> View {
    let (session, toasts) = (use_context::<Session>(), use_context::<Toasts>());
    let words = selector(move || {
        let open = newest.value.get_clone()?;
        Some((phase_text(open.phase), route(&open, nodes)))
    });
    let held_up = selector(move || {
        let open = newest.value.get_clone()?;
        let waiting = open.waiting.map(|it| waiting_text(it).to_owned());
        open.trouble.clone().map(|it| fill(t().servers.move_trouble, &[("why", &it)])).or(waiting)
    });
    let copied = selector(move || {
        newest.value.with(|it| {
            let open = it.as_ref()?;
            Some((open.bytes_done?, open.bytes_total?))
        })
    });
    let away = selector(move || newest.failure.with(|it| it.as_ref().map(|it| it.text())));
    let task = Task::new();
    let cancel = move || {
        let call = session.call::<table::CancelTransfer>(ServerPath { server: seen.id }, (), ());
        task.run(call, move |ended| {
            toasts.done(t().servers.move_cancelled);
            newest.put(ended);
            seen.remote.reload();
        });
    };
    let wrong = complaint(task.failure, &[]);
    view! {
        p(role="status") { strong { (words.get_clone().map(|it| it.0).unwrap_or_default()) } }
        p(class="muted") { (words.get_clone().map(|it| it.1).unwrap_or_default()) }
        (match copied.get() {
            Some((done, all)) => {
                let text = fill(t().servers.move_bytes, &[("done", &size(done)), ("all", &size(all))]);
                gauge(done.min(all), all, text)
            }
            None => nothing(),
        })
        (match held_up.get_clone() {
            Some(text) => notice(Tone::Busy, text),
            None => nothing(),
        })
        (match away.get_clone() {
            Some(text) => notice(Tone::Busy, text),
            None => nothing(),
        })
        (wrong)
        (if may_cancel {
            view! { div(class="actions") { Action(label=t().servers.move_cancel, kind=Kind::Danger, task=task, run=cancel) } }
        } else { view! { p(class="muted") { (t().servers.move_decided) } } })
    }
}

/// How the newest one ended.
fn ended(newest: Remote<Transfer>, nodes: Remote<Page<Node>>) -> View {
    let text = selector(move || {
        let last = newest.value.get_clone()?;
        let (texts, at) = (&t().servers, time::local(last.since));
        let names: [(&str, &dyn std::fmt::Display); 3] =
            [("from", &name_of(nodes, last.from)), ("to", &name_of(nodes, last.to)), ("at", &at)];
        Some(match last.phase {
            Phase::Done => (Tone::Good, fill(texts.move_done, &names)),
            Phase::Cancelled => (Tone::Calm, fill(texts.move_was_cancelled, &names)),
            Phase::Failed => {
                let why = last.error.clone().unwrap_or_default();
                (Tone::Bad, format!("{} {why}", fill(texts.move_failed, &names)))
            }
            _ => return None,
        })
    });
    view! {
        (match text.get_clone() {
            Some((tone, text)) => notice(tone, text),
            None => nothing(),
        })
    }
}

fn route(open: &Transfer, nodes: Remote<Page<Node>>) -> String {
    let (from, to) = (name_of(nodes, open.from), name_of(nodes, open.to));
    fill(
        t().servers.move_route,
        &[("from", &from), ("to", &to), ("at", &time::local(open.asked_at))],
    )
}

/// Returns the name of a node, or its id for who may not see nodes.
fn name_of(nodes: Remote<Page<Node>>, node: NodeId) -> String {
    let known = nodes.value.with(|page| {
        let found = page.iter().flat_map(|it| &it.items).find(|it| it.node == node)?;
        Some(found.name.clone())
    });
    known.unwrap_or_else(|| node.to_string())
}

fn phase_text(phase: Phase) -> &'static str {
    let texts = &t().servers;
    match phase {
        Phase::Preparing => texts.move_preparing,
        Phase::Stopping => texts.move_stopping,
        Phase::Copying => texts.move_copying,
        Phase::Sealing => texts.move_sealing,
        Phase::Arriving => texts.move_arriving,
        Phase::Leaving => texts.move_leaving,
        Phase::Lost => texts.move_lost,
        Phase::Done | Phase::Cancelled | Phase::Failed => "",
    }
}

fn waiting_text(waiting: Waiting) -> &'static str {
    let texts = &t().servers;
    match waiting {
        Waiting::SourceOffline => texts.move_source_offline,
        Waiting::TargetOffline => texts.move_target_offline,
        Waiting::ServerStopping => texts.move_server_stopping,
        Waiting::TargetTakingOver => texts.move_taking_over,
        Waiting::SourceClearing => texts.move_clearing,
    }
}

/// The dialog that asks where to.
fn start_dialog(
    seen: Seen,
    (newest, nodes): (Remote<Transfer>, Remote<Page<Node>>),
    open: Signal<bool>,
) -> View {
    let (session, toasts) = (use_context::<Session>(), use_context::<Toasts>());
    dialog(open, t().servers.move_title, move || {
        let here = seen.server.with_untracked(|it| it.node);
        let (node, task) = (create_signal(String::new()), Task::new());
        let choices = create_memo(move || {
            let others = nodes.value.with(|page| {
                let others = page.iter().flat_map(|it| &it.items).filter(|it| it.node != here);
                others.map(|it| Choice::new(it.node.to_string(), &it.name)).collect::<Vec<_>>()
            });
            let any = Choice::new("", t().servers.any_node);
            std::iter::once(any).chain(others).collect::<Vec<_>>()
        });
        let is_alone = selector(move || {
            nodes.value.with(|page| page.as_ref().is_some_and(|it| it.items.len() < 2))
        });
        let form = move || {
            let submit = move |event: SubmitEvent| {
                event.prevent_default();
                let to = node.with_untracked(|it| it.parse().ok());
                let body = StartTransfer { node: to, ..StartTransfer::default() };
                let path = ServerPath { server: seen.id };
                task.run(session.call::<table::StartTransfer>(path, (), body), move |begun| {
                    toasts.done(t().servers.move_begun);
                    open.set(false);
                    newest.put(begun);
                    seen.remote.reload();
                });
            };
            let wrong = complaint(task.failure, &["node"]);
            let start =
                view! { Submit(label=t().servers.move_start, kind=Kind::Danger, task=task) };
            let footer = confirm(open, start);
            view! {
                form(on:submit=submit, novalidate=true) {
                    p { (t().servers.move_sure) }
                    (wrong)
                    Select(label=t().servers.move_where, name="node", value=node, choices=choices, failure=task.failure)
                    (footer)
                }
            }
        };
        let alone =
            || empty(Icon::Servers, t().servers.move_alone, t().servers.move_alone_text, nothing());
        view! { (if is_alone.get() { alone() } else { form() }) }
    })
}
