//! Machines: the list, and how one is added.

use super::{capacity, cut, enrol::enrol_dialog, registries::Registries, tokens::Tokens};
use crate::{
    i18n::{fill, t},
    parts::{
        Action, Badge, Fresh, Icon, Kind, Tone, empty, head, icon, nothing, notice, shown, table,
    },
    reactive::selector,
    remote::{self, watch_all},
    session::Session,
    time,
};
use mamba_core::{access::AdminRight, ids::NodeId};
use mamba_wire::api::{
    Freshness, LinkState, Page,
    feed::Topic,
    node::{Node, Standing},
    table,
};
use std::{collections::BTreeSet, rc::Rc};
use sycamore::prelude::*;

/// The page.
#[component]
pub(super) fn Nodes() -> View {
    let session = use_context::<Session>();
    let may_enrol = session.may_admin(AdminRight::NodesWrite);
    let nodes = watch_all::<table::ListNodes, _>(remote::OFTEN_MS, Some(Topic::Nodes), true);
    let enrolling = create_signal(false);
    let tokens =
        watch_all::<table::ListJoinTokens, _>(remote::RARELY_MS, Some(Topic::Administration), true);
    let dialog = enrol_dialog(enrolling, None, move || {
        tokens.reload();
        nodes.reload();
    });
    let enrol = move || {
        if may_enrol {
            view! {
                Action(label=t().admin.enrol, kind=Kind::Primary, picture=Icon::Plus,
                    run=move || enrolling.set(true))
            }
        } else {
            nothing()
        }
    };
    let head = head(Vec::new(), t().admin.nodes, enrol());
    let list = shown(nodes, move |page| {
        let is_empty = selector(move || page.with(|it| it.items.is_empty()));
        view! {
            (if is_empty.get() {
                empty(Icon::Servers, t().admin.nodes_none, t().admin.nodes_none_text, enrol())
            } else {
                view! { Found(page=page) }
            })
        }
    });
    view! { (head) (list) Tokens(tokens=tokens) Registries() (dialog) }
}

#[component(inline_props)]
fn Found(page: ReadSignal<Rc<Page<Node>>>) -> View {
    let text = create_signal(String::new());
    let rows = selector(move || {
        let text = text.with(|it| it.trim().to_lowercase());
        page.with(|page| {
            let mut rows: Vec<&Node> = page.items.iter().filter(|it| fits(it, &text)).collect();
            rows.sort_by_key(|it| (it.name.to_lowercase(), it.node));
            rows.iter().map(|it| it.node).collect::<Vec<NodeId>>()
        })
    });
    let count = selector(move || {
        let all = page.with(|it| it.items.len());
        fill(t().servers.count, &[("shown", &rows.with(Vec::len)), ("all", &all)])
    });
    let is_cut = selector(move || page.with(|it| it.next.is_some()));
    let magnifier = icon(Icon::Search);
    let lines = view! {
        Keyed(list=rows, key=|it: &NodeId| *it, view=move |id| line(id, page))
    };
    let texts = &t().admin;
    let heads = [
        t().servers.name,
        t().servers.link,
        texts.servers,
        t().servers.memory,
        t().servers.disk,
        texts.outbox,
    ];
    let found = table(texts.nodes, &heads, lines);
    view! {
        div(class="toolbar") {
            label(class="search") {
                (magnifier) span(class="sr") { (t().admin.nodes_search) }
                input(r#type="search", placeholder=t().admin.nodes_search, bind:value=text)
            }
            span(class="muted num") { (count.get_clone()) }
        }
        (if is_cut.get() { notice(Tone::Calm, cut()) } else { nothing() })
        (found)
    }
}

/// Returns one line of the table. It stays while its node is there, so that nothing is lost of what somebody
/// does with it.
fn line(id: NodeId, page: ReadSignal<Rc<Page<Node>>>) -> View {
    let node = selector(move || page.with(|it| it.items.iter().find(|it| it.node == id).cloned()));
    let cell = move |show: fn(&Node) -> View| {
        view! { (node.get_clone().as_ref().map_or_else(nothing, show)) }
    };
    let link = format!("/admin/nodes/{id}");
    let name =
        selector(move || node.with(|it| it.as_ref().map(|it| it.name.clone()).unwrap_or_default()));
    let freshness = selector(move || node.with(|it| it.as_ref().map(|it| it.freshness)));
    let freshness = selector(move || freshness.get().unwrap_or(NEVER));
    let standing = cell(|it| {
        let found = capacity::standing(it);
        found.map_or_else(nothing, |(tone, word)| view! { " " Badge(tone=tone, label=word) })
    });
    let servers = cell(|it| {
        let servers = it.servers;
        view! { (servers) }
    });
    let (memory, disk, outbox, place) =
        (cell(capacity::memory), cell(capacity::disk), cell(outbox), cell(place));
    let is_stale = selector(move || freshness.get().link == LinkState::Unreachable);
    let is_over = selector(move || node.with(|it| it.as_ref().is_some_and(is_revoked)));
    view! {
        tr(data-stale=is_stale.get().then_some("yes")) {
            td { a(href=link) { (name.get_clone()) } (standing) (place) }
            td { Fresh(freshness=freshness, is_over=is_over) }
            td(class="num") { (servers) }
            td { (memory) }
            td { (disk) }
            td(class="muted num") { (outbox) }
        }
    }
}

/// Whether a node was told to go: that it is not heard is as it should be.
pub(super) fn is_revoked(node: &Node) -> bool {
    node.standing == Standing::Revoked
}

/// Of a node that is gone from the list, until its line goes too.
const NEVER: Freshness = Freshness { as_of: None, link: LinkState::Unreachable };

fn outbox(node: &Node) -> View {
    let (waiting, oldest) = capacity::waiting(node);
    let text = if waiting == 0 {
        t().admin.outbox_empty.to_owned()
    } else {
        fill(t().admin.outbox_waits, &[("n", &waiting), ("span", &time::span(oldest))])
    };
    view! { (text) }
}

/// Returns where a node stands and what it is good for.
fn place(node: &Node) -> View {
    let (region, tags) =
        (node.settings.region.clone().unwrap_or_default(), tags(&node.settings.tags));
    view! { div(class="place") { span(class="muted") { (region) } " " (tags) } }
}

/// Returns tags side by side.
pub(super) fn tags(tags: &BTreeSet<String>) -> View {
    let tags = tags.iter().cloned();
    tags.map(|it| view! { span(class="tag") { (it) } " " }).collect::<Vec<_>>().into()
}

fn fits(node: &Node, text: &str) -> bool {
    let has = |it: &str| it.to_lowercase().contains(text);
    let settings = &node.settings;
    text.is_empty()
        || has(&node.name)
        || settings.region.as_deref().is_some_and(has)
        || settings.tags.iter().any(|it| has(it))
}
