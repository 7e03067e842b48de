//! Ports that nodes offer: the list, of one node or of all, and what can be done with each.

use crate::{
    i18n::{fill, t},
    net::Failure,
    parts::{
        Action, Choice, Field, Icon, Kind, Question, Select, Submit, Toasts, ask, complaint,
        confirm, dialog, empty, loading, more, nothing, table,
    },
    reactive::selector,
    remote::Pages,
    session::Session,
    task::Task,
};
use mamba_core::{access::AdminRight, ids::NodeId, server::PortProtocol};
use mamba_wire::api::{
    allocation::{Allocation, AllocationQuery, CreateAllocations, UpdateAllocation},
    page::PAGE_ITEMS_MAX,
    params::AllocationPath,
    table,
};
use std::collections::BTreeMap;
use sycamore::prelude::*;
use web_sys::SubmitEvent;

/// The list of one node.
#[component(inline_props)]
pub(super) fn Ports(node: NodeId) -> View {
    let node = create_signal(Some(node));
    let names = create_signal(BTreeMap::new());
    view! { List(node=*node, names=*names) }
}

/// The list of a node, or of all. `names` are those of the nodes; without any no node is named.
#[component(inline_props)]
pub(super) fn List(
    node: ReadSignal<Option<NodeId>>,
    names: ReadSignal<BTreeMap<NodeId, String>>,
) -> View {
    let session = use_context::<Session>();
    let may_write = session.may_admin(AdminRight::AllocationsWrite);
    let pages = Pages::<Allocation>::open::<table::ListAllocations>(move |after| {
        (
            (),
            AllocationQuery {
                node: node.get(),
                port: None,
                taken: None,
                sort: None,
                after,
                limit: Some(PAGE_ITEMS_MAX),
            },
        )
    });
    // The list of one node need not name it in each line.
    let is_one = node.get_untracked().is_some();
    let adding = create_signal(false);
    let add = add_dialog(node, names, pages, adding);
    let button = move || {
        if may_write {
            view! {
                Action(label=t().admin.ports_add, kind=Kind::Primary, picture=Icon::Plus,
                    run=move || adding.set(true))
            }
        } else {
            nothing()
        }
    };
    let items = pages.items;
    let is_empty = selector(move || items.with(Vec::is_empty));
    let sorted = create_memo(move || {
        let mut items = items.get_clone();
        let name = |it: &Allocation| names.with(|all| all.get(&it.node).cloned());
        items.sort_by_cached_key(|it| (name(it), it.ip, it.port, it.allocation));
        items
    });
    let count = selector(move || {
        let has_more = pages.has_more();
        items.with(|it| summary(it, has_more))
    });
    view! {
        div(class="toolbar") { p(class="muted grow num") { (count.get_clone()) } (button()) }
        (if !is_empty.get() {
            let lines = view! {
                Indexed(list=sorted, view=move |it| view! {
                    Line(allocation=it, names=names, pages=pages, is_one=is_one, may_write=may_write)
                })
            };
            let texts = &t().servers;
            let heads = [
                t().admin.on_node, texts.address, texts.protocol, t().admin.alias, texts.note,
                t().admin.taken, "",
            ];
            table(t().admin.allocations, if is_one { &heads[1..] } else { &heads }, lines)
        } else if pages.task.busy.get() {
            loading()
        } else if pages.task.failure.with(Option::is_some) {
            nothing()
        } else {
            empty(Icon::Globe, t().admin.ports_none, t().admin.ports_none_text, button())
        })
        (more(pages))
        (add)
    }
}

/// Returns how many there are and how many are free, as far as they were read.
fn summary(items: &[Allocation], has_more: bool) -> String {
    let free = items.iter().filter(|it| it.server.is_none()).count();
    let text = if has_more { t().admin.ports_count_more } else { t().admin.ports_count };
    fill(text, &[("n", &items.len()), ("free", &free)])
}

pub(super) fn protocol(protocol: PortProtocol) -> &'static str {
    match protocol {
        PortProtocol::Tcp => "TCP",
        PortProtocol::Udp => "UDP",
        PortProtocol::Both => "TCP + UDP",
    }
}

