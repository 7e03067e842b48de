//! Ports: where players connect.

use super::page::Seen;
use crate::reactive::{effect, selector};
use crate::{
    i18n::t,
    parts::{
        Action, Field, Icon, Kind, Submit, Toasts, complaint, confirm, dialog, listing, nothing,
    },
    session::Session,
    task::Task,
};
use mamba_core::{access::ServerKey, ids::AllocationId, server::PortProtocol};
use mamba_wire::api::{
    allocation::{AddServerAllocation, UpdateServerAllocation},
    params::{ServerAllocationPath, ServerPath},
    server::{Port, Server},
    table,
};
use sycamore::prelude::*;
use web_sys::SubmitEvent;

/// The tab.
#[component(inline_props)]
pub(super) fn Network(seen: Seen) -> View {
    let (session, toasts) = (use_context::<Session>(), use_context::<Toasts>());
    let server = seen.server;
    let ports = selector(move || server.with(|it| it.ports.clone()));
    let room = selector(move || {
        server.with(|it| u32::try_from(it.ports.len()).unwrap_or(u32::MAX) < it.allocation_limit)
    });
    let may_add = seen.may(ServerKey::AllocationCreate);
    let task = Task::new();
    let took = move |server: Server| {
        toasts.done(t().general.saved);
        seen.remote.put(server);
    };
    let add = move || {
        let path = ServerPath { server: seen.id };
        let body = AddServerAllocation::default();
        task.run(session.call::<table::AddServerAllocation>(path, (), body), took);
    };
    let wrong = complaint(task.failure, &[]);
    let lines = view! {
        Indexed(list=ports, view=move |port| {
            let is_first = ports.with_untracked(|it| it.first() == Some(&port));
            view! { Line(seen=seen, port=port, is_first=is_first) }
        })
    };
    let texts = &t().servers;
    let found = listing(&[texts.address, texts.protocol, texts.note, ""], lines);
    view! {
        section(class="card") {
            header {
                h2 { (t().servers.ports) }
                (if may_add && room.get() {
                    view! { Action(label=t().servers.port_add, picture=Icon::Plus, task=task, run=add) }
                } else { nothing() })
            }
            (wrong)
            (found)
        }
        p(class="muted") { (t().servers.ports_hint) }
    }
}

#[component(inline_props)]
fn Line(seen: Seen, port: Port, is_first: bool) -> View {
    let (session, toasts) = (use_context::<Session>(), use_context::<Toasts>());
    let task = Task::new();
    let path = ServerAllocationPath { server: seen.id, allocation: port.allocation };
    let took = move |server: Server| {
        toasts.done(t().general.saved);
        seen.remote.put(server);
    };
    let primary_path = path.clone();
    let primary = move || {
        let path = primary_path.clone();
        task.run(session.call::<table::SetPrimaryAllocation>(path, (), ()), took);
    };
    let remove = move || {
        task.run(session.call::<table::RemoveServerAllocation>(path.clone(), (), ()), took);
    };
    effect(move || task.failure.get_clone().iter().for_each(|it| toasts.failed(it)));
    let may_update = seen.may(ServerKey::AllocationUpdate);
    let may_remove = seen.may(ServerKey::AllocationDelete) && !is_first;
    let host = port.alias.clone().unwrap_or_else(|| port.ip.to_string());
    let address = format!("{host}:{}", port.port);
    let protocol = match port.protocol {
        PortProtocol::Tcp => "TCP",
        PortProtocol::Udp => "UDP",
        PortProtocol::Both => "TCP + UDP",
    };
    let note = port.note.clone().unwrap_or_default();
    let editing = create_signal(false);
    let editor = note_dialog(seen, port.allocation, note.clone(), editing);
    view! {
        tr {
            td { code { (address) } " " span(class="tag", hidden=!is_first) { (t().servers.primary) } }
            td { (protocol) }
            td(class="wrap") { (note) }
            td(class="end") {
                div(class="actions end") {
                    (if may_update { view! {
                        Action(label=t().servers.note, kind=Kind::Quiet, run=move || editing.set(true))
                    } } else { nothing() })
                    (if may_update && !is_first { let primary = primary.clone(); view! {
                        Action(label=t().servers.make_primary, task=task, run=primary)
                    } } else { nothing() })
                    (if may_remove { let remove = remove.clone(); view! {
                        Action(label=t().servers.remove, kind=Kind::Danger, task=task, run=remove)
                    } } else { nothing() })
                }
                (editor)
            }
        }
    }
}

fn note_dialog(seen: Seen, allocation: AllocationId, note: String, open: Signal<bool>) -> View {
    let (session, toasts) = (use_context::<Session>(), use_context::<Toasts>());
    dialog(open, t().servers.note, move || {
        let text = create_signal(note.clone());
        let task = Task::new();
        let submit = move |event: SubmitEvent| {
            event.prevent_default();
            let note = Some(text.get_clone_untracked()).filter(|it| !it.is_empty());
            let path = ServerAllocationPath { server: seen.id, allocation };
            let body = UpdateServerAllocation { note };
            let call = session.call::<table::UpdateServerAllocation>(path, (), body);
            task.run(call, move |server| {
                toasts.done(t().general.saved);
                open.set(false);
                seen.remote.put(server);
            });
        };
        let wrong = complaint(task.failure, &["note"]);
        let footer = confirm(open, view! { Submit(label=t().general.save, task=task) });
        view! {
            form(on:submit=submit, novalidate=true) {
                (wrong)
                Field(label=t().servers.note, name="note", value=text, optional=true, autofocus=true,
                    failure=task.failure)
                (footer)
            }
        }
    })
}
