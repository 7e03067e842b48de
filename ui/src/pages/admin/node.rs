//! One node: the machine, its link, what runs there, its ports and settings.

use super::{
    capacity,
    node_link::{History, linked},
    node_settings::NodeSettingsTab,
    nodes::{is_revoked, tags},
    ports::Ports,
    route::NodeTab,
};
use crate::{
    i18n::{fill, t},
    parts::{
        self, Badge, Crumb, Fresh, Icon, Tone, empty, head, nothing, notice, shown, size, table,
    },
    reactive::selector,
    remote::{self, Remote, watch_told},
    session::Session,
    time::{self, Age},
};
use mamba_core::{
    access::AdminRight,
    fact::Stream,
    ids::{NodeId, ServerId},
    server::Limits,
};
use mamba_wire::{
    api::{
        feed::Topic,
        node::Node,
        page::PAGE_ITEMS_MAX,
        params::NodePath,
        server::{Server, ServerQuery},
        table,
    },
    link::v1::NodeState,
};
use std::rc::Rc;
use sycamore::prelude::*;

/// What every tab gets.
#[derive(Clone, Copy)]
pub(super) struct Seen {
    /// Which node.
    pub(super) id: NodeId,
    /// It, kept fresh.
    pub(super) node: ReadSignal<Rc<Node>>,
    /// To be told of a change.
    pub(super) remote: Remote<Node>,
}

/// The page.
#[component(inline_props)]
pub(super) fn NodePage(id: NodeId, tab: ReadSignal<NodeTab>) -> View {
    let remote = watch_told::<table::ShowNode>(remote::OFTEN_MS, Topic::Nodes, move || {
        Some((NodePath { node: id }, ()))
    });
    shown(remote, move |node| {
        let seen = Seen { id, node, remote };
        view! { Whole(seen=seen, tab=tab) }
    })
}

#[component(inline_props)]
fn Whole(seen: Seen, tab: ReadSignal<NodeTab>) -> View {
    let node = seen.node;
    let name = selector(move || node.with(|it| it.name.clone()));
    let standing = selector(move || node.with(|it| capacity::standing(it)));
    let freshness = selector(move || node.with(|it| it.freshness));
    let is_over = selector(move || node.with(|it| is_revoked(it)));
    let about = selector(move || {
        let settings = node.with(|it| it.settings.clone());
        (settings.region, settings.tags)
    });
    view! {
        ({
            let crumbs = vec![Crumb::new(t().admin.nodes, "/admin/nodes")];
            head(crumbs, name.get_clone(), nothing())
        })
        div(class="server-line") {
            Fresh(freshness=freshness, is_over=is_over)
            (standing.get().map_or_else(nothing, |(tone, word)| view! { Badge(tone=tone, label=word) }))
            (match about.with(|it| it.0.clone()) {
                Some(region) => view! { span(class="tag") { (region) } },
                None => nothing(),
            })
            (tags(&about.get_clone().1))
        }
        (tabs(seen.id, tab.get()))
        (match tab.get() {
            NodeTab::Machine => view! { Machine(seen=seen) },
            NodeTab::Servers => view! { Servers(id=seen.id) },
            NodeTab::Ports => view! { Ports(node=seen.id) },
            NodeTab::Settings => view! { NodeSettingsTab(seen=seen) },
        })
    }
}

fn tabs(node: NodeId, here: NodeTab) -> View {
    let session = use_context::<Session>();
    let links = NodeTab::ALL
        .into_iter()
        .filter(|tab| session.may_admin(tab.right()))
        .map(|tab| (tab.path(node), tab.title(), tab == here))
        .collect();
    parts::menu(t().admin.node_parts, links)
}

/// The machine and its link.
#[component(inline_props)]
fn Machine(seen: Seen) -> View {
    let node = seen.node;
    let link = watch_told::<table::ShowNodeLink>(remote::RARELY_MS, Topic::Nodes, move || {
        Some((NodePath { node: seen.id }, ()))
    });
    let why = selector(move || link.value.with(|it| it.as_ref().and_then(|it| it.why.clone())));
    let troubles = selector(move || {
        node.with(|it| it.machine.as_ref().map(|it| it.troubles.clone()).unwrap_or_default())
    });
    let linked = shown(link, linked);
    view! {
        (match why.get_clone() {
            Some(why) => notice(Tone::Bad, capital(&why)),
            None => nothing(),
        })
        (troubles.get_clone().into_iter().map(|it| notice(Tone::Bad, it)).collect::<Vec<_>>())
        section(class="card") {
            header { h2 { (t().admin.promised) } }
            (promised(&node.get_clone()))
        }
        div(class="halves") {
            section(class="card") {
                header { h2 { (t().admin.tab_machine) } }
                (machine(&node.get_clone()))
            }
            section(class="card") { header { h2 { (t().admin.link) } } (linked) }
        }
        History(id=seen.id)
    }
}