#[component(inline_props)]
fn Line(
    allocation: Allocation,
    names: ReadSignal<BTreeMap<NodeId, String>>,
    pages: Pages<Allocation>,
    is_one: bool,
    may_write: bool,
) -> View {
    let (session, toasts) = (use_context::<Session>(), use_context::<Toasts>());
    let id = allocation.allocation;
    let (editing, deleting) = (create_signal(false), create_signal(false));
    let editor = edit_dialog(&allocation, pages, editing);
    let host = allocation.ip.to_string();
    let host = if host.contains(':') { format!("[{host}]") } else { host };
    let address = format!("{host}:{}", allocation.port);
    let what = Question {
        title: t().admin.port_delete.to_owned(),
        text: fill(t().admin.port_delete_text, &[("address", &address)]),
        label: t().admin.delete,
        typed: None,
    };
    let delete = ask(deleting, what, move |task| {
        let path = AllocationPath { allocation: id };
        task.run(session.call::<table::DeleteAllocation>(path, (), ()), move |()| {
            toasts.done(t().admin.deleted);
            deleting.set(false);
            pages.items.update(|all| all.retain(|it| it.allocation != id));
        });
    });
    let node = allocation.node;
    let to = format!("/admin/nodes/{node}");
    let name = selector(move || names.with(|it| it.get(&node).cloned()).unwrap_or_default());
    let place = if is_one {
        nothing()
    } else {
        view! { td { a(href=to) { (name.get_clone()) } } }
    };
    let is_free = allocation.server.is_none();
    let taken = allocation.server.map_or_else(
        || view! { span(class="muted") { (t().admin.free) } },
        |it| {
            let to = format!("/servers/{it}");
            view! { a(href=to) { (t().admin.by_server) } }
        },
    );
    let (alias, note) = (allocation.alias.unwrap_or_default(), allocation.note.unwrap_or_default());
    let transport = protocol(allocation.protocol);
    view! {
        tr {
            (place)
            td { code { (address) } }
            td { (transport) }
            td(class="cut") { (alias) }
            td(class="cut") { (note) }
            td { (taken) }
            td(class="end") {
                (if may_write { view! {
                    div(class="actions end") {
                        Action(label=t().servers.edit, kind=Kind::Quiet, run=move || editing.set(true))
                        (if is_free { view! {
                            Action(label=t().admin.delete, kind=Kind::Quiet, run=move || deleting.set(true))
                        } } else { nothing() })
                    }
                } } else { nothing() })
                (editor) (delete)
            }
        }
    }
}

fn edit_dialog(allocation: &Allocation, pages: Pages<Allocation>, open: Signal<bool>) -> View {
    let (session, toasts) = (use_context::<Session>(), use_context::<Toasts>());
    let id = allocation.allocation;
    let (before, noted) = (allocation.alias.clone(), allocation.note.clone());
    let title = format!("{}:{}", allocation.ip, allocation.port);
    dialog(open, title, move || {
        let alias = create_signal(before.clone().unwrap_or_default());
        let (note, task) = (create_signal(noted.clone().unwrap_or_default()), Task::new());
        let submit = move |event: SubmitEvent| {
            event.prevent_default();
            let body = UpdateAllocation { alias: given(alias), note: given(note) };
            let path = AllocationPath { allocation: id };
            task.run(session.call::<table::UpdateAllocation>(path, (), body), move |changed| {
                toasts.done(t().general.saved);
                open.set(false);
                pages.items.update(|all| {
                    if let Some(it) = all.iter_mut().find(|it| it.allocation == id) {
                        *it = changed;
                    }
                });
            });
        };
        let wrong = complaint(task.failure, &["alias", "note"]);
        let footer = confirm(open, view! { Submit(label=t().general.save, task=task) });
        let fields = words(alias, note, task.failure);
        view! { form(on:submit=submit, novalidate=true) { (wrong) (fields) (footer) } }
    })
}

/// Returns the fields for what people are told.
fn words(alias: Signal<String>, note: Signal<String>, failure: Signal<Option<Failure>>) -> View {
    view! {
        Field(label=t().admin.alias, name="alias", value=alias, optional=true, hint=t().admin.alias_hint,
            failure=failure)
        Field(label=t().servers.note, name="note", value=note, optional=true, failure=failure)
    }
}

fn given(text: Signal<String>) -> Option<String> {
    Some(text.with_untracked(|it| it.trim().to_owned())).filter(|it| !it.is_empty())
}

/// What is typed for new ports.
#[derive(Clone, Copy)]
struct Draft {
    node: Signal<String>,
    ip: Signal<String>,
    ports: Signal<String>,
    protocol: Signal<String>,
    alias: Signal<String>,
    note: Signal<String>,
}

