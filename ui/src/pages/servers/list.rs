//! The list of servers.

use super::{
    bulk::Bulk,
    condition::{self, address},
    fleet::{Fleet, Row},
    line::line,
};
use crate::reactive::selector;
use crate::{
    feed::{Feed, Latest},
    i18n::{fill, t},
    parts::{self, Action, Icon, head, icon, in_sight, nothing},
    session::Session,
};
use mamba_core::{access::AdminRight, ids::ServerId};
use mamba_wire::api::server::Server;
use std::collections::BTreeSet;
use sycamore::prelude::*;

/// Height of a line, as `.servers` has it in the style sheet: on a phone a name has two lines.
fn row_px(window_px: f64) -> usize {
    if window_px <= 500.0 { 64 } else { 42 }
}

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
            Now::Here => view! { (parts::behind(*fleet.failure, *fleet.read_at)) Found(fleet=fleet, sieve=sieve, rows=rows, chosen=chosen) },
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
    // What a filter hides is not acted upon, and not counted.
    let acted = create_memo(move || {
        let seen = rows.get_clone().into_iter();
        chosen.with(|chosen| seen.filter(|it| chosen.contains(&it.id)).collect::<Vec<Row>>())
    });
    let is_choosing = selector(move || chosen.with(|it| !it.is_empty()));
    view! {
        div(class="toolbar") {
            label(class="search") {
                (magnifier) span(class="sr") { (t().servers.search) }
                input(r#type="search", placeholder=t().servers.search, bind:value=sieve.text)
            }
            span(class="muted num", hidden=is_choosing.get()) { (count.get_clone()) }
            Bulk(chosen=chosen, acted=acted)
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
            let table = move || view! { Table(sieve=sieve, rows=rows, chosen=chosen) };
            parts::known(*fleet.failure, *fleet.read_at, Box::new(table))
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
    let sight = in_sight(node, row_px, selector(move || rows.with(Vec::len)));
    let drawn = create_memo(move || rows.with(|rows| rows[sight.get().of(rows.len())].to_vec()));
    let above = selector(move || height(sight.get().first, sight.get().row_px));
    let below = selector(move || {
        let sight = sight.get();
        height(rows.with(Vec::len).saturating_sub(sight.last), sight.row_px)
    });
    let latest: Latest = use_context::<Feed>().in_turn(move || {
        let is_up = |row: &Row| row.server.with(|it| condition::has_process(it));
        drawn.get_clone().into_iter().filter(is_up).map(|row| row.id).collect()
    });
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
                    Keyed(list=drawn, key=|row| row.id, view=move |row| line(row, chosen, latest))
                    tr(aria-hidden="true", style=below.get_clone())
                }
            }
        }
    }
}

/// Returns the height of rows that are not drawn.
fn height(rows: usize, row_px: usize) -> String {
    format!("height: {}px", rows * row_px)
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