fn promised(node: &Node) -> View {
    let (memory, disk, cpu) = (capacity::memory(node), capacity::disk(node), capacity::cpu(node));
    view! {
        dl(class="facts body") {
            dt { (t().servers.memory) } dd { (memory) }
            dt { (t().servers.disk) } dd { (disk) }
            dt { (t().servers.cpu) } dd { (cpu) }
        }
    }
}

fn machine(node: &Node) -> View {
    let Some(machine) = &node.machine else {
        return empty(
            Icon::Servers,
            t().admin.not_reported,
            t().admin.not_reported_text,
            nothing(),
        );
    };
    let NodeState { cpus, memory_bytes, disk_bytes, disk_free_bytes, engine, .. } = machine;
    let texts = &t().admin;
    let disk =
        fill(texts.free_of, &[("free", &size(*disk_free_bytes)), ("all", &size(*disk_bytes))]);
    let outbox: Vec<(&'static str, String)> = machine
        .outbox
        .iter()
        .map(|it| {
            let name = match it.stream {
                Stream::Usage => texts.stream_usage,
                Stream::Activity => texts.stream_activity,
            };
            let waits = [("n", &it.unacked as _), ("span", &time::span(it.oldest_age_ms) as _)];
            let text = if it.unacked == 0 {
                texts.outbox_empty.to_owned()
            } else {
                fill(texts.outbox_waits, &waits)
            };
            (name, text)
        })
        .collect();
    let mut rows = vec![
        (texts.processors, cpus.to_string()),
        (t().servers.memory, size(*memory_bytes)),
        (t().servers.disk, disk),
        (texts.engine, engine.clone().unwrap_or_else(|| texts.engine_away.to_owned())),
        (texts.software, node.software.clone().unwrap_or_else(|| "–".to_owned())),
    ];
    rows.extend(outbox);
    let rows = facts(rows);
    let as_of = node.freshness.as_of;
    view! {
        (rows)
        (as_of.map_or_else(nothing, |at| view! {
            div(class="said") { p(class="muted") { (texts.as_said) " " Age(at=at) } }
        }))
    }
}

fn facts(rows: Vec<(&'static str, String)>) -> View {
    let rows = lines(rows);
    view! { dl(class="facts body") { (rows) } }
}

/// Returns names with their values.
pub(super) fn lines(rows: Vec<(&'static str, String)>) -> View {
    let rows = rows.into_iter().map(|(name, value)| view! { dt { (name) } dd { (value) } });
    rows.collect::<Vec<_>>().into()
}

fn capital(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |it| it.to_uppercase().chain(letters).collect())
}

/// What runs there.
#[component(inline_props)]
fn Servers(id: NodeId) -> View {
    let session = use_context::<Session>();
    let servers = watch_told::<table::ListServers>(remote::RARELY_MS, Topic::Servers, move || {
        let sort = Some("name".to_owned());
        let query =
            ServerQuery { node: Some(id), limit: Some(PAGE_ITEMS_MAX), sort, ..ServerQuery::ALL };
        Some(((), query))
    });
    let may_make = session.may_admin(AdminRight::ServersWrite);
    shown(servers, move |page| {
        let items =
            selector(move || page.with(|it| it.items.iter().map(Row::of).collect::<Vec<_>>()));
        let is_cut = selector(move || page.with(|it| it.next.is_some()));
        let is_empty = selector(move || items.with(Vec::is_empty));
        view! {
            (if is_cut.get() { notice(Tone::Calm,
                fill(t().admin.cut, &[("n", &PAGE_ITEMS_MAX)])) } else { nothing() })
            (if is_empty.get() {
                let next = if may_make {
                    view! { a(class="btn", href="/servers/new") { (t().servers.new) } }
                } else { nothing() };
                empty(Icon::Servers, t().admin.node_empty, t().admin.node_empty_text, next)
            } else {
                let lines = view! { Indexed(list=items, view=server) };
                let texts = &t().servers;
                let heads = [texts.name, texts.game, texts.memory, texts.disk, texts.address];
                table(texts.title, &heads, lines)
            })
        }
    })
}

/// What is shown of a server: not what changes all the time.
#[derive(Clone, PartialEq)]
struct Row {
    id: ServerId,
    name: String,
    game: String,
    limits: Limits,
    port: String,
}

impl Row {
    fn of(server: &Server) -> Self {
        let port = server.ports.first().map(|it| format!("{}:{}", it.ip, it.port));
        Self {
            id: server.server,
            name: server.name.clone(),
            game: server.blueprint.clone(),
            limits: server.limits,
            port: port.unwrap_or_default(),
        }
    }
}

fn server(row: Row) -> View {
    let Row { id, name, game, limits, port } = row;
    let to = format!("/servers/{id}");
    let (memory, disk) = (size(limits.memory_mib.bytes()), size(limits.disk_mib.bytes()));
    view! {
        tr {
            td(class="cut") { a(href=to) { (name) } }
            td(class="muted") { (game) }
            td(class="num") { (memory) }
            td(class="num") { (disk) }
            td { code { (port) } }
        }
    }
}