impl Draft {
    fn read(self) -> Option<CreateAllocations> {
        let (port, port_last) = self.ports.with_untracked(|it| range(it))?;
        Some(CreateAllocations {
            node: self.node.with_untracked(|it| it.parse().ok())?,
            ip: self.ip.with_untracked(|it| it.trim().parse().ok())?,
            port,
            port_last,
            protocol: self.protocol.with_untracked(|it| match it.as_str() {
                "tcp" => PortProtocol::Tcp,
                "udp" => PortProtocol::Udp,
                _ => PortProtocol::Both,
            }),
            alias: given(self.alias),
            note: given(self.note),
        })
    }
}

/// Reads `25565` or `25565-25600`.
fn range(text: &str) -> Option<(u16, Option<u16>)> {
    match text.trim().split_once('-') {
        Some((first, last)) => Some((first.trim().parse().ok()?, Some(last.trim().parse().ok()?))),
        None => Some((text.trim().parse().ok()?, None)),
    }
}

fn add_dialog(
    node: ReadSignal<Option<NodeId>>,
    names: ReadSignal<BTreeMap<NodeId, String>>,
    pages: Pages<Allocation>,
    open: Signal<bool>,
) -> View {
    let (session, toasts) = (use_context::<Session>(), use_context::<Toasts>());
    dialog(open, t().admin.ports_add, move || {
        let text = |it: &str| create_signal(it.to_owned());
        let chosen = node.get_untracked().map(|it| it.to_string()).unwrap_or_default();
        let draft = Draft {
            node: text(&chosen),
            ip: text("0.0.0.0"),
            ports: text(""),
            protocol: text("both"),
            alias: text(""),
            note: text(""),
        };
        let (task, is_wrong) = (Task::new(), create_signal(false));
        let submit = move |event: SubmitEvent| {
            event.prevent_default();
            let body = draft.read();
            is_wrong.set(body.is_none());
            let Some(body) = body else { return };
            task.run(session.call::<table::CreateAllocations>((), (), body), move |made| {
                toasts.done(fill(t().admin.ports_made, &[("n", &made.items.len())]));
                open.set(false);
                pages.again();
            });
        };
        let wrong = complaint(task.failure, &["ip", "port", "port_last", "alias", "note"]);
        let footer = confirm(open, view! { Submit(label=t().admin.ports_make, task=task) });
        let (where_to, words) =
            (place(draft, node, names, task.failure), words(draft.alias, draft.note, task.failure));
        view! {
            form(on:submit=submit, novalidate=true) {
                (wrong)
                (where_to)
                (words)
                p(class="field-error", role="alert", hidden=!is_wrong.get()) { (t().admin.ports_wrong) }
                (footer)
            }
        }
    })
}

/// Returns the fields for which ports, and where.
fn place(
    draft: Draft,
    node: ReadSignal<Option<NodeId>>,
    names: ReadSignal<BTreeMap<NodeId, String>>,
    failure: Signal<Option<Failure>>,
) -> View {
    let nodes = create_memo(move || {
        let mut all = vec![Choice::new("", t().servers.choose)];
        names.with(|it| all.extend(it.iter().map(|(id, name)| Choice::new(id.to_string(), name))));
        all
    });
    let transports = create_signal(
        [("both", PortProtocol::Both), ("tcp", PortProtocol::Tcp), ("udp", PortProtocol::Udp)]
            .map(|(value, it)| Choice::new(value, protocol(it)))
            .to_vec(),
    );
    let has_node = node.get_untracked().is_some();
    view! {
        (if has_node { nothing() } else { view! {
            Select(label=t().servers.node, name="node", value=draft.node, choices=nodes, failure=failure)
        } })
        div(class="columns") {
            Field(label=t().admin.ip, name="ip", value=draft.ip, hint=t().admin.ip_hint, failure=failure)
            Field(label=t().admin.ports, name="port", value=draft.ports, placeholder="25565-25600",
                hint=t().admin.ports_hint, failure=failure)
            Select(label=t().servers.protocol, name="protocol", value=draft.protocol, choices=*transports)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_one_or_a_range() {
        for (text, expected) in [
            ("25565", Some((25_565, None))),
            (" 1 - 65535 ", Some((1, Some(65_535)))),
            ("65536", None),
            ("", None),
            ("1-", None),
            ("1-2-3", None),
        ] {
            assert_eq!(range(text), expected, "{text}");
        }
    }
}
