//! The list of servers.

use super::{
    condition::{self, address},
    fleet::{Fleet, Row},
};
use crate::reactive::selector;
use crate::{
    i18n::{fill, t},
    parts::{self, Action, Fresh, Icon, Kind, Toasts, badge, head, icon, in_sight, nothing},
    session::Session,
    time::Age,
};
use mamba_core::{access::AdminRight, ids::ServerId, lifecycle::PowerAction};
use mamba_wire::api::{
    params::ServerPath,
    server::{Power, Server},
    table,
};
use std::collections::BTreeSet;
use sycamore::prelude::*;

/// Height of a line, as `.servers` has it in the style sheet.
const ROW_PX: usize = 42;

/// What the list is sorted by.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Column {
    Name,
    State,
    Game,
    Memory,
}

/// How the list is cut and sorted.
#[derive(Clone, Copy)]
struct Sieve {
    text: Signal<String>,
    column: Signal<Column>,
    is_reversed: Signal<bool>,
}

/// The page.
#[component]
pub(crate) fn List() -> View {
    let session = use_context::<Session>();
    let fleet = Fleet::watch();
    let sieve = Sieve {
        text: create_signal(String::new()),
        column: create_signal(Column::Name),
        is_reversed: create_signal(false),
    };
    let chosen = create_signal(BTreeSet::<ServerId>::new());
    // Values are not followed: a row that changes does not move while somebody reads.
    let rows = create_memo(move || {
        let text = sieve.text.with(|it| it.trim().to_lowercase());
        let (column, is_reversed) = (sieve.column.get(), sieve.is_reversed.get());
        let mut rows = fleet.rows.get_clone();
        rows.retain(|row| row.server.with_untracked(|it| fits(it, &text)));
        rows.sort_by_cached_key(|row| row.server.with_untracked(|it| key(column, it)));
        if is_reversed {
            rows.reverse();
        }
        rows
    });
    let may_make = session.may_admin(AdminRight::ServersWrite);
    let new = move || {
        let plus = icon(Icon::Plus);
        view! { a(class="btn", data-kind="primary", href="/servers/new") { (plus) (t().servers.new) } }
    };
    let head = head(Vec::new(), t().servers.title, if may_make { new() } else { nothing() });
    #[derive(Clone, Copy, PartialEq)]
    enum Now {
        Loading,
        Failed,
        Empty,
        Here,
    }
    let now = selector(move || match (fleet.is_read.get(), fleet.rows.with(Vec::is_empty)) {
        (true, true) => Now::Empty,
        (true, false) => Now::Here,
        (false, _) if fleet.failure.with(Option::is_some) => Now::Failed,
        (false, _) => Now::Loading,
    });
    view! {
        (head)
        (match now.get() {
            Now::Loading => parts::loading(),
            Now::Failed => fleet.failure.get_clone().map_or_else(nothing, |it| {
                parts::notice(parts::Tone::Bad, it.text())
            }),
            Now::Empty if may_make => {
                parts::empty(Icon::Servers, t().servers.none, t().servers.none_admin_text, new())
            }
            Now::Empty => parts::empty(Icon::Servers, t().servers.none, t().servers.none_text, nothing()),
            Now::Here => view! { Found(fleet=fleet, sieve=sieve, rows=rows, chosen=chosen) },
        })
    }
}

