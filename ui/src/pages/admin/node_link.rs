//! The link of a node: its last session, its certificate, and what became of it before.

use super::node::lines;
use crate::{
    i18n::{fill, t},
    parts::{Badge, Copyable, Icon, Tone, badge, empty, nothing, shown, table},
    reactive::selector,
    remote::{self, watch_told},
    time::{self, Age},
};
use mamba_core::ids::NodeId;
use mamba_wire::api::{
    PageQuery,
    feed::Topic,
    node::{LinkChange, LinkEvent, NodeLink, NodeSession},
    page::PAGE_ITEMS_MAX,
    params::NodePath,
    table,
};
use std::rc::Rc;
use sycamore::prelude::*;

/// Returns the facts of a link.
pub(super) fn linked(link: ReadSignal<Rc<NodeLink>>) -> View {
    let key = selector(move || link.with(|it| it.key.clone()));
    view! {
        (facts_of_link(&link.get_clone()))
        div(class="said") {
            p { strong { (t().admin.key) } }
            ({
                let key = key.get_clone();
                view! { Copyable(text=key) }
            })
            p(class="muted") { (t().admin.certificates) }
        }
    }
}

fn facts_of_link(link: &NodeLink) -> View {
    let texts = &t().admin;
    let mut rows = Vec::new();
    let mut ages = nothing();
    if let Some(session) = &link.session {
        let NodeSession { connected_at, last_heard, remote, calendar_ahead_ms } = session.clone();
        rows.push((texts.remote, remote));
        rows.push((texts.calendar, ahead(calendar_ahead_ms)));
        ages = view! {
            dt { (texts.session_since) } dd { Age(at=connected_at) }
            dt { (texts.heard) } dd { Age(at=last_heard) }
        };
    }
    rows.push((
        texts.facts,
        fill(texts.facts_of, &[("n", &link.facts), ("again", &link.repeated)]),
    ));
    rows.push((texts.aside, link.quarantined.to_string()));
    let rows = lines(rows);
    let (replaced, until) = (link.replaced_at, link.certificate_until);
    let until = until.map_or_else(nothing, |at| {
        let until = time::local(at);
        let over = if at < time::now() {
            view! { " " Badge(tone=Tone::Busy, label=texts.certificate_over) }
        } else {
            nothing()
        };
        view! { dt { (texts.certificate_until) } dd { (until) (over) } }
    });
    view! {
        dl(class="facts body") {
            (ages) (rows)
            (until)
            (replaced.map_or_else(nothing, |at| view! { dt { (texts.replaced) } dd { Age(at=at) } }))
        }
    }
}

/// Returns how far a calendar is off.
fn ahead(ms: i64) -> String {
    let span = time::span(ms.unsigned_abs());
    match ms {
        -999..=999 => t().admin.calendar_good.to_owned(),
        1_000.. => fill(t().admin.calendar_ahead, &[("span", &span)]),
        _ => fill(t().admin.calendar_behind, &[("span", &span)]),
    }
}

/// What became of the link, newest first: the hub keeps the last hundred.
#[component(inline_props)]
pub(super) fn History(id: NodeId) -> View {
    let changes =
        watch_told::<table::ListLinkChanges>(remote::RARELY_MS, Topic::Nodes, move || {
            let query = PageQuery { after: None, limit: Some(PAGE_ITEMS_MAX) };
            Some((NodePath { node: id }, query))
        });
    let list = shown(changes, move |page| {
        let items = selector(move || page.with(|it| it.items.clone()));
        let is_empty = selector(move || items.with(Vec::is_empty));
        view! {
            (if is_empty.get() {
                empty(Icon::Log, t().admin.links_none, t().admin.links_none_text, nothing())
            } else {
                let rows = view! { Indexed(list=items, view=change) };
                let texts = &t().admin;
                table(texts.links, &[texts.link_when, texts.link_change, texts.link_detail], rows)
            })
        }
    });
    view! { section(class="card link-history") { header { h2 { (t().admin.links) } } (list) } }
}

fn change(change: LinkChange) -> View {
    let LinkChange { at, change, detail } = change;
    let (tone, word) = match change {
        LinkEvent::Connected => (Tone::Good, t().admin.link_connected),
        LinkEvent::Lost => (Tone::Busy, t().admin.link_lost),
    };
    view! {
        tr {
            td(class="muted") { Age(at=at) }
            td { (badge(tone, word)) }
            td(class="wrap") { (detail) }
        }
    }
}