#[component(inline_props)]
fn Found(
    fleet: Fleet,
    sieve: Sieve,
    rows: ReadSignal<Vec<Row>>,
    chosen: Signal<BTreeSet<ServerId>>,
) -> View {
    let shown = selector(move || rows.with(Vec::len));
    // Not by the number: the table stays, and where it is scrolled to, when a server comes or goes.
    let is_none = selector(move || shown.get() == 0);
    let count = selector(move || {
        fill(t().servers.count, &[("shown", &shown.get()), ("all", &fleet.rows.with(Vec::len))])
    });
    let magnifier = icon(Icon::Search);
    let is_choosing = selector(move || chosen.with(|it| !it.is_empty()));
    view! {
        div(class="toolbar") {
            label(class="search") {
                (magnifier) span(class="sr") { (t().servers.search) }
                input(r#type="search", placeholder=t().servers.search, bind:value=sieve.text)
            }
            (if is_choosing.get() { view! { Bulk(chosen=chosen) } } else {
                view! { span(class="muted num") { (count.get_clone()) } }
            })
        }
        (if fleet.is_cut.get() {
            parts::notice(parts::Tone::Calm,
                fill(t().servers.first_200, &[("n", &fleet.rows.with_untracked(Vec::len))]))
        } else { nothing() })
        (if is_none.get() {
            let clear = view! {
                Action(label=t().servers.clear, run=move || sieve.text.set(String::new()))
            };
            parts::empty(Icon::Search, t().servers.none_found, t().servers.none_found_text, clear)
        } else {
            view! { Table(sieve=sieve, rows=rows, chosen=chosen) }
        })
    }
}

#[component(inline_props)]
fn Table(sieve: Sieve, rows: ReadSignal<Vec<Row>>, chosen: Signal<BTreeSet<ServerId>>) -> View {
    let header = move |column: Column, text: &'static str| {
        let sorted = selector(move || {
            let is_this = sieve.column.get() == column;
            is_this.then(|| if sieve.is_reversed.get() { "descending" } else { "ascending" })
        });
        let sort = move |_| {
            batch(|| {
                let is_same = sieve.column.get_untracked() == column;
                sieve.is_reversed.set(is_same && !sieve.is_reversed.get_untracked());
                sieve.column.set(column);
            })
        };
        view! {
            th(scope="col", aria-sort=sorted.get()) {
                button(r#type="button", class="sort", on:click=sort) { (text) }
            }
        }
    };
    let name = header(Column::Name, t().servers.name);
    let state = header(Column::State, t().servers.state);
    let game = header(Column::Game, t().servers.game);
    let memory = header(Column::Memory, t().servers.memory);
    let node = create_node_ref();
    let sight = in_sight(node, ROW_PX, selector(move || rows.with(Vec::len)));
    let drawn = create_memo(move || rows.with(|rows| rows[sight.get().of(rows.len())].to_vec()));
    let above = selector(move || height(sight.get().first));
    let below = selector(move || height(rows.with(Vec::len).saturating_sub(sight.get().last)));
    view! {
        div(class="table-wrap", tabindex="0", role="region", aria-label=t().servers.title, r#ref=node) {
            table(class="servers") {
                thead { tr {
                    th(class="tick") { span(class="sr") { (t().servers.selection) } }
                    (name) (state)
                    th(scope="col") { (t().servers.link) }
                    (game)
                    th(scope="col") { (t().servers.address) }
                    (memory)
                    th(scope="col") { (t().servers.changed) }
                } }
                tbody {
                    tr(aria-hidden="true", style=above.get_clone())
                    Keyed(list=drawn, key=|row| row.id, view=move |row| line(row, chosen))
                    tr(aria-hidden="true", style=below.get_clone())
                }
            }
        }
    }
}

/// Returns the height of rows that are not drawn.
fn height(rows: usize) -> String {
    format!("height: {}px", rows * ROW_PX)
}

/// Returns one line of the table. Each cell follows only what it shows.
fn line(row: Row, chosen: Signal<BTreeSet<ServerId>>) -> View {
    let (id, server) = (row.id, row.server);
    let link = format!("/servers/{id}");
    let name = selector(move || server.with(|it| it.name.clone()));
    let condition = selector(move || server.with(|it| condition::of(it)));
    let freshness = selector(move || server.with(|it| it.freshness));
    let since = selector(move || server.with(|it| it.observed.as_ref().map(|it| it.since)));
    let (game, place, memory) = server.with_untracked(|it| {
        let memory = format!("{} MiB", it.limits.memory_mib.0);
        (it.blueprint.clone(), address(it).unwrap_or_else(|| "–".to_owned()), memory)
    });
    let under = place.clone();
    let is_stale =
        selector(move || freshness.get().link == mamba_wire::api::LinkState::Unreachable);
    let is_chosen = selector(move || chosen.with(|it| it.contains(&id)));
    let toggle = move |_| {
        chosen.update(|it| {
            if !it.remove(&id) {
                it.insert(id);
            }
        })
    };
    let select = name.with_untracked(|it| fill(t().servers.select, &[("name", it)]));
    view! {
        tr(data-stale=is_stale.get().then_some("yes")) {
            td(class="tick") {
                input(r#type="checkbox", aria-label=select, prop:checked=is_chosen.get(), on:change=toggle)
            }
            td(class="cut") { a(href=link) { (name.get_clone()) } code(class="under") { (under) } }
            td {
                (badge(condition.get().tone, condition.get().word))
                span(class="pending") { (condition.get().pending) }
            }
            td { Fresh(freshness=freshness) }
            td(class="muted") { (game) }
            td { code { (place) } }
            td(class="num") { (memory) }
            td(class="muted num") {
                (since.get().map_or_else(nothing, |at| view! { Age(at=at) }))
            }
        }
    }
}

/// What can be done with all chosen servers at once.
#[component(inline_props)]
fn Bulk(chosen: Signal<BTreeSet<ServerId>>) -> View {
    let (session, toasts) = (use_context::<Session>(), use_context::<Toasts>());
    let text = selector(move || fill(t().servers.selected, &[("n", &chosen.with(BTreeSet::len))]));
    let act = move |action: PowerAction| {
        let all: Vec<ServerId> = chosen.with_untracked(|it| it.iter().copied().collect());
        chosen.set(BTreeSet::new());
        sycamore::futures::spawn_local(async move {
            let mut recorded = 0;
            for server in all {
                let body = Power { action, expires_in_ms: None };
                match session.call::<table::Power>(ServerPath { server }, (), body).await {
                    Ok(_) => recorded += 1,
                    Err(failure) => toasts.failed(&failure),
                }
            }
            toasts.done(fill(t().servers.sent_all, &[("n", &recorded)]));
        });
    };
    view! {
        div(class="bulk") {
            span(class="muted") { (text.get_clone()) }
            Action(label=t().servers.start, picture=Icon::Play, run=move || act(PowerAction::Start))
            Action(label=t().servers.stop, picture=Icon::Stop, run=move || act(PowerAction::Stop))
            Action(label=t().servers.restart, picture=Icon::Restart, run=move || act(PowerAction::Restart))
            Action(label=t().general.cancel, kind=Kind::Quiet, run=move || chosen.set(BTreeSet::new()))
        }
    }
}

fn fits(server: &Server, text: &str) -> bool {
    let has = |it: &str| it.to_lowercase().contains(text);
    text.is_empty()
        || has(&server.name)
        || has(&server.blueprint)
        || has(condition::of(server).word)
        || address(server).is_some_and(|it| has(&it))
}

/// Returns what a column is sorted by; what is alike there is sorted by name.
fn key(column: Column, server: &Server) -> (u32, String, String, ServerId) {
    let (number, word) = match column {
        Column::Name => (0, ""),
        Column::State => (0, condition::of(server).word),
        Column::Game => (0, server.blueprint.as_str()),
        Column::Memory => (server.limits.memory_mib.0, ""),
    };
    (number, word.to_owned(), server.name.to_lowercase(), server.server)
}
